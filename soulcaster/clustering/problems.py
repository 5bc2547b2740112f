"""Candidate pairs to problems: how probable each pair is, and which groups hang together on the whole."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from soulcaster.clustering.features import Pairs
from soulcaster.clustering.holding import find_groups, hold_groups
from soulcaster.clustering.neighbors import Edges
from soulcaster.clustering.scorer import Scorer, correct_base_rate, load_scorer, log_odds, weigh_time

_FLOOR = 0.02
"""Pairs less probable than this count as 0: they are most of all pairs and decide nothing."""

MIN_MEAN_PROBABILITY = 0.14
"""Mean probability over all pairs of a group below which it is cut apart. Source: docs/grouping.md, "The cut"."""

_NEIGHBORHOOD = 10
_REMOTE, _CLOSE = 0.65, 0.9
"""A text is remote below this share of the median similarity to its neighbourhood; the cosine it then needs."""

_SAME_WORDING = 0.985
"""Texts with at least this cosine differ in wording only, in any corpus: the cosine is the least probability."""


def find_remote(similarities: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Mask (n,): texts with nothing much around them, compared with what is usual here; none among very few texts.

    Args:
        similarities: float32 (n, k), cosine to the nearest other texts, nearest first.
    """
    n, k = similarities.shape
    if k < _NEIGHBORHOOD:
        return np.zeros(n, dtype=bool)
    level = similarities[:, :_NEIGHBORHOOD].mean(axis=1, dtype=np.float64)
    is_remote: npt.NDArray[np.bool_] = np.round(level, 5) < np.round(_REMOTE * np.median(level), 5)
    return is_remote


def same_problem_probability(
    pairs: Pairs, is_remote: npt.NDArray[np.bool_], *, min_similarity: float, scorer: Scorer | None = None
) -> npt.NDArray[np.float64]:
    """Calibrated probability of every pair, float64 (m,); 0 where the cosine is below `min_similarity`.

    A remote text is grouped only with one it is really close to: what has no company at all looks like a pair merely
    because everything else is further away.
    """
    scorer = scorer or load_scorer()
    probability = correct_base_rate(scorer, log_odds(scorer, pairs.values))
    probability = weigh_time(scorer, probability, pairs.days_apart)
    probability = np.where(
        pairs.cosine >= _SAME_WORDING, np.maximum(probability, np.minimum(pairs.cosine, 1.0)), probability
    )
    asked = np.where(is_remote[pairs.left] | is_remote[pairs.right], max(_CLOSE, min_similarity), min_similarity)
    return np.where(pairs.cosine >= asked, probability, 0.0)


def edges_between_units(pairs: Pairs, probability: npt.NDArray[np.float64], unit: npt.NDArray[np.int64]) -> Edges:
    """The pairs as edges between units, each once with its highest probability; distance is 1 - probability.

    Args:
        pairs: candidate pairs of texts.
        probability: float64 (m,).
        unit: int64 (n_texts,), which texts count as one point.
    """
    kept = np.flatnonzero(probability >= _FLOOR)
    a, b, best = unit[pairs.left[kept]], unit[pairs.right[kept]], probability[kept]
    n_units = int(unit.max(initial=0)) + 1
    key = np.minimum(a, b) * n_units + np.maximum(a, b)
    proper = a != b
    key, best = key[proper], best[proper]
    if np.any(key[1:] <= key[:-1]):  # several texts are one unit: its pairs meet
        order = np.argsort(key)
        key, best = key[order], best[order]
        starts = np.flatnonzero(np.diff(key, prepend=-1))
        key, best = key[starts], np.maximum.reduceat(best, starts)
    return Edges(key // n_units, key % n_units, 1.0 - best)


def link_units(
    n: int, edges: Edges, *, min_cluster_size: int, previous: npt.NDArray[np.int64] | None = None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Labels int64 (n,), -1 noise, and membership strengths float64 (n,): mean probability to the others, noise 0.

    What was one cluster in `previous`, int64 (n,), or alone, stays so a little longer, see `hold_groups`; the mask (n,)
    says which points are in a cluster that would be cut apart otherwise.
    """
    probability = 1.0 - edges.distance
    anew = groups = find_groups(n, edges, MIN_MEAN_PROBABILITY)
    if previous is not None:
        groups = hold_groups(n, edges, MIN_MEAN_PROBABILITY, previous)
    parts = np.unique(np.stack([groups, anew]), axis=1)[0]
    is_held = np.bincount(parts, minlength=n)[groups] > 1
    sizes = np.bincount(groups, minlength=n)[groups] if n else np.empty(0, dtype=np.int64)
    labels = np.where(sizes >= min_cluster_size, groups, -1)
    inside = (groups[edges.left] == groups[edges.right]) & (labels[edges.left] >= 0)
    total = np.bincount(edges.left[inside], probability[inside], minlength=n)
    total += np.bincount(edges.right[inside], probability[inside], minlength=n)
    return labels, total / np.maximum(sizes - 1, 1), is_held
