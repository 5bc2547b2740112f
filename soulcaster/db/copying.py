"""A second store with the same contents, made while others read."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import duckdb

from soulcaster.db import rescue
from soulcaster.db.connection import hold, read, write
from soulcaster.errors import PermanentError


def copy_store(path: Path, target: Path, *, timeout_seconds: float = 30.0) -> None:
    """Copy the store's file, and what a killed writer left beside it, as of one moment: readers go on, writers wait.

    A plain copy, because it holds writers up for 0.3 s where DuckDB's own COPY FROM DATABASE took 13 s (257 MB).

    Raises:
        PermanentError: there is no store at `path`.
        TransientError: somebody wrote for longer than `timeout_seconds`.
    """

    def copy(_con: duckdb.DuckDBPyConnection) -> None:
        shutil.copyfile(path, target)
        log = path.with_name(f"{path.name}.wal")
        if log.exists():
            shutil.copyfile(log, target.with_name(f"{target.name}.wal"))

    read(path, copy, timeout_seconds=timeout_seconds)


def count_rows(con: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Number of rows by table."""
    tables = con.execute("SELECT table_name FROM duckdb_tables() WHERE NOT internal ORDER BY 1").fetchall()
    return {
        table: con.execute(f'SELECT count(*) FROM "{table}"').fetchall()[0][0]  # noqa: S608  our own names
        for (table,) in tables
    }


def rewrite_store(path: Path, *, timeout_seconds: float = 30.0) -> None:
    """Write the store's file anew with its rows alone, so that nothing deleted is left in it; others wait meanwhile.

    Free blocks of a DuckDB file keep their old bytes until something else is written there. The new file takes the
    place of the old one in one step; a kill before leaves the old one.

    Raises:
        TransientError: somebody held the store for longer than `timeout_seconds`.
        PermanentError: there is no room for a second file, or the store is damaged.
    """
    write(path, lambda _con: None, timeout_seconds=timeout_seconds)  # mends it if need be
    draft = path.with_name(f"{path.name}.rewriting")
    draft.unlink(missing_ok=True)
    try:
        with hold(path, timeout_seconds=timeout_seconds):
            with duckdb.connect(":memory:") as con:
                con.execute(f"ATTACH '{_quoted(path)}' AS was")  # ATTACH takes no parameter
                con.execute(f"ATTACH '{_quoted(draft)}' AS made")
                con.execute("COPY FROM DATABASE was TO made")
                con.execute("DETACH made")
                con.execute("DETACH was")  # its log, if there is one, is taken in
            with draft.open("rb") as file:
                os.fsync(file.fileno())
            draft.replace(path)
            rescue.forget(path)
    except (duckdb.Error, OSError) as error:
        raise PermanentError(
            f"Writing the store {str(path)!r} anew failed: {str(error).splitlines()[0]}; it needs room for a second "
            "file of its size, and nobody else in it. The store is as it was; run the same command again."
        ) from error
    finally:
        draft.unlink(missing_ok=True)


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
