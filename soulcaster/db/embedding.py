"""Which texts there are to embed. Reads `items`; knows nothing of vectors."""

from __future__ import annotations

import duckdb
import polars as pl


def list_content_hashes(con: duckdb.DuckDBPyConnection, project_id: str | None) -> list[str]:
    """Distinct content hashes of a project (of all projects for None), ascending; items without text have none."""
    rows = con.execute(
        "SELECT DISTINCT content_hash FROM items "
        "WHERE content_hash IS NOT NULL AND ($1 IS NULL OR project_id = $1) ORDER BY content_hash",
        [project_id],
    ).fetchall()
    return [content_hash for (content_hash,) in rows]


def list_texts(con: duckdb.DuckDBPyConnection, content_hashes: list[str]) -> pl.DataFrame:
    """Columns content_hash, title, body: one row a hash that some item has, ascending; the others are left out.

    Title and body come from one item: equal texts may be divided between the two in different ways.
    """
    wanted = pl.DataFrame({"content_hash": content_hashes}, schema={"content_hash": pl.String()})
    con.register("wanted_hashes", wanted)
    try:
        return con.sql(
            "SELECT content_hash, text.title AS title, text.body AS body FROM ("
            " SELECT content_hash, any_value({'title': title, 'body': body}) AS text"
            " FROM items SEMI JOIN wanted_hashes USING (content_hash) GROUP BY content_hash"
            ") ORDER BY content_hash"
        ).pl()
    finally:
        con.unregister("wanted_hashes")
