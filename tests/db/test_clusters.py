"""What the store does with a run: whole or not at all, and only on top of the run it was matched to."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

from soulcaster.db import clusters as store
from soulcaster.db import read, runs, write
from soulcaster.errors import TransientError
from soulcaster.models import ChurnReport

AT = datetime(2024, 5, 1, tzinfo=UTC)
ITEM, CLUSTER, THEME, RUN, LATER = (f"00000000-0000-0000-0000-00000000000{digit}" for digit in range(5))


def _rows(run_id=RUN, **changes):
    rows = runs.RunRows(
        run_id=run_id,
        created_at=AT,
        model_id="m",
        parameters="{}",
        n_items=1,
        n_noise=0,
        seconds=0.1,
        memberships=pl.DataFrame(
            {
                "item_id": [ITEM], "label": [0], "cluster_id": [CLUSTER], "theme_id": [THEME],
                "membership_strength": [1.0], "is_exemplar": [True], "similarity": [0.9], "reason": ["near-text"],
            }
        ),
        run_clusters=pl.DataFrame(
            {"cluster_id": [CLUSTER], "theme_id": [THEME], "label": [0], "n_items": [1], "membership_hash": ["h"]}
        ),
        themes=pl.DataFrame(
            {"theme_id": [THEME], "label": [0], "title": ["t"], "n_clusters": [1], "n_items": [1]}
        ),
        transitions=pl.DataFrame(
            {"kind": ["emerged"], "cluster_id": [CLUSTER], "other_cluster_id": [None], "overlap": [0.0]},
            schema_overrides={"other_cluster_id": pl.String},
        ),
    )  # fmt: skip
    return rows._replace(**changes)


def _write(settings, rows, expected=None):
    write(
        settings.duckdb_path,
        lambda con: runs.write_run(con, "p", rows, ChurnReport(), expected_run_id=expected, actor="test"),
    )


def _count(settings, table):
    return read(settings.duckdb_path, lambda con: con.execute(f"FROM {table} SELECT count(*)").fetchall()[0][0])


def test_the_run_written_last_is_the_published_one_even_within_a_microsecond(settings):
    """Publications are ordered though both rows carry the same clock."""
    _write(settings, _rows())
    _write(settings, _rows(LATER), expected=RUN)

    assert LATER == read(settings.duckdb_path, lambda con: runs.find_published_run(con, "p"))
    assert 1 == _count(settings, "clusters")
    assert 2 == _count(settings, "runs")


def test_a_run_matched_to_another_than_the_published_one_is_refused(settings):
    """Nothing of it stays."""
    _write(settings, _rows())

    with pytest.raises(TransientError, match="another re-clustering was faster"):
        _write(settings, _rows(LATER), expected=None)

    assert 1 == _count(settings, "runs") == _count(settings, "memberships") == _count(settings, "publications")


def test_a_run_that_fails_in_its_last_statement_leaves_nothing(settings):
    """One transaction: a bad row at the end takes everything back."""
    broken = _rows().transitions.with_columns(cluster_id=pl.lit("no uuid"))

    with pytest.raises(Exception, match="no uuid"):
        _write(settings, _rows(transitions=broken))

    for table in ("runs", "memberships", "run_clusters", "clusters", "themes", "publications", "activity"):
        assert 0 == _count(settings, table)


def test_projects_do_not_see_each_other(settings):
    """Another project has no run, no clusters, nothing to match."""
    _write(settings, _rows())

    given = read(settings.duckdb_path, lambda con: store.load_run_input(con, "other"))

    assert given.published_run_id is None
    assert ([], []) == (given.previous_cluster_ids, given.previous_theme_ids)
    assert 0 == given.previous.height


def test_names_are_written_for_the_named_clusters_only(settings):
    """Title, summary, terms and the state they were written for."""
    _write(settings, _rows())
    named = pl.DataFrame(
        {
            "cluster_id": [CLUSTER], "title": ["T'; DROP TABLE runs"], "summary": ["S."], "terms": [["a", "b"]],
            "summary_method": ["extractive"], "summarized_hash": ["h"], "hints": [["tap"]], "severity": ["high"],
            "kind": ["bug"], "named_items": [3], "named_from": [None],
        },
        schema=store.NAMES,
    )  # fmt: skip
    themes = pl.DataFrame({"theme_id": [THEME], "title": ["Theme"]})

    write(settings.duckdb_path, lambda con: store.update_summaries(con, "p", RUN, named, themes))

    query = "SELECT c.title, summary, terms, summarized_hash, hints, severity, kind, t.title FROM clusters c, themes t"
    assert [("T'; DROP TABLE runs", "S.", ["a", "b"], "h", ["tap"], "high", "bug", "Theme")] == read(
        settings.duckdb_path, lambda con: con.execute(query).fetchall()
    )
