"""What suggesting merges starts from, and the suggestions. Writing functions run inside `db.write`."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

import duckdb
import polars as pl

from soulcaster.db.edits import list_constraints
from soulcaster.db.priorities import list_priorities
from soulcaster.db.runs import find_published_run

_TEXTS = """
    SELECT m.cluster_id::VARCHAR AS cluster_id, c.title AS cluster_title, i.title, left(i.body, $most_chars) AS body,
        i.content_hash
    FROM published_memberships m JOIN embedded_items i ON i.item_id = m.item_id AND i.project_id = m.project_id
    JOIN clusters c ON c.cluster_id = m.cluster_id AND c.project_id = m.project_id
    WHERE m.project_id = $project AND i.content_hash IS NOT NULL AND c.status NOT IN ('fixed', 'ignored')
    QUALIFY row_number() OVER (
        PARTITION BY m.cluster_id ORDER BY m.is_exemplar DESC, m.similarity DESC, i.created_at, m.item_id
    ) <= $most_texts
    ORDER BY 1, m.is_exemplar DESC, m.similarity DESC, i.created_at, m.item_id
"""


class PairInput(NamedTuple):
    """What suggesting starts from, read in one transaction."""

    texts: pl.DataFrame
    """Cluster_id, cluster_title, title, body, content_hash: the typical texts of every open cluster on show."""
    urgent: list[str]
    """Ids of the clusters on show, the most urgent first."""
    apart: set[tuple[str, str]]
    """Pairs of clusters, smaller id first, of which people said that something of one is not in the other."""


class Suggestion(NamedTuple):
    """Two clusters that a model takes for one problem, seen from the first."""

    cluster_id: str
    other_cluster_id: str
    title: str | None
    """Of the first."""
    other_title: str | None
    similarity: float
    reason: str


def load_pair_input(con: duckdb.DuckDBPyConnection, project_id: str, *, most_texts: int, most_chars: int) -> PairInput:
    """Open clusters on show with their typical texts; those that people fixed or ignored are left out."""
    params = {"project": project_id, "most_texts": most_texts, "most_chars": most_chars}
    texts = con.sql(_TEXTS, params=params).pl()
    return PairInput(texts, list_priorities(con, project_id)["cluster_id"].to_list(), _find_apart(con, project_id))


def replace_suggestions(
    con: duckdb.DuckDBPyConnection, project_id: str, suggestions: pl.DataFrame, *, now: datetime
) -> None:
    """Put these in the place of the project's: columns cluster_id, other_cluster_id, similarity, reason."""
    con.execute("DELETE FROM merge_suggestions WHERE project_id = $1", [project_id])
    con.register("new_suggestions", suggestions)
    con.execute(
        "INSERT INTO merge_suggestions (project_id, cluster_id, other_cluster_id, similarity, reason, suggested_at) "
        "SELECT $project, cluster_id::UUID, other_cluster_id::UUID, similarity, reason, $now FROM new_suggestions",
        {"project": project_id, "now": now},
    )
    con.unregister("new_suggestions")


def list_suggestions(
    con: duckdb.DuckDBPyConnection, project_id: str, cluster_id: str | None = None
) -> list[Suggestion]:
    """Suggestions whose clusters are both on show, nearest first; with a `cluster_id` those of it, seen from it."""
    rows = con.execute(
        """
        WITH shown AS (
            SELECT DISTINCT cluster_id FROM run_memberships WHERE run_id = $run::UUID AND project_id = $project
        ),
        both_ways AS (
            SELECT cluster_id, other_cluster_id, similarity, reason FROM merge_suggestions WHERE project_id = $project
            UNION ALL
            SELECT other_cluster_id, cluster_id, similarity, reason FROM merge_suggestions
            WHERE project_id = $project AND $cluster IS NOT NULL
        )
        SELECT s.cluster_id::VARCHAR, s.other_cluster_id::VARCHAR, c.title, o.title, s.similarity, s.reason
        FROM both_ways s
        SEMI JOIN shown a ON a.cluster_id = s.cluster_id
        SEMI JOIN shown b ON b.cluster_id = s.other_cluster_id
        JOIN clusters c ON c.cluster_id = s.cluster_id AND c.project_id = $project
        JOIN clusters o ON o.cluster_id = s.other_cluster_id AND o.project_id = $project
        WHERE $cluster IS NULL OR s.cluster_id = TRY_CAST($cluster AS UUID)
        ORDER BY s.similarity DESC, 1, 2
        """,
        {"project": project_id, "run": find_published_run(con, project_id), "cluster": cluster_id},
    ).fetchall()
    return [Suggestion(*row) for row in rows]


def _find_apart(con: duckdb.DuckDBPyConnection, project_id: str) -> set[tuple[str, str]]:
    """Clusters on show that an edit which holds keeps apart by at least one item of each."""
    demands = list_constraints(con, project_id).filter(pl.col("relation") == "apart")
    members = con.sql(
        "SELECT item_id::VARCHAR AS item_id, cluster_id::VARCHAR AS cluster_id FROM published_memberships "
        "WHERE project_id = $project AND cluster_id IS NOT NULL",
        params={"project": project_id},
    ).pl()
    sides = demands.join(members, on="item_id").select("edit", "side", "cluster_id").unique()
    pairs = sides.filter(pl.col("side") == 0).join(sides.filter(pl.col("side") == 1), on="edit", suffix="_other")
    rows = pairs.select("cluster_id", "cluster_id_other").rows()
    return {(min(row), max(row)) for row in rows}
