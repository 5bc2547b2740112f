"""Pulls of a Sentry project from a stand-in that speaks its wire protocol."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from standins.sentry_server import TOKEN, SentryServer, running_sentry
from standins.wire_server import Answer, failure

from soulcaster import db
from soulcaster.configured import PullReport, SourceOptions
from soulcaster.errors import PermanentError, TransientError
from soulcaster.pull import add_source, list_sources, pull
from soulcaster.settings import Settings


@pytest.fixture
def sentry(monkeypatch: pytest.MonkeyPatch) -> Iterator[SentryServer]:
    """A project of 60 issues: three pages."""
    monkeypatch.setenv("ACME_SENTRY", TOKEN)
    with running_sentry() as server:
        for number in range(1, 61):
            level = "fatal" if number % 10 == 0 else "error"
            server.put(number, at(number), count=number, level=level, environment="staging" if number < 4 else "")
        yield server


def at(hour: int) -> str:
    """A time from January 2026 on, as Sentry writes it."""
    return f"{datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=hour):%Y-%m-%dT%H:%M:%S.%fZ}"


def run(settings: Settings, server: SentryServer, *, is_forced: bool = True, **options: Any) -> PullReport:
    """One pull of the project, which is configured first when it is not."""
    if not list_sources(settings, "default"):
        chosen = SourceOptions(token_variable="ACME_SENTRY", base_url=server.url, **options)
        add_source(settings, "default", "sentry", server.place, chosen, actor="test")
    return pull(settings, "default", "sentry", server.place, is_forced=is_forced)


def rows(settings: Settings, columns: str = "external_id") -> list[tuple[Any, ...]]:
    """Stored items by id."""
    query = f"SELECT {columns} FROM items ORDER BY external_id"  # noqa: S608  columns named by the tests
    return db.read(settings.duckdb_path, lambda con: con.sql(query).fetchall())


def test_an_issue_and_its_latest_event_are_one_item(settings, sentry):
    """Counts, users and state of the issue; stack, release and environment of the event."""
    run(settings, sentry)

    columns = "event_count, user_count, frames, release, environment, level, exception_type, source_group, state, url"
    found = rows(settings, f"external_id, {columns}")
    assert len(found) == 60
    expected = ("issue:7", 7, 3, ["export:write_7"], "web@2.1", "production", "error", "ValueError", "7", "open")
    assert expected in [row[:-1] for row in found]
    assert ("issue:7", "https://acme.sentry.io/issues/7/") in [(row[0], row[-1]) for row in found]


def test_two_pulls_store_each_issue_once_and_the_second_reads_the_overlap_only(settings, sentry):
    """Counts equal distinct ids."""
    first, second = run(settings, sentry), run(settings, sentry)

    assert (first.counts.new, first.n_pages) == (60, 3)
    assert (second.counts.new, second.counts.changed, second.n_pages) == (0, 0, 1)
    assert len(rows(settings)) == 60


def test_more_events_of_an_issue_raise_its_count_and_double_nothing(settings, sentry):
    """The same item, seen later and more often."""
    run(settings, sentry)
    sentry.put(5, at(500), count=900)

    assert run(settings, sentry).counts.changed == 1
    assert ("issue:5", 900, 450) in rows(settings, "external_id, event_count, user_count")


def test_an_issue_whose_events_are_gone_is_still_an_item(settings, sentry):
    """The list alone has words enough."""
    sentry.events.clear()

    assert run(settings, sentry).counts.new == 60


@pytest.mark.parametrize(
    ("options", "expected"),
    [({"levels": ["fatal"]}, 6), ({"levels": ["fatal", "error"]}, 60), ({"environments": ["staging"]}, 3)],
)
def test_filters_are_applied_at_the_source(settings, sentry, options, expected):
    """Level and environment are asked for, not sieved afterwards."""
    assert run(settings, sentry, **options).counts.new == expected


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (failure("401"), PermanentError, "token is wrong"),
        (failure("403"), PermanentError, "scopes"),
        (failure("404"), PermanentError, "no such organization"),
        (failure("429"), TransientError, "429"),
        (failure("500"), TransientError, "500"),
        (failure("slow"), TransientError, "failed"),
        (failure("drip"), TransientError, "within"),
        (failure("drip-head"), TransientError, "within"),
        (failure("cut"), TransientError, "failed"),
        (failure("broken"), TransientError, "expected JSON"),
        (failure("charset"), TransientError, "expected JSON"),
        (failure("html"), TransientError, "expected JSON"),
        (failure("wrong-shape"), TransientError, "expected a list"),
    ],
    ids=lambda value: str(value.status) + value.trick if isinstance(value, Answer) else "",
)
def test_a_failure_in_the_middle_keeps_what_came_before_and_the_next_pull_goes_on_there(
    settings, sentry, answer, error, words
):
    """The page that was stored is not read again; the issues behind it are not lost."""
    brief = settings.model_copy(update={"source_timeout_seconds": 1.0})
    sentry.failures = [*[None] * 26, answer]  # the first page and its events are answered
    started = time.monotonic()
    with pytest.raises(error, match=words):
        run(brief, sentry)

    assert time.monotonic() - started < 40  # a drip would last for fifty
    assert len(rows(settings)) == 25
    source = list_sources(settings, "default")[0]
    assert source.state == ("blocked" if error is PermanentError else "failing")
    assert TOKEN not in source.message
    again = run(settings, sentry)
    assert (again.counts.new, again.n_pages) == (35, 2)
    assert run(settings, sentry).n_pages == 1


def test_issues_seen_while_a_pull_was_interrupted_are_read_by_the_next(settings, sentry):
    """The watermark stays with what was newest at the beginning."""
    sentry.failures = [*[None] * 26, failure("500")]
    with pytest.raises(TransientError):
        run(settings, sentry)
    sentry.put(61, at(900))
    run(settings, sentry)
    run(settings, sentry)

    assert len(rows(settings)) == 61


def test_a_page_cursor_that_died_meanwhile_starts_from_the_top(settings, sentry):
    """Sentry's cursors do not live for ever; the pull does not stay stuck."""
    sentry.failures = [*[None] * 26, failure("500")]
    with pytest.raises(TransientError):
        run(settings, sentry)
    sentry.are_cursors_dead = True
    sentry.issues = dict(list(sentry.issues.items())[:20])

    assert run(settings, sentry).counts.new == 20


def test_rate_limits_say_when_it_goes_on_and_are_obeyed(settings, sentry):
    """The reset time is in error and state; until then nobody asks."""
    reset = {"X-Sentry-Rate-Limit-Reset": str(int(time.time()) + 600), "X-Sentry-Rate-Limit-Remaining": "0"}
    sentry.failures = [Answer(429, {"detail": "slow down"}, reset)]
    with pytest.raises(TransientError) as caught:
        run(settings, sentry)

    assert caught.value.retry_at
    assert 500 < (caught.value.retry_at - datetime.now(UTC)).total_seconds() <= 600
    n_requests = len(sentry.requests)
    assert run(settings, sentry, is_forced=False).skipped
    assert len(sentry.requests) == n_requests


@pytest.mark.shared_data
def test_recorded_issue_and_event_become_one_item(settings, sentry, shared_data_dir):
    """Bodies as the real API sent them."""
    folder = shared_data_dir / "payloads_sentry_api" / "mcp_mocks"
    issue, event = (json.loads((folder / name).read_text()) for name in ("issue.json", "event.json"))
    sentry.issues, sentry.events = {issue["id"]: issue}, {issue["id"]: event}
    report = run(settings, sentry)

    assert report.counts.new == 1
    [row] = rows(settings, "external_id, event_count, frames")
    assert row[:2] == (f"issue:{issue['id']}", int(issue["count"]))
    assert row[2]
