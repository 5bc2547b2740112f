"""All that the store holds of one project, table by table, for people who want to take it elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb

if TYPE_CHECKING:
    import pyarrow as pa

_SECRET = {"access_tokens": {"secret_sha256"}, "erasures": {"key", "author_hash", "content_hashes"}}
"""Columns by table that open doors or tell people apart; they are left out."""

_ROWS = 10_000


def list_tables(con: duckdb.DuckDBPyConnection) -> list[str]:
    """Tables whose rows belong to projects, by name."""
    rows = con.execute(
        "SELECT DISTINCT t.table_name FROM duckdb_tables() t JOIN duckdb_columns() c "
        "ON c.table_oid = t.table_oid AND c.schema_oid = t.schema_oid WHERE c.column_name = 'project_id' ORDER BY 1"
    ).fetchall()
    return [name for (name,) in rows]


def read_table(con: duckdb.DuckDBPyConnection, table: str, project_id: str) -> pa.RecordBatchReader:
    """The project's rows of one of `list_tables`, in batches; ids as text."""
    columns = con.execute(
        "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = $1 ORDER BY column_index", [table]
    ).fetchall()
    wanted = [
        f'CAST("{name}" AS VARCHAR) AS "{name}"' if kind == "UUID" else f'"{name}"'
        for name, kind in columns
        if name not in _SECRET.get(table, set())
    ]
    query = f'SELECT {", ".join(wanted)} FROM "{table}" WHERE project_id = $1'  # noqa: S608  our own names
    return con.execute(query, [project_id]).to_arrow_reader(_ROWS)
