"""Drills in the store: what the screen that shows them reads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from soulcaster.db import read, write
from soulcaster.db.drills import Drill, DrillResult, add_drill, list_drills

BEGAN_AT = datetime(2026, 11, 1, tzinfo=UTC)


def make_result(name: str, *, sandbox: str = "", escapes: tuple[str, ...] = ()) -> DrillResult:
    """A case with an attack that quotes and braces could break."""
    return DrillResult(
        name=name, about="it's {quoted}", layer="policy", stopped_by="policy", reason="Policy: no", sandbox=sandbox,
        escapes=list(escapes), seconds=1.5,
    )  # fmt: skip


def make_drill(day: int, *results: DrillResult) -> Drill:
    """A drill some days after the first."""
    return Drill(
        began_at=BEGAN_AT + timedelta(days=day), seconds=3, tool="kilo", launcher="local", n_known=42,
        results=list(results),
    )  # fmt: skip


def test_drills_come_back_whole_and_newest_first(settings):
    """Every case with its words; what got out is counted by case, what held them is named once."""
    held = make_drill(0, make_result("a", sandbox="bwrap"), make_result("b"), make_result("c", sandbox="bwrap"))
    broken = make_drill(1, make_result("a", sandbox="none", escapes=("a file", "a port")), make_result("b"))
    for drill in (broken, held):
        write(settings.duckdb_path, lambda con, drill=drill: add_drill(con, drill))

    found = read(settings.duckdb_path, list_drills)

    assert [broken, held] == found
    assert [(1, "none"), (0, "bwrap")] == [(drill.n_escapes, drill.sandbox) for drill in found]
    assert [broken] == read(settings.duckdb_path, lambda con: list_drills(con, limit=1))


def test_only_the_newest_fifty_are_kept(settings):
    """A drill every night does not fill the store."""

    def fill(con):
        for day in range(52):
            add_drill(con, make_drill(day))

    write(settings.duckdb_path, fill)

    kept = [drill.began_at for drill in read(settings.duckdb_path, lambda con: list_drills(con, limit=100))]
    assert [BEGAN_AT + timedelta(days=day) for day in range(51, 1, -1)] == kept
