"""Comparing two runs counts what became of items and clusters."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "app"))

from seeding import PROJECT, seed_drawn

from soulcaster.db import read
from soulcaster.db.cluster_screens import ClusterFilters, list_cluster_items, list_clusters
from soulcaster.db.comparing import compare_runs, list_moved
from soulcaster.db.screens import find_shown_run
from soulcaster.edit import exclude, merge, split


@pytest.fixture
def first(settings):
    """Id of the run on show of a drawn store."""
    seed_drawn(settings.duckdb_path, n_items=200, n_clusters=10)
    return read(settings.duckdb_path, lambda con: find_shown_run(con, PROJECT))


def compared(settings, first):
    """The run from before, and the one on show now."""
    return read(
        settings.duckdb_path, lambda con: compare_runs(con, PROJECT, first, find_shown_run(con, PROJECT))
    )  # fmt: skip


def largest(settings):
    """Id and size of the clusters on show, largest first."""
    frame, _ = read(settings.duckdb_path, lambda con: list_clusters(con, PROJECT, ClusterFilters(), limit=20))
    return frame.select("cluster_id", "n_items").rows()


def test_a_run_is_like_itself(settings, first):
    """Nothing moved, every id is kept."""
    same = compared(settings, first)

    assert (200, 10) == (same.n_kept + same.n_alone, same.n_same_id)
    moved = (same.n_moved, same.n_dropped, same.n_adopted, same.n_only_before, same.n_only_after)
    assert (0,) * 9 == (*moved, same.n_gone, same.n_new, same.n_split, same.n_merged)


def test_a_merge_a_split_and_a_drop_are_counted_as_such(settings, first):
    """Each edit makes a run: against the first one its items are moved, its clusters gone, new, split and merged."""
    clusters = largest(settings)
    (kept, _), (other, n_other), (cut, n_cut) = clusters[3], clusters[4], clusters[0]
    merge(settings, PROJECT, [kept, other], actor="ann")
    now = compared(settings, first)
    assert (1, 0, 1) == (now.n_gone, now.n_new, now.n_merged)
    assert now.n_moved in (n_other, clusters[3][1])

    items = read(settings.duckdb_path, lambda con: list_cluster_items(con, PROJECT, cut, limit=n_cut))
    split(settings, PROJECT, cut, items["item_id"].to_list()[-3:], actor="ann")
    exclude(settings, PROJECT, items["item_id"][0], cut, actor="ann")
    now = compared(settings, first)
    assert (1, 1, 1, 1) == (now.n_gone, now.n_new, now.n_split, now.n_dropped)

    moved = read(
        settings.duckdb_path, lambda con: list_moved(con, PROJECT, first, find_shown_run(con, PROJECT), limit=1_000)
    )
    assert now.n_moved + now.n_dropped + now.n_adopted == moved.height
    assert moved["n_together"].is_sorted(descending=True)
    assert 1 == moved["after_id"].null_count()
