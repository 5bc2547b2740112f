"""Projects by name, and the views of the list of clusters that a project keeps for everybody who works in it.

Writing functions take a connection inside `db.write`; every change goes into the activity log.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import NamedTuple

import duckdb

from soulcaster.db.activity import add_activity
from soulcaster.db.screens import list_projects
from soulcaster.errors import PermanentError


class SavedView(NamedTuple):
    """Filters of the list of clusters under a name."""

    name: str
    filters: dict[str, list[str]]
    """Values by parameter of the list's address."""
    saved_at: datetime
    saved_by: str


def add_project(con: duckdb.DuckDBPyConnection, project_id: str, *, actor: str, now: datetime) -> None:
    """Remember a project that holds nothing yet.

    Raises:
        PermanentError: one of that name, without regard to case, is there.
    """
    if same := [name for name in list_projects(con) if name.casefold() == project_id.casefold()]:
        raise PermanentError(f"Adding project {project_id!r}: there is {same[0]!r} already; choose another name.")
    con.execute("INSERT INTO projects VALUES ($1, $2, $3)", [project_id, now, actor])
    add_activity(
        con, project_id, actor=actor, action="project-add", subject=f"project:{project_id}", reason="", detail={},
        at=now,
    )  # fmt: skip


def list_views(con: duckdb.DuckDBPyConnection, project_id: str) -> list[SavedView]:
    """The project's saved views by name."""
    rows = con.execute(
        "SELECT name, filters, saved_at, saved_by FROM saved_views WHERE project_id = $1 ORDER BY lower(name), name",
        [project_id],
    ).fetchall()
    return [SavedView(name, json.loads(filters), at, by) for name, filters, at, by in rows]


def save_view(con: duckdb.DuckDBPyConnection, project_id: str, view: SavedView) -> None:
    """Keep the view, in place of one of the same name by the same person.

    Raises:
        PermanentError: somebody else saved other filters under that name.
    """
    found = {each.name: each for each in list_views(con, project_id)}.get(view.name)
    if found is not None and found.saved_by != view.saved_by and found.filters != view.filters:
        raise PermanentError(
            f"Saving view {view.name!r}: {found.saved_by!r} saved other filters under that name; choose another name, "
            "or forget theirs first."
        )
    _delete(con, project_id, view.name)
    con.execute(
        "INSERT INTO saved_views VALUES ($1, $2, $3, $4, $5)",
        [project_id, view.name, json.dumps(view.filters), view.saved_at, view.saved_by],
    )
    add_activity(
        con, project_id, actor=view.saved_by, action="view-save", subject=f"view:{view.name}", reason="",
        detail=view.filters, at=view.saved_at,
    )  # fmt: skip


def remove_view(con: duckdb.DuckDBPyConnection, project_id: str, name: str, *, actor: str, now: datetime) -> None:
    """Forget a view.

    Raises:
        PermanentError: the project has none of that name.
    """
    found = {each.name: each for each in list_views(con, project_id)}
    if name not in found:
        raise PermanentError(f"Removing view {name!r}: project {project_id!r} has none of that name; look again.")
    _delete(con, project_id, name)
    add_activity(
        con, project_id, actor=actor, action="view-remove", subject=f"view:{name}", reason="",
        detail=found[name].filters, at=now,
    )  # fmt: skip


def _delete(con: duckdb.DuckDBPyConnection, project_id: str, name: str) -> None:
    con.execute("DELETE FROM saved_views WHERE project_id = $1 AND name = $2", [project_id, name])
