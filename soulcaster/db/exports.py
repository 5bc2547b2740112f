"""Reads of one run, the one on show or any other, as whole tables: for export and the printed list of clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from soulcaster.db.priorities import list_priorities
from soulcaster.db.runs import find_published_run, get_run

if TYPE_CHECKING:
    import duckdb
    import polars as pl
    import pyarrow as pa

_ITEMS = """
    SELECT i.project_id, i.source, i.external_id, i.item_id::VARCHAR AS item_id,
           m.cluster_id::VARCHAR AS cluster_id, m.theme_id::VARCHAR AS theme_id,
           m.membership_strength, i.created_at, i.title, i.body, i.url, i.author, i.channel, i.language,
           i.state, i.state_reason, i.trust, i.event_count, i.user_count
    FROM items i
    LEFT JOIN run_memberships m ON m.item_id = i.item_id AND m.project_id = i.project_id AND m.run_id = $run::UUID
    WHERE i.project_id = $project AND (m.item_id IS NOT NULL OR NOT $is_asked)
    ORDER BY i.source, i.external_id
"""

_CLUSTERS = """
    SELECT m.project_id, m.cluster_id::VARCHAR AS cluster_id, any_value(m.theme_id)::VARCHAR AS theme_id,
           any_value(c.title) AS title, any_value(c.summary) AS summary, any_value(c.terms) AS terms,
           any_value(c.summary_method) AS summary_method, any_value(c.hints) AS hints,
           any_value(c.severity) AS severity, any_value(c.kind) AS kind, any_value(p.status) AS status,
           count(*) AS n_items, sum(i.event_count)::BIGINT AS n_events, count(DISTINCT i.author) AS n_authors,
           list(DISTINCT i.source ORDER BY i.source) AS sources,
           min(i.created_at) AS first_at, max(i.created_at) AS last_at, any_value(p.priority) AS priority,
           any_value(p.is_burst) AS is_burst, any_value(p.reach_points) AS reach_points,
           any_value(p.severity_points) AS severity_points, any_value(p.velocity_points) AS velocity_points,
           any_value(p.recency_points) AS recency_points, any_value(p.trust_points) AS trust_points,
           any_value(p.work_points) AS work_points
    FROM run_memberships m
    LEFT JOIN clusters c ON c.cluster_id = m.cluster_id AND c.project_id = m.project_id
    JOIN items i ON i.item_id = m.item_id
    JOIN cluster_priorities p ON p.cluster_id = m.cluster_id::VARCHAR
    WHERE m.run_id = $run::UUID AND m.project_id = $project
    GROUP BY m.project_id, m.cluster_id
    ORDER BY priority DESC, n_items DESC, title, m.cluster_id
"""

_THEMES = """
    SELECT t.project_id, t.theme_id::VARCHAR AS theme_id, t.title, t.n_clusters, t.n_items
    FROM themes t WHERE t.run_id = $run::UUID AND t.project_id = $project
    ORDER BY t.n_items DESC, t.title, theme_id
"""

_TRANSITIONS = """
    SELECT t.project_id, t.run_id::VARCHAR AS run_id, r.created_at, t.kind, t.cluster_id::VARCHAR AS cluster_id,
           t.other_cluster_id::VARCHAR AS other_cluster_id, t.overlap
    FROM transitions t JOIN runs r USING (run_id)
    WHERE t.project_id = $project AND CASE WHEN $is_asked THEN t.run_id = $run::UUID
        ELSE t.run_id IN (SELECT run_id FROM publications WHERE project_id = $project) END
    ORDER BY r.created_at, t.kind, cluster_id, other_cluster_id
"""

_QUERIES = {"items": _ITEMS, "themes": _THEMES, "transitions": _TRANSITIONS}


def load_table(con: duckdb.DuckDBPyConnection, project_id: str, kind: str, run: str | None = None) -> pa.Table:
    """Arrow table of `kind` ('items', 'clusters', 'themes', 'transitions') for one project, in a stable order.

    Of the run on show: all items, those in no cluster with null cluster_id and theme_id; and the transitions of all
    runs that were ever on show. Of a `run` (its id or a beginning): the items it knew, and what it changed. Clusters
    come with their priority and its parts, the most urgent first; titles and status are today's.

    Raises:
        PermanentError: there is no such run, or it was forgotten.
    """
    if kind == "clusters":
        return load_clusters(con, project_id, run)[0]
    return con.sql(_QUERIES[kind], params=_params(con, project_id, run, kind)).to_arrow_table()


def load_clusters(
    con: duckdb.DuckDBPyConnection, project_id: str, run: str | None = None
) -> tuple[pa.Table, pl.DataFrame]:
    """The table of clusters, and the scored rows its priorities come from (`priorities.list_priorities`)."""
    params = _params(con, project_id, run, "clusters")
    scored = list_priorities(con, project_id, params["run"])
    con.register("cluster_priorities", scored)
    table = con.sql(_CLUSTERS, params=params).to_arrow_table()
    con.unregister("cluster_priorities")
    return table, scored


def _params(con: duckdb.DuckDBPyConnection, project_id: str, run: str | None, kind: str) -> dict[str, Any]:
    """What the query of `kind` asks for: DuckDB takes no parameter that the query does not name."""
    run_id = find_published_run(con, project_id) if run is None else get_run(con, project_id, run).run_id
    params = {"project": project_id, "run": run_id}
    return params | {"is_asked": run is not None} if kind in ("items", "transitions") else params
