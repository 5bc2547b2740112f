"""What needs no measuring: rows that share a key (same text, same stack) are one point before grouping starts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


def join_exact(n: int, keys: Sequence[npt.NDArray[np.int64]]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Unit of every row, int64 (n,), numbered by first row; and why, int64 (n,): the position in `keys`, -1 = none.

    Rows with an equal, non-negative code in any key are in one unit, chains included. The reason of a row is the first
    key under which another row has its code.

    Args:
        n: number of rows.
        keys: int64 (n,) codes each, -1 where the row has no such key; the strongest key first.
    """
    reasons = np.full(n, -1, dtype=np.int64)
    rows, hubs, n_hubs = [np.arange(n)], [np.arange(n)], n
    for position, codes in enumerate(keys):
        present = np.flatnonzero(codes >= 0)
        _, hub, counts = np.unique(codes[present], return_inverse=True, return_counts=True)
        shared = counts[hub] > 1
        member = present[shared]
        rows.append(member)
        hubs.append(n_hubs + hub[shared])
        n_hubs += len(counts)
        reasons[member[reasons[member] < 0]] = position
    left, right = np.concatenate(rows), np.concatenate(hubs)
    graph = coo_array((np.ones(len(left), dtype=np.int8), (left, right)), shape=(n_hubs, n_hubs))
    component = connected_components(graph, directed=False)[1][:n]
    return number_by_first_row(component), reasons


def number_by_first_row(labels: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """The same groups, numbered from 0 in the order in which their first row comes; negative labels become -1."""
    result = np.full(len(labels), -1, dtype=np.int64)
    inside = np.flatnonzero(labels >= 0)
    _, first, inverse = np.unique(labels[inside], return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    result[inside] = rank[inverse]
    return result
