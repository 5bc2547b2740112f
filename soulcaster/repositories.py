"""The repositories of a project and the kill switches of fixes, for the command line and the app."""

from __future__ import annotations

import posixpath
from datetime import UTC, datetime
from typing import Any, get_args

from duckdb import DuckDBPyConnection
from pydantic import ValidationError

from soulcaster.actors import require
from soulcaster.db import read, write
from soulcaster.db import repositories as rows
from soulcaster.errors import PermanentError
from soulcaster.fix_models import Repository, Route, Switch
from soulcaster.models import SOURCES
from soulcaster.settings import Settings


def list_repositories(settings: Settings, project_id: str) -> list[Repository]:
    """The project's repositories by name."""
    return read(
        settings.duckdb_path,
        lambda con: rows.list_repositories(con, project_id),
        timeout_seconds=settings.lock_timeout_seconds,
    )


def get_repository(settings: Settings, project_id: str, name: str) -> Repository:
    """One repository of the project.

    Raises:
        PermanentError: the project has no such repository.
    """
    return read(
        settings.duckdb_path,
        lambda con: rows.get_repository(con, project_id, name),
        timeout_seconds=settings.lock_timeout_seconds,
    )


def change_repository(
    settings: Settings,
    project_id: str,
    name: str,
    given: dict[str, Any],
    *,
    actor: str,
    was: Repository | None = None,
    is_new: bool = False,
) -> tuple[Repository, bool]:
    """The repository with the given fields (None: as it is, or the default), and whether it is new.

    Args:
        settings: where the store is.
        project_id: whose repository it is.
        name: OWNER/NAME.
        given: what it gets.
        actor: who says so.
        was: as the person saw it; None = whatever it is.
        is_new: the person saw none of this name.

    Raises:
        PermanentError: a field has a value it cannot have (names it), or the repository is no longer as it `was`.
    """
    require(actor, project_id, "configure", f"Changing repository {name!r}")
    known = {each.name.casefold(): each for each in list_repositories(settings, project_id)}.get(name.casefold())
    fields = known.model_dump() if known else {}
    fields |= {key: value for key, value in given.items() if value is not None} | {
        "name": known.name if known else name
    }
    try:
        repository = Repository.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise PermanentError(f"Field {field!r} of repository {name!r} was refused: {first['msg']}.") from None
    _check(repository)

    def save(con: DuckDBPyConnection) -> None:
        there = {each.name.casefold(): each for each in rows.list_repositories(con, project_id)}.get(name.casefold())
        if there != (None if is_new else was or known):
            raise PermanentError(f"Changing repository {name!r}: somebody changed it meanwhile; look again.")
        rows.save_repository(con, project_id, repository, actor=actor, now=datetime.now(UTC))

    write(settings.duckdb_path, save, timeout_seconds=settings.lock_timeout_seconds)
    return repository, known is None


def remove_repository(settings: Settings, project_id: str, name: str, *, actor: str) -> Repository:
    """Forget a repository; what was there.

    Raises:
        PermanentError: the project has no such repository.
    """
    require(actor, project_id, "configure", f"Removing repository {name!r}")
    return write(
        settings.duckdb_path,
        lambda con: rows.remove_repository(con, project_id, name, actor=actor, now=datetime.now(UTC)),
        timeout_seconds=settings.lock_timeout_seconds,
    )


def parse_route(text: str) -> Route:
    """A route from `SOURCE:CHANNEL`; `*` for either matches everything.

    Raises:
        PermanentError: it is not written so, or the source is unknown.
    """
    source, colon, channel = text.partition(":")
    if not colon or source not in ("*", *SOURCES) or not channel:
        raise PermanentError(
            f"Route {text!r} was refused: expected SOURCE:CHANNEL with one of {', '.join(SOURCES)} or * as source, "
            "e.g. github:acme/notes, reddit:notesapp, sentry:acme/web."
        )
    return Route.model_validate({"source": None if source == "*" else source, "channel": channel})


def find_switches_off(settings: Settings) -> dict[str, str]:
    """By switch: why it is off, '' while it is on."""
    return read(
        settings.duckdb_path,
        lambda con: {name: rows.find_switch_off(con, name) for name in get_args(Switch)},
        timeout_seconds=settings.lock_timeout_seconds,
    )


def turn_switch(settings: Settings, project_id: str, name: Switch, *, is_on: bool, reason: str, actor: str) -> None:
    """Stop or allow launching or publishing, for all projects of the store."""
    require(actor, project_id, "allow fixes" if is_on else "stop fixes", f"Turning the switch {name!r}")
    write(
        settings.duckdb_path,
        lambda con: rows.set_switch(
            con, project_id, name, is_on=is_on, reason=reason, actor=actor, now=datetime.now(UTC)
        ),
        timeout_seconds=settings.lock_timeout_seconds,
    )


def _check(repository: Repository) -> None:
    """Bounds that the model does not hold: names that are paths must not climb."""
    if ".." in repository.name or repository.name.endswith(".git"):
        raise PermanentError(f"Repository {repository.name!r} was refused: expected OWNER/NAME as the forge shows it.")
    prefix = repository.path_prefix
    if prefix and (prefix.startswith("/") or posixpath.normpath(prefix) != prefix.rstrip("/") or ".." in prefix):
        raise PermanentError(
            f"Path prefix {prefix!r} of repository {repository.name!r} was refused: expected a folder below its top, "
            "as in packages/web."
        )
    if repository.app_id and not repository.app_key_variable:
        raise PermanentError(
            f"Repository {repository.name!r} names a GitHub App without its key: give --app-key-variable, the "
            "variable that holds the private key in PEM form."
        )
