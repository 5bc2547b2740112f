"""Texts to themes: the coarse second level, for people who ask "what is this about" before "what do we fix".

A theme is a part of the neighbour graph that is denser inside than chance by a factor; the tree is that of Bonald et
al. 2018 (Paris), which is average linkage with the weighted degrees as sizes. No number of themes is asked for.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from soulcaster.clustering.exact import number_by_first_row
from soulcaster.clustering.linkage import average_linkage, cut_tree

RESOLUTION = 5.0
"""Times chance that two parts of one theme must be linked. Source: docs/grouping.md, "Figures".

Among few texts chance itself is large (two even topics can reach 2 at most), so less is asked: see `_resolution`.
"""
_FULL_RESOLUTION_FROM = 2_500

_N_NEIGHBORS = 20
_MIN_SUPPORT = 0.5
"""Share of a lone text's neighbourhood that must lie in its theme, else it has none."""


def group_themes(
    near: npt.NDArray[np.int64],
    similarities: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int64],
    is_remote: npt.NDArray[np.bool_],
) -> npt.NDArray[np.int64]:
    """Theme of every text, int64 (n,), -1 for none. A cluster is never split; every theme has a cluster.

    Args:
        near: int64 (n, k), nearest other texts, nearest first.
        similarities: float32 (n, k), cosine.
        labels: int64 (n,), cluster of every text, -1 noise.
        is_remote: mask (n,) of texts that are like nothing much; alone they have no theme.
    """
    n = len(near)
    near, similarities = near[:, :_N_NEIGHBORS], similarities[:, :_N_NEIGHBORS]
    here = np.repeat(np.arange(n), near.shape[1])
    there, weight = near.ravel(), np.maximum(similarities.ravel(), 0.0).astype(np.float64)
    degree = np.bincount(here, weight, minlength=n) + np.bincount(there, weight, minlength=n)
    node = np.where(labels >= 0, labels, np.arange(n) + int(labels.max(initial=-1)) + 1)
    sizes = np.bincount(node, degree) if n else np.empty(0)
    left, right, total = _sum_by_pair(node[here], node[there], weight, len(sizes))
    asked = _resolution(n)
    merges = average_linkage(left, right, total * degree.sum(), np.maximum(sizes, 1e-9), min_mean=asked)
    themes = cut_tree(len(sizes), merges, asked)[node] if n else np.empty(0, dtype=np.int64)
    inside = np.bincount(here, weight * (themes[here] == themes[there]), minlength=n)
    around = np.bincount(here, weight, minlength=n)
    is_lost = (labels < 0) & (is_remote | (inside < _MIN_SUPPORT * np.maximum(around, 1e-9)))
    return _only_with_cluster(np.where(is_lost, -1, themes), labels)


def themes_of_clusters(
    labels: npt.NDArray[np.int64], themes: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Theme of every cluster, (k,), numbered by first cluster, and of every row, (n,), by the same numbers.

    The theme of a cluster is that of most of its rows, the lower one in a tie; a cluster without one gets its own.

    Args:
        labels: int64 (n,), cluster of every row, 0 to k - 1, -1 noise.
        themes: int64 (n,), theme of every row before, -1 none.
    """
    k = int(labels.max(initial=-1)) + 1
    width = int(themes.max(initial=-1)) + 1
    placed = np.flatnonzero((labels >= 0) & (themes >= 0))
    cells, counts = np.unique(labels[placed] * max(width, 1) + themes[placed], return_counts=True)
    order = np.lexsort((cells, -counts))
    chosen = width + np.arange(k)
    first_of, at = np.unique(cells[order] // max(width, 1), return_index=True)
    chosen[first_of] = cells[order][at] % max(width, 1)
    numbered = number_by_first_row(chosen)
    new_number = np.full(width + k, -1, dtype=np.int64)
    new_number[chosen] = numbered
    rows = np.where(themes >= 0, np.append(new_number, -1)[themes], -1)
    return numbered, np.where(labels >= 0, np.append(numbered, -1)[labels], rows)


def _resolution(n: int) -> float:
    """Grows with the root of the number of texts from 1 to `RESOLUTION`."""
    return min(RESOLUTION, max(1.0, RESOLUTION * float(np.sqrt(n / _FULL_RESOLUTION_FROM))))


def _sum_by_pair(
    a: npt.NDArray[np.int64], b: npt.NDArray[np.int64], weight: npt.NDArray[np.float64], n: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    proper = a != b
    keys, of_key = np.unique(np.minimum(a, b)[proper] * n + np.maximum(a, b)[proper], return_inverse=True)
    total = np.bincount(of_key, weight[proper], minlength=len(keys)).astype(np.float64)
    return keys // max(n, 1), keys % max(n, 1), total


def _only_with_cluster(themes: npt.NDArray[np.int64], labels: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Themes without a cluster are none: there would be nothing to show under them."""
    return np.where(np.isin(themes, themes[labels >= 0]), themes, -1)
