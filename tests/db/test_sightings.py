"""Several payloads about one thing: what grows grows, what is older never speaks over what is newer."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from soulcaster import db
from soulcaster.ingest import store_outcomes
from soulcaster.models import ImportReport
from soulcaster.settings import Settings
from soulcaster.sources import github, sentry

AT = datetime(2026, 1, 1, tzinfo=UTC)
COLUMNS = "event_count, user_count, created_at, updated_at, frames, release, environment, level, title, state"


def stamp(minutes: int) -> str:
    """A time as Sentry and GitHub write it."""
    return f"{AT + timedelta(minutes=minutes):%Y-%m-%dT%H:%M:%SZ}"


def issue(minutes: int, count: int, *, status: str = "unresolved") -> dict[str, Any]:
    """An issue as `issue` webhooks and lists carry it: counts, no stack."""
    return {
        "id": "77", "shortId": "WEB-77", "title": "ValueError: row 7 is bad", "level": "error",
        "culprit": "export.rows",
        "status": status, "project": {"slug": "web"}, "count": str(count), "userCount": count // 2,
        "firstSeen": stamp(-60), "lastSeen": stamp(minutes),
        "metadata": {"type": "ValueError", "value": "row 7 is bad"},
    }  # fmt: skip


def event(minutes: int) -> dict[str, Any]:
    """One event as `event_alert` webhooks carry it: a stack, no counts."""
    frame = {"module": "export", "function": "write", "in_app": True, "filename": "export.py"}
    error = {"type": "ValueError", "value": "row 7 is bad", "stacktrace": {"frames": [frame]}}
    return {
        "action": "triggered",
        "data": {"event": {
            "event_id": f"{minutes:032x}", "issue_id": "77", "datetime": stamp(minutes), "release": "web@2.1",
            "environment": "production", "exception": {"values": [error]}, "platform": "python",
        }},
    }  # fmt: skip


def pulled(minutes: int, count: int) -> dict[str, Any]:
    """An issue with its latest event, as a pull reads it."""
    return {"issue": issue(minutes, count), "event": event(minutes)["data"]["event"]}


def hook(minutes: int, count: int, **more: Any) -> dict[str, Any]:
    """An `issue` webhook."""
    return {"action": "resolved", "data": {"issue": issue(minutes, count, **more)}}


def take_in(settings: Settings, *payloads: dict[str, Any]) -> ImportReport:
    """Counts of the payloads, taken in one after the other."""
    outcomes = [("test", outcome) for payload in payloads for outcome in sentry.parse_payload(payload)]
    return store_outcomes(settings, "default", outcomes, source="sentry")


def stored(settings: Settings, columns: str = COLUMNS) -> dict[str, Any]:
    """The one item."""
    query = f"SELECT {columns} FROM items"  # noqa: S608  columns named by the tests
    [row] = db.read(settings.duckdb_path, lambda con: con.sql(query).pl()).to_dicts()
    return row


def test_a_webhook_after_a_pull_adds_an_event_and_takes_nothing_away(settings):
    """The count goes on from the pull's; created_at stays; a replay of the same delivery counts nothing."""
    take_in(settings, pulled(0, 57))
    take_in(settings, event(5))
    again = take_in(settings, event(5))

    row = stored(settings)
    assert (row["event_count"], row["user_count"]) == (58, 28)
    assert (row["created_at"], row["updated_at"]) == (AT - timedelta(hours=1), AT + timedelta(minutes=5))
    assert (again.changed, again.unchanged) == (0, 1)


def test_a_newer_payload_without_stack_keeps_stack_release_and_words(settings):
    """An `issue` webhook tells the state and the counts; what grouping uses stays."""
    take_in(settings, pulled(0, 57))
    before = stored(settings, "frames, release, environment, title, body, content_hash")
    take_in(settings, hook(5, 60, status="resolved"))

    assert stored(settings, "frames, release, environment, title, body, content_hash") == before
    assert before["frames"] == ["export:write"]
    row = stored(settings)
    assert (row["state"], row["event_count"], row["release"]) == ("closed", 60, "web@2.1")


@pytest.mark.parametrize("at_once", [True, False])
def test_deliveries_in_any_order_end_as_the_newest_says(settings, at_once):
    """Every order of pull, hook and event: state of the newest, greatest counts, earliest and latest times, stack."""
    payloads = [pulled(0, 57), event(3), hook(9, 61, status="resolved")]
    for number, order in enumerate(itertools.permutations(payloads)):
        home = settings.model_copy(update={"home": settings.home / str(number)})
        db.migrate(home.duckdb_path)
        if at_once:
            take_in(home, *order)
        else:
            for payload in order:
                take_in(home, payload)
        row = stored(home)
        assert (row["event_count"], row["user_count"], row["state"]) == (61, 30, "closed"), number
        assert (row["created_at"], row["updated_at"]) == (AT - timedelta(hours=1), AT + timedelta(minutes=9))
        assert (row["frames"], row["release"]) == (["export:write"], "web@2.1")
        assert take_in(home, *payloads).unchanged == 3


def test_events_alone_count_themselves(settings):
    """Who has webhooks only: each newer event is one more, replays are none."""
    report = take_in(settings, *(event(minute) for minute in range(10)))
    take_in(settings, *(event(minute) for minute in range(10)))

    assert (report.new, report.changed) == (1, 9)
    assert (stored(settings)["event_count"], stored(settings)["updated_at"]) == (10, AT + timedelta(minutes=9))


def test_an_older_payload_does_not_replace_the_kept_one(settings):
    """The raw payload stays the newest one's."""
    take_in(settings, pulled(9, 57))
    take_in(settings, hook(1, 3))

    payloads = db.read(settings.duckdb_path, lambda con: con.sql("SELECT count(*), max(stored_at) FROM payloads").pl())
    assert payloads.row(0)[0] == 1
    assert stored(settings)["event_count"] == 57


def test_a_duplicate_that_a_comment_declared_outlives_the_next_pull_until_the_issue_is_reopened(settings):
    """GitHub's lists do not say of what an issue is a duplicate; the comment that did is not asked for again."""
    page = "https://github.com/acme/notes/issues/5"
    base = {
        "number": 5,
        "title": "Export stops",
        "body": "It stops",
        "html_url": page,
        "labels": [],
        "user": {"login": "a"},
    }
    comment = {"id": 1, "body": "Duplicate of #2", "author_association": "MEMBER", "user": {"login": "b"}}
    said = {
        "action": "created", "issue": {**base, "state": "open", "updated_at": stamp(0)}, "comment": comment,
        "repository": {"full_name": "acme/notes"}, "sender": {},
    }  # fmt: skip
    closed = {**base, "state": "closed", "state_reason": "duplicate", "updated_at": stamp(5)}
    reopened = {**base, "state": "open", "state_reason": "reopened", "updated_at": stamp(9)}
    found = []
    for payload in (said, closed, reopened):
        outcomes = [("test", outcome) for outcome in github.parse_payload(json.loads(json.dumps(payload)))]
        store_outcomes(settings, "default", outcomes, source="github")
        row = stored(settings, "duplicate_of, state, state_reason")
        found.append((row["duplicate_of"], row["state_reason"]))

    assert found == [("acme/notes#2", None), ("acme/notes#2", "duplicate"), (None, "reopened")]
