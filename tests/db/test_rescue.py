"""A store whose writer was killed while it rewrote a metadata block opens again with all that was committed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from soulcaster import db
from soulcaster.errors import PermanentError

HEADERS, BLOCK = 3 * 4096, 262_144

CUT_SHORT = """
import os, sys
from pathlib import Path
import duckdb
from soulcaster.db import rescue
path = Path(sys.argv[1])
con = duckdb.connect(str(path))
con.execute("INSERT INTO rows SELECT i, 'second' FROM range(1000) t(i)")
rescue.save_metadata(con, path)
os._exit(9)  # as a kill does: no checkpoint, the log stays
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with a thousand rows, written through the door."""
    path = tmp_path / "store.duckdb"

    def fill(con: duckdb.DuckDBPyConnection) -> None:
        con.execute("CREATE TABLE rows AS SELECT i, 'first' AS word FROM range(1000) t(i)")

    db.write(path, fill)
    return path


def metadata_blocks(path: Path) -> list[int]:
    """Numbers of the blocks that hold metadata."""
    with duckdb.connect(str(path), read_only=True) as con:
        return [row[0] for row in con.execute("PRAGMA metadata_info").fetchall()]


def tear(path: Path, number: int) -> None:
    """Leave the first page of a new block over the old one, as a write does that is cut short."""
    with path.open("r+b") as file:
        file.seek(HEADERS + number * BLOCK)
        file.write(os.urandom(4096))


def test_a_torn_metadata_block_is_put_back_and_nothing_is_lost(path):
    """DuckDB refuses the file; the door mends it, for a reader as for a writer, and has what the log holds too."""
    blocks = metadata_blocks(path)
    subprocess.run([sys.executable, "-c", CUT_SHORT, str(path)], check=False)
    for number in blocks:
        tear(path, number)
    with pytest.raises(duckdb.IOException, match="checksum"):
        duckdb.connect(str(path), read_only=True)

    counts = "SELECT word, count(*) FROM rows GROUP BY 1 ORDER BY 1"
    assert [("first", 1000), ("second", 1000)] == db.read(path, lambda con: con.execute(counts).fetchall())

    db.write(path, lambda con: con.execute("INSERT INTO rows VALUES (1, 'third')"))
    assert 2001 == db.read(path, lambda con: con.execute("SELECT count(*) FROM rows").fetchall()[0][0])


def test_blocks_of_another_checkpoint_are_never_put_back(path):
    """After the header has moved on, what was put aside is stale: the damage is told, with the way out."""
    for number in metadata_blocks(path):
        tear(path, number)

    with pytest.raises(PermanentError, match="restore a backup"):
        db.read(path, lambda con: con.execute("SELECT 1").fetchall())


def test_damage_without_anything_put_aside_is_told_at_once(path):
    """No waiting for a lock that nobody holds."""
    path.with_name(f"{path.name}.rescue").unlink()
    for number in metadata_blocks(path):
        tear(path, number)

    with pytest.raises(PermanentError, match="restore a backup"):
        db.write(path, lambda con: con.execute("SELECT 1"), timeout_seconds=60)
