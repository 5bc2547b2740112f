"""Figures of agreement against values worked out by hand."""

from __future__ import annotations

import pytest

from soulcaster.clustering.quality import measure


def test_perfect_labels_score_one_whatever_their_numbers():
    """Names of groups do not matter; agreement on noise is agreement."""
    quality = measure([5, 5, 9, 9, -1], [0, 0, 1, 1, -1])

    assert (1.0, 1.0, 1.0) == (quality.pair_f1, quality.bcubed_f1, quality.ami)
    assert (5, 2, 0.2) == (quality.n, quality.n_clusters, quality.noise_share)


def test_half_right_pairs_are_counted():
    """Group {a, b, c} for the true {a, b}: one of three shown pairs is right, none is missing."""
    quality = measure([0, 0, 0], [0, 0, 1])

    assert (1 / 3, 1.0, 0.5) == pytest.approx((quality.pair_precision, quality.pair_recall, quality.pair_f1))
    assert (5 / 9, 1.0) == pytest.approx((quality.bcubed_precision, quality.bcubed_recall))


def test_noise_is_no_group():
    """Two noise rows of one true group are two misses, not a hit."""
    quality = measure([-1, -1], [0, 0])

    assert (0.0, 0.0, 0.5) == (quality.pair_f1, quality.pair_recall, quality.bcubed_recall)
    assert 1.0 == quality.noise_share


def test_nothing_to_compare_is_no_error():
    """An empty file scores zero."""
    assert 0.0 == measure([], []).pair_f1
