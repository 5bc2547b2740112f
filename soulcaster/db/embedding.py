"""Which texts there are to embed. Reads `embedded_items`; knows nothing of vectors."""

from __future__ import annotations

import duckdb
import polars as pl


def list_content_hashes(con: duckdb.DuckDBPyConnection, project_id: str | None) -> list[str]:
    """Distinct hashes of what is embedded of a project (of all for None), ascending; items without text have none."""
    rows = con.execute(
        "SELECT DISTINCT content_hash FROM embedded_items "
        "WHERE content_hash IS NOT NULL AND ($1 IS NULL OR project_id = $1) ORDER BY content_hash",
        [project_id],
    ).fetchall()
    return [content_hash for (content_hash,) in rows]


def list_texts(con: duckdb.DuckDBPyConnection, content_hashes: list[str]) -> pl.DataFrame:
    """Columns content_hash, title, body, statement: one row a hash that some item has, ascending; others are left out.

    Title and body come from one item: equal texts may be divided between the two in different ways. The statement is
    what is embedded in their place, null where there is none.
    """
    wanted = pl.DataFrame({"content_hash": content_hashes}, schema={"content_hash": pl.String()})
    con.register("wanted_hashes", wanted)
    try:
        return con.sql(
            "SELECT content_hash, text.title AS title, text.body AS body, statement FROM ("
            " SELECT content_hash, any_value({'title': title, 'body': body}) AS text, any_value(statement) AS statement"
            " FROM embedded_items SEMI JOIN wanted_hashes USING (content_hash) GROUP BY content_hash"
            ") ORDER BY content_hash"
        ).pl()
    finally:
        con.unregister("wanted_hashes")


def list_unused(con: duckdb.DuckDBPyConnection, content_hashes: list[str]) -> list[str]:
    """Those of the hashes under which nothing of any project is embedded any more, ascending."""
    asked = pl.DataFrame({"content_hash": content_hashes}, schema={"content_hash": pl.String()})
    con.register("asked_hashes", asked)
    try:
        rows = con.execute(
            "SELECT content_hash FROM asked_hashes ANTI JOIN embedded_items USING (content_hash) ORDER BY 1"
        ).fetchall()
    finally:
        con.unregister("asked_hashes")
    return [content_hash for (content_hash,) in rows]
