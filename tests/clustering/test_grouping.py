"""Items to clusters and themes: exact joins, density, exemplars."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from soulcaster.clustering import grouping
from soulcaster.clustering.exact import join_exact
from soulcaster.clustering.grouping import group_items


def _unit(rows):
    matrix = np.array(rows, dtype=np.float64)
    return (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype(np.float32)


def _group(matrix, text_of_item=None, keys=(), *, min_similarity=0.5):
    text_of_item = range(len(matrix)) if text_of_item is None else text_of_item
    return group_items(matrix, np.array(text_of_item, dtype=np.int64), keys, min_similarity=min_similarity)


def test_no_item_gives_no_cluster():
    """An empty project is no error."""
    found = _group(np.empty((0, 8), dtype=np.float32))

    assert (0, 0) == (len(found.labels), len(found.themes))


def test_one_item_is_noise():
    """One report is not yet a cluster."""
    found = _group(_unit([[1, 0]]))

    assert [-1] == found.labels.tolist()
    assert [grouping.NOISE] == found.reasons.tolist()


def test_the_same_text_from_two_people_is_a_cluster():
    """Two equal texts need no other text near them, and one of the two items is the exemplar."""
    found = _group(_unit(np.eye(3)), [0, 1, 2, 1])

    assert [-1, 0, -1, 0] == found.labels.tolist()
    assert [grouping.SAME_TEXT] * 2 == found.reasons[[1, 3]].tolist()
    assert [False, True, False, False] == found.is_exemplar.tolist()
    assert [1.0, 1.0] == found.strengths[[1, 3]].tolist()


def test_a_shared_key_joins_texts_that_look_different():
    """The same stack is one problem, whatever the words."""
    found = _group(_unit(np.eye(3)), keys=[np.array([4, -1, 4])])

    assert [0, -1, 0] == found.labels.tolist()
    assert [1, grouping.NOISE, 1] == found.reasons.tolist()


def test_a_joined_group_still_takes_in_a_text_that_is_near():
    """Joined items count as one point, so a near text joins them for being near."""
    found = _group(_unit([[1, 0, 0], [0, 1, 0], [0, 1, 0.2]]), keys=[np.array([0, 0, -1])])

    assert [0, 0, 0] == found.labels.tolist()
    assert [1, 1, grouping.NEAR_TEXT] == found.reasons.tolist()


def test_an_item_without_a_vector_is_noise():
    """A text that is not embedded, or no text at all, belongs nowhere, not even by its stack."""
    found = _group(_unit([[1, 0], [1, 0.1]]), [0, 1, -1], keys=[np.array([0, -1, 0])])

    assert [0, 0, -1] == found.labels.tolist()
    assert -1.0 == found.similarities[2]


def test_keys_join_in_chains():
    """The first two share one key, the middle two another: one unit, and each says why."""
    units, reasons = join_exact(4, [np.array([7, 7, -1, -1]), np.array([-1, 3, 3, 9])])

    assert [0, 0, 0, 1] == units.tolist()
    assert [0, 0, 1, -1] == reasons.tolist()


def test_shuffled_items_give_the_same_groups():
    """The order in which items and texts come in decides nothing."""
    rng = np.random.default_rng(3)
    matrix = _unit(np.repeat(rng.normal(size=(30, 24)), 4, axis=0) + 0.25 * rng.normal(size=(120, 24)))
    text_of_item = np.concatenate([np.arange(120), rng.integers(0, 120, 30)])
    stack = np.where(rng.random(150) < 0.2, rng.integers(0, 10, 150), -1)
    texts, items = rng.permutation(120), rng.permutation(150)

    straight = _group(matrix, text_of_item, [stack])
    shuffled = _group(matrix[texts], np.argsort(texts)[text_of_item][items], [stack[items]])

    assert 1.0 == adjusted_rand_score(straight.labels[items], shuffled.labels)
    assert straight.strengths[items].tolist() == pytest.approx(shuffled.strengths.tolist())
    theme = np.append(straight.themes, -1)[straight.labels]
    assert 1.0 == adjusted_rand_score(theme[items], np.append(shuffled.themes, -1)[shuffled.labels])


def test_at_most_five_exemplars_and_the_first_lie_in_the_middle():
    """The texts that show a cluster are those nearest to its mean."""
    angles = np.radians([0, 1, 2, 3, 4, 5, 6, 7, 9.5])
    found = _group(_unit(np.stack([np.cos(angles), np.sin(angles)], axis=1)))

    assert [0] * 9 == found.labels.tolist()
    assert 5 == found.is_exemplar.sum()
    assert not found.is_exemplar[8]
    assert found.similarities[8] < found.similarities[found.is_exemplar].min()
