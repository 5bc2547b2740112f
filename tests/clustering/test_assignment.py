"""Nearest members and what a cluster asks of a new text, against the plain definition."""

from __future__ import annotations

import numpy as np

from soulcaster.clustering.assignment import joining_similarity, nearest_members


def _drawn(n_clusters, seed=3):
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(n_clusters, 32))
    labels = np.sort(rng.integers(0, n_clusters, 6 * n_clusters))
    labels = np.unique(labels, return_inverse=True)[1]
    matrix = centers[labels] + 0.4 * rng.normal(size=(len(labels), 32))
    shuffled = rng.permutation(len(labels))
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    stored = np.empty_like(matrix)
    stored[shuffled] = matrix
    new = centers[rng.integers(0, n_clusters, 90)] + 0.4 * rng.normal(size=(90, 32))
    return stored.astype(np.float32), shuffled, labels, (new / np.linalg.norm(new, axis=1, keepdims=True)).astype("f4")


def test_the_nearest_member_is_found_as_if_all_had_been_compared():
    """Of few clusters and of many, the cluster of the most similar member, with that similarity."""
    for n_clusters in (1, 7, 400):
        matrix, rows, labels, new = _drawn(n_clusters)
        products = new @ matrix[rows].T

        best, similarity = nearest_members(new, matrix, rows, labels)

        assert np.mean(best == labels[products.argmax(axis=1)]) >= 0.98
        np.testing.assert_allclose(products.max(axis=1)[best == labels[products.argmax(axis=1)]],
                                   similarity[best == labels[products.argmax(axis=1)]], atol=1e-5)  # fmt: skip


def test_every_member_would_be_taken_in_again():
    """The threshold is the similarity of the loosest member to its nearest fellow, and never below the floor."""
    matrix, rows, labels, _ = _drawn(20)
    products = matrix[rows] @ matrix[rows].T
    np.fill_diagonal(products, -1)
    fellow = np.where(labels[:, None] == labels, products, -1).max(axis=1)
    expected = [fellow[labels == label].min() for label in range(labels.max() + 1)]

    found = joining_similarity(matrix, rows, labels, np.arange(labels.max() + 1), min_similarity=-1.0)

    several = np.bincount(labels) > 1
    np.testing.assert_allclose(np.array(expected)[several], found[several], atol=1e-5)
    assert all(found[~several] == 1.0)
    assert 0.99 == joining_similarity(matrix, rows, labels, np.array([0]), min_similarity=0.99)[0]
