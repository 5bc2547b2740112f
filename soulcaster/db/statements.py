"""Texts restated as the problem behind them: which wait for it, and what was written. Writers run inside `db.write`."""

from __future__ import annotations

from datetime import datetime

import duckdb
import polars as pl

from soulcaster.db.embedding import list_unused

SCHEMA = pl.Schema({"content_hash": pl.String(), "statement": pl.String(), "embedded_hash": pl.String()})
"""What `write_statements` takes; the last two are null where a text speaks for itself."""

_COUNT_WAITING = """
    SELECT count(DISTINCT i.content_hash)
    FROM items i ANTI JOIN (SELECT content_hash FROM statements WHERE project_id = $project AND written_by = $writer) s
        ON s.content_hash = i.content_hash
    WHERE i.project_id = $project AND i.content_hash IS NOT NULL
"""
_WAITING = """
    SELECT content_hash, text.title AS title, text.body AS body FROM (
        SELECT i.content_hash, any_value({'title': i.title, 'body': i.body}) AS text,
            max(coalesce(i.created_at, i.first_seen_at)) AS said_at
        FROM items i
        ANTI JOIN (SELECT content_hash FROM statements WHERE project_id = $project AND written_by = $writer) s
            ON s.content_hash = i.content_hash
        WHERE i.project_id = $project AND i.content_hash IS NOT NULL GROUP BY i.content_hash
    ) ORDER BY said_at DESC, content_hash LIMIT $limit
"""


def count_waiting(con: duckdb.DuckDBPyConnection, project_id: str, *, written_by: str) -> int:
    """Distinct texts of the project for which this writer wrote nothing yet."""
    [(count,)] = con.execute(_COUNT_WAITING, {"project": project_id, "writer": written_by}).fetchall()
    return int(count)


def list_waiting(con: duckdb.DuckDBPyConnection, project_id: str, *, written_by: str, limit: int) -> pl.DataFrame:
    """Columns content_hash, title, body: texts for which this writer wrote nothing yet, the newest first."""
    return con.sql(_WAITING, params={"project": project_id, "writer": written_by, "limit": limit}).pl()


def write_statements(
    con: duckdb.DuckDBPyConnection, project_id: str, statements: pl.DataFrame, *, written_by: str, now: datetime
) -> list[str]:
    """Put these (`SCHEMA`) in the place of older ones; those of texts that nobody says any more are forgotten.

    Returns the hashes under which nothing is embedded any more because of it.
    """
    before = [*_list_hashes(con, project_id), *statements["content_hash"]]
    con.register("new_statements", statements)
    con.execute(
        "MERGE INTO statements USING new_statements AS n "
        "ON statements.content_hash = n.content_hash AND statements.project_id = $project "
        "WHEN MATCHED THEN UPDATE SET statement = n.statement, embedded_hash = n.embedded_hash, "
        "written_by = $writer, written_at = $now "
        "WHEN NOT MATCHED THEN INSERT (project_id, content_hash, statement, embedded_hash, written_by, written_at) "
        "VALUES ($project, n.content_hash, n.statement, n.embedded_hash, $writer, $now)",
        {"project": project_id, "writer": written_by, "now": now},
    )
    con.unregister("new_statements")
    con.execute(
        "DELETE FROM statements WHERE project_id = $project AND content_hash NOT IN ("
        "SELECT content_hash FROM items WHERE project_id = $project AND content_hash IS NOT NULL)",
        {"project": project_id},
    )
    return list_unused(con, before)


def count_statements(con: duckdb.DuckDBPyConnection, project_id: str) -> int:
    """Texts of the project that were restated or found to speak for themselves."""
    [(count,)] = con.execute("SELECT count(*) FROM statements WHERE project_id = $1", [project_id]).fetchall()
    return int(count)


def forget_statements(con: duckdb.DuckDBPyConnection, project_id: str) -> list[str]:
    """Let every text of the project speak for itself again; what is left of it, as for `write_statements`."""
    before = _list_hashes(con, project_id)
    con.execute("DELETE FROM statements WHERE project_id = $1", [project_id])
    return list_unused(con, before)


def _list_hashes(con: duckdb.DuckDBPyConnection, project_id: str) -> list[str]:
    rows = con.execute(
        "SELECT embedded_hash FROM statements WHERE project_id = $1 AND embedded_hash IS NOT NULL", [project_id]
    ).fetchall()
    return [embedded_hash for (embedded_hash,) in rows]
