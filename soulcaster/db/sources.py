"""The configured sources of a project: what to pull, how far it was read, and how the last pull ended.

Writing functions take a connection inside `db.write`. A row that was removed meanwhile stays removed.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import duckdb

from soulcaster.configured import ConfiguredSource, Cursor, Kind, PullState, SourceOptions
from soulcaster.db.activity import add_activity
from soulcaster.errors import PermanentError

_ACCESS = ("way", "token_variable", "client_id_variable", "client_secret_variable", "base_url")
"""Options that say how a source is reached, not which of its items are taken."""

_COLUMNS = "kind, name, options, is_paused, added_at, cursor, state, state_since, message, way, retry_at, pulled_at"


def list_sources(con: duckdb.DuckDBPyConnection, project_id: str) -> list[ConfiguredSource]:
    """All configured sources of the project, by kind and name."""
    rows = con.execute(
        f"SELECT {_COLUMNS} FROM sources WHERE project_id = $1 ORDER BY kind, name",  # noqa: S608  names of columns
        [project_id],
    ).fetchall()
    return [_source(row) for row in rows]


def has_sources(con: duckdb.DuckDBPyConnection) -> bool:
    """Whether the store's schema knows sources."""
    query = "SELECT count(*) FROM information_schema.tables WHERE table_name = 'sources'"
    return bool(con.execute(query).fetchall()[0][0])


def get_source(con: duckdb.DuckDBPyConnection, project_id: str, kind: Kind, name: str) -> ConfiguredSource:
    """One configured source; GitHub and Reddit do not tell upper from lower case in names, so neither do we.

    Raises:
        PermanentError: the project has no such source.
    """
    found = [
        source
        for source in list_sources(con, project_id)
        if source.kind == kind and source.name.casefold() == name.casefold()
    ]
    if not found:
        raise PermanentError(
            f"Project {project_id!r} has no source {f'{kind}:{name}'!r}; `soulcaster source list` shows those it has."
        )
    return found[0]


def add_source(
    con: duckdb.DuckDBPyConnection,
    project_id: str,
    kind: Kind,
    name: str,
    options: SourceOptions,
    *,
    actor: str,
    now: datetime,
) -> None:
    """A new source that begins at the beginning; the activity log says who added it.

    Raises:
        PermanentError: the project has it already.
    """
    if any(each.kind == kind and each.name.casefold() == name.casefold() for each in list_sources(con, project_id)):
        raise PermanentError(f"Project {project_id!r} has the source {f'{kind}:{name}'!r} already; change it instead.")
    chosen = options.model_dump(exclude_defaults=True)
    con.execute(
        "INSERT INTO sources VALUES ($1, $2, $3, $4, false, $5, '{}', 'new', $5, '', NULL, NULL, NULL)",
        [project_id, kind, name, json.dumps(chosen), now],
    )
    _note(con, project_id, f"{kind}:{name}", actor=actor, action="source-add", detail=chosen, now=now)


def change_source(
    con: duckdb.DuckDBPyConnection,
    project_id: str,
    kind: Kind,
    name: str,
    options: SourceOptions,
    *,
    was: SourceOptions,
    actor: str,
    now: datetime,
) -> None:
    """Other options for a source; it begins at the beginning when they let other items in, and is asked at once.

    Raises:
        PermanentError: the project has no such source, or its options are no longer those in `was`.
    """
    source = get_source(con, project_id, kind, name)
    if source.options != was:
        raise PermanentError(f"Changing source {source.source_id!r}: somebody changed it meanwhile; look again.")
    if options == was:
        return
    is_same_intake = options.model_copy(update=dict.fromkeys(_ACCESS)) == was.model_copy(update=dict.fromkeys(_ACCESS))
    chosen = options.model_dump(exclude_defaults=True)
    con.execute(
        "UPDATE sources SET options = $4, cursor = $5, retry_at = NULL "
        "WHERE project_id = $1 AND kind = $2 AND name = $3",
        [project_id, kind, source.name, json.dumps(chosen), json.dumps(source.cursor if is_same_intake else {})],
    )
    _note(con, project_id, source.source_id, actor=actor, action="source-change", detail=chosen, now=now)


def remove_source(
    con: duckdb.DuckDBPyConnection, project_id: str, kind: Kind, name: str, *, actor: str, now: datetime
) -> None:
    """Forget a source and how far it was read; its items stay.

    Raises:
        PermanentError: the project has no such source.
    """
    source = get_source(con, project_id, kind, name)
    con.execute(
        "DELETE FROM sources WHERE project_id = $1 AND kind = $2 AND name = $3", [project_id, kind, source.name]
    )
    detail = source.options.model_dump(exclude_defaults=True)
    _note(con, project_id, source.source_id, actor=actor, action="source-remove", detail=detail, now=now)


def pause_source(
    con: duckdb.DuckDBPyConnection,
    project_id: str,
    kind: Kind,
    name: str,
    *,
    is_paused: bool,
    actor: str,
    now: datetime,
) -> None:
    """Leave a source alone from now on, or no longer.

    Raises:
        PermanentError: the project has no such source.
    """
    source = get_source(con, project_id, kind, name)
    con.execute(
        "UPDATE sources SET is_paused = $4 WHERE project_id = $1 AND kind = $2 AND name = $3",
        [project_id, kind, source.name, is_paused],
    )
    action = "source-pause" if is_paused else "source-resume"
    _note(con, project_id, source.source_id, actor=actor, action=action, detail={}, now=now)


def save_cursor(
    con: duckdb.DuckDBPyConnection, project_id: str, source: ConfiguredSource, cursor: Cursor, way: str
) -> None:
    """Move the cursor over a page whose items are committed, and note how the page was read."""
    con.execute(
        "UPDATE sources SET cursor = $4, way = $5 WHERE project_id = $1 AND kind = $2 AND name = $3",
        [project_id, source.kind, source.name, json.dumps(cursor), way],
    )


def save_state(
    con: duckdb.DuckDBPyConnection,
    project_id: str,
    source: ConfiguredSource,
    state: PullState,
    message: str,
    *,
    retry_at: datetime | None,
    now: datetime,
) -> None:
    """How the pull ended that ends now; `state_since` moves only when the state becomes another one."""
    con.execute(
        """
        UPDATE sources SET state_since = CASE WHEN state = $4 THEN state_since ELSE $7 END, state = $4, message = $5,
            retry_at = $6, pulled_at = CASE WHEN $4 = 'ok' THEN $7 ELSE pulled_at END
        WHERE project_id = $1 AND kind = $2 AND name = $3
        """,
        [project_id, source.kind, source.name, state, message, retry_at, now],
    )


def list_known_ids(
    con: duckdb.DuckDBPyConnection,
    project_id: str,
    source: str,
    channel: str,
    *,
    prefix: str,
    limit: int,
    not_in_url: str | None = None,
) -> list[str]:
    """external_ids that begin with `prefix`, of the channel's items that are not gone, newest first.

    Items whose address contains `not_in_url` are left out.
    """
    rows = con.execute(
        """
        SELECT external_id FROM items
        WHERE project_id = $1 AND source = $2 AND lower(channel) = lower($3) AND state NOT IN ('removed', 'deleted')
            AND starts_with(external_id, $4) AND ($6 IS NULL OR url IS NULL OR NOT contains(url, $6))
        ORDER BY created_at DESC, external_id LIMIT $5
        """,
        [project_id, source, channel, prefix, limit, not_in_url],
    ).fetchall()
    return [external_id for (external_id,) in rows]


def _source(row: tuple[Any, ...]) -> ConfiguredSource:
    names = _COLUMNS.split(", ")
    values = dict(zip(names, row, strict=True))
    values |= {"options": json.loads(values["options"]), "cursor": json.loads(values["cursor"])}
    return ConfiguredSource.model_validate(values)


def _note(
    con: duckdb.DuckDBPyConnection,
    project_id: str,
    source_id: str,
    *,
    actor: str,
    action: str,
    detail: dict[str, Any],
    now: datetime,
) -> None:
    add_activity(
        con, project_id, actor=actor, action=action, subject=f"source:{source_id}", reason="", detail=detail, at=now
    )
