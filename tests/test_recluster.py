"""From items to lasting clusters, on a real store and a real index."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import grouping_store as made
import numpy as np
import pytest

from soulcaster.db import migrate, write
from soulcaster.errors import TransientError
from soulcaster.recluster import recluster

COUNTS = ("runs", "memberships", "run_clusters", "clusters", "themes", "transitions", "publications", "activity")


def _counts(settings):
    return {table: made.query(settings, f"FROM {table} SELECT count(*)")[0][0] for table in COUNTS}


def _kinds(settings, run_id):
    rows = made.query(
        settings,
        "SELECT run_id::VARCHAR, kind, cluster_id::VARCHAR, other_cluster_id::VARCHAR FROM transitions ORDER BY ALL",
    )
    return [tuple(rest) for run, *rest in rows if run == run_id]


def test_a_project_without_items_gets_an_empty_run(settings):
    """Nothing to group is an answer, not an error."""
    report = recluster(settings, made.PROJECT)

    assert (0, 0, 0, 0, True) == (
        report.n_items, report.n_clusters, report.n_themes, report.n_noise, report.published,
    )  # fmt: skip
    assert [(report.run_id,)] == made.query(settings, "SELECT run_id::VARCHAR FROM published_runs")


def test_one_item_is_noise_and_still_has_its_row(settings):
    """Every item has a membership, with label -1 when it is in no cluster."""
    made.add_items(settings, [made.row("1", "It crashes")])
    made.add_vectors(settings, [made.content_hash("It crashes")], np.ones((1, 3)))

    report = recluster(settings, made.PROJECT)

    assert (1, 0, 1) == (report.n_items, report.n_clusters, report.n_noise)
    assert [(-1, None, None, 0.0, False, None, None)] == made.query(
        settings,
        "SELECT label, cluster_id, theme_id, membership_strength, is_exemplar, similarity, reason FROM memberships",
    )


def test_a_run_writes_all_its_tables_and_says_what_decided_it(settings):
    """Clusters are new and untitled, the parameters are stored, the activity names the run."""
    made.add_topics(settings, 6, 3)

    report = recluster(settings, made.PROJECT)

    assert (18, 6, 0) == (report.n_items, report.n_clusters, report.n_noise)
    assert {
        "runs": 1, "memberships": 18, "run_clusters": 6, "clusters": 6, "themes": report.n_themes, "transitions": 6,
        "publications": 1, "activity": 1,
    } == _counts(settings)  # fmt: skip
    assert [("new", None, 6)] == made.query(settings, "SELECT status, title, count(*) FROM clusters GROUP BY ALL")
    [(parameters,)] = made.query(settings, "SELECT parameters FROM runs")
    assert {"min_similarity": 0.5, "min_cluster_size": 2}.items() <= json.loads(parameters).items()
    assert [("run published", report.run_id)] == made.query(settings, "SELECT action, subject FROM activity")
    assert [(18,)] == made.query(settings, "SELECT sum(n_items) FROM run_clusters")
    assert [(18, 6)] == made.query(settings, "SELECT sum(n_items), sum(n_clusters) FROM themes")


def test_dry_run_reports_the_same_and_writes_nothing(settings):
    """The report of a dry run is that of the run, unpublished."""
    made.add_topics(settings, 4, 3)
    before = _counts(settings)

    dry = recluster(settings, made.PROJECT, dry_run=True)

    assert before == _counts(settings)
    assert not dry.published
    real = recluster(settings, made.PROJECT)
    fields = ("n_items", "n_clusters", "n_themes", "n_noise")
    assert [getattr(dry, field) for field in fields] == [getattr(real, field) for field in fields]


def test_items_without_vector_or_text_are_noise(settings):
    """A text that was not embedded, and an item whose text its author deleted, are in no cluster."""
    made.add_topics(settings, 2, 3)
    made.add_items(settings, [made.row("late", "not embedded yet"), made.row("gone", "")])

    report = recluster(settings, made.PROJECT)

    assert (8, 2) == (report.n_items, report.n_noise)
    assert made.clusters_of_items(settings)["late"] is None
    assert made.clusters_of_items(settings)["gone"] is None


def test_the_same_text_from_two_people_is_a_cluster(settings):
    """Two people who paste the same sentence have the same problem."""
    made.add_items(settings, [made.row("1", "Same"), made.row("2", "Same", source="reddit"), made.row("3", "Other")])
    made.add_vectors(settings, [made.content_hash("Same"), made.content_hash("Other")], np.eye(2))

    report = recluster(settings, made.PROJECT)

    assert (1, 1) == (report.n_clusters, report.n_noise)
    assert [("1", "same-text"), ("2", "same-text"), ("3", None)] == made.query(
        settings, "SELECT external_id, reason FROM memberships JOIN items USING (item_id) ORDER BY 1"
    )


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        ({"source_group": "77"}, {"source_group": "77"}, "same-source-group"),
        (
            {"exception_type": "KeyError", "frames": ["a:f", "b:g"]},
            {"exception_type": "KeyError", "frames": ["a:f", "b:g"]},
            "same-stack",
        ),
        ({}, {"duplicate_of": "1"}, "declared-duplicate"),
        ({"duplicate_of": "2"}, {"duplicate_of": "1"}, "declared-duplicate"),
    ],
)
def test_structure_joins_texts_that_look_different(settings, first, second, reason):
    """The same group of the source, the same stack or a declared duplicate is one problem, rings included."""
    made.add_items(settings, [made.row("1", "One", **first), made.row("2", "Two", **second), made.row("3", "Three")])
    made.add_vectors(settings, [made.content_hash(title) for title in ("One", "Two", "Three")], np.eye(3))

    recluster(settings, made.PROJECT)

    assert [("1", reason), ("2", reason), ("3", None)] == made.query(
        settings, "SELECT external_id, reason FROM memberships JOIN items USING (item_id) ORDER BY 1"
    )


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"exception_type": "KeyError"}, {"exception_type": "KeyError"}),
        ({"frames": ["a:f"]}, {"frames": ["a:f"]}),
        ({"exception_type": "KeyError", "frames": ["a:f"]}, {"exception_type": "OSError", "frames": ["a:f"]}),
        ({"source_group": "7"}, {"source_group": "7", "source": "sentry"}),
        ({}, {"duplicate_of": "1", "source": "sentry"}),
    ],
)
def test_half_a_match_in_structure_joins_nothing(settings, first, second):
    """A type without frames, frames of another type, an id of another source: not the same problem."""
    made.add_items(settings, [made.row("1", "One", **first), made.row("2", "Two", **second)])
    made.add_vectors(settings, [made.content_hash(title) for title in ("One", "Two")], np.eye(2))

    assert 0 == recluster(settings, made.PROJECT).n_clusters


def test_ids_survive_a_second_run_with_a_tenth_more_items(settings):
    """Clusters that got no new item keep their ids to the last one, those that did nearly all."""
    made.add_topics(settings, 40, 3)
    recluster(settings, made.PROJECT)
    before = made.clusters_of_items(settings)
    made.add_topics(settings, 12, 1, first=3)

    report = recluster(settings, made.PROJECT)

    after = made.clusters_of_items(settings)
    assert 40 == len(set(before.values()) - {None})
    untouched = [item for item in before if int(item.split("-")[0]) >= 12]
    assert [before[item] for item in untouched] == [after[item] for item in untouched]
    assert sum(before[item] == after[item] for item in before) >= 0.9 * len(before)
    assert {"survived", "split"} >= {kind for kind, _, _ in _kinds(settings, report.run_id)}


def test_theme_ids_survive_too(settings):
    """The second run of unchanged data has the same themes."""
    made.add_topics(settings, 8, 4)
    first = recluster(settings, made.PROJECT)
    second = recluster(settings, made.PROJECT)

    rows = made.query(settings, "SELECT theme_id, n_clusters, n_items, run_id::VARCHAR FROM themes ORDER BY ALL")
    per_run = [[row[:3] for row in rows if row[3] == run] for run in (first.run_id, second.run_id)]
    assert per_run[0] == per_run[1]
    assert first.n_themes == len(per_run[0])


def test_two_stores_with_the_same_items_have_the_same_ids(settings, tmp_path):
    """Ids are made from members, so a rebuilt store links to the same clusters, in whatever order items came."""
    other = settings.model_copy(update={"home": tmp_path / "other"})
    migrate(other.duckdb_path)
    made.add_topics(settings, 5, 4)
    made.add_topics(settings, 5, 2, first=4)
    rows = made.query(settings, "SELECT external_id, title FROM items ORDER BY md5(external_id)")
    made.add_items(other, [made.row(external_id, title) for external_id, title in rows])
    shutil.copytree(settings.lancedb_path, other.lancedb_path)

    recluster(settings, made.PROJECT)
    recluster(other, made.PROJECT)

    assert made.clusters_of_items(settings) == made.clusters_of_items(other)


def _replace_vectors(settings, angles):
    """Give each text the unit vector at its angle in degrees."""
    radians = np.radians(list(angles.values()))
    made.add_vectors(
        settings, [made.content_hash(name) for name in angles], np.stack([np.cos(radians), np.sin(radians)], axis=1)
    )


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"a": 0, "b": 1, "c": 90, "d": 91}, {"a": 0, "b": 1, "c": 90, "d": 91}, ["survived", "survived"]),
        ({"a": 0, "b": 2, "c": 4, "d": 6, "e": 8}, {"a": 0, "b": 1, "c": 3, "d": 90, "e": 91}, ["split", "survived"]),
        (
            {"a": 0, "b": 1, "c": 3, "d": 90, "e": 91},
            {"a": 0, "b": 2, "c": 4, "d": 6, "e": 8},
            ["absorbed", "survived"],
        ),
        ({"a": 0, "b": 90, "c": 180}, {"a": 0, "b": 1, "c": 180}, ["emerged"]),
        ({"a": 0, "b": 1, "c": 180}, {"a": 0, "b": 90, "c": 180}, ["disappeared"]),
    ],
    ids=["survived", "split", "absorbed", "emerged", "disappeared"],
)
def test_what_became_of_a_cluster_is_written_down(settings, before, after, expected):
    """Each of the five fates of a cluster, by its name."""
    settings = settings.model_copy(update={"auto_publish_max_churn": 1.0})
    made.add_items(settings, [made.row(name, name) for name in before])
    _replace_vectors(settings, before)
    recluster(settings, made.PROJECT)
    old = made.clusters_of_items(settings)
    _replace_vectors(settings, after)

    report = recluster(settings, made.PROJECT)

    new = made.clusters_of_items(settings)
    changes = _kinds(settings, report.run_id)
    assert expected == [kind for kind, _, _ in changes]
    ids = {cluster for cluster in [*old.values(), *new.values()] if cluster}
    assert {cluster for _, *pair in changes for cluster in pair if cluster} <= ids
    if expected == ["split", "survived"]:
        assert old["a"] == new["a"]
        assert ("split", old["a"], new["d"]) in changes
    if expected == ["absorbed", "survived"]:
        assert ("absorbed", old["d"], new["d"]) in changes
        assert new["d"] == old["a"]


def test_an_id_in_use_is_never_given_twice(settings):
    """A cluster that emerges with the founding members of another living cluster gets an id of its own."""
    settings = settings.model_copy(update={"auto_publish_max_churn": 1.0})
    made.add_items(settings, [made.row(name, name) for name in "abcdef"])
    _replace_vectors(settings, {"a": 0, "b": 1, "c": 75, "d": 150, "e": 215, "f": 285})
    recluster(settings, made.PROJECT)
    founders = made.clusters_of_items(settings)["a"]
    _replace_vectors(settings, {"a": 0, "b": 1, "c": 2, "d": 3, "e": 4, "f": 6})
    recluster(settings, made.PROJECT)
    _replace_vectors(settings, {"a": 0, "b": 1, "c": 90, "d": 91, "e": 93, "f": 95})

    recluster(settings, made.PROJECT)

    after = made.clusters_of_items(settings)
    assert founders == after["c"]
    assert after["a"] not in (founders, None)
    assert after["a"] == after["b"]


def test_a_cluster_whose_every_item_lost_its_text_disappears(settings):
    """Deleted items stay as noise; the cluster is reported as gone and its row stays for whoever links to it."""
    made.add_topics(settings, 4, 3)
    recluster(settings, made.PROJECT)
    lost = made.clusters_of_items(settings)["0-0"]
    forget = "UPDATE items SET content_hash = NULL, title = '', state = 'deleted' WHERE external_id LIKE '0-%'"
    write(settings.duckdb_path, lambda con: con.execute(forget))

    report = recluster(settings, made.PROJECT)

    assert (12, 3, 3) == (report.n_items, report.n_clusters, report.n_noise)
    assert ("disappeared", lost, None) in _kinds(settings, report.run_id)
    assert [(4,)] == made.query(settings, "SELECT count(*) FROM clusters")


def test_of_two_refits_at_once_one_is_told_to_try_again(settings):
    """Both start from the same run; the later one must not publish ids that were matched to the past."""
    made.add_topics(settings, 5, 4)
    recluster(settings, made.PROJECT)
    together = threading.Barrier(2, timeout=60)
    results: list[object] = []

    def refit():
        try:
            results.append(recluster(settings, made.PROJECT, on_progress=lambda *_: together.wait()))
        except TransientError as error:
            results.append(error)

    threads = [threading.Thread(target=refit) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)

    [failure] = [result for result in results if isinstance(result, TransientError)]
    assert "another re-clustering was faster" in str(failure)
    assert [(2, 2)] == made.query(settings, "SELECT count(*), (SELECT count(*) FROM publications) FROM runs")
    assert [(40,)] == made.query(settings, "SELECT count(*) FROM memberships")


@pytest.mark.slow
def test_a_killed_run_leaves_no_half_run(settings):
    """SIGKILL at any moment: every run that can be seen is whole and published."""
    made.add_topics(settings, 150, 8)
    code = (
        "import sys, pathlib; from soulcaster.settings import Settings; from soulcaster.recluster import recluster\n"
        "settings = Settings(home=pathlib.Path(sys.argv[1]), _env_file=None)\n"
        f"while True: recluster(settings, {made.PROJECT!r}); print('done', flush=True)\n"
    )
    for delay_seconds in (0.0, 0.15, 0.3, 0.5):
        child = subprocess.Popen(
            [sys.executable, "-c", code, str(settings.home)], stdout=subprocess.PIPE, env=dict(os.environ)
        )
        assert child.stdout is not None
        assert b"done\n" == child.stdout.readline()
        time.sleep(delay_seconds)
        child.send_signal(signal.SIGKILL)
        child.wait(timeout=30)
        child.stdout.close()

    runs = made.query(
        settings,
        """
        SELECT n_items, n_clusters, n_themes,
            (SELECT count(*) FROM memberships m WHERE m.run_id = r.run_id),
            (SELECT count(*) FROM run_clusters c WHERE c.run_id = r.run_id),
            (SELECT count(*) FROM themes t WHERE t.run_id = r.run_id),
            (SELECT count(*) FROM publications p WHERE p.run_id = r.run_id),
            (SELECT count(*) FROM activity a WHERE a.subject = r.run_id::VARCHAR)
        FROM runs r
        """,
    )
    assert len(runs) >= 4
    for n_items, n_clusters, n_themes, members, clusters, themes, publications, activity in runs:
        assert (n_items, n_clusters, n_themes, 1, 1) == (members, clusters, themes, publications, activity)
    stray = made.query(settings, "SELECT count(*) FROM memberships WHERE run_id NOT IN (SELECT run_id FROM runs)")
    assert [(0,)] == stray
