"""The one door to the store: what it promises when many processes knock at once."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest

from soulcaster import db
from soulcaster.errors import PermanentError, TransientError

WRITER = """
import sys, time, uuid
from pathlib import Path
from soulcaster import db
path, worker, seconds = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
acknowledged, deadline = 0, time.monotonic() + seconds
while time.monotonic() < deadline:
    def insert(con):
        values = {"worker": worker, "batch": acknowledged}
        con.execute("INSERT INTO rows SELECT $worker, $batch, i FROM range(20) t(i)", values)
        con.execute("UPDATE counter SET n = n + 20")
    db.write(path, insert, timeout_seconds=20)
    acknowledged += 1
print(acknowledged)
"""

READER = """
import sys, time
from pathlib import Path
from soulcaster import db
path, seconds = Path(sys.argv[1]), float(sys.argv[2])
reads, deadline = 0, time.monotonic() + seconds
def look(con):
    rows, n = con.execute("SELECT (SELECT count(*) FROM rows), (SELECT n FROM counter)").fetchall()[0]
    assert rows == n, (rows, n)
    return rows
last = 0
while time.monotonic() < deadline:
    seen = db.read(path, look, timeout_seconds=20)
    assert seen >= last
    last, reads = seen, reads + 1
print(reads)
"""


def _make_table(path: Path) -> None:
    def create(con: duckdb.DuckDBPyConnection) -> None:
        con.execute("CREATE TABLE rows (worker INTEGER, batch INTEGER, i INTEGER)")
        con.execute("CREATE TABLE counter AS SELECT 0 AS n")

    db.write(path, create)


@pytest.mark.slow
def test_four_writers_and_two_readers_at_full_tilt_lose_no_row_and_see_no_half_transaction(tmp_path):
    """20 s of six processes: every acknowledged row is there, every read saw whole transactions."""
    path = tmp_path / "store.duckdb"
    _make_table(path)

    def start(code: str, *arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", code, str(path), *map(str, arguments)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    writers = [start(WRITER, worker, 20) for worker in range(4)]
    readers = [start(READER, 20) for _ in range(2)]
    done = [process.communicate(timeout=120) for process in (*writers, *readers)]

    assert [0] * 6 == [process.returncode for process in (*writers, *readers)], [err for _, err in done]
    acknowledged = [int(out) for out, _ in done[:4]]
    assert min(acknowledged) > 0
    assert all(int(out) > 0 for out, _ in done[4:])
    stored = db.read(
        path, lambda con: con.execute("SELECT worker, count(*) FROM rows GROUP BY 1 ORDER BY 1").fetchall()
    )
    assert [(worker, 20 * batches) for worker, batches in enumerate(acknowledged)] == stored


def test_a_killed_writer_leaves_all_or_nothing(tmp_path):
    """SIGKILL in the middle of writing: rows and counter still agree, and the lock is free again."""
    path = tmp_path / "store.duckdb"
    _make_table(path)
    query = "SELECT (SELECT count(*) FROM rows), (SELECT n FROM counter)"
    for delay in (0.6, 0.75, 0.9):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(path), "0", "30"])
        time.sleep(delay)
        process.kill()
        process.wait()

        rows, counter = db.read(path, lambda con: con.execute(query).fetchall()[0], timeout_seconds=5)
        assert rows == counter


def test_a_failing_write_leaves_nothing_behind(tmp_path):
    """What `fn` wrote before it raised is rolled back, and the error reaches the caller."""
    path = tmp_path / "store.duckdb"
    _make_table(path)

    def fail(con: duckdb.DuckDBPyConnection) -> None:
        con.execute("UPDATE counter SET n = 7")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        db.write(path, fail)

    assert [(0,)] == db.read(path, lambda con: con.execute("SELECT n FROM counter").fetchall())


def test_an_outsider_who_holds_the_file_is_named_by_process_id(tmp_path):
    """A DuckDB shell that ignores our lock gives a TransientError with its pid, after the time-out."""
    path = tmp_path / "store.duckdb"
    _make_table(path)
    code = "import duckdb, sys, time; con = duckdb.connect(sys.argv[1]); print('open', flush=True); time.sleep(60)"
    outsider = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert outsider.stdout.readline() == "open\n"

        with pytest.raises(TransientError, match=rf"process {outsider.pid}\b.*close it"):
            db.write(path, lambda con: con.execute("SELECT 1"), timeout_seconds=0.5)
    finally:
        outsider.kill()
        outsider.communicate()


def test_a_busy_store_is_a_transient_error_that_says_what_to_do(tmp_path):
    """Two of our own: the second gives up after its time-out with one sentence."""
    path = tmp_path / "store.duckdb"
    _make_table(path)

    def nested(_con: duckdb.DuckDBPyConnection) -> None:
        with pytest.raises(TransientError, match=r"busy with another Soulcaster process.*try again"):
            db.read(path, lambda con: con.execute("SELECT 1"), timeout_seconds=0.2)

    db.write(path, nested)


def test_reading_a_store_that_is_not_there_says_how_to_make_it(tmp_path):
    """No file is made by a read."""
    path = tmp_path / "none.duckdb"

    with pytest.raises(PermanentError, match="soulcaster migrate"):
        db.read(path, lambda con: con)

    assert not path.exists()


def test_a_file_that_is_no_store_is_a_permanent_error(tmp_path):
    """A text file in the store's place is refused with its name."""
    path = tmp_path / "store.duckdb"
    path.write_text("hello, I am a diary, not a database" * 100)

    with pytest.raises(PermanentError, match=r"store\.duckdb"):
        db.read(path, lambda con: con)


def test_migrating_twice_applies_each_file_once_and_keeps_rows(tmp_path):
    """The second migration finds nothing to do; rows written in between stay."""
    path = tmp_path / "store.duckdb"

    assert ["0001_initial.sql"] == db.migrate(path)[:1]
    db.write(path, lambda con: con.execute("INSERT INTO publications VALUES ('p', uuid(), now(), 'me')"))
    assert [] == db.migrate(path)

    assert [("p",)] == db.read(path, lambda con: con.execute("SELECT project_id FROM publications").fetchall())


def test_the_schema_holds_to_what_the_shared_stores_can_carry(tmp_path):
    """No sequence, default, unique or foreign key: the same SQL must run on DuckLake and through Quack."""
    path = tmp_path / "store.duckdb"
    db.migrate(path)

    def look(con: duckdb.DuckDBPyConnection) -> tuple[int, int, int]:
        constraints = con.execute("SELECT count(*) FROM duckdb_constraints() WHERE constraint_type <> 'NOT NULL'")
        n_constraints = constraints.fetchall()[0][0]
        n_sequences = con.execute("SELECT count(*) FROM duckdb_sequences()").fetchall()[0][0]
        defaults = "SELECT count(*) FROM duckdb_columns() WHERE NOT internal AND column_default IS NOT NULL"
        return n_constraints, n_sequences, con.execute(defaults).fetchall()[0][0]

    assert (0, 0, 0) == db.read(path, look)
