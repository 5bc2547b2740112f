"""Exact neighbours and the edges they make."""

from __future__ import annotations

import numpy as np
import pytest

from soulcaster.clustering.neighbors import edges_from_neighbors, nearest_neighbors


def _unit(seed, n, dim=16):
    matrix = np.random.default_rng(seed).normal(size=(n, dim))
    return (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_rows_have_no_neighbour(n):
    """None and one row: empty arrays, no error, no edge."""
    indices, similarities = nearest_neighbors(_unit(0, max(n, 1))[:n])

    assert (n, 0) == indices.shape == similarities.shape
    assert 0 == len(edges_from_neighbors(indices, similarities).left)


def test_neighbours_are_those_of_a_full_sort():
    """Blocks and partition find what sorting everything finds."""
    matrix = _unit(1, 300)
    products = (matrix @ matrix.T).astype(np.float64)
    np.fill_diagonal(products, -np.inf)

    indices, similarities = nearest_neighbors(matrix, 10)

    assert (np.argsort(-products, axis=1)[:, :10] == indices).all()
    assert np.take_along_axis(products, indices, axis=1) == pytest.approx(similarities, abs=2e-6)


def test_more_rows_than_a_block_give_the_same_neighbours():
    """The block size bounds memory and decides nothing; progress ends at the number of rows."""
    matrix = _unit(2, 200)
    whole = nearest_neighbors(matrix, 5)
    seen = []

    blocked = nearest_neighbors(
        matrix, 5, block_bytes=4 * 200 * 7, on_progress=lambda done, total: seen.append((done, total))
    )

    assert (whole[0] == blocked[0]).all()
    assert (whole[1] == blocked[1]).all()
    assert (200, 200) == seen[-1]
    assert len(seen) > 20


def test_every_pair_is_one_edge_with_its_distance():
    """A pair that is near from both sides comes once; twins are at distance zero."""
    matrix = np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32)

    edges = edges_from_neighbors(*nearest_neighbors(matrix))

    assert [(0, 1), (0, 2), (1, 2)] == list(zip(edges.left.tolist(), edges.right.tolist(), strict=True))
    assert [0.0, 2**0.5, 2**0.5] == pytest.approx(edges.distance.tolist())


def test_pairs_below_the_floor_are_no_edges():
    """The floor is a cosine and includes its own value."""
    matrix = np.array([[1, 0], [0.6, 0.8], [0, 1]], dtype=np.float32)

    edges = edges_from_neighbors(*nearest_neighbors(matrix), min_similarity=0.6)

    assert [(0, 1), (1, 2)] == list(zip(edges.left.tolist(), edges.right.tolist(), strict=True))


def test_rows_of_one_unit_are_one_point_with_the_nearest_distance():
    """Joined rows keep the smallest of their distances and have no edge to themselves."""
    indices = np.array([[1, 2], [2, -1], [1, 0]])
    similarities = np.array([[0.9, 0.5], [0.8, 0.0], [0.8, 0.5]], dtype=np.float32)

    edges = edges_from_neighbors(indices, similarities, np.array([0, 0, 1]))

    assert ([0], [1]) == (edges.left.tolist(), edges.right.tolist())
    assert [0.4**0.5] == pytest.approx(edges.distance.tolist(), abs=1e-6)
