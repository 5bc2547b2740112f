"""Reads of the published run as whole tables, for export and for the printed list of clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soulcaster.db.priorities import list_priorities

if TYPE_CHECKING:
    import duckdb
    import polars as pl
    import pyarrow as pa

_ITEMS = """
    SELECT i.project_id, i.source, i.external_id, i.item_id::VARCHAR AS item_id,
           m.cluster_id::VARCHAR AS cluster_id, m.theme_id::VARCHAR AS theme_id,
           m.membership_strength, i.created_at, i.title, i.body, i.url, i.author, i.channel, i.language,
           i.state, i.state_reason, i.trust, i.event_count, i.user_count
    FROM items i LEFT JOIN published_memberships m ON m.item_id = i.item_id AND m.project_id = i.project_id
    WHERE i.project_id = $project
    ORDER BY i.source, i.external_id
"""

_CLUSTERS = """
    SELECT c.project_id, c.cluster_id::VARCHAR AS cluster_id, any_value(m.theme_id)::VARCHAR AS theme_id,
           any_value(c.title) AS title, any_value(c.summary) AS summary, any_value(c.terms) AS terms,
           any_value(c.summary_method) AS summary_method, any_value(c.status) AS status,
           count(*) AS n_items, sum(i.event_count)::BIGINT AS n_events, count(DISTINCT i.author) AS n_authors,
           list(DISTINCT i.source ORDER BY i.source) AS sources,
           min(i.created_at) AS first_at, max(i.created_at) AS last_at, any_value(p.priority) AS priority,
           any_value(p.is_burst) AS is_burst, any_value(p.reach_points) AS reach_points,
           any_value(p.severity_points) AS severity_points, any_value(p.velocity_points) AS velocity_points,
           any_value(p.recency_points) AS recency_points, any_value(p.trust_points) AS trust_points,
           any_value(p.work_points) AS work_points
    FROM published_memberships m
    JOIN clusters c ON c.cluster_id = m.cluster_id AND c.project_id = m.project_id
    JOIN items i ON i.item_id = m.item_id
    JOIN cluster_priorities p ON p.cluster_id = c.cluster_id::VARCHAR
    WHERE m.project_id = $project
    GROUP BY c.project_id, c.cluster_id
    ORDER BY priority DESC, n_items DESC, title, c.cluster_id
"""

_THEMES = """
    SELECT t.project_id, t.theme_id::VARCHAR AS theme_id, t.title, t.n_clusters, t.n_items
    FROM themes t JOIN published_runs p ON p.run_id = t.run_id AND p.project_id = t.project_id
    WHERE t.project_id = $project
    ORDER BY t.n_items DESC, t.title, theme_id
"""

_TRANSITIONS = """
    SELECT t.project_id, t.run_id::VARCHAR AS run_id, r.created_at, t.kind, t.cluster_id::VARCHAR AS cluster_id,
           t.other_cluster_id::VARCHAR AS other_cluster_id, t.overlap
    FROM transitions t JOIN runs r USING (run_id)
    WHERE t.project_id = $project AND t.run_id IN (SELECT run_id FROM publications WHERE project_id = $project)
    ORDER BY r.created_at, t.kind, cluster_id, other_cluster_id
"""

_QUERIES = {"items": _ITEMS, "themes": _THEMES, "transitions": _TRANSITIONS}


def load_table(con: duckdb.DuckDBPyConnection, project_id: str, kind: str) -> pa.Table:
    """Arrow table of `kind` ('items', 'clusters', 'themes', 'transitions') for one project, in a stable order.

    Items that are in no cluster of the published run have null cluster_id and theme_id. Clusters come with their
    priority and its parts, the most urgent first.
    """
    if kind == "clusters":
        return load_clusters(con, project_id)[0]
    return con.sql(_QUERIES[kind], params={"project": project_id}).to_arrow_table()


def load_clusters(con: duckdb.DuckDBPyConnection, project_id: str) -> tuple[pa.Table, pl.DataFrame]:
    """The table of clusters, and the scored rows its priorities come from (`priorities.list_priorities`)."""
    scored = list_priorities(con, project_id)
    con.register("cluster_priorities", scored)
    table = con.sql(_CLUSTERS, params={"project": project_id}).to_arrow_table()
    con.unregister("cluster_priorities")
    return table, scored
