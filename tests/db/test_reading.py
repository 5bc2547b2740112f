"""Readings share one DuckDB of the process: many at once, of several stores, and nothing of it outlives the last."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pytest

from soulcaster import db


def make_store(path: Path, value: int = 0) -> Path:
    """A store whose one table holds one value."""
    db.write(path, lambda con: con.execute("CREATE OR REPLACE TABLE kept AS SELECT $1::INTEGER AS value", [value]))
    return path


def look(con: duckdb.DuckDBPyConnection) -> int:
    """The value."""
    [(value,)] = con.execute("SELECT value FROM kept").fetchall()
    return int(value)


def list_open_files(path: Path) -> list[str]:
    """Descriptors of this process that hold the file."""
    return [each.name for each in Path("/proc/self/fd").iterdir() if each.exists() and each.resolve() == path.resolve()]


def test_a_reading_leaves_nothing_open_and_the_next_sees_what_others_wrote(tmp_path):
    """Between readings an outsider may open the file to write, and what it wrote is read."""
    path = make_store(tmp_path / 'it\'s a "store".duckdb', 1)
    assert 1 == db.read(path, look)

    assert [] == list_open_files(path)
    with duckdb.connect(str(path)) as outsider:
        outsider.execute("UPDATE kept SET value = 2")

    assert 2 == db.read(path, look)


def test_readings_of_several_threads_and_stores_do_not_mix(tmp_path):
    """Eight threads read two stores while a ninth writes one: each reads its own store, and only what was committed."""
    ours, others = make_store(tmp_path / "ours.duckdb"), make_store(tmp_path / "others.duckdb", -1)

    def read_both(_turn: int) -> tuple[int, int]:
        return db.read(ours, look), db.read(others, look)

    with ThreadPoolExecutor(8) as pool:
        seen = [pool.submit(read_both, turn) for turn in range(64)]
        for value in range(1, 6):
            db.write(ours, lambda con, value=value: con.execute("UPDATE kept SET value = $1", [value]))
        pairs = [each.result() for each in seen]

    assert {other for _, other in pairs} == {-1}
    assert {value for value, _ in pairs} <= set(range(6))
    assert 5 == db.read(ours, look)


def test_two_readings_at_once_are_of_one_state(tmp_path):
    """A reading that begins while another goes on does not wait for it; a write waits for both."""
    path = make_store(tmp_path / "store.duckdb", 1)
    order: list[str] = []
    writer = threading.Thread(
        target=lambda: (
            db.write(path, lambda con: con.execute("UPDATE kept SET value = 2")),
            order.append("written"),
        )
    )

    def read_twice(con: duckdb.DuckDBPyConnection) -> tuple[int, int]:
        inner = db.read(path, look)
        writer.start()
        time.sleep(0.2)  # long enough for a write that does not wait
        order.append("read")
        return inner, look(con)

    assert (1, 1) == db.read(path, read_twice)
    writer.join()
    assert ["read", "written"] == order
    assert 2 == db.read(path, look)


def test_what_a_reading_leaves_on_its_connection_is_gone(tmp_path):
    """Settings, temporary tables and registered frames of one reading are not there in the next."""
    path = make_store(tmp_path / "store.duckdb")

    def litter(con: duckdb.DuckDBPyConnection) -> None:
        con.execute("CREATE TEMP TABLE litter AS SELECT 1 AS value")
        con.execute("SET TimeZone = 'Asia/Tokyo'")
        con.execute("USE memory")

    db.read(path, litter)

    zone = "SELECT current_setting('TimeZone'), current_database()"
    assert [("UTC", "store")] == db.read(path, lambda con: con.execute(zone).fetchall())
    with pytest.raises(duckdb.CatalogException, match="litter"):
        db.read(path, lambda con: con.execute("SELECT * FROM litter").fetchall())


def test_a_reading_cannot_write(tmp_path):
    """A write in a reading is refused, and readings go on."""
    path = make_store(tmp_path / "store.duckdb", 1)

    with pytest.raises(duckdb.Error, match="read-only"):
        db.read(path, lambda con: con.execute("UPDATE kept SET value = 2"))

    assert 1 == db.read(path, look)


def test_a_child_that_was_forked_reads_too(tmp_path):
    """The DuckDB that is kept does not cross a fork, where its threads would be missing."""
    path = make_store(tmp_path / "store.duckdb", 7)
    db.read(path, look)
    child = os.fork()
    if child == 0:
        os._exit(db.read(path, look))

    assert 7 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert 7 == db.read(path, look)
