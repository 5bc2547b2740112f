"""The one door to DuckDB: lock, open, one short transaction, close. Never held across a model call or clustering.

DuckDB lets one process write or several read, and refuses at once instead of waiting. So every access takes a `flock`
on `<db>.lock` first (shared to read, exclusive to write); whoever ignores the lock (a notebook, the DuckDB shell) is
waited for with a jittered retry. Source: measurements in docs/decisions.md, "Many processes, one DuckDB".
"""

from __future__ import annotations

import atexit
import errno
import fcntl
import os
import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import duckdb

from soulcaster.db import rescue
from soulcaster.errors import PermanentError, TransientError

T = TypeVar("T")
_FULL = os.strerror(errno.ENOSPC)
_LOCK_POLL_SECONDS = 0.004
_LOCK_EXPECTATION = "expected the lock within {timeout:g} s; try again, or raise SOULCASTER_LOCK_TIMEOUT_SECONDS"


def read(path: Path, fn: Callable[[duckdb.DuckDBPyConnection], T], *, timeout_seconds: float = 30.0) -> T:
    """Result of `fn` on a read-only connection; others may read at the same time, nobody writes.

    Raises:
        PermanentError: there is no store at `path`, or it is not a DuckDB file.
        TransientError: somebody held the store for longer than `timeout_seconds`.
    """
    if not path.exists():
        raise PermanentError(f"Opening the store {str(path)!r} found no file; run `soulcaster migrate` to make it.")
    deadline = time.monotonic() + timeout_seconds
    with _locked(path, fcntl.LOCK_SH, deadline, timeout_seconds), _reading(path, deadline) as con:
        return fn(con)


def write(path: Path, fn: Callable[[duckdb.DuckDBPyConnection], T], *, timeout_seconds: float = 30.0) -> T:
    """Result of `fn` inside one transaction: committed when `fn` returns, rolled back when it raises.

    Raises:
        PermanentError: `path` is not a DuckDB file or its folder cannot be written.
        TransientError: somebody held the store for longer than `timeout_seconds`, or the disk is full; nothing was
            written.
    """
    deadline = time.monotonic() + timeout_seconds
    with _locked(path, fcntl.LOCK_EX, deadline, timeout_seconds), _writing(path, deadline) as con:
        try:
            result = _transact(con, fn)
        except duckdb.Error as error:
            if _FULL in str(error):
                raise _is_full(path) from error
            raise
        try:
            rescue.save_metadata(con, path)
        except OSError:  # the commit stands, in the log; without metadata put aside there is no checkpoint
            con.execute("PRAGMA disable_checkpoint_on_shutdown")
        return result


def _transact(con: duckdb.DuckDBPyConnection, fn: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
    con.execute("BEGIN")
    try:
        result = fn(con)
    except BaseException:
        con.execute("ROLLBACK")
        raise
    con.execute("COMMIT")
    return result


@contextmanager
def hold(path: Path, *, timeout_seconds: float = 30.0) -> Iterator[None]:
    """Keep every Soulcaster process out of the store while the block lasts; no connection is open, the file may move.

    Raises:
        TransientError: somebody held the store for longer than `timeout_seconds`.
    """
    with _locked(path, fcntl.LOCK_EX, time.monotonic() + timeout_seconds, timeout_seconds):
        yield


def count_contents(con: duckdb.DuckDBPyConnection, project_id: str) -> tuple[int, int]:
    """Number of items and of lasting clusters in the project."""
    row = con.execute(
        "SELECT (SELECT count(*) FROM items WHERE project_id = $project),"
        " (SELECT count(*) FROM clusters WHERE project_id = $project)",
        {"project": project_id},
    ).fetchall()[0]
    return int(row[0]), int(row[1])


@contextmanager
def _locked(path: Path, kind: int, deadline: float, timeout_seconds: float) -> Iterator[None]:
    """Hold the store's lock. The turnstile in front lets a waiting writer in before readers that came later."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        gate = os.open(f"{path}.gate", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise PermanentError(f"Locking the store {str(path)!r} failed: {error.strerror}; check the folder.") from error
    try:
        _flock(gate, fcntl.LOCK_EX, path, deadline, timeout_seconds)
        _flock(lock, kind, path, deadline, timeout_seconds)
        fcntl.flock(gate, fcntl.LOCK_UN)
        yield
    finally:
        os.close(gate)
        os.close(lock)


def _flock(descriptor: int, kind: int, path: Path, deadline: float, timeout_seconds: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                hint = _LOCK_EXPECTATION.format(timeout=timeout_seconds)
                raise TransientError(
                    f"The store {str(path)!r} is busy with another Soulcaster process: {hint}."
                ) from None
            time.sleep(_LOCK_POLL_SECONDS * (1 + random.random()))  # noqa: S311  jitter, not a secret


def _is_full(path: Path) -> TransientError:
    return TransientError(
        f"Writing the store {str(path)!r} found no room on its disk and wrote nothing; free some and try again."
    )


@contextmanager
def _writing(path: Path, deadline: float) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB of its own. Checkpoints happen when it closes, never inside a commit: `rescue.mend` rests on that."""
    con = _open(path, deadline, lambda: duckdb.connect(str(path)))
    try:
        con.execute("SET wal_autocheckpoint = '1TB'; SET TimeZone = 'UTC'")
        yield con
    finally:
        con.close()


@dataclass
class _Reader:
    """A DuckDB without a file of its own, which has the store attached while anybody reads it."""

    path: Path
    con: duckdb.DuckDBPyConnection
    n_readers: int = 0


_reader: _Reader | None = None
"""Kept from one reading to the next: DuckDB's start costs 10 of the 15 ms of an opening, attaching 4."""

_reader_guard = threading.Lock()


@contextmanager
def _reading(path: Path, deadline: float) -> Iterator[duckdb.DuckDBPyConnection]:
    """A cursor of the kept reader. Nothing of the file stays open or remembered when its last reader has gone."""
    global _reader  # noqa: PLW0603  one for the process
    reader, con = _open(path, deadline, lambda: _attach(path))
    try:
        con.execute("USE store; SET TimeZone = 'UTC'")
        yield con
    except duckdb.Error:  # a DuckDB that met a damaged block answers nothing more
        with _reader_guard:
            _reader = None if _reader is reader else _reader
        raise
    finally:
        con.close()
        with _reader_guard:
            reader.n_readers -= 1
            if reader.n_readers == 0 and reader is _reader:
                reader.con.execute("DETACH store")
            elif reader.n_readers == 0:
                reader.con.close()


def _attach(path: Path) -> tuple[_Reader, duckdb.DuckDBPyConnection]:
    global _reader  # noqa: PLW0603
    with _reader_guard:
        if _reader is None or _reader.path != path:
            _close_idle()
            _reader = _Reader(path, duckdb.connect(":memory:", config={"temp_directory": f"{path}.tmp"}))
        if _reader.n_readers == 0:
            quoted = str(path).replace("'", "''")
            _reader.con.execute(f"ATTACH '{quoted}' AS store (READ_ONLY, TYPE duckdb)")  # ATTACH takes no parameter
        _reader.n_readers += 1
        return _reader, _reader.con.cursor()


def _close_idle() -> None:
    global _reader  # noqa: PLW0603
    if _reader is not None and _reader.n_readers == 0:
        _reader.con.close()
    _reader = None


def _let_go() -> None:
    with _reader_guard:
        _close_idle()


# A fork copies DuckDB without its threads, and at the end of the interpreter they are better gone.
os.register_at_fork(before=_let_go)
atexit.register(_let_go)


def _open(path: Path, deadline: float, door: Callable[[], T]) -> T:
    """What `door` opens, waiting for processes that do not know our lock; their process id goes into the error.

    A store whose writer was killed while it rewrote metadata is mended.
    """
    delay = 0.02
    is_mended = False
    while True:
        try:
            return door()
        except duckdb.IOException as error:
            if _FULL in str(error):
                raise _is_full(path) from error
            held = re.search(r"PID (\d+)", str(error))
            if "checksum" in str(error) and not is_mended and rescue.mend(path):
                is_mended = True
                continue
            if held is None and re.search(r"\block\b", str(error), re.IGNORECASE) is None:
                raise PermanentError(
                    f"Opening the store {str(path)!r} failed: expected a DuckDB 1.5 file, got one that DuckDB refuses; "
                    "restore a backup or point SOULCASTER_HOME elsewhere."
                ) from error
            if time.monotonic() >= deadline:
                holder = f"process {held[1]}" if held else "another process"
                raise TransientError(
                    f"The store {str(path)!r} is held open by {holder}, which does not use Soulcaster's lock; "
                    "close it (a DuckDB shell or a notebook?) and try again."
                ) from error
        except duckdb.Error as error:
            raise PermanentError(
                f"Opening the store {str(path)!r} failed: {str(error).splitlines()[0]}; check SOULCASTER_HOME."
            ) from error
        time.sleep(delay * (0.5 + random.random()))  # noqa: S311  jitter, not a secret
        delay = min(delay * 2, 0.5)
