"""History of services that a mapping reads: archives of files, and spans of what is polled."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from standins.wire_server import Answer, Request, Wire, running
from typer.testing import CliRunner

from soulcaster import db
from soulcaster.backfill import BackfillRequest, backfill, plan
from soulcaster.cli import app
from soulcaster.configured import SourceOptions
from soulcaster.errors import PermanentError
from soulcaster.pull import add_source
from soulcaster.settings import Settings

START = datetime(2026, 1, 1, tzinfo=UTC)
DESK = """
title: Desk
records: "rows || @"
fields: {id: id, title: t, created_at: at}
poll:
  url: rows
  paging: {kind: cursor, path: next, parameter: page}
  since: {parameter: from, UNTIL format: iso}
"""
N_ROWS = 240


def record(number: int) -> dict[str, Any]:
    """One of the service's records; there is one every hour."""
    return {"id": number, "t": f"Import number {number} stops", "at": f"{START + timedelta(hours=number):%FT%TZ}"}


def answer(request: Request) -> Answer:
    """Records from a time on, to another when asked, oldest first, fifty a page."""
    found = [record(n) for n in range(N_ROWS) if request.first("from") <= record(n)["at"]]
    if request.first("to"):
        found = [each for each in found if each["at"] <= request.first("to")]
    first = int(request.first("page", "0"))
    following = first + 50 if first + 50 < len(found) else ""
    return Answer(payload={"rows": found[first : first + 50], "next": str(following)})


@pytest.fixture
def desk(settings: Settings) -> Iterator[tuple[Settings, Wire]]:
    """A running service and settings that may poll it."""
    settings.mappings_path.mkdir(parents=True)
    with running(answer, Wire()) as wire:
        add_source(settings, "default", "generic", "desk", SourceOptions(base_url=wire.url), actor="test")
        yield settings.model_copy(update={"poll_private_addresses": True}), wire


def declare(settings: Settings, until: str) -> None:
    """Write the mapping, with or without a way to ask for an end."""
    (settings.mappings_path / "desk.yaml").write_text(DESK.replace("UNTIL", until))


def request(target: str | Path, **more: Any) -> BackfillRequest:
    """What a person asks for."""
    return BackfillRequest(target=str(target), **more)


def ids(settings: Settings) -> list[int]:
    """Ids of the service's items."""
    query = "SELECT external_id::INT FROM items WHERE source = 'desk' ORDER BY ALL"
    return [row[0] for row in db.read(settings.duckdb_path, lambda con: con.sql(query).fetchall())]


def test_windows_of_a_service_hold_what_is_of_them(desk):
    """Each asks for its begin and end, so that a day's is small; done twice nothing changes, nothing is asked."""
    settings, wire = desk
    declare(settings, "until_parameter: to,")
    span = {"start": START + timedelta(hours=24), "end": START + timedelta(hours=96), "window": "1d"}
    report = backfill(settings, "default", request("generic:desk", **span))
    n_requests = len(wire.requests)
    again = backfill(settings, "default", request("generic:desk", **span))

    assert (report.n_windows, report.n_left, report.counts.new) == (3, 0, 72)
    assert ids(settings) == list(range(24, 96))
    assert {(each.first("from"), each.first("to")) for each in wire.requests} == {
        (f"2026-01-0{day}T00:00:00Z", f"2026-01-0{day + 1}T00:00:00Z") for day in (2, 3, 4)
    }
    assert (again.n_before, len(wire.requests)) == (3, n_requests)


def test_a_service_that_takes_no_end_is_read_in_one_window(desk):
    """Else each window would read everything up to today; what lies behind the end is left out."""
    settings, wire = desk
    declare(settings, "")
    span = {"start": START + timedelta(hours=24), "end": START + timedelta(hours=96), "window": "1d"}
    report = backfill(settings, "default", request("generic:desk", **span))

    assert (report.n_windows, report.counts.new, ids(settings)) == (1, 72, list(range(24, 96)))
    assert len(wire.requests) == 5


def test_a_mapping_that_does_not_ask_by_time_says_what_to_do(desk):
    """There is no window to ask for: their file is the way."""
    settings, _ = desk
    declare(settings, "")
    file = settings.mappings_path / "desk.yaml"
    file.write_text(file.read_text().partition("  since")[0])
    report = backfill(settings, "default", request("generic:desk", start=START))

    assert (report.n_failed, report.n_read) == (1, 0)
    assert "--mapping" in report.notes[0]


def test_archives_of_a_service_are_read_by_its_mapping(settings, tmp_path):
    """JSON, packed lines and tables of a folder, bounded by time; once, and once more by a mapping that was changed."""
    settings.mappings_path.mkdir(parents=True)
    declare(settings, "")
    folder = tmp_path / "desk"
    folder.mkdir()
    (folder / "a.json").write_text(json.dumps({"rows": [record(n) for n in range(10)]}))
    with gzip.open(folder / "b.jsonl.gz", "wt") as packed:
        packed.writelines(json.dumps(record(n)) + "\n" for n in range(10, 20))
    lines = [",".join(map(str, record(n).values())) for n in range(20, 30)]
    (folder / "c.csv").write_text("\n".join(["id,t,at", *lines]) + "\n")
    command = ["backfill", str(folder), "--mapping", "desk", "--from", "2026-01-01T05:00", "--json"]
    first, second = (json.loads(CliRunner().invoke(app, command).output.splitlines()[-1]) for _ in range(2))

    assert (first["counts"]["new"], first["counts"]["ignored"], first["n_failed"]) == (25, {"outside-range": 5}, 0)
    assert ids(settings) == list(range(5, 30))
    assert (second["n_before"], second["n_read"]) == (first["n_windows"], 0)
    (settings.mappings_path / "desk.yaml").write_text(DESK.replace("UNTIL", "").replace("Desk", "Our desk"))
    changed = plan(settings, "default", request(folder, mapping="desk"))
    assert {window.state for window in changed} == {"waiting"}
    with pytest.raises(PermanentError, match="no mapping 'nobody'"):
        plan(settings, "default", request(folder, mapping="nobody"))
