"""The windows of backfills: planned once, moved on as their items are committed.

Writing functions take a connection inside `db.write`.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from uuid import UUID

import duckdb
import polars as pl

from soulcaster.errors import PermanentError
from soulcaster.models import ImportReport
from soulcaster.windows import Window, WindowSpec

_COLUMNS = "window_id::VARCHAR, target, position, title, spec, state, n_done, counts, note"


def add_windows(con: duckdb.DuckDBPyConnection, project_id: str, windows: list[Window], now: datetime) -> None:
    """Those of the windows that the project does not know yet; known ones stay as they are."""
    rows = [
        (str(each.window_id), each.target, each.position, each.title, each.spec.model_dump_json()) for each in windows
    ]
    planned = pl.DataFrame(
        rows,
        schema={
            "window_id": pl.String, "target": pl.String, "position": pl.Int64, "title": pl.String, "spec": pl.String,
        },
        orient="row",
    )  # fmt: skip
    con.register("planned", planned)
    con.execute(
        """
        MERGE INTO backfill_windows USING (SELECT * REPLACE (window_id::UUID AS window_id) FROM planned) AS given
        ON backfill_windows.window_id = given.window_id
        WHEN NOT MATCHED THEN INSERT VALUES (given.window_id, $project, given.target, given.position, given.title,
            given.spec, 'waiting', 0, '{}', '', $now)
        """,
        {"project": project_id, "now": now},
    )
    con.unregister("planned")


def list_windows(con: duckdb.DuckDBPyConnection, project_id: str, window_ids: list[UUID]) -> list[Window]:
    """Those windows of the project, in the order of their plan."""
    rows = con.execute(
        f"""
        SELECT {_COLUMNS} FROM backfill_windows
        WHERE project_id = $1 AND window_id IN (SELECT unnest($2)::UUID) ORDER BY position, title
        """,  # noqa: S608  names of columns
        [project_id, [str(each) for each in window_ids]],
    ).fetchall()
    return [_window(row) for row in rows]


def get_window(con: duckdb.DuckDBPyConnection, project_id: str, window_id: UUID) -> Window:
    """One window.

    Raises:
        PermanentError: the project has no such window.
    """
    found = list_windows(con, project_id, [window_id])
    if not found:
        raise PermanentError(f"Project {project_id!r} has no backfill window {str(window_id)!r}; plan it first.")
    return found[0]


def save_progress(con: duckdb.DuckDBPyConnection, window: Window, *, now: datetime) -> None:
    """How far a window is, after its items are committed."""
    con.execute(
        """
        UPDATE backfill_windows SET state = $2, n_done = $3, counts = $4, note = $5, changed_at = $6
        WHERE window_id = $1
        """,
        [str(window.window_id), window.state, window.n_done, window.counts.model_dump_json(), window.note, now],
    )


def _window(row: tuple[Any, ...]) -> Window:
    window_id, target, position, title, spec, state, n_done, counts, note = row
    return Window(
        window_id=window_id, target=target, position=position, title=title, spec=WindowSpec.model_validate_json(spec),
        state=state, n_done=n_done, counts=ImportReport.model_validate(json.loads(counts)), note=note,
    )  # fmt: skip
