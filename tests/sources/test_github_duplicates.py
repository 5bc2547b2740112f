"""Duplicates marked at GitHub, read by a pull from a stand-in of its REST and GraphQL APIs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from standins.github_server import TOKEN, GitHubServer, running_github
from standins.wire_server import Answer

from soulcaster import db
from soulcaster.configured import SourceOptions
from soulcaster.errors import TransientError
from soulcaster.pull import add_source, list_sources, pull
from soulcaster.settings import Settings
from soulcaster.sources import github as parser

PAGE = "https://github.com/acme/notes/issues/"


@pytest.fixture
def github(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHubServer]:
    """A repository with six issues, configured with a token."""
    monkeypatch.setenv("ACME_TOKEN", TOKEN)
    with running_github() as server:
        for number in range(1, 7):
            server.put(number, f"Export number {number} stops", f"2026-01-01T00:0{number}:00Z")
        chosen = SourceOptions(token_variable="ACME_TOKEN", base_url=server.url)
        add_source(settings, "default", "github", "acme/notes", chosen, actor="test")
        yield server


def marked(settings: Settings) -> dict[str, str]:
    """What each issue repeats, of those that repeat one."""
    query = "SELECT external_id, duplicate_of FROM items WHERE duplicate_of IS NOT NULL ORDER BY external_id"
    rows = db.read(settings.duckdb_path, lambda con: con.sql(query).fetchall())
    return {external_id.removeprefix("acme/notes"): other for external_id, other in rows}


def run(settings: Settings) -> Any:
    """One pull."""
    return pull(settings, "default", "github", "acme/notes", is_forced=True)


def test_marks_of_comments_and_closings_are_read_also_across_repositories(settings, github):
    """The event of an issue that repeats this one marks nothing here."""
    github.mark(2, "MarkedAsDuplicate", PAGE + "1")
    github.mark(1, "MarkedAsDuplicate", PAGE + "1", duplicate=2)
    github.put(3, "Export number 3 stops", "2026-01-01T00:03:00Z", state="closed", state_reason="duplicate")
    github.mark(3, "Closed", "https://github.com/acme/core/issues/9")
    github.mark(4, "Closed")
    run(settings)
    n_first = github.paths().count("/graphql")
    again = run(settings)

    assert marked(settings) == {"#2": "acme/notes#1", "#3": "acme/core#9"}
    assert n_first == 2  # the page of the list, and the known issues that are asked for in turn
    assert (again.counts.new, again.counts.changed) == (0, 0)


def test_a_mark_that_was_taken_back_is_gone_with_the_next_pull(settings, github):
    """Unmarked by a button, reopened, or replaced by another mark; even where the issue's own time did not move."""
    for number in (2, 3, 4, 5):
        github.mark(number, "MarkedAsDuplicate", PAGE + "1")
    run(settings)
    assert marked(settings) == {f"#{number}": "acme/notes#1" for number in (2, 3, 4, 5)}
    github.mark(2, "UnmarkedAsDuplicate", PAGE + "1")
    github.mark(3, "Reopened")
    github.mark(4, "MarkedAsDuplicate", PAGE + "6")
    github.mark(4, "UnmarkedAsDuplicate", PAGE + "6")
    github.mark(5, "MarkedAsDuplicate", PAGE + "6")
    # Of a large repository only the newest issues are listed again: the others are asked for in turn.
    github.put(7, "Import stops", "2026-02-01T00:00:00Z")
    run(settings)
    found = run(settings)

    assert marked(settings) == {"#4": "acme/notes#1", "#5": "acme/notes#6"}
    assert found.counts.changed == 0


def test_who_may_not_ask_for_marks_gets_the_issues_and_is_told(settings, github):
    """A server whose GraphQL refuses (an old Enterprise) blocks no pull; the doctor shows why."""
    refusal = Answer(payload={"errors": [{"type": "undefinedField", "message": "Field 'duplicateOf' doesn't exist"}]})
    github.on_request = lambda request: github.failures.append(refusal) if request.path.endswith("/issues") else None
    report = run(settings)

    assert report.counts.new == 6
    source = list_sources(settings, "default")[0]
    assert (source.state, "marks of duplicates" in source.message) == ("ok", True)


def test_a_used_up_graphql_limit_is_waited_for(settings, github):
    """GitHub answers it with status 200; the page is read again, with its marks."""
    limited = Answer(payload={"errors": [{"type": "RATE_LIMITED"}]}, headers={"Retry-After": "120"})
    github.mark(2, "MarkedAsDuplicate", PAGE + "1")
    github.on_request = lambda request: github.failures.append(limited) if request.path.endswith("/issues") else None
    with pytest.raises(TransientError) as caught:
        run(settings)
    github.on_request = lambda _request: None
    run(settings)

    assert caught.value.retry_at
    assert marked(settings) == {"#2": "acme/notes#1"}


def test_strangers_are_told_that_marks_need_a_token(settings):
    """The reason stays, what is repeated is not known."""
    with running_github(is_token_needed=False, repository="acme/open") as server:
        server.put(1, "Export stops", "2026-01-01T00:00:00Z", state="closed", state_reason="duplicate")
        add_source(settings, "default", "github", "acme/open", SourceOptions(base_url=server.url), actor="test")
        report = pull(settings, "default", "github", "acme/open")

    assert (report.counts.new, "token only" in report.message) == (1, True)


@pytest.mark.parametrize(
    ("action", "text", "changes", "expected"),
    [
        ("created", "Duplicate of acme/core#3", {}, "acme/core#3"),
        ("deleted", "Duplicate of #3", {}, ""),
        ("deleted", "Thanks", {}, None),
        ("edited", "Not after all", {"body": {"from": "Duplicate of #3"}}, ""),
        ("edited", "Duplicate of #4", {"body": {"from": "Duplicate of #3"}}, "acme/notes#4"),
    ],
)
def test_a_comment_that_is_deleted_or_edited_takes_its_mark_back(action, text, changes, expected):
    """The webhook of the comment says so; '' is what the store reads as taken back."""
    issue = {"number": 5, "title": "Export stops", "body": "", "html_url": PAGE + "5", "user": {"login": "a"}}
    body = {
        "action": action, "issue": issue, "changes": changes, "sender": {},
        "comment": {"id": 1, "body": text, "author_association": "MEMBER", "user": {"login": "b"}},
    }  # fmt: skip
    [item] = parser.parse_payload(json.loads(json.dumps(body)), event="issue_comment")

    assert item.duplicate_of == expected
