"""Where clusters and items lie on the map: no overlap, no jump, and sense at the edges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from soulcaster.clustering import layout


def centers_of(n: int, dim: int = 8, seed: int = 0) -> np.ndarray:
    """Unit vectors around a handful of directions."""
    rng = np.random.default_rng(seed)
    topics = rng.normal(size=(max(1, n // 8), dim))
    made = topics[rng.integers(0, len(topics), n)] + rng.normal(scale=0.3, size=(n, dim))
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def largest_overlap(middles: np.ndarray, radii: np.ndarray) -> float:
    """Of all pairs, as a share of the sum of the two radii; negative when all are apart."""
    sums = radii[:, None] + radii
    overlap = (sums - cdist(middles, middles)) / sums
    np.fill_diagonal(overlap, -1.0)
    return float(overlap.max(initial=-1.0))


def nothing(n: int) -> np.ndarray:
    """No earlier map."""
    return np.full((n, 2), np.nan)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 29, 40])
@pytest.mark.parametrize("kind", ["different", "equal", "zero"])
def test_every_number_of_clusters_has_a_place(n, kind):
    """None, one, two, all alike, all without a direction: finite, apart, and around the middle."""
    centers = {"different": centers_of(n), "equal": np.tile(centers_of(1), (n, 1)), "zero": np.zeros((n, 8))}[kind]

    middles, radii = layout.place_clusters(centers, np.arange(2, n + 2), nothing(n))

    assert (n, 2) == middles.shape
    assert np.isfinite(middles).all()
    assert np.isfinite(radii).all()
    assert (radii > 0).all()
    assert largest_overlap(middles, radii) < 0
    assert n == 0 or np.allclose(0.5, (middles.min(axis=0) + middles.max(axis=0)) / 2)
    assert n == 0 or np.ptp(middles, axis=0).max() < 2


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 5_000), min_size=2, max_size=28),
    seed=st.integers(0, 1_000),
)
def test_circles_never_overlap_and_have_the_area_of_their_items(sizes, seed):
    """Whatever the sizes are: one giant among dwarfs, all alike."""
    counts = np.array(sizes)

    middles, radii = layout.place_clusters(centers_of(len(sizes), seed=seed), counts, nothing(len(sizes)))

    assert largest_overlap(middles, radii) < 0
    assert np.allclose(radii**2 / counts, radii[0] ** 2 / counts[0])


def test_the_same_clusters_give_the_same_map():
    """No chance is involved."""
    first = layout.place_clusters(centers_of(60), np.full(60, 5), nothing(60))
    second = layout.place_clusters(centers_of(60), np.full(60, 5), nothing(60))

    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])


def test_clusters_about_the_same_lie_together():
    """The nearest circles of a cluster are mostly of its own topic."""
    rng = np.random.default_rng(3)
    topic = np.repeat(np.arange(6), 20)
    made = rng.normal(size=(6, 16))[topic] + rng.normal(scale=0.25, size=(120, 16))
    centers = made / np.linalg.norm(made, axis=1, keepdims=True)

    middles, _ = layout.place_clusters(centers, np.full(120, 4), nothing(120))

    distance = cdist(middles, middles)
    np.fill_diagonal(distance, np.inf)
    nearest = distance.argsort(axis=1)[:, :5]
    assert (topic[nearest] == topic[:, None]).mean() > 0.85


@pytest.mark.parametrize("n", [12, 200])
def test_clusters_stay_where_they_were_when_a_few_come_and_change(n):
    """A hundredth more items, a new cluster in a hundred, one gone: the others hardly move."""
    rng = np.random.default_rng(1)
    centers, sizes = centers_of(n, dim=24), rng.zipf(1.6, n).clip(2, 400)
    before, _ = layout.place_clusters(centers, sizes, nothing(n))
    fresh = max(1, n // 100)
    now = np.vstack([centers[1:] + rng.normal(scale=0.004, size=(n - 1, 24)), centers_of(fresh, dim=24, seed=9)])
    now /= np.linalg.norm(now, axis=1, keepdims=True)
    grown = np.concatenate([sizes[1:] + (rng.random(n - 1) < 0.2), np.full(fresh, 3)])

    after, radii = layout.place_clusters(now, grown, np.vstack([before[1:], nothing(fresh)]))

    moved = np.linalg.norm(after[: n - 1] - before[1:], axis=1)
    assert np.median(moved) < 0.02
    assert largest_overlap(after, radii) < 0


def test_a_mirrored_and_turned_map_is_laid_over_the_one_before():
    """What a method may do freely, a reader would see as a jump."""
    before = centers_of(20, dim=2) * [1.0, 0.5] + 3
    turned = (before - 1) @ np.array([[0.0, 1.0], [1.0, 0.0]]) * 7

    assert np.allclose(before, layout.laid_over(turned, before))


def test_two_known_clusters_do_not_mirror_the_rest():
    """Two points fit either way; only turning is allowed."""
    raw = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, 1.0]])
    before = np.array([[0.0, 0.0], [1.0, 0.0], [np.nan, np.nan]])

    assert np.allclose([0.5, 1.0], layout.laid_over(raw, before)[2])


def test_typical_items_lie_in_the_middle_of_their_circle():
    """Distance grows with the rank, nobody leaves the disc, nobody lies on another."""
    ranks = np.arange(500)

    places = layout.place_items(ranks, np.full(500, 500))

    reach = np.linalg.norm(places, axis=1)
    assert (np.diff(reach) > 0).all()
    assert reach.max() < 1
    assert cdist(places, places)[~np.eye(500, dtype=bool)].min() > 0.02


def test_lonely_items_lie_outside_of_every_circle():
    """They are beside the nearest cluster, not in it."""
    middles, radii = layout.place_clusters(centers_of(40), np.arange(2, 42), nothing(40))
    nearest = np.random.default_rng(0).integers(0, 40, 300)

    places = layout.place_noise(nearest, middles, radii)

    distance = cdist(places, middles)
    assert (distance > radii).all()
    assert (np.abs(distance[np.arange(300), nearest] - radii[nearest]) < radii.min()).all()


def test_no_lonely_items_need_no_clusters():
    """An empty store has neither."""
    assert (0, 2) == layout.place_noise(np.empty(0, dtype=np.int64), np.empty((0, 2)), np.empty(0)).shape
