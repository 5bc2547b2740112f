"""What the store knows about one item's place: its row, its company, and what people said about it."""

from __future__ import annotations

from typing import Any

import duckdb
import polars as pl

from soulcaster.db.edits import list_edits, list_undone
from soulcaster.db.runs import find_published_run

_ITEM = """
    SELECT i.item_id::VARCHAR AS item_id, i.source, i.external_id, i.title, left(i.body, 4000) AS body, i.content_hash,
        i.frames, m.cluster_id::VARCHAR AS cluster_id, c.title AS cluster_title, m.reason, m.similarity,
        m.item_id IS NOT NULL AS is_grouped, a.threshold, a.nearest_cluster_id::VARCHAR AS nearest_cluster_id
    FROM embedded_items i
    LEFT JOIN run_memberships m ON m.item_id = i.item_id AND m.run_id = $run::UUID AND m.project_id = $project
    LEFT JOIN assignments a ON a.item_id = i.item_id AND a.run_id = $run::UUID AND a.project_id = $project
    LEFT JOIN clusters c ON c.cluster_id = m.cluster_id AND c.project_id = $project
    WHERE i.project_id = $project AND i.item_id = $item::UUID
"""
_COMPANY = """
    SELECT i.item_id::VARCHAR AS item_id, i.source, i.external_id, i.title, left(i.body, 4000) AS body, i.content_hash,
        i.frames, m.cluster_id::VARCHAR AS cluster_id
    FROM embedded_items i
    LEFT JOIN run_memberships m ON m.item_id = i.item_id AND m.run_id = $run::UUID AND m.project_id = $project
    WHERE i.project_id = $project AND i.item_id <> $item::UUID AND i.content_hash IS NOT NULL
        AND (m.cluster_id = $cluster::UUID OR list_contains($hashes, i.content_hash))
    ORDER BY coalesce(m.is_exemplar, false) DESC, m.membership_strength DESC, i.item_id LIMIT $limit
"""


def load_item(con: duckdb.DuckDBPyConnection, project_id: str, item_id: str) -> tuple[str | None, dict[str, Any]]:
    """The run on show, and the item with its place in it; the item must exist."""
    run_id = find_published_run(con, project_id)
    found = con.execute(_ITEM, {"project": project_id, "run": run_id, "item": item_id})
    names = [column[0] for column in found.description or []]
    [row] = found.fetchall()
    return run_id, dict(zip(names, row, strict=True))


def list_company(
    con: duckdb.DuckDBPyConnection,
    project_id: str,
    item_id: str,
    *,
    cluster_id: str | None,
    content_hashes: list[str],
    limit: int = 2_000,
) -> pl.DataFrame:
    """Other items of the cluster, and items with one of these texts: item_id, source, external_id, title, body,
    content_hash, frames, cluster_id; the best members first.
    """
    params = {
        "project": project_id,
        "run": find_published_run(con, project_id),
        "item": item_id,
        "cluster": cluster_id,
        "hashes": content_hashes,
        "limit": limit,
    }
    return con.sql(_COMPANY, params=params).pl()


def list_sayings(con: duckdb.DuckDBPyConnection, project_id: str, item_id: str) -> list[str]:
    """One sentence for every edit that demands something of the item, oldest first."""
    naming = con.execute(
        "SELECT DISTINCT edit_id::VARCHAR FROM edit_constraints WHERE project_id = $project AND item_id = $item::UUID "
        "AND (side = 0 OR relation = 'apart')",
        {"project": project_id, "item": item_id},
    ).fetchall()
    named = {edit_id for (edit_id,) in naming}
    edits = list_edits(con, project_id)
    undone = list_undone(edits)
    return [
        f"{edit.kind} by {edit.actor} at {edit.edited_at:%Y-%m-%d %H:%M}"
        + (f": {edit.reason}" if edit.reason else "")
        + (" (taken back)" if edit.edit_id in undone else "")
        for edit in edits
        if edit.edit_id in named
    ]


def list_clusters_of_texts(
    con: duckdb.DuckDBPyConnection, project_id: str, content_hashes: list[str]
) -> list[tuple[str, str, str | None, str, int]]:
    """Hash of what is embedded, cluster, its title, status and number of items, for each text in a cluster on show."""
    return con.execute(
        """
        WITH text AS (
            SELECT item_id, content_hash FROM embedded_items
            WHERE project_id = $project AND content_hash IN (SELECT unnest($hashes))
        ),
        near AS (
            SELECT DISTINCT t.content_hash, m.cluster_id FROM run_memberships m JOIN text t USING (item_id)
            WHERE m.run_id = $run::UUID AND m.project_id = $project AND m.cluster_id IS NOT NULL
        ),
        size AS (
            SELECT cluster_id, count(*) AS n FROM run_memberships
            WHERE run_id = $run::UUID AND project_id = $project GROUP BY cluster_id
        )
        SELECT n.content_hash, CAST(c.cluster_id AS VARCHAR), c.title, c.status, s.n
        FROM near n JOIN size s USING (cluster_id) JOIN clusters c USING (cluster_id)
        WHERE c.project_id = $project ORDER BY 1, 2
        """,
        {"project": project_id, "run": find_published_run(con, project_id), "hashes": content_hashes},
    ).fetchall()


def list_typical_hashes(con: duckdb.DuckDBPyConnection, project_id: str, cluster_id: str, *, limit: int) -> list[str]:
    """Under which its most typical texts are embedded, each once; empty when the cluster is not on show."""
    rows = con.execute(
        """
        SELECT i.content_hash FROM run_memberships m JOIN embedded_items i USING (item_id, project_id)
        WHERE m.run_id = $run::UUID AND m.project_id = $project AND m.cluster_id = TRY_CAST($cluster AS UUID)
            AND i.content_hash IS NOT NULL
        GROUP BY 1 ORDER BY bool_or(m.is_exemplar) DESC, max(m.membership_strength) DESC, 1 LIMIT $limit
        """,
        {
            "project": project_id,
            "run": find_published_run(con, project_id),
            "cluster": cluster_id,
            "limit": limit,
        },
    ).fetchall()
    return [content_hash for (content_hash,) in rows]
