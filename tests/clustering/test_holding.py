"""A cluster that people know holds a little longer than it takes to make one, and only with its own parts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soulcaster.clustering.holding import MIN_MEAN_HELD, former_clusters, hold_together
from soulcaster.clustering.neighbors import Edges
from soulcaster.clustering.problems import MIN_MEAN_PROBABILITY, link_units


def edges(*triples: tuple[int, int, float]) -> Edges:
    """Edges out of (left, right, probability)."""
    left, right, probability = zip(*triples, strict=True)
    return Edges(np.array(left), np.array(right), 1.0 - np.array(probability))


@pytest.mark.parametrize(
    ("probability", "previous", "together"),
    [
        (0.10, [7, 7], True),
        (0.10, [7, 8], False),
        (0.10, [7, -1], False),
        (0.10, [-1, -1], False),
        (0.05, [7, 7], False),
        (0.15, [-1, -1], True),
    ],
)
def test_between_the_two_cuts_only_what_was_together_stays(probability, previous, together):
    """Above the first cut everybody joins, below the second nobody stays."""
    labels, _, is_held = link_units(2, edges((0, 1, probability)), min_cluster_size=2, previous=np.array(previous))

    assert MIN_MEAN_HELD < 0.10 < MIN_MEAN_PROBABILITY
    assert together == (labels[0] >= 0)
    assert is_held.all() == (together and probability < MIN_MEAN_PROBABILITY)


def test_a_part_keeps_what_joined_it_and_a_mixed_part_joins_nobody():
    """0, 1 and the new 2 are one part of the former cluster, 3 is another; 4 and 5 come from two clusters."""
    sure = [(0, 1, 0.9), (0, 2, 0.9), (1, 2, 0.9), (4, 5, 0.9)]
    weak = [(0, 3, 0.1), (1, 3, 0.1), (2, 3, 0.1), (3, 4, 0.11), (3, 5, 0.11)]

    labels, *_ = link_units(6, edges(*sure, *weak), min_cluster_size=2, previous=np.array([7, 7, -1, 7, 7, 8]))

    assert labels[0] == labels[1] == labels[2] == labels[3] >= 0
    assert labels[4] == labels[5] != labels[0]


@given(st.integers(0, 2**16))
def test_held_a_second_time_the_groups_stay(seed):
    """The same evidence with the result as what people know gives the result: no drift from run to run."""
    rng = np.random.default_rng(seed)
    left, right = np.triu_indices(14, 1)
    chosen = rng.random(len(left)) < 0.4
    weights = np.round(rng.random(int(chosen.sum())) * 0.35, 3)
    found = Edges(left[chosen], right[chosen], 1.0 - weights)
    first, *_ = link_units(14, found, min_cluster_size=2, previous=rng.integers(-1, 4, 14))

    again, *_ = link_units(14, found, min_cluster_size=2, previous=first)

    assert np.array_equal(first, again)


def test_points_without_a_past_or_without_company_are_left_alone():
    """No point, no edge, nothing known."""
    nothing = np.empty(0, dtype=np.int64)
    none = Edges(nothing, nothing, np.empty(0))

    assert 0 == len(hold_together(nothing, none, nothing))
    assert [0, 1] == hold_together(np.array([0, 1]), none, np.array([3, 3])).tolist()
    assert [4, -1, -1] == former_clusters(np.array([0, 0, 1, 1, 2]), np.array([4, -1, 4, 5, -1])).tolist()
