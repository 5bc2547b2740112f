"""The facts behind priorities are counted as they are named, on a real store."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "app"))

from seeding import PROJECT, seed_drawn

from soulcaster.db import read, write
from soulcaster.db.cluster_facts import load_facts
from soulcaster.db.cluster_screens import ClusterFilters, list_clusters
from soulcaster.db.exports import load_clusters
from soulcaster.db.priorities import list_priorities
from soulcaster.settings import Settings

_NOW = datetime.now(UTC).replace(microsecond=0)
_PLAIN = {
    "title": "a thing", "author": "ann", "source": "reddit", "source_group": None, "user_count": None, "event_count": 1,
    "level": None, "exception_type": None, "labels": [], "trust": "anonymous", "state": "open", "age_days": 20.0,
}  # fmt: skip
_UPDATE = """
    UPDATE items SET title = d.title, author = d.author, source = d.source, source_group = d.source_group,
        user_count = d.user_count, event_count = d.event_count, level = d.level, exception_type = d.exception_type,
        labels = d.labels, trust = d.trust, state = d.state, created_at = d.created_at
    FROM drawn d WHERE items.item_id = CAST(d.item_id AS UUID)
"""

_CHANGES = (
    "UPDATE items SET title = 'we lost all my data'",
    "UPDATE items SET title = '', body = 'the app crashes'",
    "UPDATE items SET author = 'one and only', source = 'github'",
    "UPDATE items SET author = NULL, user_count = 12",
    "UPDATE items SET author = NULL, user_count = 12, source_group = 'one'",
    "UPDATE items SET event_count = event_count + 5",
    "UPDATE items SET state = 'closed'",
    "UPDATE items SET level = 'fatal'",
    "UPDATE items SET exception_type = 'KeyError', title = 'a thing'",
    "UPDATE items SET labels = ['blocker'], title = 'a thing'",
    "UPDATE items SET trust = 'maintainer'",
    "UPDATE items SET created_at = created_at - to_days(CAST(hash(item_id) % 90 AS INTEGER))",
    "UPDATE items SET created_at = NULL",
    "UPDATE clusters SET status = 'ignored'",
    "UPDATE clusters SET severity = 'critical'",
    "UPDATE items SET title = '', body = 'it' WHERE title <> ''",
    "UPDATE memberships SET cluster_id = (SELECT min(cluster_id) FROM clusters)",
    "DELETE FROM memberships WHERE hash(item_id) % 3 = 0",
    (
        "INSERT INTO assignments (run_id, project_id, item_id, assigned_at, label, cluster_id) "
        "SELECT run_id, project_id, uuid(), now(), 0, NULL FROM published_runs"
    ),
)
"""Whatever a priority is made of, changed."""

_SHOWN = (
    "UPDATE clusters SET status = 'ignored'",
    "UPDATE clusters SET title = 'another'",
    "UPDATE clusters SET owner = 'anna'",
    "UPDATE clusters SET kind = 'bug'",
    "UPDATE clusters SET severity = 'critical'",
    "UPDATE clusters SET hints = ['press twice']",
    "UPDATE themes SET title = 'another'",
    "UPDATE run_clusters SET theme_id = NULL",
    "DELETE FROM run_clusters WHERE hash(cluster_id) % 2 = 0",
    (
        "INSERT INTO jobs BY NAME SELECT 'a' AS job_id, project_id, cluster_id, 'a/b' AS repository, "
        "'pr_open' AS status, '' AS reason, 1 AS attempt, '' AS base_commit, '' AS brief_hash, '' AS branch, "
        "'' AS tool, '' AS model, '' AS launcher, '' AS sandbox, 0 AS n_requests, 0 AS n_tokens, 0 AS cost_usd, "
        "'https://example.test/1' AS pr_url, false AS is_dry_run, 'anonymous' AS trust, 'anna' AS actor, "
        "now() AS created_at, now() AS changed_at, '{}' AS detail FROM clusters LIMIT 1"
    ),
)
"""Whatever the list of clusters says beside its counts and priorities, changed."""


@pytest.fixture
def path(settings: Settings) -> Path:
    """A store of 200 drawn items in 20 clusters."""
    seed_drawn(settings.duckdb_path, n_items=200, n_clusters=20)
    return settings.duckdb_path


def rewrite(path: Path, *items: dict[str, object]) -> str:
    """Make one cluster consist of exactly these items; its id. All other items become a year old."""
    rows = [{**_PLAIN, **item} for item in items]

    def work(con):
        [(cluster,)] = con.execute(
            "SELECT CAST(cluster_id AS VARCHAR) FROM published_memberships WHERE cluster_id IS NOT NULL "
            "GROUP BY 1 HAVING count(*) >= ? ORDER BY count(*) LIMIT 1", [len(rows)],
        ).fetchall()  # fmt: skip
        ids = [
            item for (item,) in con.execute(
                "SELECT CAST(item_id AS VARCHAR) FROM published_memberships WHERE cluster_id = CAST(? AS UUID) "
                "ORDER BY 1", [cluster],
            ).fetchall()
        ]  # fmt: skip
        con.execute("UPDATE items SET created_at = ?", [_NOW - timedelta(days=365)])
        con.execute(
            "DELETE FROM memberships WHERE cluster_id = CAST(? AS UUID) "
            "AND NOT list_contains(?, CAST(item_id AS VARCHAR))",
            [cluster, ids[: len(rows)]],
        )
        frame = pl.DataFrame(
            [
                {**row, "item_id": item, "created_at": _NOW - timedelta(days=row["age_days"])}
                for item, row in zip(ids, rows, strict=False)
            ],
            schema_overrides={"source_group": pl.String, "user_count": pl.Int64, "level": pl.String,
                              "author": pl.String, "exception_type": pl.String, "labels": pl.List(pl.String)},
        )  # fmt: skip
        con.register("drawn", frame)
        con.execute(_UPDATE)
        return cluster

    return str(write(path, work))


def facts(path: Path, cluster: str) -> dict[str, object]:
    """The scored row of one cluster."""
    return read(path, lambda con: list_priorities(con, PROJECT)).row(by_predicate=pl.col("cluster_id") == cluster, named=True)  # fmt: skip  # noqa: E501  one expression


def test_people_and_events_count_once(path):
    """Two posts of one author are one person; an error tracker's users and events count once an issue."""
    issue = {"source": "sentry", "author": None, "source_group": "i1"}
    cluster = rewrite(path, {}, {}, {**issue, "user_count": 7, "event_count": 40}, {**issue, "user_count": 9}, {"author": None})  # fmt: skip  # noqa: E501  one row each

    row = facts(path, cluster)

    assert (1, 9 + 1, 40 + 3) == (row["n_named"], row["n_unnamed"], row["n_events"])


@pytest.mark.parametrize(
    ("item", "tier"),
    [
        ({"title": "All my notes are gone: sync lost my notes"}, 4),
        ({"title": "colours", "labels": ["area: ui", "Priority: Critical"]}, 4),
        ({"title": "App crashes on start"}, 3),
        ({"level": "fatal"}, 3),
        ({"title": "Export doesn't work"}, 2),
        ({"exception_type": "KeyError"}, 2),
        ({"labels": ["bug"]}, 2),
        ({"title": "Colours of the calendar"}, 1),
        ({"title": "Please add a dark mode"}, 0),
        ({"title": "Dark mode", "labels": ["enhancement"]}, 0),
    ],
)
def test_severity_is_read_off_words_levels_exceptions_and_labels(path, item, tier):
    """Each way to say how bad it is, by itself."""
    assert tier == facts(path, rewrite(path, item, item))["severity_tier"]


def test_one_loud_report_among_many_does_not_make_it_severe(path):
    """A tenth of the reports is not enough, a quarter is."""
    loud, calm = {"title": "data loss"}, {"title": "an observation"}

    assert 1 == facts(path, rewrite(path, loud, *[calm] * 5))["severity_tier"]
    assert 4 == facts(path, rewrite(path, loud, loud, *[calm] * 4))["severity_tier"]


def test_one_person_who_writes_often_makes_no_burst(path):
    """Reports count a person once a week; as many by different people are a burst."""
    old = {"age_days": 100.0}
    one = facts(path, rewrite(path, old, *[{"age_days": 1.0, "author": "spammer"}] * 7))
    many = facts(path, rewrite(path, old, *[{"age_days": 1.0, "author": f"user {n}"} for n in range(7)]))

    assert (1, False) == (one["n_recent"], one["is_burst"])
    assert (7, True) == (many["n_recent"], many["is_burst"])


def test_the_list_the_export_and_the_score_agree(path):
    """One number everywhere, the most urgent first, and bursts can be picked."""
    cluster = rewrite(path, *[{"age_days": 1.0, "author": f"user {n}", "title": "crash"} for n in range(8)])

    scored = read(path, lambda con: list_priorities(con, PROJECT))
    frame, n_found = read(path, lambda con: list_clusters(con, PROJECT, ClusterFilters(), sort="priority", limit=100))
    table, _ = read(path, lambda con: load_clusters(con, PROJECT))
    bursts, _ = read(path, lambda con: list_clusters(con, PROJECT, ClusterFilters(only_bursts=True), limit=100))

    assert 20 == n_found == scored.height == table.num_rows
    assert scored["priority"].to_list() == frame["priority"].to_list() == table["priority"].to_pylist()
    assert frame["priority"].is_sorted(descending=True)
    assert [cluster] == bursts["cluster_id"].to_list()


def test_regressed_clusters_come_up(path):
    """A status that says the fix did not hold raises the cluster above its former self."""
    cluster = rewrite(path, {}, {})
    before = facts(path, cluster)["priority"]
    write(path, lambda con: con.execute("UPDATE clusters SET status = 'regressed' WHERE cluster_id = CAST(? AS UUID)", [cluster]))  # fmt: skip  # noqa: E501  one statement

    assert before + 15 == pytest.approx(facts(path, cluster)["priority"])


def test_before_the_first_run_there_is_nothing_to_score(settings):
    """An empty store gives an empty frame."""
    assert 0 == read(settings.duckdb_path, lambda con: list_priorities(con, PROJECT)).height


def test_nothing_changed_nothing_is_scored_again(path):
    """A second look at the same state gets the very rows of the first, so a page costs no second scoring."""
    first, second = (read(path, lambda con: list_priorities(con, PROJECT)) for _ in range(2))

    assert first is second


def test_what_is_kept_is_never_stale(path):
    """Whatever a priority is made of: a change of it is scored, and taking it back gives the rows of before."""
    with duckdb.connect(str(path)) as con:
        before = list_priorities(con, PROJECT)
        for change in _CHANGES:
            con.execute("BEGIN")
            con.execute(change)
            after = list_priorities(con, PROJECT)
            con.execute("ROLLBACK")

            assert after is not before, change
            assert before.equals(list_priorities(con, PROJECT)), change


def test_the_kept_list_of_clusters_is_never_stale(path):
    """Whatever the list says: a change of it is said, and while nothing changes the very rows are kept."""
    with duckdb.connect(str(path)) as con:
        before = load_facts(con, PROJECT)
        for change in _SHOWN:
            con.execute("BEGIN")
            con.execute(change)
            after = load_facts(con, PROJECT)
            con.execute("ROLLBACK")

            assert after is not before, change
            assert not after.equals(before), change
        assert before.equals(load_facts(con, PROJECT))
        assert load_facts(con, PROJECT) is load_facts(con, PROJECT)
