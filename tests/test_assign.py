"""New items between two re-clusterings, on a real store and a real index."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import grouping_store as made
import numpy as np
import pytest

from soulcaster import edit
from soulcaster.assign import assign, needs_refit
from soulcaster.db import read, write
from soulcaster.db.clusters import load_run_input
from soulcaster.embed import embed_missing
from soulcaster.ingest import import_sample
from soulcaster.publish import rollback
from soulcaster.recluster import recluster

_AS_IF_GROUPED = """
    INSERT INTO memberships (run_id, project_id, item_id, label, membership_strength, is_exemplar)
    SELECT run_id, project_id, item_id, -1, 0, false FROM assignments
"""


@pytest.fixture
def grouped(settings):
    """A store with four clusters of four items each, on show."""
    made.add_stars(settings, 4, 4)
    recluster(settings, made.PROJECT)
    return settings


def add(settings, external_id, direction, **rest):
    """One new item whose vector has these parts."""
    made.add_items(settings, [made.row(external_id, f"text of {external_id}", **rest)])
    vector = np.zeros((1, 384))
    for at, value in direction.items():
        vector[0, at] = value
    made.add_vectors(settings, [made.content_hash(f"text of {external_id}")], vector)


def _lane(settings, external_id):
    return made.query(
        settings,
        "SELECT a.cluster_id::VARCHAR, a.reason, a.nearest_cluster_id::VARCHAR, a.nearest_similarity, a.threshold "
        "FROM assignments a JOIN items USING (item_id) WHERE external_id = ?",
        external_id,
    )[0]


def test_near_items_find_their_cluster_and_others_wait_beside_their_nearest(grouped):
    """The near one is a member at once; the far one is noise with nearest cluster, similarity and what was asked."""
    before = made.clusters_of_items(grouped)
    add(grouped, "near", {1: 1.0, 300: 0.2})
    add(grouped, "far", {2: 1.0, 301: 3.0})

    report = assign(grouped, made.PROJECT)

    assert (2, 0, 1, 1, 0) == (
        report.n_new, report.n_exact, report.n_nearest, report.n_noise, report.n_without_vector,
    )  # fmt: skip
    assert before | {"near": before["1-0"], "far": None} == made.clusters_of_items(grouped)
    cluster, reason, nearest, similarity, threshold = _lane(grouped, "far")
    assert (None, None, before["2-0"]) == (cluster, reason, nearest)
    assert 0.2 < similarity < 0.5 <= threshold
    assert "nearest-cluster" == _lane(grouped, "near")[1]
    again = assign(grouped, made.PROJECT)
    assert (0, 0) == (again.n_new, again.n_nearest)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ({"source_group": "7"}, {"source_group": "7"}, "same-source-group"),
        (
            {"exception_type": "KeyError", "frames": ["a:f"]},
            {"exception_type": "KeyError", "frames": ["a:f"]},
            "same-stack",
        ),
        ({}, {"duplicate_of": "old"}, "declared-duplicate"),
        ({"duplicate_of": "new"}, {}, "declared-duplicate"),
    ],
)
def test_exact_keys_join_before_any_measuring(settings, old, new, reason):
    """Same group, same stack, a declared duplicate in either direction: the text may point anywhere."""
    made.add_stars(settings, 2, 4)
    add(settings, "old", {1: 1.0, 350: 0.2}, **old)
    recluster(settings, made.PROJECT)
    add(settings, "new", {0: 1.0}, **new)

    report = assign(settings, made.PROJECT)

    assert (1, 0) == (report.n_exact, report.n_nearest)
    assert made.clusters_of_items(settings)["1-0"] == made.clusters_of_items(settings)["new"]
    assert reason == _lane(settings, "new")[1]


def test_the_same_text_joins_without_a_vector_of_its_own(grouped):
    """Equal text, equal hash; an item whose text has no vector yet is left for later."""
    made.add_items(grouped, [made.row("again", "problem 3 told by 0"), made.row("unknown", "never embedded")])

    report = assign(grouped, made.PROJECT)

    assert (1, 1) == (report.n_exact, report.n_without_vector)
    assert made.clusters_of_items(grouped)["3-0"] == made.clusters_of_items(grouped)["again"]
    assert "unknown" not in made.clusters_of_items(grouped)


def test_before_the_first_run_there_is_nothing_to_assign_to(settings):
    """No error: the first re-clustering will find them."""
    made.add_stars(settings, 2, 2)

    report = assign(settings, made.PROJECT)

    assert (None, 4, 0) == (report.run_id, report.n_new, report.n_without_vector)


def test_a_project_without_a_cluster_keeps_new_items_as_noise(settings):
    """Nothing is near when there is nothing."""
    add(settings, "one", {0: 1.0})
    recluster(settings, made.PROJECT)
    add(settings, "two", {0: 1.0, 1: 0.1})

    assert 1 == assign(settings, made.PROJECT).n_noise


def test_an_edit_takes_assigned_items_along_and_a_refit_replaces_them(grouped):
    """What was assigned is part of the view: an edit moves it, the next run groups it, an older view forgets it."""
    [(first,)] = made.query(grouped, "SELECT run_id::VARCHAR FROM published_runs")
    before = made.clusters_of_items(grouped)
    add(grouped, "near", {1: 1.0, 300: 0.2})
    assign(grouped, made.PROJECT)

    edit.merge(grouped, made.PROJECT, [before["0-0"], before["1-0"]], actor="ann")
    merged = made.clusters_of_items(grouped)
    assert merged["near"] == merged["0-0"] == merged["1-0"]
    recluster(grouped, made.PROJECT)

    assert merged == made.clusters_of_items(grouped)
    assert [(0,)] == made.query(grouped, "SELECT count(*) FROM assignments JOIN published_runs USING (run_id)")
    rollback(grouped, made.PROJECT, first, actor="ann")
    assert before["1-0"] == made.clusters_of_items(grouped)["near"]


def test_a_refit_is_due_by_count_or_by_age(grouped):
    """Few young items wait, many or old ones do not, and none never."""
    assert "" == needs_refit(grouped, made.PROJECT)
    add(grouped, "new", {0: 1.0, 310: 0.3})
    patient = grouped.model_copy(update={"refit_after_share": 0.5})

    assert "1 items came since 16 were grouped" == needs_refit(grouped, made.PROJECT)
    assert "" == needs_refit(patient, made.PROJECT)
    old = datetime.now(UTC) - timedelta(hours=30)
    write(grouped.duckdb_path, lambda con: con.execute("UPDATE runs SET created_at = ?", [old]))
    assert "30 hours old" in needs_refit(patient, made.PROJECT)
    recluster(grouped, made.PROJECT)
    assert "" == needs_refit(grouped, made.PROJECT)


def test_items_that_were_never_grouped_make_a_refit_due(settings):
    """Also in a project without a run; not in an empty one."""
    assert "" == needs_refit(settings, made.PROJECT)
    made.add_stars(settings, 1, 2)
    assert "2 items were never grouped" == needs_refit(settings, made.PROJECT)


def _judged(settings):
    given = read(settings.duckdb_path, lambda con: load_run_input(con, made.PROJECT))
    names = dict(made.query(settings, "SELECT item_id::VARCHAR, external_id FROM items"))
    return {names[item] for item in given.previous.filter("was_judged")["item_id"]}


def test_what_only_waited_in_the_noise_lane_has_not_been_judged_by_an_edit_either(grouped):
    """So two new reports of one problem meet at the next grouping; that one judges all that has a vector."""
    old = set(made.clusters_of_items(grouped))
    add(grouped, "far", {2: 1.0, 301: 3.0})
    assign(grouped, made.PROJECT)
    [(item,)] = made.query(grouped, "SELECT item_id::VARCHAR FROM items WHERE external_id = '0-1'")
    edit.move(grouped, made.PROJECT, item, made.clusters_of_items(grouped)["1-1"], actor="ada")

    assert old == _judged(grouped)

    recluster(grouped, made.PROJECT)
    assert old | {"far"} == _judged(grouped)
    made.add_items(grouped, [made.row("later", "no vector yet")])
    recluster(grouped, made.PROJECT)
    assert set() == _judged(grouped)


def test_who_waited_in_the_noise_lane_is_grouped_as_if_it_just_came(settings):
    """Half of the sample is grouped, the other half waits in vain: that counts against nobody, being judged does."""
    quick = settings.model_copy(update={"embedder": "static"})
    import_sample(quick, made.PROJECT)
    embed_missing(quick, made.PROJECT)
    late = "UPDATE items SET project_id = ? WHERE project_id = ? AND content_hash > '8'"
    write(quick.duckdb_path, lambda con: con.execute(late, ["later", made.PROJECT]))
    recluster(quick, made.PROJECT)
    write(quick.duckdb_path, lambda con: con.execute(late, [made.PROJECT, "later"]))
    just_came = recluster(quick, made.PROJECT, dry_run=True)

    assert assign(quick, made.PROJECT).n_noise > 100
    write(quick.duckdb_path, lambda con: con.execute("DELETE FROM assignments WHERE cluster_id IS NOT NULL"))

    waited = recluster(quick, made.PROJECT, dry_run=True)
    assert (just_came.n_clusters, just_came.n_noise) == (waited.n_clusters, waited.n_noise)
    for statement in (_AS_IF_GROUPED, "DELETE FROM assignments"):
        write(quick.duckdb_path, lambda con, statement=statement: con.execute(statement))
    assert recluster(quick, made.PROJECT, dry_run=True).n_noise > waited.n_noise
