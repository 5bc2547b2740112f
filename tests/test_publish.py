"""Proposals: what publishes itself, what waits, and the way back."""

from __future__ import annotations

import grouping_store as made
import numpy as np
import pytest

from soulcaster import edit
from soulcaster.assign import assign
from soulcaster.db import write
from soulcaster.errors import PermanentError
from soulcaster.publish import list_activity, list_runs, publish, rollback
from soulcaster.recluster import recluster

NAMES = "abcdefghij"


def _place(settings, groups):
    """Give the ten items vectors so that each string of `groups` is one cluster; the rest is noise."""
    vectors = np.zeros((len(NAMES), 384))
    for number, name in enumerate(NAMES):
        home = next((at for at, group in enumerate(groups) if name in group), 50 + number)
        vectors[number, home] = 1.0
        if home < 50:
            vectors[number, 100 + number] = 0.01 * (1 + groups[home].index(name))
    made.add_vectors(settings, [made.content_hash(name) for name in NAMES], vectors)


@pytest.fixture
def grouped(settings):
    """Ten items in two clusters and noise, on show."""
    made.add_items(settings, [made.row(name, name) for name in NAMES])
    _place(settings, ["abcd", "efg"])
    assert recluster(settings, made.PROJECT).published
    return settings


def _shown(settings):
    return made.query(settings, "SELECT run_id::VARCHAR FROM published_runs")[0][0]


def test_a_refit_that_changes_much_waits_and_nothing_that_people_see_changes(grouped):
    """The report says what would happen; publishing by hand shows it, with who did."""
    before, first = made.clusters_of_items(grouped), _shown(grouped)
    _place(grouped, ["ab", "cd", "efg", "hi"])

    report = recluster(grouped, made.PROJECT)

    assert not report.published
    assert (before, first) == (made.clusters_of_items(grouped), _shown(grouped))
    assert [(2,)] == made.query(grouped, "SELECT count(*) FROM clusters")
    waiting, shown = list_runs(grouped, made.PROJECT)
    assert ("waits", "shown") == (waiting.state, shown.state)
    churn = waiting.churn
    assert (7, 5, 2, 0, 2) == (churn.n_clustered, churn.n_kept, churn.n_moved, churn.n_dropped, churn.n_adopted)
    assert {"emerged": 1, "split": 1, "survived": 2} == churn.transitions
    assert "2 of 7 clustered items (28.6%)" in churn.waits_because
    publish(grouped, made.PROJECT, report.run_id[:12], actor="ann")
    assert report.run_id == _shown(grouped)
    assert [("ann", "run published", "published by hand")] == made.query(
        grouped, "SELECT actor, action, reason FROM activity ORDER BY happened_at DESC LIMIT 1"
    )
    assert [(4,)] == made.query(grouped, "SELECT count(*) FROM clusters")


def test_a_small_change_publishes_itself(grouped):
    """Noise that finds a cluster moves nobody's cluster."""
    _place(grouped, ["abcd", "efgh"])

    assert recluster(grouped, made.PROJECT).published


def test_a_cluster_that_splits_while_its_pull_request_is_open_waits_for_a_person(grouped):
    """However high the limit: the id stays with the larger part, and the report names status and size."""
    cluster = made.clusters_of_items(grouped)["a"]
    write(
        grouped.duckdb_path,
        lambda con: con.execute("UPDATE clusters SET status = 'pr_open' WHERE cluster_id = ?", [cluster]),
    )
    _place(grouped, ["ab", "cd", "efg"])

    report = recluster(grouped.model_copy(update={"auto_publish_max_churn": 1.0}), made.PROJECT)

    [touched] = list_runs(grouped, made.PROJECT)[0].churn.work
    assert (cluster, "pr_open", "split", 4, 2) == (
        touched.cluster_id, touched.status, touched.fate, touched.n_items, touched.n_left,
    )  # fmt: skip
    assert not report.published
    assert "pr_open" in list_runs(grouped, made.PROJECT)[0].churn.waits_because


def test_rollback_shows_an_earlier_run_again_and_new_items_wait(grouped):
    """Rows of publications are only added; the item that came later is in no cluster of that view."""
    before, first = made.clusters_of_items(grouped), _shown(grouped)
    made.add_items(grouped, [made.row("late", "a again")])
    made.add_vectors(grouped, [made.content_hash("a again")], np.eye(1, 384))
    second = recluster(grouped, made.PROJECT).run_id
    assert "late" in made.clusters_of_items(grouped)

    rollback(grouped, made.PROJECT, first, actor="ann")

    assert before == made.clusters_of_items(grouped)
    assert [(first, "recluster"), (second, "recluster"), (first, "ann")] == made.query(
        grouped, "SELECT run_id::VARCHAR, published_by FROM publications ORDER BY published_at"
    )
    for wrong, sentence in ((first, "the one on show"), ("nothing", "'nothing'"), ("", "maybe more")):
        with pytest.raises(PermanentError, match=sentence):
            rollback(grouped, made.PROJECT, wrong, actor="ann")


def test_a_proposal_made_on_an_older_view_needs_force(grouped):
    """Two refits from the same view: after the first is published the second is outdated, and says by whom."""
    _place(grouped, ["ab", "cd", "efg"])
    first, second = (recluster(grouped, made.PROJECT).run_id for _ in range(2))
    publish(grouped, made.PROJECT, first, actor="bob")

    with pytest.raises(PermanentError, match="bob published another"):
        publish(grouped, made.PROJECT, second, actor="ann")
    with pytest.raises(PermanentError, match="on show"):
        publish(grouped, made.PROJECT, first, actor="ann")

    assert ["outdated", "shown", "published"] == [run.state for run in list_runs(grouped, made.PROJECT)]
    publish(grouped, made.PROJECT, second, actor="ann", force=True)
    assert second == _shown(grouped)


def test_the_churn_report_names_the_edits_whose_items_would_change(grouped):
    """Somebody put d with the others; a refit that takes them apart says which edit that touches."""
    report = edit.move(
        grouped, made.PROJECT, made.row("h", "")["item_id"], made.clusters_of_items(grouped)["a"], actor="ann"
    )
    _place(grouped, ["ab", "cd", "efg"])

    recluster(grouped, made.PROJECT)

    churn = list_runs(grouped, made.PROJECT)[0].churn
    assert [report.edit_id] == churn.edits
    assert churn.waits_because


def test_every_change_of_membership_is_logged_with_who_and_why(grouped):
    """Items assigned, a merge, its undo, a refit published by hand, going back: each adds a row, with reason."""
    first, clusters = _shown(grouped), made.clusters_of_items(grouped)
    made.add_items(grouped, [made.row("late", "a again")])
    made.add_vectors(grouped, [made.content_hash("a again")], np.eye(1, 384))
    edits: list[str] = []

    def merge():
        edits.append(edit.merge(grouped, made.PROJECT, [clusters["a"], clusters["e"]], actor="ann").edit_id)

    def refit():
        _place(grouped, ["ab", "cd", "efg", "hi"])
        publish(grouped, made.PROJECT, recluster(grouped, made.PROJECT).run_id, actor="bob")

    steps = (
        (lambda: assign(grouped, made.PROJECT), "assign"),
        (merge, "ann"),
        (lambda: edit.undo(grouped, made.PROJECT, edits[0], actor="cleo"), "cleo"),
        (refit, "bob"),
        (lambda: rollback(grouped, made.PROJECT, first, actor="dora"), "dora"),
    )
    for step, actor in steps:
        before, logged = made.clusters_of_items(grouped), len(list_activity(grouped, made.PROJECT))
        step()
        rows = list_activity(grouped, made.PROJECT)
        assert before != made.clusters_of_items(grouped)
        assert len(rows) > logged
        assert actor == rows[0]["actor"]
        assert all(row["reason"] and row["actor"] for row in rows)
