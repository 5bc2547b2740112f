"""What people were told, so that nothing is told twice."""

from __future__ import annotations

from datetime import datetime, timedelta

import duckdb

_FORGOTTEN_AFTER = timedelta(days=1)
"""What came to an end is remembered so long: something that flickers is told once a day."""


def find_untold(con: duckdb.DuckDBPyConnection, project_id: str, keys: list[str]) -> list[str]:
    """Those of the keys that nobody was told of, in their order."""
    known = {key for (key,) in con.execute("SELECT key FROM notices WHERE project_id = $1", [project_id]).fetchall()}
    return [key for key in keys if key not in known]


def note_told(con: duckdb.DuckDBPyConnection, project_id: str, keys: list[str], *, now: datetime) -> None:
    """Remember that all these are so now and were told; forget what has not been so for a day."""
    params = {"project": project_id, "keys": keys, "now": now}
    con.execute(
        "MERGE INTO notices USING (SELECT unnest($keys) AS key) AS n "
        "ON notices.key = n.key AND notices.project_id = $project "
        "WHEN MATCHED THEN UPDATE SET seen_at = $now "
        "WHEN NOT MATCHED THEN INSERT (project_id, key, told_at, seen_at) VALUES ($project, n.key, $now, $now)",
        params,
    )
    con.execute("DELETE FROM notices WHERE project_id = $1 AND seen_at < $2", [project_id, now - _FORGOTTEN_AFTER])
