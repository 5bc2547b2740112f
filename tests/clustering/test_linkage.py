"""Average linkage on a sparse graph."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.metrics import adjusted_rand_score

from soulcaster.clustering.linkage import average_linkage, cut_tree


def _groups(n, edges, least):
    left, right, weight = (np.array(column) for column in zip(*edges, strict=True)) if edges else ([], [], [])
    ends = np.array(left, dtype=np.int64), np.array(right, dtype=np.int64)
    merges = average_linkage(*ends, np.array(weight, dtype=float), np.ones(n), min_mean=least)
    return cut_tree(n, merges, least)


@pytest.mark.parametrize("n", [0, 1, 4])
def test_without_edges_everyone_stays_alone(n):
    """None, one and only strangers."""
    assert n == len(set(_groups(n, [], 0.1).tolist()))


def test_one_weak_bridge_does_not_join_two_groups():
    """Single linkage would; here all pairs between the groups count, the missing ones as 0."""
    triangle = [(0, 1, 0.9), (0, 2, 0.9), (1, 2, 0.9), (3, 4, 0.9), (3, 5, 0.9), (4, 5, 0.9)]

    groups = _groups(6, [*triangle, (2, 3, 0.8)], 0.2)

    assert groups[0] == groups[1] == groups[2] != groups[3]
    assert groups[3] == groups[4] == groups[5]


@given(st.integers(0, 2**32 - 1))
def test_the_tree_is_that_of_dense_average_linkage(seed):
    """With every pair an edge the cut equals scipy's, in whatever order rows and edges come."""
    rng = np.random.default_rng(seed)
    n = 24
    left, right = np.triu_indices(n, 1)
    weight = np.round(rng.random(len(left)), 6)
    dense = fcluster(linkage(1 - weight, method="average"), 0.45, "distance")
    turn, order = rng.permutation(n), rng.permutation(len(left))

    merges = average_linkage(turn[left][order], turn[right][order], weight[order], np.ones(n), min_mean=0.55)

    assert 1.0 == adjusted_rand_score(dense, cut_tree(n, merges, 0.55)[turn])
