"""What the screens show of clusters: the list, one cluster with its items, its history and its neighbours.

Owns these SELECTs, writes nothing; see `screens` for the rules. Everything is read off the run on show.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import duckdb
import polars as pl
from pydantic import BaseModel, ConfigDict

from soulcaster.db.priorities import list_priorities
from soulcaster.db.screens import find_shown_run, frame_of, rows_of

TREND_WEEKS = 12
"""Points of a cluster's sparkline: one a week, a quarter of a year that ends at the project's newest item."""

ClusterSort = Literal["match", "priority", "items", "people", "recent", "rising", "title"]
"""`match`: how well it answers the search, by priority where nothing is searched for."""

RANK_OFFSET = 60
"""Of reciprocal rank fusion: how little the first ranks of one list count above the next ones of the other.
Source: Cormack, Clarke and Buettcher, Reciprocal Rank Fusion outperforms Condorcet, SIGIR 2009."""


class ClusterFilters(BaseModel):
    """What narrows the list of clusters; empty tuples and None narrow nothing."""

    model_config = ConfigDict(frozen=True)

    sources: tuple[str, ...] = ()
    theme_id: str | None = None
    statuses: tuple[str, ...] = ()
    min_items: int = 1
    owners: tuple[str, ...] = ()
    text: str = ""
    near: tuple[str, ...] = ()
    """Ids of clusters that say what `text` says in other words, nearest first: they pass as well."""
    only_bursts: bool = False


class ClusterRow(BaseModel):
    """One lasting cluster with what the run on show says about it; `n_items` is 0 when that run lost it."""

    cluster_id: str
    status: str
    title: str | None
    summary: str | None
    terms: list[str]
    summary_method: str | None
    hints: list[str] | None
    severity: str | None
    kind: str | None
    is_title_current: bool
    created_at: datetime
    theme_id: str | None
    theme: str | None
    n_items: int
    n_people: int
    n_by_source: dict[str, int]
    first_seen_at: datetime | None
    last_seen_at: datetime | None


_CLUSTER_LIST = """
    WITH newest AS (
        SELECT least(max(coalesce(created_at, first_seen_at)), now()) AS at FROM items WHERE project_id = $project_id
    ),
    member AS (
        SELECT m.cluster_id, i.source, i.author, i.source_group, i.user_count,
            coalesce(i.created_at, i.first_seen_at) AS happened_at,
            greatest(0, floor((epoch(newest.at) - epoch(coalesce(i.created_at, i.first_seen_at))) / 604800)) AS weeks,
            $text <> '' AND (contains(lower(i.title), $text) OR contains(lower(i.body), $text)) AS is_hit
        FROM run_memberships m JOIN items i USING (item_id), newest
        WHERE m.run_id = CAST($run_id AS UUID) AND m.cluster_id IS NOT NULL AND i.project_id = $project_id
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
            map_entries(histogram(source)) AS n_by_source, count(*) FILTER (WHERE is_hit) AS n_hits,
            min(happened_at) AS first_seen_at, max(happened_at) AS last_seen_at,
            count(*) FILTER (WHERE weeks < 4) - count(*) FILTER (WHERE weeks BETWEEN 4 AND 7) AS n_rise,
            [count(*) FILTER (WHERE weeks = 11), count(*) FILTER (WHERE weeks = 10),
             count(*) FILTER (WHERE weeks = 9), count(*) FILTER (WHERE weeks = 8),
             count(*) FILTER (WHERE weeks = 7), count(*) FILTER (WHERE weeks = 6),
             count(*) FILTER (WHERE weeks = 5), count(*) FILTER (WHERE weeks = 4),
             count(*) FILTER (WHERE weeks = 3), count(*) FILTER (WHERE weeks = 2),
             count(*) FILTER (WHERE weeks = 1), count(*) FILTER (WHERE weeks = 0)] AS trend
        FROM member GROUP BY cluster_id
    ),
    -- Words in title or summary stand above words in items; $near is a list, nearest first.
    matched AS (
        SELECT r.cluster_id, list_position($near, CAST(r.cluster_id AS VARCHAR)) AS near_rank,
            CASE WHEN $text = '' THEN 0
                WHEN contains(lower(concat_ws(' ', c.title, c.summary, t.title, array_to_string(c.terms, ' '))), $text)
                THEN 1000000000 + f.n_hits ELSE f.n_hits END AS words
        FROM run_clusters r JOIN fact f USING (cluster_id)
        JOIN clusters c ON c.cluster_id = r.cluster_id AND c.project_id = r.project_id
        LEFT JOIN themes t ON t.run_id = r.run_id AND t.theme_id = r.theme_id AND t.project_id = r.project_id
        WHERE r.run_id = CAST($run_id AS UUID) AND r.project_id = $project_id
    ),
    fused AS (
        SELECT cluster_id, words > 0 AS has_words, near_rank,
            CASE WHEN words > 0 THEN 1 / ($offset_of_ranks + rank() OVER (ORDER BY words DESC)) ELSE 0 END
            + coalesce(1 / ($offset_of_ranks + near_rank), 0) AS score
        FROM matched
    )
    SELECT CAST(r.cluster_id AS VARCHAR) AS cluster_id, c.title, t.title AS theme,
        CAST(r.theme_id AS VARCHAR) AS theme_id, c.status, c.owner, f.n_items,
        CAST(f.n_named + coalesce(u.n, 0) AS BIGINT) AS n_people, f.n_by_source, f.trend, f.n_rise,
        f.first_seen_at, f.last_seen_at, coalesce(p.priority, 0) AS priority, coalesce(p.is_burst, false) AS is_burst,
        [p.reach_points, p.severity_points, p.velocity_points, p.recency_points, p.trust_points, p.work_points]
            AS points,
        CASE WHEN $text = '' THEN '' WHEN m.has_words AND m.near_rank IS NOT NULL THEN 'both'
            WHEN m.has_words THEN 'words' ELSE 'meaning' END AS matched_by,
        count(*) OVER () AS n_found
    FROM run_clusters r
    JOIN fact f USING (cluster_id)
    JOIN fused m ON m.cluster_id = r.cluster_id
    LEFT JOIN cluster_priorities p ON p.cluster_id = CAST(r.cluster_id AS VARCHAR)
    JOIN clusters c ON c.cluster_id = r.cluster_id AND c.project_id = r.project_id
    LEFT JOIN themes t ON t.run_id = r.run_id AND t.theme_id = r.theme_id AND t.project_id = r.project_id
    LEFT JOIN unnamed u ON u.cluster_id = r.cluster_id
    WHERE r.run_id = CAST($run_id AS UUID) AND r.project_id = $project_id
        AND f.n_items >= $min_items AND (p.is_burst OR NOT $only_bursts)
        AND ($theme_id IS NULL OR r.theme_id = TRY_CAST($theme_id AS UUID))
        AND (len($statuses) = 0 OR list_contains($statuses, c.status))
        AND (len($sources) = 0 OR list_has_any($sources, list_transform(f.n_by_source, lambda each: each.key)))
        AND (len($owners) = 0 OR list_contains($owners, c.owner))
        AND ($text = '' OR m.has_words OR m.near_rank IS NOT NULL)
    ORDER BY CASE WHEN $sort = 'title' THEN lower(c.title) END NULLS LAST,
        CASE WHEN $sort = 'match' THEN m.score END DESC NULLS LAST,
        CASE $sort WHEN 'match' THEN coalesce(p.priority, 0) WHEN 'priority' THEN coalesce(p.priority, 0)
            WHEN 'people' THEN n_people WHEN 'rising' THEN f.n_rise
            WHEN 'recent' THEN epoch(f.last_seen_at) ELSE f.n_items END DESC,
        f.n_items DESC, r.cluster_id
    LIMIT $limit OFFSET $offset
"""


def list_clusters(
    con: duckdb.DuckDBPyConnection,
    project_id: str,
    filters: ClusterFilters,
    *,
    sort: ClusterSort = "items",
    limit: int,
    offset: int = 0,
) -> tuple[pl.DataFrame, int]:
    """One page of the clusters on show, and how many there are in all.

    Columns: cluster_id, title, theme, theme_id, status, n_items, n_people, n_by_source (list of key, value), trend
    (list of `TREND_WEEKS` counts, oldest first), n_rise (last four weeks minus the four before), first_seen_at,
    last_seen_at, priority (0 to 100), is_burst, points (list, in the order of `soulcaster.priority.POINTS`), owner,
    matched_by ('words', 'meaning' or 'both' of the search, '' without one).
    """
    params = {
        "project_id": project_id,
        "run_id": find_shown_run(con, project_id),
        "theme_id": filters.theme_id,
        "statuses": list(filters.statuses),
        "sources": list(filters.sources),
        "min_items": filters.min_items,
        "text": filters.text.strip().lower(),
        "near": list(filters.near) if filters.text.strip() else [],
        "owners": list(filters.owners),
        "offset_of_ranks": RANK_OFFSET,
        "only_bursts": filters.only_bursts,
        "sort": sort,
        "limit": limit,
        "offset": offset,
    }
    con.register("cluster_priorities", list_priorities(con, project_id))
    frame = first = frame_of(con, _CLUSTER_LIST, params)
    if frame.is_empty() and offset:
        first = frame_of(con, _CLUSTER_LIST, params | {"limit": 1, "offset": 0})
    con.unregister("cluster_priorities")
    return frame.drop("n_found"), _n_found(first)


def _n_found(frame: pl.DataFrame) -> int:
    return int(frame["n_found"][0]) if frame.height else 0


def list_themes(con: duckdb.DuckDBPyConnection, project_id: str, *, limit: int = 500) -> pl.DataFrame:
    """Columns theme_id, title, n_clusters, n_items of the run on show, largest first."""
    return frame_of(
        con,
        """
        SELECT CAST(theme_id AS VARCHAR) AS theme_id, title, n_clusters, n_items FROM themes
        WHERE run_id = CAST($run_id AS UUID) AND project_id = $project_id
        ORDER BY n_items DESC, theme_id LIMIT $limit
        """,
        {"project_id": project_id, "run_id": find_shown_run(con, project_id), "limit": limit},
    )


def list_statuses(con: duckdb.DuckDBPyConnection, project_id: str) -> list[str]:
    """The statuses that clusters of the run on show have, sorted."""
    rows = con.execute(
        "SELECT DISTINCT c.status FROM run_clusters r JOIN clusters c USING (cluster_id, project_id) "
        "WHERE r.run_id = CAST($run_id AS UUID) AND r.project_id = $project_id ORDER BY 1",
        {"project_id": project_id, "run_id": find_shown_run(con, project_id)},
    ).fetchall()
    return [status for (status,) in rows]


def list_owners(con: duckdb.DuckDBPyConnection, project_id: str) -> list[str]:
    """Who looks after clusters of the run on show, sorted."""
    rows = con.execute(
        "SELECT DISTINCT c.owner FROM run_clusters r JOIN clusters c USING (cluster_id, project_id) "
        "WHERE r.run_id = CAST($run_id AS UUID) AND r.project_id = $project_id AND c.owner IS NOT NULL ORDER BY 1",
        {"project_id": project_id, "run_id": find_shown_run(con, project_id)},
    ).fetchall()
    return [owner for (owner,) in rows]


def find_cluster(con: duckdb.DuckDBPyConnection, project_id: str, cluster_id: str) -> ClusterRow | None:
    """One cluster by its lasting id, also when the run on show no longer has it; None when the project never had it."""
    params = {"project_id": project_id, "cluster_id": cluster_id, "run_id": find_shown_run(con, project_id)}
    found = rows_of(
        con,
        """
        SELECT CAST(c.cluster_id AS VARCHAR) AS cluster_id, c.status, c.title, c.summary, c.terms, c.summary_method,
            c.hints, c.severity, c.kind, c.created_at,
            coalesce(c.summarized_hash = r.membership_hash, false) AS is_title_current,
            CAST(r.theme_id AS VARCHAR) AS theme_id, t.title AS theme
        FROM clusters c
        LEFT JOIN run_clusters r ON r.cluster_id = c.cluster_id AND r.run_id = CAST($run_id AS UUID)
        LEFT JOIN themes t ON t.run_id = r.run_id AND t.theme_id = r.theme_id
        WHERE c.project_id = $project_id AND c.cluster_id = TRY_CAST($cluster_id AS UUID)
        """,
        params,
    )
    if not found:
        return None
    by_source = rows_of(
        con,
        """
        WITH member AS (
            SELECT i.source, i.author, i.source_group, i.user_count,
                coalesce(i.created_at, i.first_seen_at) AS happened_at
            FROM run_memberships m JOIN items i USING (item_id)
            WHERE m.run_id = CAST($run_id AS UUID) AND m.cluster_id = TRY_CAST($cluster_id AS UUID)
                AND i.project_id = $project_id
        ),
        unnamed AS (
            SELECT source, sum(n) AS n FROM (
                SELECT source, max(user_count) AS n FROM member WHERE author IS NULL GROUP BY source, source_group
            ) GROUP BY source
        )
        SELECT source, count(*) AS n, CAST(count(DISTINCT author) + coalesce(any_value(u.n), 0) AS BIGINT) AS n_people,
            min(happened_at) AS first_seen_at, max(happened_at) AS last_seen_at
        FROM member LEFT JOIN unnamed u USING (source) GROUP BY source ORDER BY 2 DESC, 1
        """,
        params,
    )
    return ClusterRow(
        **found[0],
        n_items=sum(row["n"] for row in by_source),
        n_people=sum(row["n_people"] for row in by_source),
        n_by_source={row["source"]: row["n"] for row in by_source},
        first_seen_at=min((row["first_seen_at"] for row in by_source), default=None),
        last_seen_at=max((row["last_seen_at"] for row in by_source), default=None),
    )


def list_cluster_items(
    con: duckdb.DuckDBPyConnection,
    project_id: str,
    cluster_id: str,
    *,
    only_exemplars: bool = False,
    limit: int,
    offset: int = 0,
) -> pl.DataFrame:
    """One page of a cluster's items, the strongest members first.

    Columns: item_id, source, title, body (at most 4,000 characters), snippet, author, channel, url, state, happened_at,
    membership_strength, is_exemplar, similarity (cosine to the cluster's mean), reason, event_count.
    """
    return frame_of(
        con,
        """
        WITH page AS (
            SELECT m.item_id, m.membership_strength, m.is_exemplar, m.similarity, m.reason
            FROM run_memberships m
            WHERE m.run_id = CAST($run_id AS UUID) AND m.project_id = $project_id
                AND m.cluster_id = TRY_CAST($cluster_id AS UUID) AND (m.is_exemplar OR NOT $only_exemplars)
            ORDER BY m.is_exemplar DESC, m.membership_strength DESC, m.item_id
            LIMIT $limit OFFSET $offset
        )
        SELECT CAST(i.item_id AS VARCHAR) AS item_id, i.source, i.title, left(i.body, 4000) AS body,
            left(regexp_replace(trim(concat_ws('  ', nullif(i.title, ''), i.body)), '\\s+', ' ', 'g'), 300) AS snippet,
            i.author, i.channel, i.url, i.state, coalesce(i.created_at, i.first_seen_at) AS happened_at,
            page.membership_strength, page.is_exemplar, page.similarity, page.reason, i.event_count
        FROM page JOIN items i USING (item_id)
        WHERE i.project_id = $project_id
        ORDER BY page.is_exemplar DESC, page.membership_strength DESC, page.item_id
        """,
        {
            "project_id": project_id,
            "run_id": find_shown_run(con, project_id),
            "cluster_id": cluster_id,
            "only_exemplars": only_exemplars,
            "limit": limit,
            "offset": offset,
        },
    )


def list_transitions(con: duckdb.DuckDBPyConnection, project_id: str, cluster_id: str) -> pl.DataFrame:
    """What became of a cluster at each run that was on show, newest first, at most 50.

    Columns: run_id, created_at, kind, cluster_id, title, other_cluster_id, other_title, overlap, n_items (of the
    cluster in that run, null when the run does not have it).
    """
    return frame_of(
        con,
        """
        SELECT CAST(x.run_id AS VARCHAR) AS run_id, r.created_at, x.kind, CAST(x.cluster_id AS VARCHAR) AS cluster_id,
            a.title, CAST(x.other_cluster_id AS VARCHAR) AS other_cluster_id, b.title AS other_title, x.overlap,
            n.n_items
        FROM transitions x
        JOIN runs r ON r.run_id = x.run_id
        LEFT JOIN clusters a ON a.cluster_id = x.cluster_id
        LEFT JOIN clusters b ON b.cluster_id = x.other_cluster_id
        LEFT JOIN run_clusters n ON n.run_id = x.run_id AND n.cluster_id = TRY_CAST($cluster_id AS UUID)
        WHERE x.project_id = $project_id AND (x.cluster_id = TRY_CAST($cluster_id AS UUID)
            OR x.other_cluster_id = TRY_CAST($cluster_id AS UUID))
            AND x.run_id IN (SELECT run_id FROM publications WHERE project_id = $project_id)
        ORDER BY r.created_at DESC, x.kind LIMIT 50
        """,
        {"project_id": project_id, "cluster_id": cluster_id},
    )


def list_siblings(con: duckdb.DuckDBPyConnection, project_id: str, cluster_id: str, *, limit: int = 6) -> pl.DataFrame:
    """Other clusters of the run on show that share terms or the theme, most shared terms first.

    Columns: cluster_id, title, n_items, shared (list of terms), is_same_theme. Words only, no vectors.
    """
    return frame_of(
        con,
        """
        WITH this AS (
            SELECT c.terms, r.theme_id FROM clusters c
            LEFT JOIN run_clusters r ON r.cluster_id = c.cluster_id AND r.run_id = CAST($run_id AS UUID)
            WHERE c.project_id = $project_id AND c.cluster_id = TRY_CAST($cluster_id AS UUID)
        )
        SELECT CAST(c.cluster_id AS VARCHAR) AS cluster_id, c.title, r.n_items,
            list_intersect(c.terms, this.terms) AS shared, coalesce(r.theme_id = this.theme_id, false) AS is_same_theme
        FROM run_clusters r JOIN clusters c USING (cluster_id, project_id), this
        WHERE r.run_id = CAST($run_id AS UUID) AND r.project_id = $project_id
            AND c.cluster_id <> TRY_CAST($cluster_id AS UUID)
            AND (len(shared) > 0 OR is_same_theme)
        ORDER BY len(shared) + CAST(is_same_theme AS INTEGER) DESC, r.n_items DESC, cluster_id LIMIT $limit
        """,
        {
            "project_id": project_id,
            "run_id": find_shown_run(con, project_id),
            "cluster_id": cluster_id,
            "limit": limit,
        },
    )
