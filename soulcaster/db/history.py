"""A project's items as history: read whole, put into another store bit by bit."""

from __future__ import annotations

import duckdb
import polars as pl


def load_items(con: duckdb.DuckDBPyConnection, project_id: str) -> pl.DataFrame:
    """All columns of the items, and `said_at`: when each was made, or first seen where its source does not say."""
    return con.sql(
        "SELECT * REPLACE (item_id::VARCHAR AS item_id), coalesce(created_at, first_seen_at) AS said_at "
        "FROM items WHERE project_id = $project ORDER BY said_at, items.item_id",
        params={"project": project_id},
    ).pl()


def add_items(con: duckdb.DuckDBPyConnection, items: pl.DataFrame) -> None:
    """Put rows of `load_items` into a store that does not have them."""
    con.register("history_items", items)
    con.execute(
        "INSERT INTO items BY NAME SELECT * EXCLUDE (said_at) REPLACE (item_id::UUID AS item_id) FROM history_items"
    )
    con.unregister("history_items")


def list_members(con: duckdb.DuckDBPyConnection, project_id: str) -> pl.DataFrame:
    """Item_id and cluster_id (null for noise) of every item on show."""
    return con.sql(
        "SELECT item_id::VARCHAR AS item_id, cluster_id::VARCHAR AS cluster_id FROM published_memberships "
        "WHERE project_id = $project ORDER BY item_id",
        params={"project": project_id},
    ).pl()
