"""What the screens show of feedback, quarantine and runs: counts and pages of rows, all made inside DuckDB.

Owns the SELECTs behind the screens, beside `cluster_screens`; writes nothing. No function hands out more rows than the
page that was asked for. The run on show is the project's newest publication.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

import duckdb
import polars as pl
from pydantic import BaseModel, ConfigDict

from soulcaster.db.connection import read
from soulcaster.errors import PermanentError

T = TypeVar("T")
Bucket = Literal["day", "week", "month", "year"]
UTC_BUCKET = "date_trunc($bucket, make_timestamp(epoch_us(coalesce(i.created_at, i.first_seen_at))))"
"""When something happened, in SQL: the beginning of its bucket in UTC. Truncating a time with a zone goes through a
calendar and costs three times as much."""
Lane = Literal["all", "clustered", "noise", "waiting"]


class RunRow(BaseModel):
    """One re-clustering as lists show it. `published_at` is null for a run that was never on show."""

    run_id: str
    created_at: datetime
    model_id: str
    parameters: str
    n_items: int
    n_clusters: int
    n_themes: int
    n_noise: int
    seconds: float
    published_at: datetime | None
    published_by: str | None
    is_shown: bool


class Overview(BaseModel):
    """The numbers on the first page."""

    n_items: int
    n_by_source: dict[str, int]
    n_without_text: int
    n_gone: int
    n_waiting: int
    """Items with text that the run on show does not know; all of them when there is no run."""
    n_untitled: int
    n_quarantined: int
    oldest_at: datetime | None
    newest_at: datetime | None
    run: RunRow | None


class ItemFilters(BaseModel):
    """What narrows the list of feedback; empty tuples and empty text narrow nothing."""

    model_config = ConfigDict(frozen=True)

    lane: Lane = "all"
    sources: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    text: str = ""
    is_oldest_first: bool = False


def read_screen(path: Path, fn: Callable[[duckdb.DuckDBPyConnection], T], *, timeout_seconds: float) -> T:
    """Result of `fn` on a short read-only connection.

    Raises:
        PermanentError: there is no store, or its schema is older than these queries.
        TransientError: somebody held the store for longer than `timeout_seconds`.
    """
    try:
        return read(path, fn, timeout_seconds=timeout_seconds)
    except (duckdb.CatalogException, duckdb.BinderException) as error:
        raise PermanentError(
            f"Reading the store {str(path)!r} found an older schema than this version needs; run `soulcaster migrate`."
        ) from error


def frame_of(con: duckdb.DuckDBPyConnection, sql: str, params: dict[str, Any]) -> pl.DataFrame:
    """Result of one query as a frame."""
    return con.sql(sql, params=params).pl()


def rows_of(con: duckdb.DuckDBPyConnection, sql: str, params: dict[str, Any]) -> list[dict[str, Any]]:
    """Result of one query as one dict a row; for a handful of rows."""
    found = con.execute(sql, params)
    names = [column[0] for column in found.description or []]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def list_projects(con: duckdb.DuckDBPyConnection) -> list[str]:
    """Names of all projects that were added or that hold anything, sorted."""
    rows = con.execute(
        "SELECT project_id FROM projects UNION SELECT DISTINCT project_id FROM items "
        "UNION SELECT DISTINCT project_id FROM quarantine UNION SELECT DISTINCT project_id FROM sources "
        "UNION SELECT DISTINCT project_id FROM repositories ORDER BY 1"
    ).fetchall()
    return [name for (name,) in rows]


def find_shown_run(con: duckdb.DuckDBPyConnection, project_id: str) -> str | None:
    """Id of the run the project shows: that of its newest publication, None before the first."""
    row = con.execute(
        "SELECT CAST(run_id AS VARCHAR) FROM publications WHERE project_id = $project_id "
        "ORDER BY published_at DESC LIMIT 1",
        {"project_id": project_id},
    ).fetchone()
    return None if row is None else str(row[0])


def get_overview(con: duckdb.DuckDBPyConnection, project_id: str) -> Overview:
    """Counts of everything the first page names; zeros on an empty store."""
    run_id = find_shown_run(con, project_id)
    by_source = rows_of(
        con,
        """
        SELECT source, count(*) AS n, count(*) FILTER (WHERE content_hash IS NULL) AS n_without_text,
            count(*) FILTER (WHERE state IN ('removed', 'deleted')) AS n_gone,
            min(coalesce(created_at, first_seen_at)) AS oldest_at, max(coalesce(created_at, first_seen_at)) AS newest_at
        FROM items WHERE project_id = $project_id GROUP BY source ORDER BY n DESC, source
        """,
        {"project_id": project_id},
    )
    [rest] = rows_of(
        con,
        """
        SELECT
            (SELECT count(*) FROM quarantine WHERE project_id = $project_id AND released_at IS NULL) AS n_quarantined,
            (SELECT count(*) FROM run_clusters r JOIN clusters c USING (cluster_id, project_id)
             WHERE r.run_id = CAST($run_id AS UUID) AND c.title IS NULL) AS n_untitled,
            (SELECT count(*) FROM items i ANTI JOIN
                (SELECT item_id FROM run_memberships WHERE run_id = CAST($run_id AS UUID)) m ON i.item_id = m.item_id
             WHERE i.project_id = $project_id AND i.content_hash IS NOT NULL) AS n_waiting
        """,
        {"project_id": project_id, "run_id": run_id},
    )
    return Overview(
        n_items=sum(row["n"] for row in by_source),
        n_by_source={row["source"]: row["n"] for row in by_source},
        n_without_text=sum(row["n_without_text"] for row in by_source),
        n_gone=sum(row["n_gone"] for row in by_source),
        oldest_at=min((row["oldest_at"] for row in by_source), default=None),
        newest_at=max((row["newest_at"] for row in by_source), default=None),
        run=None if run_id is None else next((run for run in list_runs(con, project_id) if run.is_shown), None),
        **rest,
    )


def count_by_time(
    con: duckdb.DuckDBPyConnection,
    project_id: str,
    bucket: Bucket,
    *,
    since: datetime | None = None,
    cluster_id: str | None = None,
) -> pl.DataFrame:
    """Columns starts_at, source, n: feedback per bucket and source, of one cluster when it is named."""
    return frame_of(
        con,
        f"""
        SELECT starts_at AT TIME ZONE 'UTC' AS starts_at, source, count(*) AS n FROM (
            SELECT {UTC_BUCKET} AS starts_at, i.source FROM items i
            WHERE i.project_id = $project_id
                AND ($since IS NULL OR coalesce(i.created_at, i.first_seen_at) >= CAST($since AS TIMESTAMPTZ))
                AND ($cluster_id IS NULL OR i.item_id IN (
                    SELECT item_id FROM run_memberships
                    WHERE run_id = CAST($run_id AS UUID) AND cluster_id = CAST($cluster_id AS UUID)))
        ) GROUP BY ALL ORDER BY starts_at, source
        """,  # noqa: S608  a constant
        {
            "project_id": project_id,
            "bucket": bucket,
            "since": since,
            "cluster_id": cluster_id,
            "run_id": find_shown_run(con, project_id),
        },
    )


_ITEM_PAGE = """
    WITH found AS (
        SELECT i.item_id, m.cluster_id, m.membership_strength,
            epoch(coalesce(i.created_at, i.first_seen_at)) * CASE WHEN $is_oldest_first THEN 1 ELSE -1 END AS place
        FROM items i LEFT JOIN run_memberships m
            ON m.item_id = i.item_id AND m.run_id = CAST($run_id AS UUID)
        WHERE i.project_id = $project_id
            AND ($lane = 'all'
                 OR ($lane = 'clustered' AND m.cluster_id IS NOT NULL)
                 OR ($lane = 'noise' AND m.item_id IS NOT NULL AND m.cluster_id IS NULL)
                 OR ($lane = 'waiting' AND m.item_id IS NULL AND i.content_hash IS NOT NULL))
            AND (len($sources) = 0 OR list_contains($sources, i.source))
            AND (len($states) = 0 OR list_contains($states, i.state))
            AND (len($languages) = 0 OR list_contains($languages, i.language))
            AND ($text = '' OR contains(lower(i.title), $text) OR contains(lower(i.body), $text))
    ),
    page AS (SELECT * FROM found ORDER BY place, item_id LIMIT $limit OFFSET $offset)
    SELECT n.n_found, CAST(p.item_id AS VARCHAR) AS item_id, i.source,
        left(regexp_replace(trim(concat_ws('  ', nullif(i.title, ''), i.body)), '\\s+', ' ', 'g'), 300) AS snippet,
        i.author, i.channel, i.url, i.state, i.language, coalesce(i.created_at, i.first_seen_at) AS happened_at,
        p.membership_strength, CAST(p.cluster_id AS VARCHAR) AS cluster_id, c.title AS cluster_title
    FROM (SELECT count(*) AS n_found FROM found) n
    LEFT JOIN page p ON true
    LEFT JOIN items i ON i.item_id = p.item_id AND i.project_id = $project_id
    LEFT JOIN clusters c ON c.cluster_id = p.cluster_id AND c.project_id = $project_id
    ORDER BY p.place, p.item_id
"""


def list_items(
    con: duckdb.DuckDBPyConnection, project_id: str, filters: ItemFilters, *, limit: int, offset: int = 0
) -> tuple[pl.DataFrame, int]:
    """One page of feedback, newest first unless asked otherwise, and how many rows the filters find in all.

    Columns: item_id, source, snippet (at most 300 characters, one line), author, channel, url, state, language,
    happened_at, membership_strength, cluster_id and cluster_title (null outside clusters).
    """
    frame = frame_of(
        con,
        _ITEM_PAGE,
        {
            "project_id": project_id,
            "run_id": find_shown_run(con, project_id),
            "lane": filters.lane,
            "sources": list(filters.sources),
            "states": list(filters.states),
            "languages": list(filters.languages),
            "text": filters.text.strip().lower(),
            "is_oldest_first": filters.is_oldest_first,
            "limit": limit,
            "offset": offset,
        },
    )
    return frame.filter(pl.col("item_id").is_not_null()).drop("n_found"), int(frame["n_found"][0])


def find_item(con: duckdb.DuckDBPyConnection, project_id: str, item_id: str) -> dict[str, Any] | None:
    """All columns of one item, its cluster in the run on show and its statement; None when there is none such."""
    found = rows_of(
        con,
        """
        SELECT i.*, coalesce(i.created_at, i.first_seen_at) AS happened_at, CAST(m.cluster_id AS VARCHAR) AS cluster_id,
            c.title AS cluster_title, m.membership_strength, m.item_id IS NOT NULL AS is_grouped, s.statement
        FROM items i
        LEFT JOIN statements s ON s.content_hash = i.content_hash AND s.project_id = i.project_id
        LEFT JOIN run_memberships m ON m.item_id = i.item_id AND m.run_id = CAST($run_id AS UUID)
        LEFT JOIN clusters c ON c.cluster_id = m.cluster_id AND c.project_id = i.project_id
        WHERE i.project_id = $project_id AND i.item_id = TRY_CAST($item_id AS UUID)
        """,
        {"project_id": project_id, "item_id": item_id, "run_id": find_shown_run(con, project_id)},
    )
    return found[0] if found else None


def list_item_values(con: duckdb.DuckDBPyConnection, project_id: str) -> dict[str, list[str]]:
    """What the filters of the feedback page can offer: sources, states and languages, the most frequent first, at most
    50 languages.
    """
    [row] = rows_of(
        con,
        """
        SELECT
            (SELECT list(source ORDER BY n DESC, source) FROM (
                SELECT source, count(*) AS n FROM items WHERE project_id = $project_id GROUP BY source)) AS sources,
            (SELECT list(state ORDER BY n DESC, state) FROM (
                SELECT state, count(*) AS n FROM items WHERE project_id = $project_id GROUP BY state)) AS states,
            (SELECT list(language ORDER BY n DESC, language) FROM (
                SELECT language, count(*) AS n FROM items WHERE project_id = $project_id
                GROUP BY language ORDER BY n DESC, language LIMIT 50)) AS languages
        """,
        {"project_id": project_id},
    )
    return {name: list(values or []) for name, values in row.items()}


def count_fixes(con: duckdb.DuckDBPyConnection, project_id: str, *, since: datetime) -> dict[str, int]:
    """How far the jobs created since then came: started, tested, held (no harm found), proposed, merged."""
    [row] = rows_of(
        con,
        """
        SELECT count(*) AS started, count(*) FILTER (WHERE verdict IS NOT NULL) AS tested,
            count(*) FILTER (WHERE verdict IN ('proved', 'regression_safe')) AS held,
            count(*) FILTER (WHERE pr_number IS NOT NULL) AS proposed,
            count(*) FILTER (WHERE merged_at IS NOT NULL) AS merged
        FROM jobs WHERE project_id = $project_id AND created_at >= CAST($since AS TIMESTAMPTZ)
        """,
        {"project_id": project_id, "since": since},
    )
    return row


def count_quarantine(con: duckdb.DuckDBPyConnection, project_id: str) -> dict[str, int]:
    """Rows that wait in quarantine by reason, most frequent first."""
    rows = con.execute(
        "SELECT reason, count(*) FROM quarantine WHERE project_id = $project_id AND released_at IS NULL "
        "GROUP BY reason ORDER BY 2 DESC, 1",
        {"project_id": project_id},
    ).fetchall()
    return dict(rows)


def list_quarantine(
    con: duckdb.DuckDBPyConnection, project_id: str, reasons: tuple[str, ...], *, limit: int, offset: int = 0
) -> pl.DataFrame:
    """One page of rows that wait in quarantine, newest first; columns as in the table, the payload capped."""
    return frame_of(
        con,
        """
        SELECT CAST(quarantine_id AS VARCHAR) AS quarantine_id, source, external_id, location, reason, detail,
            left(payload, 4000) AS payload, item IS NOT NULL AS is_rule_only, quarantined_at
        FROM quarantine
        WHERE project_id = $project_id AND released_at IS NULL
            AND (len($reasons) = 0 OR list_contains($reasons, reason))
        ORDER BY quarantined_at DESC, quarantine_id LIMIT $limit OFFSET $offset
        """,
        {"project_id": project_id, "reasons": list(reasons), "limit": limit, "offset": offset},
    )


def list_runs(con: duckdb.DuckDBPyConnection, project_id: str, *, limit: int = 100) -> list[RunRow]:
    """The newest re-clusterings, newest first; the one on show is always among them."""
    found = rows_of(
        con,
        """
        WITH published AS (
            SELECT run_id, max(published_at) AS published_at, arg_max(published_by, published_at) AS published_by
            FROM publications WHERE project_id = $project_id GROUP BY run_id
        )
        SELECT CAST(r.run_id AS VARCHAR) AS run_id, r.created_at, r.model_id, r.parameters, r.n_items, r.n_clusters,
            r.n_themes, r.n_noise, r.seconds, p.published_at, p.published_by,
            coalesce(r.run_id = CAST($run_id AS UUID), false) AS is_shown
        FROM runs r LEFT JOIN published p USING (run_id)
        WHERE r.project_id = $project_id
        QUALIFY row_number() OVER (ORDER BY r.created_at DESC) <= $limit OR r.run_id = CAST($run_id AS UUID)
        ORDER BY r.created_at DESC, run_id
        """,
        {"project_id": project_id, "run_id": find_shown_run(con, project_id), "limit": limit},
    )
    return [RunRow(**row) for row in found]
