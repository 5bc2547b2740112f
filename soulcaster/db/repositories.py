"""The repositories of a project that fixes may be proposed to, and the kill switches. Nothing else is ever touched.

Writing functions take a connection inside `db.write`; every change goes into the activity log.
"""

from __future__ import annotations

import json
from datetime import datetime

import duckdb

from soulcaster.db.activity import add_activity
from soulcaster.errors import PermanentError
from soulcaster.fix_models import Repository, Switch


def list_repositories(con: duckdb.DuckDBPyConnection, project_id: str) -> list[Repository]:
    """The project's repositories by name."""
    rows = con.execute("SELECT fields FROM repositories WHERE project_id = $1 ORDER BY name", [project_id]).fetchall()
    return [Repository.model_validate_json(fields) for (fields,) in rows]


def has_repositories(con: duckdb.DuckDBPyConnection) -> bool:
    """Whether the store's schema knows repositories."""
    query = "SELECT count(*) FROM information_schema.tables WHERE table_name = 'repositories'"
    return bool(con.execute(query).fetchall()[0][0])


def get_repository(con: duckdb.DuckDBPyConnection, project_id: str, name: str) -> Repository:
    """One repository; the forge does not tell upper from lower case in names, so neither do we.

    Raises:
        PermanentError: the project has no such repository.
    """
    found = [each for each in list_repositories(con, project_id) if each.name.casefold() == name.casefold()]
    if not found:
        raise PermanentError(
            f"Project {project_id!r} has no repository {name!r}; `soulcaster repo list` shows those it has, "
            "`soulcaster repo add OWNER/NAME` adds one."
        )
    return found[0]


def save_repository(
    con: duckdb.DuckDBPyConnection, project_id: str, repository: Repository, *, actor: str, now: datetime
) -> None:
    """Add the repository, or put these fields in place of those it has."""
    known = [each for each in list_repositories(con, project_id) if each.name.casefold() == repository.name.casefold()]
    if known == [repository]:
        return
    for each in known:
        con.execute("DELETE FROM repositories WHERE project_id = $1 AND name = $2", [project_id, each.name])
    con.execute(
        "INSERT INTO repositories (project_id, name, fields, changed_at) VALUES ($1, $2, $3, $4)",
        [project_id, repository.name, repository.model_dump_json(exclude_defaults=True), now],
    )
    add_activity(
        con,
        project_id,
        actor=actor,
        action="repository-change" if known else "repository-add",
        subject=f"repository:{repository.name}",
        reason="",
        detail=json.loads(repository.model_dump_json(exclude_defaults=True)),
        at=now,
    )


def remove_repository(
    con: duckdb.DuckDBPyConnection, project_id: str, name: str, *, actor: str, now: datetime
) -> Repository:
    """Forget a repository; what was there. Its jobs stay in the history.

    Raises:
        PermanentError: the project has no such repository.
    """
    repository = get_repository(con, project_id, name)
    con.execute("DELETE FROM repositories WHERE project_id = $1 AND name = $2", [project_id, repository.name])
    subject = f"repository:{repository.name}"
    add_activity(
        con, project_id, actor=actor, action="repository-remove", subject=subject, reason="", detail={}, at=now
    )
    return repository


def find_switch_off(con: duckdb.DuckDBPyConnection, name: Switch) -> str:
    """Why the switch is off, with who and when; '' while it is on. Switches hold for all projects."""
    found = con.execute(
        "SELECT reason, actor, changed_at FROM switches WHERE name = $1 AND NOT is_on", [name]
    ).fetchall()
    if not found:
        return ""
    reason, actor, changed_at = found[0]
    return f"{name} was switched off by {actor} at {changed_at:%Y-%m-%d %H:%M} UTC: {reason or 'no reason given'}"


def set_switch(
    con: duckdb.DuckDBPyConnection,
    project_id: str,
    name: Switch,
    *,
    is_on: bool,
    reason: str,
    actor: str,
    now: datetime,
) -> None:
    """Turn a kill switch, for all projects; the log of the project it was turned from says so."""
    con.execute("DELETE FROM switches WHERE name = $1", [name])
    con.execute(
        "INSERT INTO switches (name, is_on, reason, actor, changed_at) VALUES ($1, $2, $3, $4, $5)",
        [name, is_on, reason, actor, now],
    )
    add_activity(
        con,
        project_id,
        actor=actor,
        action="switch-on" if is_on else "switch-off",
        subject=f"switch:{name}",
        reason=reason,
        detail={},
        at=now,
    )
