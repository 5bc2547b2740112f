"""What people keep for one another on the screens: projects by name, and saved views of the list of clusters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from duckdb import DuckDBPyConnection

from soulcaster.actors import Actor, require
from soulcaster.db import views as store
from soulcaster.db import write
from soulcaster.db.access import save_person
from soulcaster.db.views import SavedView
from soulcaster.errors import PermanentError
from soulcaster.settings import Settings

MAX_NAME_CHARS = 60
MAX_PROJECT_CHARS = 64
_MOST_CHARS = 2_000


def add_project(settings: Settings, project_id: str, name: str, *, actor: str) -> str:
    """Add a project; returns its name. Who is signed in becomes its admin, else nobody could enter it.

    Args:
        settings: where the store is.
        project_id: where the actor is now, whose admin may add another.
        name: 1 to `MAX_PROJECT_CHARS` printable characters.
        actor: who says so.

    Raises:
        PermanentError: the name is refused or taken, or the actor may not.
    """
    wanted = _named("project", name, MAX_PROJECT_CHARS)
    require(actor, project_id, "configure", f"Adding project {wanted!r}")
    now = datetime.now(UTC)

    def add(con: DuckDBPyConnection) -> None:
        store.add_project(con, wanted, actor=actor, now=now)
        if isinstance(actor, Actor) and actor.how == "sign-in":
            save_person(con, wanted, actor, "admin", actor=actor, now=now)

    write(settings.duckdb_path, add, timeout_seconds=settings.lock_timeout_seconds)
    return wanted


def save_view(
    settings: Settings, project_id: str, name: str, filters: Mapping[str, Sequence[str]], *, actor: str
) -> SavedView:
    """Keep filters of the list of clusters under a name, for everybody in the project.

    Raises:
        PermanentError: the name is refused or somebody else's with other filters, nothing is filtered, or the actor may
            not.
    """
    wanted = _named("view", name, MAX_NAME_CHARS)
    require(actor, project_id, "decide", f"Saving view {wanted!r}")
    chosen = {key: list(values) for key, values in sorted(filters.items()) if values}
    n_chars = sum(len(value) for values in chosen.values() for value in values)
    if not chosen or n_chars > _MOST_CHARS:
        raise PermanentError(
            f"Saving view {wanted!r} expected filters of 1 to {_MOST_CHARS} characters, got {n_chars}; filter first."
        )
    view = SavedView(wanted, chosen, datetime.now(UTC), actor)
    write(
        settings.duckdb_path,
        lambda con: store.save_view(con, project_id, view),
        timeout_seconds=settings.lock_timeout_seconds,
    )
    return view


def remove_view(settings: Settings, project_id: str, name: str, *, actor: str) -> None:
    """Forget a saved view.

    Raises:
        PermanentError: the project has none of that name, or the actor may not.
    """
    require(actor, project_id, "decide", f"Removing view {name!r}")
    now = datetime.now(UTC)
    write(
        settings.duckdb_path,
        lambda con: store.remove_view(con, project_id, name, actor=actor, now=now),
        timeout_seconds=settings.lock_timeout_seconds,
    )


def _named(what: str, name: str, most: int) -> str:
    wanted = " ".join(name.split())
    if not 1 <= len(wanted) <= most or not wanted.isprintable():
        raise PermanentError(f"A {what} expected a name of 1 to {most} printable characters, got {wanted[:80]!r}.")
    return wanted
