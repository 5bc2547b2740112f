"""Figures for a monitoring system, of all projects, in a few cheap queries. Every row is (labels, value)."""

from __future__ import annotations

from typing import NamedTuple

import duckdb


class Figure(NamedTuple):
    """One gauge: its name without prefix, what it says, the names of its labels, and the query that gives its rows."""

    name: str
    help: str
    labels: tuple[str, ...]
    sql: str


_WITH_SHOWN = """
    WITH shown AS (
        SELECT p.project_id, r.* EXCLUDE (project_id) FROM (
            SELECT project_id, arg_max(run_id, published_at) AS run_id FROM publications GROUP BY project_id
        ) p JOIN runs r ON r.run_id = p.run_id AND r.project_id = p.project_id
    )
"""
"""The run on show of each project; every query below may read it."""

FIGURES = (
    Figure("items", "Items in the store.", ("project", "source"),
           "SELECT project_id, source, count(*) FROM items GROUP BY 1, 2"),
    Figure("quarantined_items", "Rows that wait in quarantine.", ("project",),
           "SELECT project_id, count(*) FROM quarantine WHERE released_at IS NULL GROUP BY 1"),
    Figure("clusters", "Lasting clusters on show, by what people and jobs made of them.", ("project", "status"),
           "SELECT s.project_id, c.status, count(*) FROM shown s JOIN run_clusters r ON r.run_id = s.run_id "
           "JOIN clusters c ON c.cluster_id = r.cluster_id AND c.project_id = s.project_id GROUP BY 1, 2"),
    Figure("noise_share", "Share of the run on show that is in no cluster.", ("project",),
           "SELECT project_id, n_noise / greatest(n_items, 1) FROM shown"),
    Figure("run_seconds", "How long the grouping on show took.", ("project",),
           "SELECT project_id, seconds FROM shown"),
    Figure("run_age_seconds", "Age of the grouping on show.", ("project",),
           "SELECT project_id, epoch(now()) - epoch(created_at) FROM shown"),
    Figure("run_new_items", "Items that came since the grouping on show was made.", ("project",),
           "SELECT s.project_id, count(i.item_id) FROM shown s LEFT JOIN items i "
           "ON i.project_id = s.project_id AND i.first_seen_at > s.created_at GROUP BY 1"),
    Figure("run_churn_share", "Share of clustered items that the newest grouping moves.", ("project",),
           "SELECT r.project_id, arg_max(CAST(json_extract(p.churn, '$.share') AS DOUBLE), r.created_at) "
           "FROM runs r JOIN proposals p ON p.run_id = r.run_id AND p.project_id = r.project_id GROUP BY 1"),
    Figure("proposal_waits", "1 while a grouping newer than the one on show waits for a person.", ("project",),
           "SELECT s.project_id, CAST(count(r.run_id) > 0 AS INTEGER) FROM shown s LEFT JOIN runs r "
           "ON r.project_id = s.project_id AND r.created_at > s.created_at GROUP BY 1"),
    Figure("source_state", "1 for the state a configured source is in: new, ok, failing, blocked, paused.",
           ("project", "source", "state"),
           "SELECT project_id, kind || ':' || name, CASE WHEN is_paused THEN 'paused' ELSE state END, 1 FROM sources"),
    Figure("source_lag_seconds", "Time since the last pull that went through.", ("project", "source"),
           "SELECT project_id, kind || ':' || name, epoch(now()) - epoch(coalesce(pulled_at, added_at)) FROM sources "
           "WHERE NOT is_paused"),
    Figure("jobs", "Attempts to fix clusters, by state.", ("project", "status"),
           "SELECT project_id, status, count(*) FROM jobs GROUP BY 1, 2"),
    Figure("fix_cost_usd", "What jobs of the last 24 hours cost.", ("project",),
           "SELECT project_id, sum(cost_usd) FROM jobs WHERE created_at > now() - INTERVAL 24 HOUR GROUP BY 1"),
    Figure("erasures_open", "Erasures of people that were begun and did not end.", ("project",),
           "SELECT project_id, count(*) FILTER (WHERE ended_at IS NULL) FROM erasures GROUP BY 1"),
    Figure("llm_calls", "Questions for words since midnight UTC, by how they were answered.", ("project", "outcome"),
           "SELECT project_id, outcome, count(*) FROM llm_calls "
           "WHERE called_at >= date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' GROUP BY 1, 2"),
    Figure("llm_cost_usd", "What questions for words cost since midnight UTC.", ("project",),
           "SELECT project_id, sum(cost_usd) FROM llm_calls "
           "WHERE called_at >= date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' GROUP BY 1"),
)  # fmt: skip


def read_figures(con: duckdb.DuckDBPyConnection) -> list[tuple[Figure, list[tuple[tuple[str, ...], float]]]]:
    """Every figure with its rows: label values, and the value."""
    found = []
    for figure in FIGURES:
        rows = con.execute(f"{_WITH_SHOWN} {figure.sql} ORDER BY ALL").fetchall()
        found.append((figure, [(tuple(str(label) for label in row[:-1]), float(row[-1] or 0)) for row in rows]))
    return found
