"""What the list of clusters says of each cluster of the run on show, in one frame; and which of them have some words.

Owns these SELECTs, writes nothing. Counting members is the dear part, so it is done once for each state of the store.
"""

from __future__ import annotations

import duckdb
import polars as pl

from soulcaster.db.priorities import find_state, keep, list_priorities
from soulcaster.db.runs import find_published_run

TREND_WEEKS = 12
"""Points of a cluster's sparkline: one a week, a quarter of a year that ends at the project's newest item."""

NO_WORDS = pl.DataFrame(schema={"cluster_id": pl.String, "words": pl.Int64})
"""Rows of `count_words` where nothing is searched for."""

_IN_TITLE = 1_000_000_000
"""Words in title or summary stand above words in any number of items."""

_COUNTS = """
    WITH newest AS (
        SELECT least(max(coalesce(created_at, first_seen_at)), now()) AS at FROM items WHERE project_id = $project
    ),
    member AS (
        SELECT m.cluster_id, i.source, i.author, i.source_group, i.user_count,
            coalesce(i.created_at, i.first_seen_at) AS happened_at,
            greatest(0, floor((epoch(newest.at) - epoch(coalesce(i.created_at, i.first_seen_at))) / 604800)) AS weeks
        FROM run_memberships m JOIN items i USING (item_id), newest
        WHERE m.run_id = $run::UUID AND m.cluster_id IS NOT NULL AND i.project_id = $project
    ),
    -- A source that names nobody (an error tracker) counts its users per group of events: each group counts once.
    unnamed AS (
        SELECT cluster_id, sum(n) AS n FROM (
            SELECT cluster_id, max(user_count) AS n FROM member WHERE author IS NULL
            GROUP BY cluster_id, source, source_group
        ) GROUP BY cluster_id
    ),
    fact AS (
        SELECT cluster_id, count(*) AS n_items, count(DISTINCT source || ' ' || author) AS n_named,
            map_entries(histogram(source)) AS n_by_source,
            min(happened_at) AS first_seen_at, max(happened_at) AS last_seen_at,
            count(*) FILTER (WHERE weeks < 4) - count(*) FILTER (WHERE weeks BETWEEN 4 AND 7) AS n_rise,
            [count(*) FILTER (WHERE weeks = 11), count(*) FILTER (WHERE weeks = 10),
             count(*) FILTER (WHERE weeks = 9), count(*) FILTER (WHERE weeks = 8),
             count(*) FILTER (WHERE weeks = 7), count(*) FILTER (WHERE weeks = 6),
             count(*) FILTER (WHERE weeks = 5), count(*) FILTER (WHERE weeks = 4),
             count(*) FILTER (WHERE weeks = 3), count(*) FILTER (WHERE weeks = 2),
             count(*) FILTER (WHERE weeks = 1), count(*) FILTER (WHERE weeks = 0)] AS trend
        FROM member GROUP BY cluster_id
    )
    SELECT f.cluster_id::VARCHAR AS cluster_id, f.n_items, (f.n_named + coalesce(u.n, 0))::BIGINT AS n_people,
        f.n_by_source, f.trend, f.n_rise, f.first_seen_at, f.last_seen_at
    FROM fact f LEFT JOIN unnamed u USING (cluster_id)
"""

_FACTS = """
    WITH proposed AS (
        SELECT cluster_id, max_by(pr_url, created_at) AS pr_url FROM jobs
        WHERE project_id = $project AND pr_url IS NOT NULL GROUP BY cluster_id
    )
    SELECT f.cluster_id, c.title, t.title AS theme, r.theme_id::VARCHAR AS theme_id, c.status, c.owner, c.kind,
        c.severity, f.n_items, f.n_people, f.n_by_source, f.trend, f.n_rise, f.first_seen_at, f.last_seen_at,
        coalesce(p.priority, 0) AS priority, coalesce(p.is_burst, false) AS is_burst,
        [p.reach_points, p.severity_points, p.velocity_points, p.recency_points, p.trust_points, p.work_points]
            AS points, j.pr_url, c.hints
    FROM run_clusters r
    JOIN cluster_counts f ON f.cluster_id = r.cluster_id::VARCHAR
    JOIN clusters c ON c.cluster_id = r.cluster_id AND c.project_id = r.project_id
    LEFT JOIN cluster_priorities p ON p.cluster_id = f.cluster_id
    LEFT JOIN themes t ON t.run_id = r.run_id AND t.theme_id = r.theme_id AND t.project_id = r.project_id
    LEFT JOIN proposed j ON j.cluster_id = f.cluster_id
    WHERE r.run_id = $run::UUID AND r.project_id = $project
    ORDER BY f.cluster_id
"""

_SHOWN = """
    SELECT (
        SELECT [count(*), bit_xor(hash(hash(cluster_id, title, owner, kind, status, severity, hints)))]
        FROM clusters WHERE project_id = $project
    ), (
        SELECT [count(*), bit_xor(hash(hash(theme_id, title)))] FROM themes
        WHERE run_id = $run::UUID AND project_id = $project
    ), (
        SELECT [count(*), bit_xor(hash(hash(cluster_id, theme_id)))] FROM run_clusters
        WHERE run_id = $run::UUID AND project_id = $project
    ), (
        SELECT [count(*), bit_xor(hash(hash(job_id, cluster_id, pr_url, created_at)))] FROM jobs
        WHERE project_id = $project AND pr_url IS NOT NULL
    )
"""
"""What `_FACTS` reads beside the state that counts and priorities are made of."""

_WORDS = """
    WITH hit AS (
        SELECT m.cluster_id, count(*) AS n FROM run_memberships m JOIN items i USING (item_id)
        WHERE m.run_id = $run::UUID AND m.cluster_id IS NOT NULL AND i.project_id = $project
            AND (contains(lower(i.title), $text) OR contains(lower(i.body), $text))
        GROUP BY m.cluster_id
    ),
    named AS (
        SELECT r.cluster_id FROM run_clusters r
        JOIN clusters c ON c.cluster_id = r.cluster_id AND c.project_id = r.project_id
        LEFT JOIN themes t ON t.run_id = r.run_id AND t.theme_id = r.theme_id AND t.project_id = r.project_id
        WHERE r.run_id = $run::UUID AND r.project_id = $project
            AND contains(lower(concat_ws(' ', c.title, c.summary, t.title, array_to_string(c.terms, ' '))), $text)
    )
    SELECT cluster_id::VARCHAR AS cluster_id,
        coalesce(hit.n, 0) + CASE WHEN named.cluster_id IS NULL THEN 0 ELSE $in_title END AS words
    FROM hit FULL JOIN named USING (cluster_id) ORDER BY 1
"""


def load_facts(con: duckdb.DuckDBPyConnection, project_id: str) -> pl.DataFrame:
    """One row for every cluster of the run on show, by id; none before the first run.

    Columns: cluster_id, title, theme, theme_id, status, owner, kind, severity, n_items, n_people, n_by_source (list of
    key, value), trend (list of `TREND_WEEKS` counts, oldest first), n_rise (last four weeks minus the four before),
    first_seen_at, last_seen_at, priority (0 to 100), is_burst, points (list, in the order of
    `soulcaster.priority.POINTS`), pr_url (of the newest pull request), hints (how it may be reproduced).
    """
    run_id = find_published_run(con, project_id)
    params = {"project": project_id, "run": run_id}
    state = find_state(con, project_id, run_id)
    shown = repr(con.execute(_SHOWN, params).fetchall())
    return keep("facts", state + shown, lambda: _join_facts(con, project_id, run_id, state))


def _join_facts(con: duckdb.DuckDBPyConnection, project_id: str, run_id: str | None, state: str) -> pl.DataFrame:
    params = {"project": project_id, "run": run_id}
    con.register("cluster_counts", keep("counts", state, lambda: con.sql(_COUNTS, params=params).pl()))
    con.register("cluster_priorities", list_priorities(con, project_id, run_id, state=state))
    try:
        return con.sql(_FACTS, params=params).pl()
    finally:
        con.unregister("cluster_counts")
        con.unregister("cluster_priorities")


def count_words(con: duckdb.DuckDBPyConnection, project_id: str, text: str) -> pl.DataFrame:
    """Columns cluster_id, words: how often the clusters on show have `text` in their items, far more when they have it
    in title, summary, theme or terms. Without regard to case; empty without a text.
    """
    if not text:
        return NO_WORDS
    params = {
        "project": project_id, "run": find_published_run(con, project_id), "text": text.lower(), "in_title": _IN_TITLE,
    }  # fmt: skip
    return con.sql(_WORDS, params=params).pl()
