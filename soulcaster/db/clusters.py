"""Runs, lasting clusters, themes and their names: what grouping reads and writes. A run appears whole or not at all.

First argument is a connection; frames come in and go out in bulk, ids as text.
"""

from __future__ import annotations

import json
import uuid
from datetime import datetime
from typing import NamedTuple

import duckdb
import polars as pl

from soulcaster.errors import TransientError

_ITEMS = """
    SELECT item_id::VARCHAR AS item_id, source, external_id, content_hash, source_group, duplicate_of, exception_type,
           frames
    FROM items WHERE project_id = $project
    ORDER BY content_hash NULLS LAST, created_at NULLS LAST, item_id
"""
_PREVIOUS = """
    SELECT m.item_id::VARCHAR AS item_id, m.cluster_id::VARCHAR AS cluster_id, m.theme_id::VARCHAR AS theme_id
    FROM memberships m WHERE m.run_id = $run AND m.project_id = $project
"""
_SUMMARY_CLUSTERS = """
    SELECT r.cluster_id::VARCHAR AS cluster_id, r.theme_id::VARCHAR AS theme_id, r.label, r.n_items, r.membership_hash,
           c.title, c.terms, c.summarized_hash, c.summary_method
    FROM run_clusters r JOIN clusters c ON c.cluster_id = r.cluster_id AND c.project_id = r.project_id
    WHERE r.run_id = $run AND r.project_id = $project
    ORDER BY r.label
"""
_SUMMARY_TEXTS = """
    SELECT m.cluster_id::VARCHAR AS cluster_id, m.is_exemplar, m.similarity, i.title, left(i.body, $most_chars) AS body,
           i.source, i.item_id::VARCHAR AS item_id
    FROM memberships m JOIN items i ON i.item_id = m.item_id AND i.project_id = m.project_id
    WHERE m.run_id = $run AND m.project_id = $project AND m.cluster_id IS NOT NULL
    QUALIFY row_number() OVER (
        PARTITION BY m.cluster_id ORDER BY m.is_exemplar DESC, m.similarity DESC, i.created_at, m.item_id
    ) <= $most_texts
    ORDER BY m.label, m.is_exemplar DESC, m.similarity DESC, i.created_at, m.item_id
"""


class RunInput(NamedTuple):
    """What one re-clustering starts from, read in one transaction."""

    items: pl.DataFrame
    """Item rows of the project in canonical order: item_id, source, external_id, content_hash, source_group,
    duplicate_of, exception_type, frames."""
    published_run_id: str | None
    previous: pl.DataFrame
    """The published run's item_id, cluster_id, theme_id; the last two null for noise."""
    previous_cluster_ids: list[str]
    previous_theme_ids: list[str]


class RunRows(NamedTuple):
    """Everything one re-clustering writes. Ids are text; frames have the tables' columns without project and run."""

    run_id: str
    created_at: datetime
    model_id: str
    parameters: str
    n_items: int
    n_noise: int
    seconds: float
    memberships: pl.DataFrame
    run_clusters: pl.DataFrame
    themes: pl.DataFrame
    transitions: pl.DataFrame


def find_published_run(con: duckdb.DuckDBPyConnection, project_id: str) -> str | None:
    """Id of the run the project shows, None before the first."""
    row = con.execute(
        "SELECT run_id::VARCHAR FROM published_runs WHERE project_id = $project", {"project": project_id}
    ).fetchone()
    return None if row is None else str(row[0])


def load_run_input(con: duckdb.DuckDBPyConnection, project_id: str) -> RunInput:
    """Items of the project and the published run's groups."""
    run_id = find_published_run(con, project_id)
    params = {"project": project_id, "run": run_id}
    return RunInput(
        items=con.sql(_ITEMS, params={"project": project_id}).pl(),
        published_run_id=run_id,
        previous=con.sql(_PREVIOUS, params=params).pl(),
        previous_cluster_ids=_ids(con, "SELECT cluster_id::VARCHAR FROM run_clusters", params),
        previous_theme_ids=_ids(con, "SELECT theme_id::VARCHAR FROM themes", params),
    )


def write_run(
    con: duckdb.DuckDBPyConnection,
    project_id: str,
    rows: RunRows,
    *,
    expected_run_id: str | None,
    published_by: str,
) -> None:
    """Store the run, its lasting clusters, themes and transitions, and publish it; call it inside one transaction.

    Raises:
        TransientError: another run than `expected_run_id` is published by now: ids were matched to the wrong one.
    """
    published = find_published_run(con, project_id)
    if published != expected_run_id:
        raise TransientError(
            f"Publishing a new grouping of project {project_id!r} found run {published!r} published, expected "
            f"{expected_run_id!r}: another re-clustering was faster; run `soulcaster recluster` again."
        )
    keys = {"project": project_id, "run": rows.run_id, "at": rows.created_at}
    con.execute(
        "INSERT INTO runs (run_id, project_id, created_at, model_id, parameters, n_items, n_clusters, n_themes, "
        "n_noise, seconds) VALUES ($run, $project, $at, $model, $parameters, $n_items, $n_clusters, $n_themes, "
        "$n_noise, $seconds)",
        {
            **keys,
            "model": rows.model_id,
            "parameters": rows.parameters,
            "n_items": rows.n_items,
            "n_clusters": rows.run_clusters.height,
            "n_themes": rows.themes.height,
            "n_noise": rows.n_noise,
            "seconds": rows.seconds,
        },
    )
    _write_groups(con, rows, keys)
    con.execute(
        "INSERT INTO publications (project_id, run_id, published_at, published_by) SELECT $project, $run, "
        "greatest($at, (SELECT max(published_at) + INTERVAL 1 MICROSECOND FROM publications "
        "WHERE project_id = $project)), $by",
        {**keys, "by": published_by},
    )
    _write_activity(con, rows, keys, published_by)


def load_summary_input(
    con: duckdb.DuckDBPyConnection, project_id: str, *, most_texts: int, most_chars: int
) -> tuple[str | None, pl.DataFrame, pl.DataFrame]:
    """The published run's id, its clusters, and of each cluster up to `most_texts` texts, exemplars first.

    Clusters: cluster_id, theme_id, label, n_items, membership_hash, title, terms, summarized_hash, summary_method.
    Texts: cluster_id, is_exemplar, similarity, title, body (cut at `most_chars`), source, item_id.
    """
    run_id = find_published_run(con, project_id)
    params = {"project": project_id, "run": run_id}
    texts = {**params, "most_texts": most_texts, "most_chars": most_chars}
    return run_id, con.sql(_SUMMARY_CLUSTERS, params=params).pl(), con.sql(_SUMMARY_TEXTS, params=texts).pl()


def update_summaries(
    con: duckdb.DuckDBPyConnection, project_id: str, run_id: str, clusters: pl.DataFrame, themes: pl.DataFrame
) -> None:
    """Write names: `clusters` has cluster_id, title, summary, terms, summary_method, summarized_hash; `themes` has
    theme_id and title, for the themes of `run_id`.
    """
    con.register("named_clusters", clusters)
    con.execute(
        "MERGE INTO clusters USING named_clusters AS n "
        "ON clusters.cluster_id = n.cluster_id::UUID AND clusters.project_id = $project "
        "WHEN MATCHED THEN UPDATE SET title = n.title, summary = n.summary, terms = n.terms, "
        "summary_method = n.summary_method, summarized_hash = n.summarized_hash, changed_at = now()",
        {"project": project_id},
    )
    con.unregister("named_clusters")
    con.register("named_themes", themes)
    con.execute(
        "MERGE INTO themes USING named_themes AS n ON themes.theme_id = n.theme_id::UUID "
        "AND themes.project_id = $project AND themes.run_id = $run::UUID "
        "WHEN MATCHED THEN UPDATE SET title = n.title",
        {"project": project_id, "run": run_id},
    )
    con.unregister("named_themes")


def _ids(con: duckdb.DuckDBPyConnection, select: str, params: dict[str, str | None]) -> list[str]:
    found = con.execute(f"{select} WHERE run_id = $run AND project_id = $project ORDER BY 1", params).fetchall()
    return [row[0] for row in found]


def _write_groups(con: duckdb.DuckDBPyConnection, rows: RunRows, keys: dict[str, object]) -> None:
    run = {"project": keys["project"], "run": keys["run"]}
    con.register("new_memberships", rows.memberships)
    con.execute(
        "INSERT INTO memberships (run_id, project_id, item_id, label, cluster_id, theme_id, membership_strength, "
        "is_exemplar, similarity, reason) SELECT $run::UUID, $project, item_id::UUID, label, cluster_id::UUID, "
        "theme_id::UUID, membership_strength, is_exemplar, similarity, reason FROM new_memberships",
        run,
    )
    con.register("new_run_clusters", rows.run_clusters)
    con.execute(
        "INSERT INTO run_clusters (run_id, project_id, cluster_id, theme_id, label, n_items, membership_hash) "
        "SELECT $run::UUID, $project, cluster_id::UUID, theme_id::UUID, label, n_items, membership_hash "
        "FROM new_run_clusters",
        run,
    )
    con.execute(
        "MERGE INTO clusters USING new_run_clusters AS n "
        "ON clusters.cluster_id = n.cluster_id::UUID AND clusters.project_id = $project "
        "WHEN NOT MATCHED THEN INSERT (cluster_id, project_id, status, terms, created_at, changed_at) "
        "VALUES (n.cluster_id::UUID, $project, 'new', [], $at, $at)",
        {"project": keys["project"], "at": keys["at"]},
    )
    con.register("new_themes", rows.themes)
    con.execute(
        "INSERT INTO themes (run_id, project_id, theme_id, label, title, n_clusters, n_items) "
        "SELECT $run::UUID, $project, theme_id::UUID, label, title, n_clusters, n_items FROM new_themes",
        run,
    )
    con.register("new_transitions", rows.transitions)
    con.execute(
        "INSERT INTO transitions (run_id, project_id, kind, cluster_id, other_cluster_id, overlap) "
        "SELECT $run::UUID, $project, kind, cluster_id::UUID, other_cluster_id::UUID, overlap FROM new_transitions",
        run,
    )
    for name in ("new_memberships", "new_run_clusters", "new_themes", "new_transitions"):
        con.unregister(name)


def _write_activity(con: duckdb.DuckDBPyConnection, rows: RunRows, keys: dict[str, object], actor: str) -> None:
    kinds = dict(rows.transitions["kind"].value_counts().sort("kind").iter_rows())
    con.execute(
        "INSERT INTO activity (activity_id, project_id, happened_at, actor, action, subject, reason, detail) "
        "VALUES ($id, $project, $at, $actor, 'run published', $run, 'full re-clustering', $detail)",
        {
            **keys,
            "id": str(uuid.uuid4()),
            "actor": actor,
            "detail": json.dumps({"n_items": rows.n_items, "n_noise": rows.n_noise, "transitions": kinds}),
        },
    )
