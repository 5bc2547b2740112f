"""Texts to themes: how many there are is found, clusters stay whole, what is like nothing has none."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from soulcaster.clustering.marks import checksums
from soulcaster.clustering.neighbors import nearest_neighbors
from soulcaster.clustering.themes import group_themes, themes_of_clusters


def _topics(n_topics: int, texts_each: int, d: int = 64, noise: float = 0.1):
    """Unit vectors around `n_topics` drawn topics, and the topic of each."""
    rng = np.random.default_rng(0)
    topic = np.arange(n_topics * texts_each) % n_topics
    matrix = _unit(rng.normal(size=(n_topics, d)))[topic] + noise * rng.normal(size=(len(topic), d))
    return _unit(matrix), topic


def _unit(rows):
    matrix = np.asarray(rows, dtype=np.float64)
    return (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype(np.float32)


def _pairs_of(topic):
    """Clusters of two texts of one topic each."""
    labels = np.empty(len(topic), dtype=np.int64)
    order = np.argsort(topic, kind="stable")
    labels[order] = np.arange(len(topic)) // 2
    return labels


@pytest.mark.parametrize(("n_topics", "texts_each"), [(4, 400), (20, 80), (80, 20)])
def test_few_large_topics_are_found_as_well_as_many_small_ones(n_topics, texts_each):
    """Nobody says how many themes there are: the same texts' number, four to eighty topics."""
    matrix, topic = _topics(n_topics, texts_each)

    themes = group_themes(matrix, *nearest_neighbors(matrix), _pairs_of(topic), np.zeros(len(topic), dtype=bool))

    assert adjusted_rand_score(topic, themes) > 0.9


def _stretched_topics(n: int):
    """Unit vectors of six topics that spread in three directions each, so that a text's neighbours are a small part."""
    rng = np.random.default_rng(0)
    topic = np.arange(n) % 6
    middle, axes = _unit(rng.normal(size=(6, 48))), rng.normal(size=(6, 3, 48)) / 7
    place = 0.6 * rng.uniform(-1, 1, size=(n, 3))
    return _unit(middle[topic] + np.einsum("nd,nde->ne", place, axes[topic]) + 0.02 * rng.normal(size=(n, 48)))


def test_twice_as_many_texts_do_not_make_finer_themes():
    """A text's 30 neighbours are ever closer the more texts there are; what people talk about stays as wide."""
    matrix = _stretched_topics(11_200)

    n_themes = [
        len(set(group_themes(part, *nearest_neighbors(part), np.arange(len(part)), np.zeros(len(part), bool)).tolist()))
        for part in (matrix[:5_600], matrix)
    ]

    assert n_themes[1] < 1.2 * n_themes[0]


def test_the_order_of_more_texts_than_are_sampled_decides_nothing():
    """Which texts are sampled hangs on their vectors alone."""
    matrix = np.round(2**11 * _stretched_topics(6_400)) / np.float32(2**11)  # products are exact in any order
    order, labels, far = np.random.default_rng(1).permutation(6_400), np.arange(6_400), np.zeros(6_400, dtype=bool)

    straight = group_themes(matrix, *nearest_neighbors(matrix), labels, far)
    shuffled = group_themes(matrix[order], *nearest_neighbors(matrix[order]), labels, far)

    assert adjusted_rand_score(straight[order], shuffled) > 0.99


def test_a_cluster_that_nothing_links_to_a_sampled_text_has_a_theme_of_its_own():
    """Three texts that know only one another, none of them in the sample."""
    matrix, topic = _topics(4, 1_500)
    near, similarities = nearest_neighbors(matrix, 4)
    island = np.argsort(checksums(matrix))[-3:]
    near[np.isin(near, island)] = 0
    near[island] = island[[[1, 2, 1, 2], [0, 2, 0, 2], [0, 1, 0, 1]]]
    labels = np.arange(len(topic))
    labels[island] = island[0]

    themes = group_themes(matrix, near, similarities, labels, np.zeros(len(topic), dtype=bool))

    assert 1 == len(set(themes[island].tolist()))
    assert 3 == (themes == themes[island[0]]).sum()
    assert (themes == themes[0]).sum() > 1_000


def test_texts_of_two_topics_make_two_themes_and_a_cluster_is_never_split():
    """Dense parts of the neighbour graph; what has no cluster anywhere near is no theme."""
    rng = np.random.default_rng(0)
    matrix = _unit(np.repeat(np.eye(8)[:4], 40, axis=0) + 0.1 * rng.normal(size=(160, 8)))
    labels = np.full(160, -1)
    labels[[0, 1, 45, 46]] = [0, 0, 1, 1]

    themes = group_themes(matrix, *nearest_neighbors(matrix, 10), labels, np.zeros(160, dtype=bool))

    assert themes[0] == themes[1]
    assert themes[45] == themes[46]
    assert themes[0] != themes[45]
    assert {-1} == set(themes[80:].tolist())


def test_a_lone_text_that_is_like_nothing_or_lies_between_topics_has_no_theme():
    """Remote ones by what the caller says; others when less than half of their links lie in one theme."""
    matrix, topic = _topics(3, 60, noise=0.05)
    between = _unit(matrix[[0, 1, 2]].sum(axis=0, keepdims=True))
    matrix = np.vstack([matrix, between, matrix[:1]])
    near, similarities = nearest_neighbors(matrix, 12)
    near[180] = np.arange(12)  # as near to each of the three
    labels, is_remote = np.append(_pairs_of(topic), [-1, -1]), np.zeros(182, dtype=bool)

    themes = group_themes(matrix, near, similarities, labels, is_remote)
    is_remote[181] = True

    assert themes[181] == themes[0]
    assert themes[180] == -1
    assert group_themes(matrix, near, similarities, labels, is_remote)[181] == -1


def test_the_theme_of_a_cluster_is_that_of_most_of_its_items():
    """A person's merge keeps the larger side's theme; a cluster out of items without theme gets its own."""
    labels, before = np.array([0, 0, 0, 1, 1, -1]), np.array([4, 2, 2, -1, -1, 2])

    clusters, rows = themes_of_clusters(labels, before)

    assert [0, 1] == clusters.tolist()
    assert [0, 0, 0, 1, 1, 0] == rows.tolist()


@pytest.mark.parametrize("k", [0, 1, 2, 3])
def test_a_few_texts_in_one_cluster_have_one_theme(k):
    """None, one and some: too few for a tree."""
    matrix = np.ones((k, 4), dtype=np.float32)
    labels, is_remote = np.zeros(k, dtype=np.int64), np.zeros(k, dtype=bool)

    assert [0] * k == group_themes(matrix, *nearest_neighbors(matrix), labels, is_remote).tolist()
