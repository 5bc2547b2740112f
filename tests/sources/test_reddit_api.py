"""Pulls of a subreddit from a stand-in that speaks Reddit's wire protocols."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from standins.reddit_server import CLIENT_ID, CLIENT_SECRET, TOKEN, RedditServer, running_reddit
from standins.wire_server import Answer, failure

from soulcaster import db
from soulcaster.configured import PullReport, SourceOptions
from soulcaster.errors import PermanentError, TransientError
from soulcaster.pull import add_source, list_sources, probe, pull
from soulcaster.settings import Settings
from soulcaster.sources.reddit_feed import read_feed

START = 1_767_225_600.0
CREDENTIALS = {"client_id_variable": "ACME_REDDIT_ID", "client_secret_variable": "ACME_REDDIT_SECRET"}


@pytest.fixture
def reddit(monkeypatch: pytest.MonkeyPatch) -> Iterator[RedditServer]:
    """A subreddit of 150 posts, one every ten minutes."""
    monkeypatch.setenv("ACME_REDDIT_ID", CLIENT_ID)
    monkeypatch.setenv("ACME_REDDIT_SECRET", CLIENT_SECRET)
    with running_reddit() as server:
        for number in range(1, 151):
            server.post(number, START + 600 * number)
        yield server


def configure(settings: Settings, server: RedditServer, **options: Any) -> None:
    """The subreddit as a source, with credentials when nothing else is said."""
    chosen = SourceOptions(base_url=server.url, **(options or CREDENTIALS))
    add_source(settings, "default", "reddit", server.subreddit, chosen, actor="test")


def run(settings: Settings, server: RedditServer, **options: Any) -> PullReport:
    """One pull of the subreddit, which is configured first when it is not."""
    if not list_sources(settings, "default"):
        configure(settings, server, **options)
    return pull(settings, "default", "reddit", server.subreddit, is_forced=True)


def rows(settings: Settings, columns: str = "external_id") -> list[tuple[Any, ...]]:
    """Stored items by id."""
    query = f"SELECT {columns} FROM items ORDER BY external_id"  # noqa: S608  columns named by the tests
    return db.read(settings.duckdb_path, lambda con: con.sql(query).fetchall())


def test_two_pulls_by_oauth_store_every_post_once(settings, reddit):
    """Counts equal distinct ids; the second pull ends where the first began."""
    first, second = run(settings, reddit), run(settings, reddit)

    assert (first.way, first.counts.new, len(rows(settings))) == ("oauth", 150, 150)
    assert (second.counts.new, second.counts.changed, second.n_pages) == (0, 0, 2)
    assert list_sources(settings, "default")[0].message == ""


def test_new_posts_are_found_and_a_late_one_within_the_hour_too(settings, reddit):
    """A post that a filter held appears behind newer ones: the overlap catches it."""
    run(settings, reddit)
    reddit.post(201, START + 600 * 151)
    reddit.post(202, START + 600 * 147 + 1)

    assert run(settings, reddit).counts.new == 2


def test_edits_and_removals_of_known_posts_are_noticed(settings, reddit):
    """A removed post stays as a text-less item with its state; an edited one has its new words."""
    run(settings, reddit)
    reddit.remove("t3_p100")
    reddit.things["t3_p101"]["data"] |= {"selftext": "Solved by signing in again", "edited": START + 900_000}
    report = run(settings, reddit)

    assert report.counts.changed == 2
    found = rows(settings, "external_id, state, state_reason, body")
    assert ("t3_p100", "removed", "moderator", "") in found
    assert ("t3_p101", "open", None, "Solved by signing in again") in found
    assert len(found) == 150


def test_comments_are_items_when_asked_for(settings, reddit):
    """Each listing has its own watermark."""
    reddit.comment(1, START + 50_000, "The same happens on my tablet since last week")

    assert run(settings, reddit, **CREDENTIALS, include_comments=True).counts.new == 151
    reddit.comment(2, START + 50_900, "Signing in again helped me, strangely")
    assert run(settings, reddit).counts.new == 1


def test_search_terms_narrow_at_the_source(settings, reddit):
    """Only what matches comes."""
    reddit.post(300, START + 700_000, title="Dark mode please, my eyes hurt")

    assert run(settings, reddit, **CREDENTIALS, search="dark mode").counts.new == 1


def test_anonymous_json_is_used_where_reddit_allows_it(settings, reddit):
    """Without credentials the way is 'json', and the state says so."""
    report = run(settings, reddit, way="auto")

    assert (report.way, report.counts.new, report.message) == ("json", 150, "")
    assert list_sources(settings, "default")[0].way == "json"


def test_a_shut_json_way_falls_back_to_rss_and_says_so(settings, reddit):
    """The same posts with the same ids, read by RSS, with a note of what is missing."""
    reddit.is_json_shut = True
    report = run(settings, reddit, way="auto")

    assert (report.way, report.counts.new) == ("rss", 150)
    assert "answered with 403" in report.message
    source = list_sources(settings, "default")[0]
    assert (source.state, source.way) == ("ok", "rss")
    assert "app credentials" in source.message
    expected = ("t3_p7", "Sync number 7 loses notes", "On device 7 my notes are gone & not back", "user7", "notesapp")
    assert expected in rows(settings, "external_id, title, body, author, channel")
    reddit.is_json_shut = False
    assert run(settings, reddit).counts.new == 0
    assert list_sources(settings, "default")[0].way == "json"


def test_everything_shut_is_blocked_since_then_with_what_to_do(settings, reddit):
    """403 everywhere: blocked, since when, what to do; a second refusal does not move the date."""
    reddit.is_json_shut = reddit.is_rss_shut = True
    since = set()
    for _ in range(2):
        with pytest.raises(PermanentError, match="app credentials"):
            run(settings, reddit, way="auto")
        source = list_sources(settings, "default")[0]
        since.add(source.state_since)
        assert source.state == "blocked"
    assert len(since) == 1


def test_wrong_credentials_are_no_reason_to_go_anonymous(settings, reddit, monkeypatch):
    """Somebody who gave credentials wants them used: the pull stops and says which are wrong."""
    monkeypatch.setenv("ACME_REDDIT_SECRET", "wrong")

    with pytest.raises(PermanentError, match="client id or secret is wrong"):
        run(settings, reddit)
    assert reddit.paths() == ["/api/v1/access_token"]


def test_an_unchanged_listing_is_answered_by_its_etag(settings, reddit):
    """304 where Reddit gives ETags: no page is read again."""
    reddit.has_etags = True
    run(settings, reddit, way="json")
    n_before = len([path for path in reddit.paths() if path.endswith("/new.json")])
    report = run(settings, reddit)

    assert len([path for path in reddit.paths() if path.endswith("/new.json")]) == n_before + 1
    assert (report.counts.new, report.way) == (0, "json")
    reddit.post(400, START + 800_000)
    assert run(settings, reddit).counts.new == 1


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (failure("401"), PermanentError, "credentials are wrong"),
        (failure("403"), PermanentError, "private"),
        (failure("404"), PermanentError, "no such subreddit"),
        (failure("302"), PermanentError, "no such subreddit"),
        (failure("429"), TransientError, "429"),
        (failure("500"), TransientError, "500"),
        (failure("slow"), TransientError, "failed"),
        (failure("drip"), TransientError, "within"),
        (failure("drip-head"), TransientError, "within"),
        (failure("cut"), TransientError, "failed"),
        (failure("broken"), TransientError, "expected JSON"),
        (failure("charset"), TransientError, "expected JSON"),
        (failure("html"), PermanentError, "web page"),
        (failure("wrong-shape"), TransientError, "expected a listing"),
    ],
    ids=lambda value: str(value.status) + value.trick if isinstance(value, Answer) else "",
)
def test_a_failure_in_the_middle_keeps_what_came_before_and_loses_nothing(settings, reddit, answer, error, words):
    """The watermark moves only at the end, so the next pull reads what this one did not reach."""
    brief = settings.model_copy(update={"source_timeout_seconds": 1.0})
    reddit.failures = [None, None, answer]  # token and first page are answered
    with pytest.raises(error, match=words):
        run(brief, reddit)

    assert len(rows(settings)) == 100
    source = list_sources(settings, "default")[0]
    assert source.state == ("blocked" if error is PermanentError else "failing")
    assert not any(secret in source.message for secret in (TOKEN, CLIENT_SECRET))
    assert run(settings, reddit).counts.new == 50
    assert len(rows(settings)) == 150


def test_a_used_up_budget_says_when_it_goes_on(settings, reddit):
    """Reddit's headers are float strings of seconds from now."""
    reddit.headers = {"x-ratelimit-remaining": "0.0", "x-ratelimit-reset": "371.0"}
    with pytest.raises(TransientError) as caught:
        run(settings, reddit)

    assert caught.value.retry_at
    assert 300 < (caught.value.retry_at - datetime.now(UTC)).total_seconds() <= 371
    assert len(rows(settings)) == 100


def test_a_probe_reads_one_page_and_stores_nothing(settings, reddit):
    """`source test` leaves no trace."""
    configure(settings, reddit)
    report = probe(settings, "default", "reddit", reddit.subreddit)

    assert (report.way, report.message) == ("oauth", "100 items on the first page")
    assert rows(settings) == []
    assert list_sources(settings, "default")[0].state == "new"


def test_a_feed_with_a_document_type_is_refused_unparsed():
    """Entities of strangers could fill the memory or read files."""
    bomb = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa">]><feed xmlns="http://www.w3.org/2005/Atom">&a;</feed>'

    with pytest.raises(PermanentError, match="document type"):
        read_feed(bomb, "a feed")
    with pytest.raises(TransientError, match="Atom"):
        read_feed(b"<html></html>", "a feed")
    with pytest.raises(TransientError, match="Atom"):
        read_feed(b"\xff\xfe<", "a feed")


@pytest.mark.shared_data
def test_recorded_listings_are_pulled_whole(settings, reddit, shared_data_dir):
    """Real posts of one subreddit, through the wire: pulled twice, counts equal distinct names."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted((shared_data_dir / "payloads_reddit" / "listing").glob("*_hot__*.json")):
        children = json.loads(path.read_text())["data"]["children"]
        found |= {child["data"]["name"]: child for child in children if child["kind"] == "t3"}
    reddit.things = found
    first, second = run(settings, reddit), run(settings, reddit)

    listed = [thing for thing in found.values() if thing["data"].get("removed_by_category") is None]
    n_told = first.counts.new + sum(first.counts.ignored.values()) + sum(first.counts.quarantined.values())
    assert len(listed) > 90
    assert n_told == len(listed)
    assert (second.counts.new, second.counts.changed) == (0, 0)
