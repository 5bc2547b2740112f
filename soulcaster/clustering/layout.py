"""A flat picture of clusters: like beside like, no two circles over one another, and steady from run to run.

Arrays in, arrays out; the same arrays give the same picture. Units are those of a map about 1 wide and 1 high.
"""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

FILLED = 0.3
"""Share of the unit square that all circles cover together."""

_GAP = 0.5
"""Room between two circles, in radii of the smallest."""

_TSNE_FROM = 30
"""Fewer clusters have no neighbourhoods to preserve; their distances are shown as they are."""
_PERPLEXITY = 15.0
_SMACOF_STEPS = 100
_GROW_EVERY, _GROW_BY = 40, 1.02
_GROW_GENTLY_EVERY, _GROW_GENTLY_BY = 100, 1.003
_INFLATE_STEPS = 60
_PUSH = 0.5
_TOLERATED = 0.5
"""Share of the gap that may be lost where many circles meet."""
_BIG_QUANTILE = 0.97
_NEAREST_KNOWN = 5
_GOLDEN_ANGLE = float(np.pi * (3.0 - np.sqrt(5.0)))
_SETTLED_SPREAD, _SETTLED_RATE = 20.0, 50.0
_LEAST_STEP, _STEP_BY_NEW = 0.05, 2.0
"""Share of the way to the picture that a new search finds, and how much more by the share of items in new clusters."""
_EPSILON = 1e-9


def place_clusters(centers: Floats, sizes: Ints, previous: Floats) -> tuple[Floats, Floats]:
    """Middle (n, 2) and radius (n,) of every cluster's circle; areas are as `sizes`, circles do not overlap.

    Neighbourhoods come from t-SNE on cosine, started from `previous` and laid over it again, so that what was there
    stays where it was. Without anything previous the picture is fitted into the unit square.

    Args:
        centers: float64 (n, d), L2-normalised mean vectors; zero rows are like nothing.
        sizes: int64 (n,), items of each, at least 1.
        previous: float64 (n, 2), middle of the same cluster in the picture before, NaN for new ones.

    Source: van der Maaten and Hinton 2008 (t-SNE); Kobak and Berens 2019 (PCA start); de Leeuw 1977 (SMACOF).
    """
    n = len(centers)
    if n == 0:
        return np.empty((0, 2)), np.empty(0)
    is_known = ~np.isnan(previous[:, 0])
    start = _start(centers, previous, is_known)
    radii = np.sqrt(sizes / sizes.sum() * FILLED / np.pi)
    raw = _project(centers, start, is_first=not is_known.any())
    if not is_known.any():
        return _fitted(separate(_fitted(raw, extent=1.0) + _spiral(n) * 1e-6, radii)), radii
    known = np.where(is_known[:, None], start, np.nan)
    step = min(1.0, _LEAST_STEP + _STEP_BY_NEW * float(sizes[~is_known].sum() / sizes.sum()))
    moved = separate(start + step * (laid_over(raw, known) - start), radii, is_first=False)
    return moved + np.median(start[is_known] - moved[is_known], axis=0), radii


def place_items(ranks: Ints, sizes: Ints) -> Floats:
    """Place (m, 2) of items in their unit disc: rank 0 in the middle, the rest around it like seeds of a sunflower.

    Args:
        ranks: int64 (m,), place of the item in its cluster, most typical first.
        sizes: int64 (m,), number of items of its cluster.

    Source: Vogel 1979, "A better way to construct the sunflower head".
    """
    distance = np.sqrt((ranks + 0.5) / np.maximum(sizes, 1)) * 0.96
    angle = ranks * _GOLDEN_ANGLE
    return np.column_stack([distance * np.cos(angle), distance * np.sin(angle)])


def place_noise(nearest: Ints, middles: Floats, radii: Floats) -> Floats:
    """Place (m, 2) of items that stand alone: in the gap around the circle of the nearest cluster, in turn.

    Args:
        nearest: int64 (m,), row of the nearest cluster.
        middles: float64 (n, 2), as `place_clusters` gives them.
        radii: float64 (n,), as well.
    """
    order = np.argsort(nearest, kind="stable")
    ordered = nearest[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    turn = np.empty(len(nearest), dtype=np.int64)
    turn[order] = np.arange(len(ordered)) - np.repeat(starts, np.diff(np.append(starts, len(ordered))))
    angle = turn * _GOLDEN_ANGLE + 0.5
    reach = radii[nearest] + (0.5 * _GAP * radii.min() if len(radii) else 0.0)
    placed: Floats = middles[nearest] + reach[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    return placed


def laid_over(raw: Floats, previous: Floats) -> Floats:
    """`raw` turned, mirrored, scaled and shifted so that the known rows of `previous` are met best.

    Source: Schönemann 1966, orthogonal Procrustes. A picture that came out mirrored is mirrored back; fewer than three
    known rows cannot tell, and are only turned.
    """
    is_known = ~np.isnan(previous[:, 0])
    known, target = raw[is_known], previous[is_known]
    middle, goal = known.mean(axis=0), target.mean(axis=0)
    left, weights, right = np.linalg.svd((known - middle).T @ (target - goal))
    if len(known) < 3 and np.linalg.det(left @ right) < 0:  # noqa: PLR2004  two points have no orientation
        left[:, -1] *= -1
    spread = float(((known - middle) ** 2).sum())
    scale = float(weights.sum()) / spread if spread > _EPSILON and weights.sum() > _EPSILON else 1.0
    placed: Floats = (raw - middle) @ (left @ right) * scale + goal
    return placed


def separate(middles: Floats, radii: Floats, *, is_first: bool = True) -> Floats:
    """`middles` (n, 2) pushed apart, little by little, until no two circles overlap.

    Circles of a first picture grow from points to their size while they push, so that neighbours stay neighbours. Each
    pair shares the way by area: a large circle hardly moves for a small one. When pushing alone does not end, the whole
    picture grows a little.
    """
    if len(radii) < 2:  # noqa: PLR2004  one circle has no neighbour
        return middles
    gap = _GAP * float(radii.min())
    every, by = (_GROW_EVERY, _GROW_BY) if is_first else (_GROW_GENTLY_EVERY, _GROW_GENTLY_BY)
    now = middles.copy()
    for step in itertools.count(1):
        size = min(1.0, (step / _INFLATE_STEPS) ** 0.5) if is_first else 1.0
        lack = _push_apart(now, radii * size, gap * size)
        if size == 1.0 and lack <= _TOLERATED * gap:
            return now
        if step % every == 0:
            center = now.mean(axis=0)
            now = center + (now - center) * by
    raise AssertionError("growing ends every overlap")


def _push_apart(middles: Floats, radii: Floats, gap: float) -> float:
    """Move, in place, every pair that is too near towards what it lacks; the largest lack there was."""
    a, b = _close_pairs(middles, radii, gap)
    if not len(a):
        return 0.0
    away = middles[a] - middles[b]
    distance = np.linalg.norm(away, axis=1)
    lack = radii[a] + radii[b] + gap - distance
    direction = np.where(distance[:, None] > _EPSILON, away / np.maximum(distance, _EPSILON)[:, None], [1.0, 0.0])
    share = radii[b] ** 2 / (radii[a] ** 2 + radii[b] ** 2)
    push = direction * (_PUSH * lack)[:, None]
    for axis in (0, 1):
        middles[:, axis] += np.bincount(a, push[:, axis] * share, len(middles))
        middles[:, axis] -= np.bincount(b, push[:, axis] * (1 - share), len(middles))
    return float(lack.max())


def _close_pairs(middles: Floats, radii: Floats, gap: float) -> tuple[Ints, Ints]:
    """Rows of all pairs that are nearer than their radii and the gap; small ones by a tree, big ones against all."""
    is_big = radii > np.quantile(radii, _BIG_QUANTILE)
    small, big = np.flatnonzero(~is_big), np.flatnonzero(is_big)
    reach = 2 * float(radii[small].max()) + gap
    pairs = small[cKDTree(middles[small]).query_pairs(reach, output_type="ndarray")]
    at_big, other = np.nonzero(cdist(middles[big], middles) < radii[big][:, None] + radii + gap)
    mine = big[at_big]
    is_new = ~is_big[other] | (mine < other)
    a = np.concatenate([pairs[:, 0], mine[is_new]])
    b = np.concatenate([pairs[:, 1], other[is_new]])
    is_near = np.linalg.norm(middles[a] - middles[b], axis=1) < radii[a] + radii[b] + gap
    return a[is_near], b[is_near]


def _start(centers: Floats, previous: Floats, is_known: npt.NDArray[np.bool_]) -> Floats:
    """Where the search begins: the place before; new clusters among the known ones that they are most like."""
    if not is_known.any():
        return _principal(centers)
    start = previous.copy()
    new = np.flatnonzero(~is_known)
    known = np.flatnonzero(is_known)
    similarity = centers[new] @ centers[known].T
    k = min(_NEAREST_KNOWN, len(known))
    nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
    weight = np.maximum(np.take_along_axis(similarity, nearest, axis=1), 0.0) ** 4 + _EPSILON
    start[new] = (previous[known[nearest]] * weight[:, :, None]).sum(axis=1) / weight.sum(axis=1, keepdims=True)
    start[new] += _spiral(len(new)) * 1e-3
    return start


def _project(centers: Floats, start: Floats, *, is_first: bool) -> Floats:
    """The vectors on a plane, near `start`."""
    if len(centers) < _TSNE_FROM:
        return _scaled_distances(centers, start)
    from sklearn.manifold import TSNE

    spread = float(start.std(axis=0).max())
    begin = (start - start.mean(axis=0)) / max(spread, _EPSILON)
    tsne = TSNE(
        metric="cosine",
        init=(begin * (1e-4 if is_first else _SETTLED_SPREAD)).astype(np.float32),
        perplexity=min(_PERPLEXITY, (len(centers) - 1) / 3),
        early_exaggeration=12.0 if is_first else 1.0,
        max_iter=600 if is_first else 250,
        learning_rate="auto" if is_first else _SETTLED_RATE,
        random_state=0,
        n_jobs=1,
    )
    return np.asarray(tsne.fit_transform(centers), dtype=np.float64)


def _principal(centers: Floats) -> Floats:
    """First two principal components (n, 2), signs fixed by the largest entry."""
    middle = centers - centers.mean(axis=0)
    _, weights, axes = np.linalg.svd(middle, full_matrices=False)
    axes, weights = axes[:2], weights[:2]
    signs = np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])
    flat = np.zeros((len(centers), 2))
    flat[:, : len(axes)] = middle @ (axes * np.where(signs == 0, 1.0, signs)[:, None]).T
    return flat + _spiral(len(centers)) * 1e-3


def _scaled_distances(centers: Floats, start: Floats) -> Floats:
    """Metric scaling of the cosine distances by majorisation, from `start`."""
    wanted = np.sqrt(np.maximum(2.0 - 2.0 * centers @ centers.T, 0.0))
    n = len(centers)
    own = cdist(start, start)
    now = start * (wanted.sum() / own.sum() if own.sum() > _EPSILON else 1.0)
    for _ in range(_SMACOF_STEPS):
        distance = cdist(now, now)
        ratio = np.divide(wanted, distance, out=np.zeros_like(wanted), where=distance > _EPSILON)
        guttman = -ratio
        guttman[np.arange(n), np.arange(n)] += ratio.sum(axis=1)
        now = guttman @ now / n
    return np.asarray(now)


def _fitted(middles: Floats, *, extent: float | None = None) -> Floats:
    """Shifted so that 0.5, 0.5 is in the middle, and scaled to `extent` when it is given."""
    low, high = middles.min(axis=0), middles.max(axis=0)
    span = float((high - low).max())
    scale = extent / span if extent is not None and span > _EPSILON else 1.0
    fitted: Floats = 0.5 + (middles - (low + high) / 2) * scale
    return fitted


def _spiral(n: int) -> Floats:
    """(n, 2), all different, within the unit disc: parts what lies on one spot."""
    return place_items(np.arange(n, dtype=np.int64), np.full(n, max(n, 1), dtype=np.int64))
