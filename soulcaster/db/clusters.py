"""What grouping starts from, and the names of lasting clusters and themes; `runs` writes what grouping found.

First argument is a connection; frames come in and go out in bulk, ids as text.
"""

from __future__ import annotations

from typing import NamedTuple

import duckdb
import polars as pl

from soulcaster.db.edits import list_constraints
from soulcaster.db.runs import find_published_run

_ITEMS = """
    SELECT item_id::VARCHAR AS item_id, source, external_id, content_hash, source_group, duplicate_of, exception_type,
           frames, created_at
    FROM embedded_items WHERE project_id = $project
    ORDER BY content_hash NULLS LAST, created_at NULLS LAST, item_id
"""
_PREVIOUS = """
    WITH RECURSIVE line AS (  -- the run on show, and what its edits were made on, down to a grouping
        SELECT $run::UUID AS run_id
        UNION ALL
        SELECT q.base_run_id FROM line JOIN proposals q USING (run_id) WHERE q.kind = 'edit'
    ),
    judged AS (
        SELECT m.item_id FROM memberships m JOIN runs r USING (run_id, project_id)
            LEFT JOIN proposals q USING (run_id, project_id)
        WHERE m.project_id = $project AND m.run_id IN (SELECT run_id FROM line) AND q.kind IS DISTINCT FROM 'edit'
            AND (r.parameters->>'n_texts_without_vector')::BIGINT = 0
    )
    SELECT m.item_id::VARCHAR AS item_id, m.cluster_id::VARCHAR AS cluster_id, m.theme_id::VARCHAR AS theme_id,
           m.item_id IN (SELECT item_id FROM judged) AS was_judged
    FROM run_memberships m WHERE m.run_id = $run AND m.project_id = $project
"""
_WORK = """
    SELECT c.cluster_id::VARCHAR, c.status FROM clusters c SEMI JOIN run_clusters r
        ON r.cluster_id = c.cluster_id AND r.run_id = $run
    WHERE c.project_id = $project AND c.status IN ('fixing', 'pr_open')
"""
_SUMMARY_CLUSTERS = """
    WITH shown AS (
        SELECT cluster_id, unnest(named_from)::UUID AS item_id FROM clusters WHERE project_id = $project
    ),
    kept AS (
        SELECT s.cluster_id, count(m.item_id) / count(*) AS share
        FROM shown s LEFT JOIN memberships m ON m.run_id = $run AND m.project_id = $project
            AND m.item_id = s.item_id AND m.cluster_id = s.cluster_id
        GROUP BY s.cluster_id
    )
    SELECT r.cluster_id::VARCHAR AS cluster_id, r.theme_id::VARCHAR AS theme_id, r.label, r.n_items, r.membership_hash,
           c.title, c.terms, c.summarized_hash, c.summary_method, c.named_items, k.share AS kept_share
    FROM run_clusters r JOIN clusters c ON c.cluster_id = r.cluster_id AND c.project_id = r.project_id
        LEFT JOIN kept k ON k.cluster_id = c.cluster_id
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

NAMES = pl.Schema({
    "cluster_id": pl.String(), "title": pl.String(), "summary": pl.String(), "terms": pl.List(pl.String),
    "summary_method": pl.String(), "summarized_hash": pl.String(), "hints": pl.List(pl.String),
    "severity": pl.String(), "kind": pl.String(), "named_items": pl.Int64(), "named_from": pl.List(pl.String),
})  # fmt: skip
"""The words of clusters as they are stored; the last five are null when no model wrote them."""


class RunInput(NamedTuple):
    """What one re-clustering starts from, read in one transaction."""

    items: pl.DataFrame
    """Item rows of the project in canonical order: item_id, source, external_id, content_hash, source_group,
    duplicate_of, exception_type, frames, created_at. The hash is of what is embedded."""
    published_run_id: str | None
    previous: pl.DataFrame
    """Item_id, cluster_id, theme_id on show, with what was assigned since, the last two null for noise; and was_judged:
    whether the last grouping compared it with all others, which it did when no text lacked its vector."""
    previous_cluster_ids: list[str]
    previous_theme_ids: list[str]
    constraints: pl.DataFrame
    """What people's edits that hold demand, oldest first; see `edits.list_constraints`."""
    work: dict[str, str]
    """Status of the clusters on show that somebody is fixing, by id."""


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
        constraints=list_constraints(con, project_id),
        work=dict(con.execute(_WORK, params).fetchall()),
    )


def load_summary_input(
    con: duckdb.DuckDBPyConnection, project_id: str, *, most_texts: int, most_chars: int
) -> tuple[str | None, pl.DataFrame, pl.DataFrame]:
    """The published run's id, its clusters, and of each cluster up to `most_texts` texts, exemplars first.

    Clusters: cluster_id, theme_id, label, n_items, membership_hash, title, terms, summarized_hash, summary_method, and
    for those a model named: named_items, and as kept_share the share of the texts it was shown that are still members.
    Texts: cluster_id, is_exemplar, similarity, title, body (cut at `most_chars`), source, item_id.
    """
    run_id = find_published_run(con, project_id)
    params = {"project": project_id, "run": run_id}
    texts = {**params, "most_texts": most_texts, "most_chars": most_chars}
    return run_id, con.sql(_SUMMARY_CLUSTERS, params=params).pl(), con.sql(_SUMMARY_TEXTS, params=texts).pl()


def update_summaries(
    con: duckdb.DuckDBPyConnection, project_id: str, run_id: str, clusters: pl.DataFrame, themes: pl.DataFrame
) -> None:
    """Write names: `clusters` has the columns of `NAMES`; `themes` theme_id and title, for the themes of `run_id`."""
    con.register("named_clusters", clusters)
    con.execute(
        "MERGE INTO clusters USING named_clusters AS n "
        "ON clusters.cluster_id = n.cluster_id::UUID AND clusters.project_id = $project "
        "WHEN MATCHED THEN UPDATE SET title = n.title, summary = n.summary, terms = n.terms, "
        "summary_method = n.summary_method, summarized_hash = n.summarized_hash, hints = n.hints, "
        "severity = n.severity, kind = n.kind, named_items = n.named_items, named_from = n.named_from, "
        "changed_at = now()",
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
