"""Which run people see: proposals that wait, publishing one by hand, going back to an earlier one; and who did what."""

from __future__ import annotations

import json
from typing import Any

from duckdb import DuckDBPyConnection

from soulcaster.actors import require
from soulcaster.db import activity, read, runs, write
from soulcaster.db.runs import RunRow
from soulcaster.errors import PermanentError
from soulcaster.settings import Settings


def list_runs(settings: Settings, project_id: str, *, limit: int = 20) -> list[RunRow]:
    """The newest runs with their state and churn, newest first."""
    return read(
        settings.duckdb_path,
        lambda con: runs.list_runs(con, project_id, limit=limit),
        timeout_seconds=settings.lock_timeout_seconds,
    )


def publish(settings: Settings, project_id: str, run: str, *, actor: str, force: bool = False) -> RunRow:
    """Show a proposal from now on.

    Args:
        settings: where the store is.
        project_id: whose run it is.
        run: its id or an unambiguous beginning of it.
        actor: who wants it.
        force: also when it was made on top of a run that is no longer shown: what was published since is then not in
            it (people's edits come back with the next refit, because they hold in every later run).

    Raises:
        PermanentError: there is no such run, it is on show or was, or it is outdated and `force` is not given.
    """
    require(actor, project_id, "publish", f"Publishing run {run!r}")

    def apply(con: DuckDBPyConnection) -> RunRow:
        found = runs.get_run(con, project_id, run)
        if found.state == "shown":
            raise PermanentError(f"Publishing run {found.run_id!r}: it is the one on show; nothing was done.")
        if found.state == "published":
            raise PermanentError(
                f"Publishing run {found.run_id!r}: expected a proposal, got a run that was on show before; "
                "use `soulcaster rollback` to go back to it."
            )
        if found.state == "outdated" and not force:
            by, at = runs.find_last_publication(con, project_id)
            raise PermanentError(
                f"Publishing run {found.run_id!r}: it was made from run {found.base_run_id!r}, but {by} published "
                f"another at {at:%Y-%m-%d %H:%M}; run `soulcaster recluster` for a fresh one, or use --force."
            )
        return _show(con, project_id, found, actor, "published by hand", "run published")

    return write(settings.duckdb_path, apply, timeout_seconds=settings.lock_timeout_seconds)


def rollback(settings: Settings, project_id: str, run: str, *, actor: str) -> RunRow:
    """Show a run again that was on show before, as it was. Items that came later wait until they are assigned.

    Raises:
        PermanentError: there is no such run, it is on show now, or it never was.
    """
    require(actor, project_id, "publish", f"Going back to run {run!r}")

    def apply(con: DuckDBPyConnection) -> RunRow:
        found = runs.get_run(con, project_id, run)
        if found.state != "published":
            got = "the one on show" if found.state == "shown" else "a proposal; use `soulcaster publish`"
            raise PermanentError(
                f"Going back to run {found.run_id!r}: expected a run that was on show before, got {got}."
            )
        return _show(con, project_id, found, actor, "rolled back", "run restored")

    return write(settings.duckdb_path, apply, timeout_seconds=settings.lock_timeout_seconds)


def _show(con: DuckDBPyConnection, project_id: str, found: RunRow, actor: str, reason: str, action: str) -> RunRow:
    detail = {"instead_of": runs.find_published_run(con, project_id)}
    runs.publish_run(con, project_id, found.run_id, actor=actor, reason=reason, detail=detail, action=action)
    return runs.get_run(con, project_id, found.run_id)


def list_activity(
    settings: Settings, project_id: str, *, subject: str | None = None, limit: int = 50
) -> list[dict[str, Any]]:
    """Who did what, newest first: happened_at, actor, action, subject, reason, detail, edit_id ('' for no edit).

    Args:
        settings: where the store is.
        project_id: whose log it is.
        subject: only what is about this run, cluster, item or edit.
        limit: most rows.
    """
    rows = read(
        settings.duckdb_path,
        lambda con: activity.list_activity(con, project_id, subject=subject, limit=limit),
        timeout_seconds=settings.lock_timeout_seconds,
    )
    for row in rows:
        row["detail"] = json.loads(row["detail"])
        row["edit_id"] = row["detail"].get("edit_id", "")
    return rows
