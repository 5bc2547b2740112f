"""Configured sources as a whole: their store, their state, kills in the middle, the commands, the doctor."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib import resources
from typing import Any

import pytest
from standins import github_server, reddit_server, sentry_server
from standins.wire_server import failure
from typer.testing import CliRunner

from soulcaster import db
from soulcaster.cli import app
from soulcaster.configured import ConfiguredSource, SourceOptions, parse_options, parse_source_id
from soulcaster.db import sources as store
from soulcaster.doctor import examine as examine_all
from soulcaster.errors import PermanentError, TransientError
from soulcaster.pull import add_source, examine, list_sources, pause_source, pull, remove_source
from soulcaster.settings import Settings

SECRETS = {
    "ACME_GITHUB": github_server.TOKEN,
    "ACME_SENTRY": sentry_server.TOKEN,
    "ACME_REDDIT_ID": reddit_server.CLIENT_ID,
    "ACME_REDDIT_SECRET": reddit_server.CLIENT_SECRET,
}


@pytest.fixture
def servers(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """All three stand-ins with some content, each configured as a source of the project."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    with ExitStack() as stack:
        github = stack.enter_context(github_server.running_github())
        sentry = stack.enter_context(sentry_server.running_sentry())
        reddit = stack.enter_context(reddit_server.running_reddit())
        for number in range(1, 221):
            at = f"2026-01-{1 + number // 24:02d}T{number % 24:02d}:00:00Z"
            github.put(number, f"Export number {number} stops", at)
            reddit.post(number, 1_767_225_600.0 + 600 * number)
            if number <= 60:
                sentry.put(number, at)
                github.say(number, number, f"It stops for me too, at row {number}", at)
        credentials = {"client_id_variable": "ACME_REDDIT_ID", "client_secret_variable": "ACME_REDDIT_SECRET"}
        for kind, server, options in (
            ("github", github, {"token_variable": "ACME_GITHUB", "include_comments": True}),
            ("reddit", reddit, credentials),
            ("sentry", sentry, {"token_variable": "ACME_SENTRY"}),
        ):
            name = {"github": "acme/notes", "reddit": "notesapp", "sentry": "acme/web"}[kind]
            chosen = SourceOptions(base_url=server.url, **options)
            add_source(settings, "default", kind, name, chosen, actor="test")
        yield {"github": github, "reddit": reddit, "sentry": sentry}


def pull_all(settings: Settings) -> int:
    """Number of new items over all sources."""
    sources = list_sources(settings, "default")
    return sum(pull(settings, "default", source.kind, source.name).counts.new for source in sources)


def rows(settings: Settings, query: str) -> list[tuple[Any, ...]]:
    """Rows of a query."""
    return db.read(settings.duckdb_path, lambda con: con.sql(query).fetchall())


def only(settings: Settings, kind: str) -> ConfiguredSource:
    """The one source of its kind."""
    [source] = [source for source in list_sources(settings, "default") if source.kind == kind]
    return source


def test_a_cursor_moves_only_after_its_page_is_committed(settings, servers):
    """A store that is busy when a page comes keeps the old cursor: the page is read again."""
    brief = settings.model_copy(update={"lock_timeout_seconds": 0.2})
    github = servers["github"]
    held_by = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(settings.duckdb_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    github.on_request = lambda request: (
        _take(held_by) if request.path.endswith("/issues") and "since" in request.query else None
    )
    with pytest.raises(TransientError):
        pull(brief, "default", "github", "acme/notes")
    held_by.communicate()

    assert rows(settings, "SELECT count(*) FROM items") == [(100,)]
    assert only(settings, "github").cursor["issues"].startswith("2026-01-05T04:00:00")
    github.on_request = lambda _request: None
    assert pull(settings, "default", "github", "acme/notes").counts.new == 180


HOLD = """
import sys, time
from pathlib import Path
from soulcaster import db
print("ready", flush=True)
sys.stdin.readline()
def hold(con):
    print("held", flush=True)
    time.sleep(2)
db.write(Path(sys.argv[1]), hold)
"""


def _take(process: subprocess.Popen[bytes]) -> None:
    """Let the other process take the store's lock, and return when it has it."""
    assert process.stdin
    assert process.stdout
    process.stdin.write(b"go\n")
    process.stdin.flush()
    while process.stdout.readline() not in (b"held\n", b""):
        pass


def test_a_paused_source_is_left_alone_until_it_is_resumed(settings, servers):
    """Pausing is seen by the next pull; a person may still pull by hand."""
    pause_source(settings, "default", "github", "acme/notes", is_paused=True, actor="mo")

    assert pull(settings, "default", "github", "acme/notes").skipped == "paused"
    assert servers["github"].requests == []
    assert ("github:acme/notes", "warn") in [finding[:2] for finding in examine(settings)]
    pause_source(settings, "default", "github", "acme/notes", is_paused=False, actor="mo")
    assert pull(settings, "default", "github", "acme/notes").counts.new == 280


def test_a_blocked_source_rests_and_a_person_asks_at_once(settings, servers):
    """Scheduled pulls do not knock every five minutes at a shut door; the date of the block stays the first."""
    github = servers["github"]
    github.failures = [failure("401")] * 2
    with pytest.raises(PermanentError):
        pull(settings, "default", "github", "acme/notes")
    since = only(settings, "github").state_since
    assert "blocked" in (pull(settings, "default", "github", "acme/notes").skipped or "")
    with pytest.raises(PermanentError):
        pull(settings, "default", "github", "acme/notes", is_forced=True)

    assert only(settings, "github").state_since == since
    assert len(github.requests) == 2
    pull(settings, "default", "github", "acme/notes", is_forced=True)
    recovered = only(settings, "github")
    assert (recovered.state, recovered.message, recovered.retry_at) == ("ok", "", None)


def test_sources_belong_to_their_project_and_every_change_is_in_the_activity_log(settings):
    """Another project has none of them; who added, paused and removed is written down."""
    for project in ("default", "other"):
        add_source(settings, project, "reddit", "notesapp", SourceOptions(search="sync"), actor="mo")
    with pytest.raises(PermanentError, match="already"):
        add_source(settings, "default", "reddit", "NotesApp", SourceOptions(), actor="mo")
    pause_source(settings, "other", "reddit", "NotesApp", is_paused=True, actor="jo")
    remove_source(settings, "default", "reddit", "notesapp", actor="jo")

    assert list_sources(settings, "default") == []
    [other] = list_sources(settings, "other")
    assert (other.options.search, other.is_paused) == ("sync", True)
    log = rows(settings, "SELECT project_id, actor, action, subject FROM activity ORDER BY happened_at")
    assert log == [
        ("default", "mo", "source-add", "source:reddit:notesapp"),
        ("other", "mo", "source-add", "source:reddit:notesapp"),
        ("other", "jo", "source-pause", "source:reddit:notesapp"),
        ("default", "jo", "source-remove", "source:reddit:notesapp"),
    ]


def test_an_old_store_with_rows_is_upgraded(tmp_path):
    """A store of the first schema gets the table of sources and keeps its rows; the doctor reads it before, too."""
    path = tmp_path / "home" / "soulcaster.duckdb"
    first = (resources.files("soulcaster.db.migrations") / "0001_initial.sql").read_text()
    insert = "INSERT INTO activity VALUES (uuid(), 'default', now(), 'mo', 'x', 'y', '', '{}')"

    def make(con):
        con.execute(first)
        con.execute("INSERT INTO schema_migrations VALUES ('0001_initial.sql', now())")
        con.execute(insert)

    db.write(path, make)
    settings = Settings(_env_file=None, home=tmp_path / "home")
    assert examine(settings) == []

    assert "0003_sources.sql" in db.migrate(path)
    add_source(settings, "default", "github", "acme/notes", SourceOptions(), actor="mo")
    assert rows(settings, "SELECT count(*) FROM activity") == [(2,)]
    assert [source.source_id for source in list_sources(settings, "default")] == ["github:acme/notes"]


@pytest.mark.parametrize(
    "text", ["github:acme", "reddit:a b", "sentry:acme", "jira:acme/x", "acme/notes", "github:a/../b"]
)
def test_names_a_source_cannot_have_are_refused(text):
    """A typing error is told at once, not by a 404 at night."""
    with pytest.raises(PermanentError, match="expected"):
        parse_source_id(text)


def test_a_secret_given_in_place_of_its_variable_is_refused_and_not_repeated():
    """Tokens do not get into the store, nor into the error."""
    with pytest.raises(PermanentError, match="name of an environment variable") as caught:
        parse_options("github", {"token_variable": "ghp_abcdefsecret"})
    assert "secret" not in str(caught.value)
    with pytest.raises(PermanentError, match="no option 'levels'"):
        parse_options("github", {"levels": ["error"]})
    with pytest.raises(PermanentError, match="both"):
        parse_options("reddit", {"client_id_variable": "ACME_ID"})


@pytest.mark.usefixtures("servers")
def test_no_secret_is_stored(settings):
    """Neither configuration nor state nor log hold a value."""
    pull_all(settings)
    kept = rows(settings, "SELECT s::VARCHAR FROM sources s UNION ALL SELECT a::VARCHAR FROM activity a")

    assert not any(secret in row for (row,) in kept for secret in SECRETS.values())


def test_the_doctor_tells_of_each_source_whether_it_works_and_what_to_do(settings, servers):
    """One finding a source: works, blocked since and what to do, never pulled."""
    servers["github"].failures = [failure("401")]
    with pytest.raises(PermanentError):
        pull(settings, "default", "github", "acme/notes")
    pull(settings, "default", "reddit", "notesapp")
    found = {finding.subject: finding for finding in examine_all()}

    blocked = found["github:acme/notes"]
    assert (blocked.state, "blocked since" in blocked.message, "new one" in blocked.message) == ("fail", True, True)
    assert (found["reddit:notesapp"].state, "by way of oauth" in found["reddit:notesapp"].message) == ("ok", True)
    assert (found["sentry:acme/web"].state, "never pulled" in found["sentry:acme/web"].message) == ("warn", True)


def test_the_commands_add_test_list_pull_pause_and_remove(settings, servers):
    """A person's way through, as it is typed; one failing source does not stop the others."""
    remove_source(settings, "default", "sentry", "acme/web", actor="mo")
    servers["github"].failures = [failure("500")]

    def run(*arguments: str, code: int = 0) -> str:
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == code, done.output
        return done.output if code == 0 else f"{done.output}{done.exception}"

    url = servers["sentry"].url
    run("source", "add", "sentry:acme/web", "--token-variable", "ACME_SENTRY", "--level", "error", "--base-url", url)
    assert "25 items on the first page" in run("source", "test", "sentry:acme/web")
    printed = run("ingest", code=1)
    assert "answered with 500" in printed
    assert "sentry:acme/web: 60 seen by way of token" in printed
    assert "failing" in run("source", "list")
    assert '"new":280' in run("ingest", "github:acme/notes", "--json")
    run("source", "pause", "sentry:acme/web")
    listed = json.loads(run("source", "list", "--json").splitlines()[-1])["sources"]
    assert {source["source_id"]: source["state"] for source in listed}["github:acme/notes"] == "ok"
    run("source", "remove", "sentry:acme/web")
    assert "no source" in run("source", "resume", "sentry:acme/web", code=1)


def test_the_state_survives_in_the_store_as_it_was_written(settings):
    """What save_state and save_cursor write is what list_sources reads; a removed source stays removed."""
    now = datetime(2026, 1, 2, tzinfo=UTC)
    add_source(settings, "default", "sentry", "acme/web", SourceOptions(levels=["error"]), actor="mo")
    [source] = list_sources(settings, "default")

    def write(con):
        store.save_cursor(con, "default", source, {"watermark": "2026-01-01"}, "token")
        store.save_state(con, "default", source, "failing", "busy", retry_at=now, now=now)

    db.write(settings.duckdb_path, write)
    [found] = list_sources(settings, "default")
    assert (found.cursor, found.way, found.state, found.state_since) == (
        {"watermark": "2026-01-01"},
        "token",
        "failing",
        now,
    )
    assert (found.retry_at, found.pulled_at, found.options.levels) == (now, None, ["error"])
    remove_source(settings, "default", "sentry", "acme/web", actor="mo")
    db.write(settings.duckdb_path, write)
    assert list_sources(settings, "default") == []
