"""Average linkage on a sparse graph: who hangs together on the whole, not through one weak bridge.

A pair that is no edge counts as a probability of 0, so a group only grows while the mean over all its pairs holds.
Every round joins all groups that are each other's best at once; average linkage is reducible, so that gives the tree of
one-by-one merging (Murtagh 1983, reciprocal nearest neighbours) in a few dozen passes over arrays.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

_DECIMALS = 9
"""Sums of one set of numbers in another order differ in their last bits; those must not decide who is best."""


class Merges(NamedTuple):
    """Merges of a tree, highest mean first; `left` and `right` are points that stand for the groups that met."""

    left: npt.NDArray[np.int64]
    right: npt.NDArray[np.int64]
    mean: npt.NDArray[np.float64]
    """Mean weight over all pairs between the two groups."""


def average_linkage(
    left: npt.NDArray[np.int64],
    right: npt.NDArray[np.int64],
    weights: npt.NDArray[np.float64],
    sizes: npt.NDArray[np.float64],
    *,
    min_mean: float,
) -> Merges:
    """All merges down to a mean of `min_mean`. Exact ties go to the lower rows.

    Args:
        left: int64 (m,), one end of every edge, each pair once; right: the other end.
        right: int64 (m,).
        weights: float64 (m,), how much each pair belongs together, summed over what the two points stand for.
        sizes: float64 (n,), how many each point stands for.
        min_mean: above 0.
    """
    size = sizes.astype(np.float64).copy()
    group = np.arange(len(size))
    low, high, total = np.minimum(left, right), np.maximum(left, right), weights.astype(np.float64)
    found: list[tuple[npt.NDArray[np.generic], ...]] = []
    while True:
        mean = np.round(total / (size[low] * size[high]), _DECIMALS)
        chosen = _best_of_both(len(size), low, high, mean, min_mean)
        if len(chosen) == 0:
            break
        a, b = low[chosen], high[chosen]
        found.append((a, b, mean[chosen]))
        size[a] += size[b]
        group[b] = a
        low, high, total = _contract(group[low], group[high], total, len(size))
        group[b] = b
    if not found:
        nothing = np.empty(0, dtype=np.int64)
        return Merges(nothing, nothing, np.empty(0))
    columns = [np.concatenate(column) for column in zip(*found, strict=True)]
    order = np.argsort(-columns[2], kind="stable")
    return Merges(*(column[order] for column in columns))


def cut_tree(n: int, merges: Merges, min_mean: float) -> npt.NDArray[np.int64]:
    """Group of every point, int64 (n,), when all merges of at least `min_mean` are made; any numbering."""
    made = merges.mean >= min_mean
    graph = coo_array((np.ones(int(made.sum()), dtype=np.int8), (merges.left[made], merges.right[made])), shape=(n, n))
    groups: npt.NDArray[np.int64] = connected_components(graph, directed=False)[1].astype(np.int64)
    return groups


def _best_of_both(
    n: int, low: npt.NDArray[np.int64], high: npt.NDArray[np.int64], mean: npt.NDArray[np.float64], min_mean: float
) -> npt.NDArray[np.int64]:
    """Edges that are the best of both ends, at most one a point."""
    best = np.zeros(n)
    np.maximum.at(best, low, mean)
    np.maximum.at(best, high, mean)
    edges = np.flatnonzero((mean >= min_mean) & (mean == best[low]) & (mean == best[high]))
    first = np.full(n, len(mean), dtype=np.int64)
    np.minimum.at(first, low[edges], edges)
    np.minimum.at(first, high[edges], edges)
    both: npt.NDArray[np.int64] = edges[(first[low[edges]] == edges) & (first[high[edges]] == edges)]
    return both


def _contract(
    a: npt.NDArray[np.int64], b: npt.NDArray[np.int64], total: npt.NDArray[np.float64], n: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Edges between groups, each pair once, ordered by pair; edges inside a group are gone."""
    outside = a != b
    key = np.minimum(a, b)[outside] * n + np.maximum(a, b)[outside]
    order = np.argsort(key, kind="stable")
    key, total = key[order], total[outside][order]
    starts = np.flatnonzero(np.diff(key, prepend=-1))
    if len(starts) == 0:
        return key, key, total
    key, total = key[starts], np.add.reduceat(total, starts)
    return key // n, key % n, total
