"""Quotas of a project: what is over stays where it is, and is taken when there is room again."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from standins.github_server import TOKEN, running_github

from soulcaster import db
from soulcaster.configured import SourceOptions
from soulcaster.doctor import examine
from soulcaster.drain import drain_inbox
from soulcaster.errors import PermanentError, TransientError
from soulcaster.ingest import add_typed
from soulcaster.pull import add_source, list_sources, pull
from soulcaster.settings import Settings
from soulcaster.sources import inbox


def count(settings: Settings) -> int:
    """Number of items of the project."""
    return db.read(settings.duckdb_path, lambda con: db.count_contents(con, "default"))[0]


def yesterday(settings: Settings) -> None:
    """Everything in the store was taken in a day earlier than it was."""
    query = "UPDATE items SET first_seen_at = first_seen_at - INTERVAL 1 DAY"
    db.write(settings.duckdb_path, lambda con: con.execute(query).fetchall())


def test_a_pull_stops_at_the_quota_of_the_day_and_goes_on_tomorrow(settings, monkeypatch):
    """The watermark stays before the page that found no room; state, time and reason are told; edits go through."""
    monkeypatch.setenv("ACME_TOKEN", TOKEN)
    limited = settings.model_copy(update={"items_per_day": 80})
    with running_github() as server:
        for number in range(1, 231):
            server.put(number, f"Export number {number} stops", f"2026-01-01T{number // 60:02d}:{number % 60:02d}:00Z")
        chosen = SourceOptions(token_variable="ACME_TOKEN", base_url=server.url)
        add_source(settings, "default", "github", "acme/notes", chosen, actor="test")
        with pytest.raises(TransientError, match="80 items a day") as caught:
            pull(limited, "default", "github", "acme/notes")
        [source] = list_sources(settings, "default")
        resting = pull(limited, "default", "github", "acme/notes")
        n_first = count(settings)
        yesterday(settings)
        with pytest.raises(TransientError, match="80 items a day"):
            pull(limited, "default", "github", "acme/notes", is_forced=True)
        n_second = count(settings)
        yesterday(settings)
        pull(limited, "default", "github", "acme/notes", is_forced=True)

    tomorrow = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    assert (source.state, source.retry_at, caught.value.retry_at) == ("failing", tomorrow, tomorrow)
    assert source.cursor["issues"].startswith("2026-01-01T01:40:00")
    assert "quota of 80" in source.message
    assert "left alone until" in (resting.skipped or "")
    assert (n_first, n_second, count(settings)) == (100, 189, 230)


def test_deliveries_over_the_quota_wait_in_the_inbox(settings):
    """Nothing that was answered with 202 is lost: the files are drained when there is room."""
    limited = settings.model_copy(update={"items_total": 2})
    for number in range(3):
        add_typed(settings, "default", title=f"Text {number}", body="", author="mo")
    inbox.append(settings.inbox_path, "manual", json.dumps({"text": "It crashes on start"}).encode(), "", {})
    with pytest.raises(PermanentError, match="SOULCASTER_ITEMS_TOTAL"):
        drain_inbox(limited, "default")
    waiting = inbox.list_pending(settings.inbox_path)

    assert (len(waiting), count(settings)) == (1, 3)
    assert drain_inbox(settings, "default").new == 1
    assert inbox.list_pending(settings.inbox_path) == []


def test_the_doctor_says_what_is_used_of_a_quota(settings, monkeypatch):
    """A reached one is a warning with what happens then; none is said where none is set."""
    add_typed(settings, "default", title="It crashes on start", body="", author="mo")
    assert examine(only="quota") == []
    monkeypatch.setenv("SOULCASTER_ITEMS_PER_DAY", "1")
    monkeypatch.setenv("SOULCASTER_ITEMS_TOTAL", "1000")

    found = [(each.state, each.message) for each in examine(only="quota")]
    assert [state for state, _ in found] == ["warn", "ok"]
    assert "1 of 1 items a day; the rest waits" in found[0][1]


def test_a_project_may_have_a_quota_of_its_own(settings, monkeypatch):
    """The variable with its name counts for it and for no other, and the message names it; nonsense is refused."""
    monkeypatch.setenv("SOULCASTER_ITEMS_TOTAL__WEB_SHOP", "1")
    for project in ("web-shop", "default"):
        add_typed(settings, project, title="It crashes on start", body="", author="mo")
    add_typed(settings, "default", title="It crashes on export", body="", author="mo")

    with pytest.raises(PermanentError, match=r"quota of 1 items .* until SOULCASTER_ITEMS_TOTAL__WEB_SHOP is raised"):
        add_typed(settings, "web-shop", title="It crashes on export", body="", author="mo")
    monkeypatch.setenv("SOULCASTER_ITEMS_TOTAL__WEB_SHOP", "-1")
    with pytest.raises(PermanentError, match="expected a whole number from 0 on, got '-1'"):
        add_typed(settings, "web-shop", title="It crashes on export", body="", author="mo")
