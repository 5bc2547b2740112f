"""The schema of the store: brought forward by numbered SQL files, and told apart from that of another version."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import duckdb

from soulcaster import __version__
from soulcaster.db.connection import read, write
from soulcaster.errors import PermanentError


def migrate(path: Path, *, timeout_seconds: float = 30.0) -> list[str]:
    """Names of the migrations that were applied now, in order; empty when the schema was current.

    Each migration is one SQL file, recorded in the same transaction. A new store gets all of them in one transaction,
    which takes a twentieth of the time; a store that is there gets each in its own, so what is done stays done.

    Raises:
        PermanentError: a newer version has been at the store; nothing was changed.
    """
    known = _known()
    steps = [[name] for name in known] if path.exists() else [list(known)]
    if path.exists():
        found = read(path, _applied, timeout_seconds=timeout_seconds)
        _refuse_newer(path, found - known.keys())
        if found == known.keys():
            return []

    applied: list[str] = []
    for step in steps:

        def apply(con: duckdb.DuckDBPyConnection, step: list[str] = step) -> list[str]:
            missing = [name for name in step if name not in _applied(con)]
            for name in missing:
                con.execute(known[name])
                con.execute("INSERT INTO schema_migrations VALUES (?, now())", [name])
            return missing

        applied += write(path, apply, timeout_seconds=timeout_seconds)
    return applied


def check(con: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Nothing, when the store has the schema of this version; for processes that live longer than an upgrade takes.

    Raises:
        PermanentError: the store was made by a newer version, or this one's migrations were not applied yet.
    """
    known, found = _known().keys(), _applied(con)
    _refuse_newer(path, found - known)
    if missing := sorted(known - found):
        raise PermanentError(
            f"Using the store {str(path)!r} needs the schema of Soulcaster {__version__}, expected {missing[-1]!r} "
            f"among what was applied, got {max(found, default='nothing')!r}; run `soulcaster migrate` once."
        )


def _refuse_newer(path: Path, unknown: set[str]) -> None:
    if unknown:
        raise PermanentError(
            f"Using the store {str(path)!r} needs a newer Soulcaster than {__version__}: a newer one has applied "
            f"{max(unknown)!r} to it; update and restart this part (worker, app or command)."
        )


def _known() -> dict[str, str]:
    """SQL of each migration by its name, in order."""
    files = [file for file in resources.files("soulcaster.db.migrations").iterdir() if file.name.endswith(".sql")]
    return {file.name: file.read_text() for file in sorted(files, key=lambda file: file.name)}


def _applied(con: duckdb.DuckDBPyConnection) -> set[str]:
    found = con.execute(
        "SELECT count(*) FROM information_schema.tables WHERE table_name = 'schema_migrations'"
    ).fetchall()
    if not found[0][0]:
        return set()
    return {name for (name,) in con.execute("SELECT name FROM schema_migrations").fetchall()}
