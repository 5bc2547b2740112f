"""HDBSCAN's leaf clusters from a sparse graph of candidate edges. Same edges, same partition, whatever their order.

With min_samples 1 the mutual reachability of a pair is its distance, so the hierarchy is that of single linkage and
needs only the minimum spanning forest. Merges at an equal distance happen at once, not one after the other: that is
what makes the partition independent of the order of rows, and it keeps identical vectors (distance 0) together.
Source: Campello, Moulavi, Sander 2013 (hierarchy), McInnes, Healy 2017 (condensed tree, leaf selection).
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import minimum_spanning_tree

from soulcaster.clustering.neighbors import Edges

_FINEST_DISTANCE = 0.1
"""Below it two texts differ in wording only (cosine 0.995); keeps strengths finite beside a pair at distance 0."""


def leaf_clusters(
    n: int, edges: Edges, *, min_cluster_size: int = 2
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]:
    """Labels int32 (n,), -1 noise, numbered by first row; membership strengths float64 (n,) in [0, 1], noise 0.

    A cluster starts where `min_cluster_size` points first hang together and takes in single points until it would
    meet another cluster; there both end, and what lies between them is noise. Points of separate components never
    meet, so a floor on the edges' similarity is a floor for every membership.

    Strength is the distance at which the cluster started over the distance at which the point joined.
    """
    left, right, distance = _spanning_forest(n, edges)
    forest = _Forest(n, min_cluster_size)
    starts = np.flatnonzero(np.diff(distance, prepend=-1.0))
    pairs = list(zip(left.tolist(), right.tolist(), strict=True))
    for start, stop in pairwise([*starts.tolist(), len(pairs)]):
        forest.merge_level(pairs[start:stop], float(distance[start]))
    joined = np.array(forest.joined_distance, dtype=np.float64)
    labels = np.full(n, -1, dtype=np.int32)
    strengths = np.zeros(n, dtype=np.float64)
    for label, members in enumerate(sorted(sorted(members) for members in forest.leaves())):
        labels[members] = label
        reached = np.maximum(joined[members], _FINEST_DISTANCE)
        strengths[members] = reached.min() / reached
    return labels, strengths


def _spanning_forest(
    n: int, edges: Edges
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Edges of a minimum spanning forest, by growing distance. Ranks stand in for distances: scipy drops zeros."""
    levels, ranks = np.unique(edges.distance, return_inverse=True)
    graph = coo_array((ranks + 1.0, (edges.left, edges.right)), shape=(n, n)).tocsr()
    forest = minimum_spanning_tree(graph).tocoo()
    rank = forest.data.astype(np.int64) - 1
    order = np.argsort(rank, kind="stable")
    rows, columns = forest.coords
    return rows[order].astype(np.int64), columns[order].astype(np.int64), levels[rank[order]]


class _Forest:
    """Components while edges come in by growing distance: who is in them, and whether they have split already."""

    def __init__(self, n: int, min_cluster_size: int) -> None:
        self.min_cluster_size = min_cluster_size
        self.joined_distance = [0.0] * n
        self._parent = list(range(n))
        self._size = [1] * n
        self._members: dict[int, list[int]] = {i: [i] for i in range(n)}  # of components that have not split
        self._found: list[list[int]] = []

    def merge_level(self, pairs: list[tuple[int, int]], distance: float) -> None:
        """Join everything that `pairs`, all of the same `distance`, connect."""
        pieces: dict[int, list[int]] = {}
        for a, b in pairs:
            first, second = self._root(a), self._root(b)
            both = pieces.pop(first, [first]) + pieces.pop(second, [second])
            keep, drop = (first, second) if len(both) > 1 and self._parent_rank(first, second) else (second, first)
            self._parent[drop] = keep
            pieces[keep] = both
        for root, roots in pieces.items():
            self._settle(root, roots, distance)

    def leaves(self) -> list[list[int]]:
        """Members of every cluster, once all edges are in."""
        rest = [members for members in self._members.values() if len(members) >= self.min_cluster_size]
        return self._found + rest

    def _settle(self, root: int, roots: list[int], distance: float) -> None:
        grown = [piece for piece in roots if self._size[piece] >= self.min_cluster_size]
        small = [piece for piece in roots if self._size[piece] < self.min_cluster_size]
        total = sum(self._size[piece] for piece in roots)
        parts = {piece: self._members.pop(piece) for piece in roots if piece in self._members}
        if len(grown) > 1:
            self._found += [parts[piece] for piece in grown if piece in parts]
        elif not grown or grown[0] in parts:
            joining = [member for piece in small for member in parts[piece]]
            if total >= self.min_cluster_size:
                for member in joining:
                    self.joined_distance[member] = distance
            members = parts[grown[0]] if grown else []
            members.extend(joining)
            self._members[root] = members
        self._size[root] = total

    def _root(self, node: int) -> int:
        parent = self._parent
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    def _parent_rank(self, first: int, second: int) -> bool:
        return self._size[first] >= self._size[second]
