"""What people know holds a little longer than it takes to make it, in both ways, and settles at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soulcaster.clustering.holding import ALONE, APART, HELD, NEW, former_clusters
from soulcaster.clustering.neighbors import Edges
from soulcaster.clustering.problems import MIN_MEAN_PROBABILITY, link_units

_LESS = MIN_MEAN_PROBABILITY / HELD
_MORE = MIN_MEAN_PROBABILITY / APART


def edges(*triples: tuple[int, int, float]) -> Edges:
    """Edges out of (left, right, probability)."""
    left, right, probability = zip(*triples, strict=True)
    return Edges(np.array(left), np.array(right), 1.0 - np.array(probability))


@pytest.mark.parametrize(
    ("probability", "previous", "together"),
    [
        (_LESS + 0.01, [7, 7, 8, 8], True),
        (_LESS - 0.01, [7, 7, 8, 8], False),
        (MIN_MEAN_PROBABILITY - 0.01, [-1, -1, 8, 8], False),
        (MIN_MEAN_PROBABILITY - 0.01, [7, -1, 8, 8], False),
        (MIN_MEAN_PROBABILITY + 0.01, [NEW, NEW, 8, 8], True),
    ],
)
def test_a_known_cluster_holds_below_the_cut_that_makes_a_new_one(probability, previous, together):
    """Only of what was together, only while something speaks for it; and the others do not matter."""
    labels, _, is_held = link_units(
        4, edges((0, 1, probability), (2, 3, 0.9)), min_cluster_size=2, previous=np.array(previous)
    )

    assert together == (labels[0] >= 0)
    assert labels[2] == labels[3] >= 0
    assert is_held.tolist() == [together and probability < MIN_MEAN_PROBABILITY] * 2 + [False] * 2


@pytest.mark.parametrize(
    ("probability", "previous", "joined"),
    [
        (_MORE - 0.01, [7, 7, 8, 8], False),
        (_MORE + 0.01, [7, 7, 8, 8], True),
        (_MORE - 0.01, [7, 7, NEW, NEW], True),
        (_MORE - 0.01, [NEW, NEW, NEW, NEW], True),
    ],
)
def test_two_known_clusters_need_more_to_become_one(probability, previous, joined):
    """What is new joins as if there were no past."""
    between = [(a, b, probability) for a in (0, 1) for b in (2, 3)]

    labels, *_ = link_units(
        4, edges((0, 1, 0.9), (2, 3, 0.9), *between), min_cluster_size=2, previous=np.array(previous)
    )

    assert joined == (labels[0] == labels[2])


@pytest.mark.parametrize("other", [ALONE, NEW, 8])
@pytest.mark.parametrize(("probability", "joined"), [(_MORE - 0.01, False), (_MORE + 0.01, True)])
def test_what_a_grouping_left_alone_needs_more_to_join(probability, joined, other):
    """Whatever comes: another that stood alone, a new text, a cluster."""
    between = [(0, at, probability) for at in (1, 2)]

    labels, *_ = link_units(
        3, edges((1, 2, 0.9), *between), min_cluster_size=2, previous=np.array([ALONE, other, other])
    )

    assert joined == (labels[0] == labels[1])


@given(st.integers(0, 2**16))
def test_found_a_second_time_the_groups_stay(seed):
    """The same evidence with the result as what people know gives the result: no drift from run to run."""
    rng = np.random.default_rng(seed)
    left, right = np.triu_indices(14, 1)
    chosen = rng.random(len(left)) < 0.4
    weights = np.round(rng.random(int(chosen.sum())) * 0.5, 3)
    found = Edges(left[chosen], right[chosen], 1.0 - weights)
    first, *_ = link_units(14, found, min_cluster_size=2, previous=rng.integers(-2, 4, 14))

    again, *_ = link_units(14, found, min_cluster_size=2, previous=first)

    assert np.array_equal(first, again)


def test_no_point_and_points_of_several_clusters():
    """Nothing is held where nothing is; joined points of two clusters have no one past, with a new one the older's."""
    nothing = np.empty(0, dtype=np.int64)

    labels, *_ = link_units(0, Edges(nothing, nothing, np.empty(0)), min_cluster_size=2, previous=nothing)

    assert 0 == len(labels)
    groups, previous = np.array([0, 0, 1, 1, 2, 3, 3, 4]), np.array([4, ALONE, 4, 5, ALONE, NEW, ALONE, NEW])
    assert [4, NEW, ALONE, ALONE, NEW] == former_clusters(groups, previous).tolist()
