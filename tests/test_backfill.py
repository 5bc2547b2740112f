"""History by windows: spans of a source's past, files of an archive; killed, repeated, and beside live intake."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import zstandard
from standins.github_server import TOKEN, running_github
from standins.reddit_server import CLIENT_ID, CLIENT_SECRET, running_reddit
from standins.sentry_server import TOKEN as SENTRY_TOKEN
from standins.sentry_server import running_sentry
from standins.wire_server import failure
from typer.testing import CliRunner

from soulcaster import db
from soulcaster.backfill import BackfillRequest, backfill, plan, run_window
from soulcaster.cli import app
from soulcaster.configured import SourceOptions
from soulcaster.errors import PermanentError
from soulcaster.ingest import add_typed
from soulcaster.pull import add_source, list_sources
from soulcaster.settings import Settings
from soulcaster.sources.table_rows import CHUNK_ROWS
from soulcaster.sources.tabular import ColumnMap
from soulcaster.windows import BackfillReport, cut, parse_span

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(hours: float) -> str:
    """A time in 2026 as GitHub and Sentry write it."""
    return f"{START + timedelta(hours=hours):%Y-%m-%dT%H:%M:%SZ}"


def ids(settings: Settings) -> list[str]:
    """external_ids of all items."""
    query = "SELECT external_id FROM items ORDER BY ALL"
    return [row[0] for row in db.read(settings.duckdb_path, lambda con: con.sql(query).fetchall())]


def request(target: str | Path, **more: Any) -> BackfillRequest:
    """What a person asks for."""
    return BackfillRequest(target=str(target), **more)


def event(number: int, hours: float = 0) -> dict[str, Any]:
    """An hour of GH Archive has lines like this."""
    page = f"https://github.com/acme/notes/issues/{number}"
    issue = {
        "number": number, "title": f"Export number {number} stops", "body": "It stops", "html_url": page,
        "state": "open", "created_at": at(hours), "updated_at": at(hours), "labels": [], "user": {"login": "mo"},
    }  # fmt: skip
    repo = {"name": "acme/notes"}
    return {"type": "IssuesEvent", "repo": repo, "payload": {"action": "opened", "issue": issue}, "created_at": at(0)}


def lines(*events: dict[str, Any]) -> bytes:
    """Objects as JSON lines."""
    return b"".join(json.dumps(each).encode() + b"\n" for each in events)


def test_a_span_is_cut_into_windows_that_meet_and_cover_it():
    """No moment is in two windows or in none; nonsense is refused."""
    windows = cut(START, START + timedelta(days=10), parse_span("3d"))

    assert [(a - START).days for a, _ in windows] == [0, 3, 6, 9]
    assert [b for _, b in windows] == [a for a, _ in windows[1:]] + [START + timedelta(days=10)]
    for span in ("0d", "3", "7x", "-1d"):
        with pytest.raises(PermanentError, match="expected hours, days or weeks"):
            parse_span(span)
    with pytest.raises(PermanentError, match="start before end"):
        cut(START, START, parse_span("1d"))
    with pytest.raises(PermanentError, match="10,000"):
        cut(START, START + timedelta(days=10_000), parse_span("1h"))


def test_github_windows_hold_what_changed_in_them_and_a_second_time_changes_nothing(settings, monkeypatch):
    """The source's own cursor stays; a failed window is read by the next start alone, the others are done."""
    monkeypatch.setenv("ACME_TOKEN", TOKEN)
    with running_github() as server:
        for number in range(1, 41):
            server.put(number, f"Export number {number} stops", at(number))
            server.say(number, number, f"Here too, at row {number}", at(number))
        options = SourceOptions(token_variable="ACME_TOKEN", base_url=server.url, include_comments=True)
        add_source(settings, "default", "github", "acme/notes", options, actor="test")
        asked = request("github:acme/notes", start=START, end=START + timedelta(hours=30), window="10h")
        first = plan(settings, "default", asked)[0]
        run_window(settings, "default", first.window_id)
        n_first = len(ids(settings))
        server.failures = [failure("500")]
        stopped = backfill(settings, "default", asked)
        report = backfill(settings, "default", asked)
        n_requests = len(server.requests)
        again = backfill(settings, "default", asked)

    assert n_first == 18
    assert (stopped.n_before, stopped.n_read, stopped.n_failed, stopped.n_left) == (1, 0, 1, 2)
    assert "answered with 500" in stopped.notes[0]
    assert (report.n_before, report.n_read, report.n_left) == (1, 2, 0)
    expected = {f"acme/notes#{n}" for n in range(1, 30)} | {f"acme/notes#issuecomment-{n}" for n in range(1, 30)}
    assert set(ids(settings)) == expected
    assert (again.n_before, again.n_read, len(server.requests)) == (3, 0, n_requests)
    assert list_sources(settings, "default")[0].cursor == {}


def test_sentry_and_reddit_windows_hold_their_span_only(settings, monkeypatch):
    """Sentry is asked by time; Reddit's listing is walked back to the start, and what it cannot reach is told."""
    monkeypatch.setenv("ACME_SENTRY", SENTRY_TOKEN)
    monkeypatch.setenv("ACME_ID", CLIENT_ID)
    monkeypatch.setenv("ACME_SECRET", CLIENT_SECRET)
    with running_sentry() as sentry, running_reddit() as reddit:
        for number in range(1, 41):
            sentry.put(number, at(number))
            reddit.post(number, (START + timedelta(hours=number)).timestamp())
        chosen = SourceOptions(token_variable="ACME_SENTRY", base_url=sentry.url)
        add_source(settings, "default", "sentry", "acme/web", chosen, actor="test")
        chosen = SourceOptions(client_id_variable="ACME_ID", client_secret_variable="ACME_SECRET", base_url=reddit.url)
        add_source(settings, "default", "reddit", "notesapp", chosen, actor="test")
        span = {"start": START + timedelta(hours=10), "end": START + timedelta(hours=20), "window": "5h"}
        for target in ("sentry:acme/web", "reddit:notesapp"):
            assert backfill(settings, "default", request(target, **span)).n_left == 0
        for number in range(41, 1_200):
            reddit.post(number, (START + timedelta(hours=number)).timestamp())
        cut_short = backfill(settings, "default", request("reddit:notesapp", **{**span, "window": "10h"}))

    hours = range(10, 20)
    assert ids(settings) == sorted([f"issue:{n}" for n in hours] + [f"t3_p{n}" for n in hours])
    assert "import a dump" in cut_short.notes[0]


def test_an_archive_is_read_file_by_file_whatever_its_packing(settings, tmp_path):
    """Hours of GH Archive, a table and a folder of small payloads; files that grew are read again, others not."""
    folder = tmp_path / "archive"
    (folder / "hooks").mkdir(parents=True)
    (folder / "2026-01-01-0.json.gz").write_bytes(
        gzip.compress(lines(event(1, 0), event(2, 1), {"type": "WatchEvent"}))
    )
    (folder / "2026-01-01-1.json.gz").write_bytes(gzip.compress(lines(event(3, 30))))
    (folder / "broken.csv").write_bytes(b"\x89PNG no table")
    for number in range(10, 15):
        (folder / "hooks" / f"{number}.json").write_text(json.dumps(event(number)["payload"]["issue"]))
    (folder / "more.csv").write_text("number,channel,title,created_at\n7,acme/notes,It is slow,2026-01-01\n")
    asked = request(folder, source="github", end=START + timedelta(hours=24))
    report = backfill(settings, "default", asked)
    (folder / "2026-01-01-1.json.gz").write_bytes(gzip.compress(lines(event(3, 30), event(4, 3))))
    again = backfill(settings, "default", asked)

    assert report.n_failed == 1
    assert "broken.csv" in report.notes[0]
    assert report.counts.ignored["outside-range"] == 1
    numbers = [1, 10, 11, 12, 13, 14, 2, 4, 7]
    assert ids(settings) == [f"acme/notes#{n}" for n in numbers]
    assert again.counts.new == 1


def test_a_dump_of_reddit_is_lines_under_a_name_that_does_not_say_so(settings, tmp_path):
    """RS_2026-01.zst is packed with a long window and read line by line."""
    posts = [
        {"name": f"t3_p{n}", "id": f"p{n}", "title": f"Sync number {n} fails", "selftext": "Help", "author": "mo",
         "subreddit": "notesapp", "created_utc": START.timestamp() + n, "permalink": f"/r/notesapp/comments/p{n}/x/"}
        for n in range(30)
    ]  # fmt: skip
    dump = tmp_path / "RS_2026-01.zst"
    dump.write_bytes(zstandard.ZstdCompressor().compress(lines(*posts)))

    assert backfill(settings, "default", request(dump, source="reddit")).counts.new == 30


KILLED = """
import os, signal, sys
from pathlib import Path
from soulcaster import ingest
from soulcaster.backfill import BackfillRequest, plan, run_window
from soulcaster.settings import Settings
settings = Settings(_env_file=None, home=Path(sys.argv[1]))
[window] = plan(settings, "default", BackfillRequest(target=sys.argv[2], source=sys.argv[3]))
seen = []
def on_progress(done, total):
    seen.append(done)
    if len(seen) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
run_window(settings, "default", window.window_id, on_progress=on_progress)
"""


@pytest.mark.parametrize("kind", ["payloads", "table"])
def test_a_killed_window_goes_on_behind_its_last_commit(settings, tmp_path, kind):
    """Killed after the second chunk of a large file; the next start neither begins anew nor leaves a hole."""
    if kind == "payloads":
        file, source, n_all = tmp_path / "events.jsonl", "github", 5_000
        file.write_bytes(lines(*(event(n) for n in range(n_all))))
    else:
        file, source, n_all = tmp_path / "rows.csv", "manual", 2 * CHUNK_ROWS + 10
        file.write_text("id,text\n" + "".join(f"{n},Row number {n} is lost\n" for n in range(n_all)))
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(settings.home), str(file), source], env={**os.environ}, check=False
    )
    [half] = plan(settings, "default", request(file, source=source))
    report = backfill(settings, "default", request(file, source=source))

    assert killed.returncode == -signal.SIGKILL
    assert (half.state, 0 < half.n_done < n_all) == ("started", True)
    assert report.counts.new == len(ids(settings)) == n_all
    assert report.counts.unchanged <= 1


def test_live_intake_gets_in_between_two_chunks(settings, tmp_path):
    """No lock is held from one chunk to the next: a text typed meanwhile is stored at once."""
    file = tmp_path / "events.jsonl"
    file.write_bytes(lines(*(event(n) for n in range(4_100))))
    [window] = plan(settings, "default", request(file, source="github"))
    brief = settings.model_copy(update={"lock_timeout_seconds": 0.5})
    typed: list[str] = []

    def type_something(done: int, _total: int) -> None:
        typed.append(add_typed(brief, "default", title=f"Typed at {done}", body="", author="mo")[0])

    run_window(settings, "default", window.window_id, on_progress=type_something)

    assert len(typed) == 3
    assert set(typed) <= set(ids(settings))


def test_two_runs_of_a_backfill_share_its_windows(settings, tmp_path):
    """A second run leaves alone the window that the first is reading, and reads the other."""
    folder = tmp_path / "tables"
    folder.mkdir()
    for name, numbers in (("a.csv", (1, 2)), ("b.csv", (3,))):
        (folder / name).write_text("id,text\n" + "".join(f"{n},It crashes at step {n}\n" for n in numbers))
    asked = request(folder)
    first = plan(settings, "default", asked)[0]
    seconds: list[BackfillReport] = []

    done = run_window(
        settings,
        "default",
        first.window_id,
        on_progress=lambda *_: seconds.append(backfill(settings, "default", asked)),
    )

    assert done is not None
    assert done.counts.new == 2
    assert (seconds[0].n_read, seconds[0].n_elsewhere, seconds[0].n_left, seconds[0].counts.seen) == (1, 1, 0, 1)
    assert sorted(ids(settings)) == ["1", "2", "3"]
    assert run_window(settings, "default", first.window_id) is None
    assert list((settings.home / "windows").iterdir()) == []


def test_what_makes_no_sense_is_refused_at_once(settings, tmp_path):
    """An unknown source or path, a source without a start, a window for an archive."""
    add_source(settings, "default", "github", "acme/notes", SourceOptions(), actor="test")
    for asked, words in (
        (request("github:acme/other", start=START), "no source"),
        (request(tmp_path / "absent"), "no such file"),
        (request("github:acme/notes"), "start"),
        (request(tmp_path, window="7d"), "files are its windows"),
        (request(" "), "got none"),
    ):
        with pytest.raises(PermanentError, match=words):
            plan(settings, "default", asked)


def test_the_command_says_what_is_left_and_goes_on(settings, tmp_path):
    """Exit 1 while a window is left; columns are named as for import."""
    folder = tmp_path / "tables"
    folder.mkdir()
    (folder / "a.csv").write_text("nr,words\n1,It crashes on start\n")
    (folder / "b.csv").write_text("nr\n1\n")
    command = ["backfill", str(folder), "--text-column", "words", "--id-column", "nr"]
    failed = CliRunner().invoke(app, command)
    (folder / "b.csv").write_text("nr,words\n2,It crashes on exit\n")
    done = CliRunner().invoke(app, [*command, "--json"])

    assert (failed.exit_code, "1 windows are left" in str(failed.exception)) == (1, True)
    assert (done.exit_code, json.loads(done.output.splitlines()[-1])["n_before"]) == (0, 1)
    assert ids(settings) == ["1", "2"]
    assert plan(settings, "default", request(folder, columns=ColumnMap(text="words", id="nr")))[1].state == "done"
