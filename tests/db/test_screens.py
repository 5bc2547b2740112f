"""The queries behind the screens count what they say."""

from __future__ import annotations

import sys
import uuid
from pathlib import Path

import duckdb
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "app"))

from seeding import PROJECT, seed_drawn, seed_map

from soulcaster.db import read, write
from soulcaster.db.cluster_screens import (
    ClusterFilters,
    find_cluster,
    list_cluster_items,
    list_clusters,
    list_siblings,
    list_transitions,
)
from soulcaster.db.maps import list_near_noise
from soulcaster.db.screens import ItemFilters, count_by_time, find_item, get_overview, list_items, list_runs
from soulcaster.edit import move
from soulcaster.settings import Settings


@pytest.fixture
def path(settings: Settings) -> Path:
    """A store of 200 drawn items in 20 clusters and two runs."""
    seed_drawn(settings.duckdb_path, n_items=200, n_clusters=20)
    return settings.duckdb_path


def _largest(con: duckdb.DuckDBPyConnection) -> str:
    frame, _ = list_clusters(con, PROJECT, ClusterFilters(), limit=1)
    return str(frame["cluster_id"][0])


def test_pages_of_items_cover_all_items_once(path):
    """Walking the pages meets every item exactly once, newest first."""

    def walk(con: duckdb.DuckDBPyConnection) -> list[dict]:
        pages = [list_items(con, PROJECT, ItemFilters(), limit=30, offset=offset)[0] for offset in range(0, 210, 30)]
        return [row for page in pages for row in page.to_dicts()]

    rows = read(path, walk)

    assert 200 == len({row["item_id"] for row in rows}) == len(rows)
    times = [row["happened_at"] for row in rows]
    assert times == sorted(times, reverse=True)


def test_a_page_past_the_end_is_empty_and_still_knows_the_total(path):
    """The control of pages needs the total even when the address asks for too much."""
    frame, n_found = read(path, lambda con: list_items(con, PROJECT, ItemFilters(), limit=30, offset=9_000))
    clusters, n_clusters = read(path, lambda con: list_clusters(con, PROJECT, ClusterFilters(), limit=5, offset=9_000))

    assert (0, 200, 0, 20) == (frame.height, n_found, clusters.height, n_clusters)


def test_lanes_split_the_items_without_rest(path):
    """Every item is clustered, noise or waiting."""
    lanes = ("clustered", "noise", "waiting")
    counts = [read(path, lambda con, lane=lane: list_items(con, PROJECT, ItemFilters(lane=lane), limit=1)[1]) for lane in lanes]  # fmt: skip  # noqa: E501  one expression

    assert 200 == sum(counts)
    overview = read(path, lambda con: get_overview(con, PROJECT))
    assert (counts[1], counts[2]) == (overview.run.n_noise, overview.n_waiting)


def test_people_are_counted_once_each_and_an_error_trackers_users_once_a_group(path):
    """Two posts of one author are one person; two events of one Sentry issue do not double its users."""

    def rewrite(con: duckdb.DuckDBPyConnection) -> str:
        cluster = _largest(con)
        ids = [row["item_id"] for row in list_cluster_items(con, PROJECT, cluster, limit=4).to_dicts()]
        con.execute("DELETE FROM memberships WHERE cluster_id = CAST(? AS UUID) AND NOT list_contains(?, CAST(item_id AS VARCHAR))", [cluster, ids])  # fmt: skip  # noqa: E501  one statement
        for item, source, author, group, users in zip(
            ids,
            ["reddit", "reddit", "sentry", "sentry"],
            ["ann", "ann", None, None],
            [None, None, "i1", "i1"],
            [None, None, 7, 9],
            strict=True,
        ):
            con.execute("UPDATE items SET source = ?, author = ?, source_group = ?, user_count = ? WHERE item_id = CAST(? AS UUID)", [source, author, group, users, item])  # fmt: skip  # noqa: E501  one statement
        return cluster

    cluster = write(path, rewrite)

    row = read(path, lambda con: find_cluster(con, PROJECT, cluster))
    frame, _ = read(path, lambda con: list_clusters(con, PROJECT, ClusterFilters(), limit=100))
    assert 1 + 9 == row.n_people
    assert [10] == frame.filter(frame["cluster_id"] == cluster)["n_people"].to_list()
    assert {"reddit": 2, "sentry": 2} == row.n_by_source


def test_the_run_on_show_is_the_one_published_last(path):
    """Publishing an older run again shows it again; it is marked in the list."""
    older = read(path, lambda con: list_runs(con, PROJECT))[-1]
    assert not older.is_shown

    write(path, lambda con: con.execute("INSERT INTO publications VALUES (?, CAST(? AS UUID), now() + INTERVAL 1 DAY, 'ann')", [PROJECT, older.run_id]))  # fmt: skip  # noqa: E501  one statement

    runs = read(path, lambda con: list_runs(con, PROJECT))
    assert [older.run_id] == [run.run_id for run in runs if run.is_shown]
    assert older.run_id == read(path, lambda con: get_overview(con, PROJECT)).run.run_id


def test_a_cluster_that_the_run_on_show_lost_is_still_found(path):
    """An old link opens with no items instead of failing."""

    def lose(con: duckdb.DuckDBPyConnection) -> str:
        cluster = _largest(con)
        for table in ("run_clusters", "memberships"):
            con.execute(f"DELETE FROM {table} WHERE cluster_id = CAST(? AS UUID)", [cluster])  # noqa: S608  constants
        return cluster

    cluster = write(path, lose)

    row = read(path, lambda con: find_cluster(con, PROJECT, cluster))
    assert 0 == row.n_items
    assert 1 == read(path, lambda con: list_transitions(con, PROJECT, cluster)).height


def test_projects_do_not_see_each_other(path):
    """Nothing of one project is found from another, not even by its id."""
    cluster, item = read(path, lambda con: (_largest(con), list_items(con, PROJECT, ItemFilters(), limit=1)[0]["item_id"][0]))  # fmt: skip  # noqa: E501  one expression

    def from_another(con: duckdb.DuckDBPyConnection) -> list[object]:
        return [
            find_cluster(con, "other", cluster),
            find_item(con, "other", item),
            list_items(con, "other", ItemFilters(), limit=5)[1],
            list_clusters(con, "other", ClusterFilters(), limit=5)[1],
            list_cluster_items(con, "other", cluster, limit=5).height,
            list_siblings(con, "other", cluster).height,
            count_by_time(con, "other", "week", cluster_id=cluster).height,
            get_overview(con, "other").n_items,
        ]

    assert [None, None, 0, 0, 0, 0, 0, 0] == read(path, from_another)


def test_trend_adds_up_to_the_items_of_the_quarter(path):
    """A sparkline has twelve points, oldest first, none above the size of the cluster."""
    frame, _ = read(path, lambda con: list_clusters(con, PROJECT, ClusterFilters(), limit=100))

    assert all(12 == len(trend) for trend in frame["trend"])
    assert all(0 < n and sum(trend) <= n for trend, n in zip(frame["trend"], frame["n_items"], strict=True))
    assert sum(sum(trend) for trend in frame["trend"]) > 0


def test_text_of_a_search_is_text(path):
    """Signs of SQL and of patterns find nothing and break nothing."""
    for text in ("%", "_", "'; DROP TABLE items; --", "\\", '"'):
        assert 0 == read(path, lambda con, text=text: list_items(con, PROJECT, ItemFilters(text=text), limit=5)[1])
        assert 0 == read(
            path, lambda con, text=text: list_clusters(con, PROJECT, ClusterFilters(text=text), limit=5)[1]
        )
    assert find_missing(path) is None


def find_missing(path: Path) -> object:
    """An id that no item has."""
    return read(path, lambda con: find_item(con, PROJECT, str(uuid.uuid4())))


def test_a_search_finds_words_and_meaning_and_ranks_what_has_both_first(path):
    """Three lists: words only, meaning only, both; each row says by what it was found."""
    everything, _ = read(path, lambda con: list_clusters(con, PROJECT, ClusterFilters(), limit=20))
    title = everything["title"][3]
    by_words, n_words = read(path, lambda con: list_clusters(con, PROJECT, ClusterFilters(text=title), limit=20))
    assert (1, ["words"]) == (n_words, by_words["matched_by"].to_list())

    near = (everything["cluster_id"][7], everything["cluster_id"][3])
    found, n_found = read(
        path, lambda con: list_clusters(con, PROJECT, ClusterFilters(text=title, near=near), sort="match", limit=20)
    )

    assert (2, [near[1], near[0]]) == (n_found, found["cluster_id"].to_list())
    assert ["both", "meaning"] == found["matched_by"].to_list()


def test_nearness_counts_for_nothing_without_a_search(path):
    """Without words all clusters pass, and the best match falls back on priority."""
    near = ("00000000-0000-0000-0000-000000000000",)
    filters = ClusterFilters(near=near)
    found, n_found = read(path, lambda con: list_clusters(con, PROJECT, filters, sort="match", limit=20))
    urgent, _ = read(path, lambda con: list_clusters(con, PROJECT, ClusterFilters(), sort="priority", limit=20))

    assert 20 == n_found
    assert urgent["cluster_id"].to_list() == found["cluster_id"].to_list()
    assert {""} == set(found["matched_by"])


def test_noise_near_a_cluster_is_what_still_stands_alone_most_alike_first(path):
    """An item that a person moved into a cluster is no longer offered, though the map still has it as noise."""
    seed_map(path)
    [(cluster, item)] = read(
        path,
        lambda con: con.execute(
            "SELECT cluster_id::VARCHAR, min(item_id::VARCHAR) FROM map_noise GROUP BY 1 ORDER BY count(*) DESC LIMIT 1"
        ).fetchall(),
    )
    before = read(path, lambda con: list_near_noise(con, PROJECT, cluster, limit=100))
    assert item in before["item_id"].to_list()
    assert before["similarity"].is_sorted(descending=True)

    move(Settings(_env_file=None, home=path.parent), PROJECT, item, cluster, actor="ann")

    after = read(path, lambda con: list_near_noise(con, PROJECT, cluster, limit=100))
    assert set(before["item_id"]) - {item} == set(after["item_id"])
