"""Housekeeping: what is forgotten, and above all what is not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import grouping_store as made
import pytest

from soulcaster import edit
from soulcaster.db import write
from soulcaster.maintain import maintain
from soulcaster.publish import list_runs, publish, rollback
from soulcaster.recluster import recluster

_LONG_AGO = datetime.now(UTC) - timedelta(days=400)


@pytest.fixture
def grouped(settings):
    """Items on show, every later grouping waits, and one proposal is all that is kept of them."""
    made.add_topics(settings, 4, 5)
    settings = settings.model_copy(update={"keep_proposals": 1})
    assert recluster(settings, made.PROJECT).published
    return settings


def propose(settings, n: int) -> list[str]:
    """Ids of `n` runs that wait and are a year old, in the order of their making."""
    ids = []
    for number in range(n):
        made.add_topics(settings, 4, 5, first=100 * (number + 1))
        eager = settings.model_copy(update={"auto_publish_max_churn": 0.0})
        ids.append(recluster(eager, made.PROJECT).run_id)
        published = made.query(settings, "SELECT count(*) FROM publications WHERE run_id = CAST(? AS UUID)", ids[-1])
        if published != [(0,)]:
            write(settings.duckdb_path, lambda con: con.execute("DELETE FROM publications WHERE run_id = CAST(? AS UUID)", [ids[-1]]))  # fmt: skip  # noqa: E501  one statement
    age(settings)
    return ids


def age(settings) -> None:
    """Make every run a year old, in the order in which they were made."""
    write(
        settings.duckdb_path,
        lambda con: con.execute(
            "UPDATE runs SET created_at = created_at - (now() - CAST(? AS TIMESTAMPTZ))", [_LONG_AGO]
        ),
    )


def runs(settings) -> set[str]:
    """Ids of all runs of the store."""
    return {row.run_id for row in list_runs(settings, made.PROJECT)}


def test_old_proposals_go_and_the_newest_stay(grouped):
    """Of three groupings that never were on show the newest stays; nothing else that people see changes."""
    shown = runs(grouped)
    first, second, third = propose(grouped, 3)
    before = made.clusters_of_items(grouped)

    report = maintain(grouped, made.PROJECT)

    assert (2, True) == (report.n_runs_forgotten, report.is_index_optimized)
    assert shown | {third} == runs(grouped)
    assert before == made.clusters_of_items(grouped)
    for table in ("memberships", "run_clusters", "themes", "transitions", "proposals", "assignments"):
        left = {run for (run,) in made.query(grouped, f"SELECT DISTINCT run_id::VARCHAR FROM {table}")}  # noqa: S608  names above
        assert not left & {first, second}
    assert [("runs forgotten",)] == made.query(grouped, "SELECT action FROM activity WHERE action LIKE 'runs%'")
    assert 0 == maintain(grouped, made.PROJECT).n_runs_forgotten


def test_what_is_younger_than_the_setting_stays(grouped):
    """A year old is not old when two years are to be kept."""
    propose(grouped, 3)
    before = runs(grouped)

    maintain(grouped.model_copy(update={"keep_runs_days": 730.0}), made.PROJECT)

    assert before == runs(grouped)


def test_whatever_was_on_show_can_be_gone_back_to(grouped):
    """Runs that were published, edits among them, survive; rollback and undo work after the housekeeping."""
    [first] = runs(grouped)
    item, cluster = made.query(
        grouped, "SELECT item_id::VARCHAR, cluster_id::VARCHAR FROM published_memberships WHERE cluster_id IS NOT NULL ORDER BY 1 LIMIT 1"  # noqa: E501  one query
    )[0]  # fmt: skip
    said = edit.exclude(grouped, made.PROJECT, item, cluster, actor="ann")
    *_, newest = propose(grouped, 3)
    publish(grouped, made.PROJECT, newest, actor="ann", force=True)
    propose(grouped, 2)

    maintain(grouped, made.PROJECT)
    rollback(grouped, made.PROJECT, first, actor="ann")
    undone = edit.undo(grouped, made.PROJECT, said.edit_id, actor="ann")

    assert {first, said.run_id, newest, undone.run_id} <= runs(grouped)


def test_other_projects_are_left_alone(grouped):
    """Housekeeping of one project never deletes rows of another."""
    propose(grouped, 2)
    before = runs(grouped)

    assert 0 == maintain(grouped, "somebody-else").n_runs_forgotten
    assert before == runs(grouped)
