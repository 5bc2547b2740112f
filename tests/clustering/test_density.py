"""Leaf clusters on the sparse graph."""

from __future__ import annotations

import hdbscan
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from soulcaster.clustering.density import leaf_clusters
from soulcaster.clustering.neighbors import Edges, edges_from_neighbors, nearest_neighbors


def _unit(matrix):
    return (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype(np.float32)


def _blobs(seed, n_blobs, size, *, dim=32, spread=0.15, n_lone=0):
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(n_blobs, dim))
    points = np.repeat(centers, size, axis=0) + spread * rng.normal(size=(n_blobs * size, dim))
    return _unit(np.vstack([points, rng.normal(size=(n_lone, dim))]))


def _cluster(matrix, *, min_similarity=-1.0, min_cluster_size=2):
    edges = edges_from_neighbors(*nearest_neighbors(matrix), min_similarity=min_similarity)
    return leaf_clusters(len(matrix), edges, min_cluster_size=min_cluster_size)


def _graph(*edges):
    left, right, distance = zip(*edges, strict=True)
    return Edges(np.array(left), np.array(right), np.array(distance, dtype=float))


NO_EDGES = Edges(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0))


@pytest.mark.parametrize("n", [0, 1, 5])
def test_without_edges_all_is_noise(n):
    """None, one and only strangers give noise, no error."""
    labels, strengths = leaf_clusters(n, NO_EDGES)

    assert [-1] * n == labels.tolist()
    assert [0.0] * n == strengths.tolist()


def test_all_equal_vectors_are_one_cluster():
    """Distance zero everywhere: one cluster, everyone fully in it."""
    labels, strengths = _cluster(_unit(np.ones((40, 8))))

    assert [0] * 40 == labels.tolist()
    assert [1.0] * 40 == strengths.tolist()


def test_all_different_vectors_are_noise_above_a_floor():
    """Orthogonal vectors are mutually nearest by accident only; the floor keeps them apart."""
    labels, _ = _cluster(_unit(np.eye(12)), min_similarity=0.6)

    assert [-1] * 12 == labels.tolist()


def test_a_single_pair_is_a_cluster_though_nothing_else_is_there():
    """The package's tree never selects its root; ours does, because two reports of one problem are enough."""
    labels, _ = leaf_clusters(3, _graph((0, 2, 0.3)))

    assert [0, -1, 0] == labels.tolist()


def test_two_pairs_stay_apart_and_the_bridge_between_them_is_noise():
    """Where two clusters meet both end: leaf selection."""
    labels, _ = leaf_clusters(5, _graph((0, 1, 0.1), (2, 3, 0.2), (1, 2, 0.5), (0, 4, 0.6)))

    assert [0, 0, 1, 1, -1] == labels.tolist()


def test_a_lone_point_joins_before_two_clusters_meet_with_less_strength():
    """Strength falls with the distance at which a point joined."""
    labels, strengths = leaf_clusters(5, _graph((0, 1, 0.2), (1, 2, 0.4), (3, 4, 0.2), (2, 3, 0.8)))

    assert [0, 0, 0, 1, 1] == labels.tolist()
    assert [1.0, 1.0, 0.5] == pytest.approx(strengths[:3].tolist())


def test_merges_at_an_equal_distance_happen_at_once():
    """A square of equal sides is one cluster, whichever side comes first; one by one it would fall in two."""
    sides = [(0, 1, 0.3), (1, 2, 0.3), (2, 3, 0.3), (0, 3, 0.3)]

    for turn in range(4):
        labels, _ = leaf_clusters(4, _graph(*sides[turn:], *sides[:turn]))
        assert [0, 0, 0, 0] == labels.tolist()


def test_a_larger_least_size_needs_more_points():
    """Groups below the least size are noise until they meet."""
    labels, _ = leaf_clusters(5, _graph((0, 1, 0.1), (1, 2, 0.2), (3, 4, 0.1)), min_cluster_size=3)

    assert [0, 0, 0, -1, -1] == labels.tolist()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("min_cluster_size", [2, 5])
def test_the_partition_is_that_of_dense_hdbscan(seed, min_cluster_size):
    """On blobs with strangers between them the sparse graph loses nothing."""
    matrix = _blobs(seed, 25, 8, spread=0.25, n_lone=60)
    dense = hdbscan.HDBSCAN(
        min_cluster_size=min_cluster_size, min_samples=1, cluster_selection_method="leaf", algorithm="generic"
    ).fit(matrix.astype(np.float64))

    labels, _ = _cluster(matrix, min_cluster_size=min_cluster_size)

    assert 1.0 == adjusted_rand_score(dense.labels_, labels)
    assert ((dense.labels_ < 0) == (labels < 0)).all()


@given(st.integers(0, 2**32 - 1))
def test_the_order_of_rows_changes_nothing(seed):
    """Shuffled vectors, with ties and twins among them, give the same groups and strengths."""
    rng = np.random.default_rng(seed)
    matrix = _unit(rng.integers(1, 4, size=(30, 4)).astype(float))
    order = rng.permutation(30)

    labels, strengths = _cluster(matrix, min_similarity=0.9)
    shuffled, shuffled_strengths = _cluster(matrix[order], min_similarity=0.9)

    assert 1.0 == adjusted_rand_score(labels[order], shuffled)
    assert ((labels[order] < 0) == (shuffled < 0)).all()
    assert strengths[order].tolist() == pytest.approx(shuffled_strengths.tolist())
