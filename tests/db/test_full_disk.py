"""A disk that is full costs a sentence and nothing else: what was committed stays, what comes later is written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from soulcaster import db

ROOT = Path(__file__).resolve().parents[2]
FILL = """
import sys
from pathlib import Path
from soulcaster import db
from soulcaster.errors import TransientError

store = Path(sys.argv[1], "s.duckdb")
count = lambda: db.read(store, lambda con: con.execute("SELECT count(*) FROM t").fetchall()[0][0])
rows = "INSERT INTO t SELECT i, md5(i::VARCHAR) FROM range({}) r(i)"
add = lambda n: db.write(store, lambda con: con.execute(rows.format(n)))
db.write(store, lambda con: con.execute("CREATE TABLE t (i BIGINT, h VARCHAR)"))
add(1000)
ballast = Path(sys.argv[1], "ballast").open("wb", buffering=0)
try:
    while True:
        ballast.write(bytes(100_000))
except OSError:
    pass
for n in (10, 300_000):
    try:
        add(n)
    except TransientError as error:
        assert "no room on its disk" in str(error), error
    else:
        raise AssertionError(f"{n} rows were written to a full disk")
    assert count() == 1000
ballast.close()
Path(ballast.name).unlink()
add(10)
assert count() == 1010
"""


@pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap, which gives the test a small disk, is absent")
def test_a_full_disk_refuses_a_write_in_a_sentence_and_loses_nothing(tmp_path):
    """Small and large writes alike; reading goes on meanwhile, and writing once there is room."""
    small = tmp_path / "small"
    small.mkdir()
    words = ["bwrap", "--dev-bind", "/", "/", "--size", str(12 * 2**20), "--tmpfs", str(small)]
    done = subprocess.run(
        [*words, sys.executable, "-c", FILL, str(small)],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (0, "") == (done.returncode, done.stderr)


def test_a_write_stands_when_its_metadata_cannot_be_put_aside(tmp_path):
    """The log keeps it: without the net below it there is no checkpoint, and the next write has both again."""
    path = tmp_path / "s.duckdb"
    db.write(path, lambda con: con.execute("CREATE TABLE t AS SELECT 1 AS i"))
    in_the_way = tmp_path / "s.duckdb.rescue-new"
    in_the_way.mkdir()

    db.write(path, lambda con: con.execute("INSERT INTO t VALUES (2)"))

    log = tmp_path / "s.duckdb.wal"
    assert log.stat().st_size > 0
    assert [(1,), (2,)] == db.read(path, lambda con: con.execute("SELECT i FROM t ORDER BY i").fetchall())
    in_the_way.rmdir()
    db.write(path, lambda con: con.execute("INSERT INTO t VALUES (3)"))
    assert not log.exists()
    assert [(3,)] == db.read(path, lambda con: con.execute("SELECT count(*) FROM t").fetchall())
