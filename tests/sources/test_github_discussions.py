"""Discussions of a GitHub repository, pulled from a stand-in of its GraphQL API."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from standins.github_server import TOKEN, GitHubServer, running_github
from standins.wire_server import failure

from soulcaster import db
from soulcaster.backfill import BackfillRequest, backfill
from soulcaster.configured import SourceOptions
from soulcaster.errors import PermanentError, TransientError
from soulcaster.pull import add_source, list_sources, pull
from soulcaster.settings import Settings

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(hours: int) -> str:
    """A time as GitHub writes it."""
    return f"{START + timedelta(hours=hours):%Y-%m-%dT%H:%M:%SZ}"


@pytest.fixture
def github(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHubServer]:
    """A repository with 120 discussions, configured with a token."""
    monkeypatch.setenv("ACME_TOKEN", TOKEN)
    with running_github() as server:
        for number in range(1, 121):
            server.discuss(number, f"Is export number {number} slow?", at(number))
        options = SourceOptions(token_variable="ACME_TOKEN", base_url=server.url, include_discussions=True)
        add_source(settings, "default", "github", "acme/notes", options, actor="test")
        yield server


def rows(settings: Settings, query: str) -> list[tuple[Any, ...]]:
    """Rows of a query."""
    return db.read(settings.duckdb_path, lambda con: con.sql(query).fetchall())


def asked(server: GitHubServer) -> int:
    """How many pages of discussions were asked for."""
    return server.paths().count("/graphql")


def test_discussions_become_items_with_category_and_answer(settings, github):
    """All of them at first, then only down to the watermark; an answered one is told as such and stays open."""
    first = pull(settings, "default", "github", "acme/notes")
    n_first = asked(github)
    github.discuss(7, "Is export number 7 slow?", at(121), answer="99")
    second = pull(settings, "default", "github", "acme/notes")

    assert (first.counts.new, n_first) == (120, 3)
    assert (second.counts.new, second.counts.changed, asked(github) - n_first) == (0, 1, 1)
    query = "SELECT external_id, state, state_reason, labels, url FROM items WHERE external_id = 'acme/notes#7'"
    page = "https://github.com/acme/notes/discussions/7"
    assert rows(settings, query) == [("acme/notes#7", "open", "answered", ["export", "Q&A"], page)]


def test_an_interrupted_pull_begins_again_and_loses_nothing(settings, github):
    """The watermark moves with the last page only: what lies below the first page is still to come."""
    github.on_request = lambda request: (
        github.failures.append(failure("500")) if request.path == "/graphql" and asked(github) == 1 else None
    )
    with pytest.raises(TransientError):
        pull(settings, "default", "github", "acme/notes")
    n_before = rows(settings, "SELECT count(*) FROM items")
    cursor = list_sources(settings, "default")[0].cursor
    pull(settings, "default", "github", "acme/notes")

    assert n_before == [(50,)]
    assert "discussions" not in cursor
    assert rows(settings, "SELECT count(*), count(DISTINCT external_id) FROM items") == [(120, 120)]


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("401", PermanentError), ("403", PermanentError), ("404", PermanentError), ("429", TransientError),
        ("500", TransientError), ("cut", TransientError), ("broken", TransientError), ("wrong-shape", TransientError),
    ],
)  # fmt: skip
def test_refusals_and_failures_are_told_apart(settings, github, kind, error):
    """What helps later is tried later, what a person must mend is told; the state says which."""
    github.on_request = lambda request: (
        github.failures.append(failure(kind)) if request.path.endswith("/issues") else None
    )
    with pytest.raises(error):
        pull(settings, "default", "github", "acme/notes")

    assert list_sources(settings, "default")[0].state == ("blocked" if error is PermanentError else "failing")


@pytest.mark.usefixtures("github")
def test_a_window_holds_the_discussions_that_changed_in_it(settings):
    """A backfill takes them as it takes issues."""
    span = {"start": START + timedelta(hours=10), "end": START + timedelta(hours=20), "window": "10h"}
    report = backfill(settings, "default", BackfillRequest(target="github:acme/notes", **span))

    assert report.n_left == 0
    known = {row[0] for row in rows(settings, "SELECT external_id FROM items")}
    assert {f"acme/notes#{n}" for n in range(10, 20)} <= known
    assert not known & {f"acme/notes#{n}" for n in range(20, 121)}


def test_strangers_are_told_that_discussions_need_a_token(settings):
    """GraphQL answers nobody without one; issues are pulled all the same."""
    with running_github(is_token_needed=False, repository="acme/open") as server:
        server.put(1, "Export stops", at(1))
        options = SourceOptions(base_url=server.url, include_discussions=True)
        add_source(settings, "default", "github", "acme/open", options, actor="test")
        report = pull(settings, "default", "github", "acme/open")

    assert (report.counts.new, "token only" in report.message) == (1, True)
