"""Labels of a new run against the clusters people know."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soulcaster.clustering.matching import Transition, match_clusters


def _match(labels, previous):
    labels, previous = np.array(labels, dtype=np.int64), np.array(previous, dtype=np.int64)
    return match_clusters(labels, previous, int(labels.max(initial=-1)) + 1, int(previous.max(initial=-1)) + 1)


def test_the_first_run_only_emerges():
    """Without a past every label is new."""
    predecessor, changes = _match([0, 0, 1, -1], [-1, -1, -1, -1])

    assert [-1, -1] == predecessor.tolist()
    assert [Transition("emerged", -1, 0, 0.0), Transition("emerged", -1, 1, 0.0)] == changes


def test_survived_a_cluster_that_grew_and_shrank_a_little():
    """Most of the members are the same: the id stays."""
    predecessor, changes = _match([0, 0, 0, 0, -1], [0, 0, 0, -1, 0])

    assert [0] == predecessor.tolist()
    assert [Transition("survived", 0, 0, 0.6)] == changes


def test_split_the_larger_part_keeps_the_id():
    """The smaller part becomes a cluster of its own and says where it came from."""
    predecessor, changes = _match([0, 0, 1, 1, 1], [0, 0, 0, 0, 0])

    assert [-1, 0] == predecessor.tolist()
    assert [Transition("survived", 0, 1, 0.6), Transition("split", 0, 0, 0.4)] == changes


def test_absorbed_the_larger_cluster_keeps_its_id_in_a_merge_of_three():
    """Two of three merged clusters end in the third."""
    predecessor, changes = _match([0] * 9, [0, 0, 1, 1, 1, 1, 2, 2, 2])

    assert [1] == predecessor.tolist()
    assert ["absorbed", "survived", "absorbed"] == [change.kind for change in changes]
    assert [0, 0, 0] == [change.new for change in changes]


def test_emerged_out_of_noise():
    """Old noise that hangs together now is a new cluster."""
    _, changes = _match([0, 0, 1, 1], [0, 0, -1, -1])

    assert Transition("emerged", -1, 1, 0.0) in changes


def test_disappeared_into_noise():
    """A cluster whose every item is noise now has no heir."""
    _, changes = _match([-1, -1, 0, 0], [0, 0, 1, 1])

    assert Transition("disappeared", 0, -1, 0.0) in changes


def test_an_id_never_goes_to_a_stranger_with_one_item_in_common():
    """One item out of ten is no reason to inherit a title."""
    predecessor, changes = _match([0] * 5 + [-1] * 8, [-1] * 4 + [0] * 9)

    assert [-1] == predecessor.tolist()
    assert ["disappeared", "emerged"] == [change.kind for change in changes]


def test_a_label_of_items_that_the_old_run_never_saw_has_emerged():
    """Labels without a shared item are still reported."""
    _, changes = match_clusters(np.array([0, 0]), np.array([0, 0]), 2, 1)

    assert [Transition("survived", 0, 0, 1.0), Transition("emerged", -1, 1, 0.0)] == changes


LABELS = st.lists(st.tuples(st.integers(-1, 4), st.integers(-1, 4)), max_size=40)


@pytest.mark.parametrize("seed", range(5))
def test_renumbered_labels_change_nothing_but_numbers(seed):
    """Which old cluster a new one continues does not depend on the numbers that the new labels happen to have."""
    rng = np.random.default_rng(seed)
    previous = rng.integers(-1, 12, 2_000)
    labels = np.where(rng.random(2_000) < 0.7, previous, rng.integers(-1, 12, 2_000))
    renumber = rng.permutation(12)

    straight, _ = _match(labels, previous)
    turned, _ = _match(np.where(labels >= 0, renumber[labels], -1), previous)

    assert straight.tolist() == turned[renumber].tolist()


@given(LABELS)
def test_everyone_has_exactly_one_fate(rows):
    """One-to-one; an old cluster survives, is absorbed or lost; a new one survived, split off or emerged."""
    labels = np.array([row[0] for row in rows], dtype=np.int64)
    previous = np.array([row[1] for row in rows], dtype=np.int64)

    predecessor, changes = match_clusters(labels, previous, 5, 5)

    kept = predecessor[predecessor >= 0].tolist()
    assert len(kept) == len(set(kept))
    fates = [change.old for change in changes if change.kind in ("survived", "absorbed", "disappeared")]
    origins = [change.new for change in changes if change.kind in ("survived", "split", "emerged")]
    assert [0, 1, 2, 3, 4] == sorted(fates) == sorted(origins)
