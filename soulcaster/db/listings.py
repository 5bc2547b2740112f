"""Rows for programs that read page after page: each SELECT begins behind the last row of the page before.

Owns the paging of the HTTP API and of assistants; writes nothing. Clusters and items are read off one named run, so
that pages fit together while other runs are published.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import duckdb

from soulcaster.db.screens import rows_of

_CLUSTER_PAGE = """
    WITH page AS (
        SELECT r.cluster_id, r.theme_id, r.n_items AS place, c.title, c.summary, c.terms, c.status, c.owner,
            t.title AS theme
        FROM run_clusters r
        JOIN clusters c ON c.cluster_id = r.cluster_id AND c.project_id = r.project_id
        LEFT JOIN themes t ON t.run_id = r.run_id AND t.theme_id = r.theme_id AND t.project_id = r.project_id
        WHERE r.run_id = CAST($run_id AS UUID) AND r.project_id = $project_id
            AND (len($statuses) = 0 OR list_contains($statuses, c.status))
            AND ($theme_id IS NULL OR r.theme_id = TRY_CAST($theme_id AS UUID))
            AND ($text = '' OR contains(
                lower(concat_ws(' ', c.title, c.summary, t.title, array_to_string(c.terms, ' '))), $text))
            AND ($place IS NULL OR r.n_items < $place
                OR (r.n_items = $place AND r.cluster_id > TRY_CAST($cluster_id AS UUID)))
        ORDER BY r.n_items DESC, r.cluster_id LIMIT $limit
    ),
    fact AS (
        SELECT m.cluster_id, count(*) AS n_items, map_entries(histogram(i.source)) AS n_by_source,
            min(coalesce(i.created_at, i.first_seen_at)) AS first_seen_at,
            max(coalesce(i.created_at, i.first_seen_at)) AS last_seen_at
        FROM run_memberships m JOIN items i ON i.item_id = m.item_id AND i.project_id = m.project_id
        WHERE m.run_id = CAST($run_id AS UUID) AND m.cluster_id IN (SELECT cluster_id FROM page)
        GROUP BY m.cluster_id
    )
    SELECT CAST(p.cluster_id AS VARCHAR) AS cluster_id, p.title, p.summary, p.terms, p.status, p.owner, p.theme,
        CAST(p.theme_id AS VARCHAR) AS theme_id, coalesce(f.n_items, 0) AS n_items, f.first_seen_at,
        f.last_seen_at, f.n_by_source, p.place
    FROM page p LEFT JOIN fact f USING (cluster_id)
    ORDER BY p.place DESC, p.cluster_id
"""


def has_run(con: duckdb.DuckDBPyConnection, project_id: str, run_id: str) -> bool:
    """Whether the store still keeps this run of the project."""
    found = con.execute(
        "SELECT 1 FROM runs WHERE project_id = $1 AND run_id = TRY_CAST($2 AS UUID)", [project_id, run_id]
    ).fetchone()
    return found is not None


def page_clusters(
    con: duckdb.DuckDBPyConnection,
    project_id: str,
    run_id: str,
    *,
    statuses: list[str],
    theme_id: str | None,
    text: str,
    after: tuple[int, str] | None,
    limit: int,
) -> list[dict[str, Any]]:
    """Clusters of the run, largest first: cluster_id, title, summary, terms, status, owner, theme, theme_id, n_items,
    first_seen_at, last_seen_at, n_by_source (list of key, value), and `place`, the size that orders them.

    `text` is looked for in title, summary, theme and terms; `after` is (place, cluster_id) of the last row before.
    """
    n_before, id_before = after or (None, None)
    return rows_of(
        con,
        _CLUSTER_PAGE,
        {
            "project_id": project_id, "run_id": run_id, "statuses": statuses, "theme_id": theme_id,
            "text": text.strip().lower(), "place": n_before, "cluster_id": id_before, "limit": limit,
        },
    )  # fmt: skip


def page_items(
    con: duckdb.DuckDBPyConnection,
    project_id: str,
    run_id: str | None,
    *,
    cluster_id: str | None,
    sources: list[str],
    text: str,
    after: tuple[int, str] | None,
    limit: int,
) -> list[dict[str, Any]]:
    """Items, newest first, with their place in the run: item_id, source, external_id, title, body (at most 4,000
    characters), is_cut, author, url, channel, state, trust, language, happened_at, cluster_id, membership_strength,
    is_exemplar, and `place`, the time in microseconds that orders them.

    `text` is looked for in title and body; `after` is (place, item_id) of the last row before.
    """
    at_before, id_before = after or (None, None)
    return rows_of(
        con,
        """
        WITH found AS (
            SELECT i.item_id, m.cluster_id, m.membership_strength, m.is_exemplar,
                epoch_us(coalesce(i.created_at, i.first_seen_at)) AS place
            FROM items i LEFT JOIN run_memberships m
                ON m.item_id = i.item_id AND m.project_id = i.project_id AND m.run_id = TRY_CAST($run_id AS UUID)
            WHERE i.project_id = $project_id
                AND ($cluster_id IS NULL OR m.cluster_id = TRY_CAST($cluster_id AS UUID))
                AND (len($sources) = 0 OR list_contains($sources, i.source))
                AND ($text = '' OR contains(lower(i.title), $text) OR contains(lower(i.body), $text))
        ),
        page AS (
            SELECT * FROM found
            WHERE $place IS NULL OR place < $place OR (place = $place AND item_id > TRY_CAST($item_id AS UUID))
            ORDER BY place DESC, item_id LIMIT $limit
        )
        SELECT CAST(i.item_id AS VARCHAR) AS item_id, i.source, i.external_id, i.title, left(i.body, 4000) AS body,
            len(i.body) > 4000 AS is_cut, i.author, i.url, i.channel, i.state, i.trust, i.language,
            coalesce(i.created_at, i.first_seen_at) AS happened_at, CAST(p.cluster_id AS VARCHAR) AS cluster_id,
            p.membership_strength, coalesce(p.is_exemplar, false) AS is_exemplar, p.place
        FROM page p JOIN items i ON i.item_id = p.item_id AND i.project_id = $project_id
        ORDER BY p.place DESC, p.item_id
        """,
        {
            "project_id": project_id, "run_id": run_id, "cluster_id": cluster_id, "sources": sources,
            "text": text.strip().lower(), "place": at_before, "item_id": id_before, "limit": limit,
        },
    )  # fmt: skip


def page_themes(
    con: duckdb.DuckDBPyConnection, project_id: str, run_id: str, *, after: tuple[int, str] | None, limit: int
) -> list[dict[str, Any]]:
    """Themes of the run, largest first: theme_id, title, n_clusters, n_items; `place` is n_items."""
    n_before, id_before = after or (None, None)
    return rows_of(
        con,
        """
        SELECT CAST(theme_id AS VARCHAR) AS theme_id, title, n_clusters, n_items, n_items AS place FROM themes
        WHERE run_id = CAST($run_id AS UUID) AND project_id = $project_id
            AND ($place IS NULL OR n_items < $place OR (n_items = $place AND theme_id > TRY_CAST($theme_id AS UUID)))
        ORDER BY n_items DESC, themes.theme_id LIMIT $limit
        """,
        {"project_id": project_id, "run_id": run_id, "place": n_before, "theme_id": id_before, "limit": limit},
    )


def page_runs(
    con: duckdb.DuckDBPyConnection, project_id: str, *, after: tuple[int, str] | None, limit: int
) -> list[tuple[str, int]]:
    """Ids of runs, newest first, each with its time in microseconds."""
    at_before, id_before = after or (None, None)
    return con.execute(
        "SELECT CAST(run_id AS VARCHAR), epoch_us(created_at) AS place FROM runs WHERE project_id = $project "
        "AND ($place IS NULL OR epoch_us(created_at) < $place "
        "OR (epoch_us(created_at) = $place AND run_id > TRY_CAST($run AS UUID))) "
        "ORDER BY created_at DESC, run_id LIMIT $limit",
        {"project": project_id, "place": at_before, "run": id_before, "limit": limit},
    ).fetchall()


def count_statuses(con: duckdb.DuckDBPyConnection, project_id: str, run_id: str | None) -> dict[str, int]:
    """Clusters of the run by status."""
    rows = con.execute(
        "SELECT c.status, count(*) FROM run_clusters r "
        "JOIN clusters c ON c.cluster_id = r.cluster_id AND c.project_id = r.project_id "
        "WHERE r.project_id = $1 AND r.run_id = TRY_CAST($2 AS UUID) GROUP BY 1 ORDER BY 1",
        [project_id, run_id],
    ).fetchall()
    return dict(rows)


def find_newest_change(con: duckdb.DuckDBPyConnection, project_id: str) -> datetime | None:
    """When anybody last decided anything in the project."""
    row = con.execute("SELECT max(happened_at) FROM activity WHERE project_id = $1", [project_id]).fetchone()
    return None if row is None else row[0]
