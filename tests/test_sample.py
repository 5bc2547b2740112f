"""The bundled sample: complete truth, real payload shapes, many languages, no real address, one poisoned text."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from importlib.resources import files
from itertools import chain
from pathlib import Path

import pytest

from soulcaster import text
from soulcaster.items import to_frame
from soulcaster.models import FeedbackItem, Ignored, Outcome
from soulcaster.sources import github, manual, reddit, sentry

SAMPLE = Path(str(files("soulcaster.sample")))
PARSERS: dict[str, Callable[[object], Iterator[Outcome]]] = {
    "reddit": reddit.parse_payload,
    "sentry": sentry.parse_payload,
    "github": github.parse_payload,
}


@pytest.fixture(scope="module")
def truth() -> list[dict[str, str]]:
    """Rows of truth.csv in file order."""
    return list(_rows("truth.csv"))


@pytest.fixture(scope="module")
def outcomes() -> dict[str, list[Outcome]]:
    """What the parsers say about every payload of the sample, by source."""
    parsed: dict[str, list[Outcome]] = {
        source: list(chain.from_iterable(parse(json.loads(path.read_text("utf-8"))) for path in _payload_files(source)))
        for source, parse in PARSERS.items()
    }
    parsed["manual"] = list(chain.from_iterable(manual.parse_payload(row) for row in _rows("manual.csv")))
    return parsed


def _rows(name: str) -> Iterable[dict[str, str]]:
    with (SAMPLE / name).open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def _payload_files(source: str) -> list[Path]:
    return sorted((SAMPLE / source).glob("*.json"))


def _items(outcomes: dict[str, list[Outcome]]) -> list[FeedbackItem]:
    return [outcome for outcome in chain.from_iterable(outcomes.values()) if isinstance(outcome, FeedbackItem)]


def test_truth_names_every_item_once(truth: list[dict[str, str]]) -> None:
    """No item has two true clusters."""
    counts = Counter((row["source"], row["external_id"]) for row in truth)
    assert max(counts.values()) == 1


def test_truth_has_enough_items_of_each_source(truth: list[dict[str, str]]) -> None:
    """Four sources, each with enough items to see a burst."""
    counts = Counter(row["source"] for row in truth)
    assert set(counts) == {"reddit", "sentry", "github", "manual"}
    assert sum(counts.values()) >= 460
    assert counts["reddit"] >= 150
    assert counts["github"] >= 130
    assert counts["manual"] >= 110
    assert counts["sentry"] >= 60


def test_truth_has_tight_problems_in_themes_and_noise(truth: list[dict[str, str]]) -> None:
    """45 to 55 problems of 2 to 25 reports, each in one of nine themes, and about a fifth noise."""
    problems = [row for row in truth if row["cluster"] not in ("", "poisoned")]
    sizes = Counter(row["cluster"] for row in problems)
    assert 45 <= len(sizes) <= 55
    assert 2 <= min(sizes.values()) <= max(sizes.values()) <= 25
    assert len({(row["cluster"], row["theme"]) for row in problems}) == len(sizes)
    assert len({row["theme"] for row in problems}) == 9
    assert 0.15 <= sum(not row["cluster"] for row in truth) / len(truth) <= 0.25
    assert sum(row["cluster"] == "poisoned" for row in truth) == 1


def test_most_problems_are_told_by_several_sources(truth: list[dict[str, str]]) -> None:
    """A problem is one thing in many mouths, so nearly every cluster has reports of two sources or more."""
    sources: dict[str, set[str]] = {}
    for row in truth:
        sources.setdefault(row["cluster"], set()).add(row["source"])
    assert sum(len(found) >= 3 for found in sources.values()) >= 40


def test_parsed_ids_are_those_of_the_truth(truth: list[dict[str, str]], outcomes: dict[str, list[Outcome]]) -> None:
    """The real parsers give exactly the items the truth lists, for all four sources."""
    parsed = {(item.source, item.external_id) for item in _items(outcomes)}
    assert parsed == {(row["source"], row["external_id"]) for row in truth}


def test_only_pull_requests_and_announcements_are_no_feedback(outcomes: dict[str, list[Outcome]]) -> None:
    """Nothing is quarantined by a parser; ignored are the pull requests of the issue lists and stickied posts."""
    rest = [outcome for outcome in chain.from_iterable(outcomes.values()) if not isinstance(outcome, FeedbackItem)]
    assert all(isinstance(outcome, Ignored) for outcome in rest)
    assert Counter(outcome.reason for outcome in rest) == {"pull-request": 8, "stickied": 2}


def test_listings_and_issues_come_more_than_once(outcomes: dict[str, list[Outcome]]) -> None:
    """Overlapping listings and several events of one issue are there, so that de-duplication has something to do."""
    for source, at_least in (("reddit", 15), ("sentry", 10)):
        ids = [outcome.external_id for outcome in outcomes[source] if isinstance(outcome, FeedbackItem)]
        assert len(ids) - len(set(ids)) >= at_least


def test_reddit_has_the_odd_kinds_of_posts() -> None:
    """Removed, deleted, crossposted, gallery, poll, link and edited posts occur."""
    posts = [
        child["data"]
        for path in _payload_files("reddit")
        for child in json.loads(path.read_text("utf-8"))["data"]["children"]
    ]
    assert {"moderator", "deleted"} <= {post["removed_by_category"] for post in posts}
    assert any(post.get("crosspost_parent_list") for post in posts)
    assert any(post.get("is_gallery") for post in posts)
    assert any(post.get("poll_data") for post in posts)
    assert any(post["edited"] for post in posts)
    assert any(post["author"] == "[deleted]" and post["removed_by_category"] is None for post in posts)
    assert any(post["domain"] == "garden.example.org" for post in posts)


def test_times_span_the_last_months_and_have_a_burst(
    truth: list[dict[str, str]], outcomes: dict[str, list[Outcome]]
) -> None:
    """Items lie within 120 days before 2026-11-20; the photo loss starts with release 4.2.0."""
    created: dict[tuple[str, str], datetime | None] = {
        (item.source, item.external_id): item.created_at for item in _items(outcomes)
    }
    times = [at for at in created.values() if at is not None]
    assert len(times) == len(created)
    assert datetime(2026, 7, 23, tzinfo=UTC) <= min(times) < max(times) <= datetime(2026, 11, 20, tzinfo=UTC)
    lost = [
        created[row["source"], row["external_id"]] for row in truth if row["cluster"] == "sync-loses-photos-on-android"
    ]
    in_burst = [
        at for at in lost if at and datetime(2026, 10, 20, tzinfo=UTC) <= at < datetime(2026, 10, 28, tzinfo=UTC)
    ]
    assert len(lost) >= 15
    assert len(in_burst) / len(lost) > 0.8


def test_texts_come_in_many_languages(truth: list[dict[str, str]]) -> None:
    """At least twelve items of true clusters are not English, in five languages or more."""
    signs = {
        "de": r"\b(?:nicht|wird|und|seit|beim)\b",
        "fr": r"\b(?:depuis|mes|impossible|l'application|passe|reste)\b",
        "es": r"\b(?:las|los|del|dejó|ahora|encuentra|cobrado)\b",
        "pt": r"\b(?:não|uma|quando|recebo|meu|estamos)\b",
        "ja": r"[\u3040-\u30ff]",
        "nl": r"\b(?:mijn|sinds)\b",
        "pl": r"\b(?:hasła|aplikacja)\b",
    }
    clusters = {row["external_id"]: row["cluster"] for row in truth if row["source"] == "manual"}
    found = Counter(
        next((code for code, sign in signs.items() if re.search(sign, row["text"].lower())), "en")
        for row in _rows("manual.csv")
        if clusters[row["id"]]
    )
    assert sum(count for code, count in found.items() if code != "en") >= 12
    assert set(found) == {*signs, "en"}


def test_addresses_are_of_example_domains_only() -> None:
    """No mail address outside the domains reserved for examples; the whole sample stays under 1.2 MB."""
    paths = [path for path in SAMPLE.rglob("*") if path.suffix in (".json", ".csv", ".md")]
    hosts = {
        host
        for path in paths
        for host in re.findall(r"[\w.+-]+@([A-Za-z][\w-]*(?:\.[A-Za-z][\w-]*)+)", path.read_text("utf-8"))
    }
    assert hosts == {"example.com", "example.org"}
    assert sum(path.stat().st_size for path in paths) < 1_200_000


def test_hygiene_quarantines_the_poisoned_item_and_keeps_the_rest(
    truth: list[dict[str, str]], outcomes: dict[str, list[Outcome]]
) -> None:
    """The issue that orders a coding agent to leak its environment waits for a person; no other item does."""
    poisoned = {row["external_id"] for row in truth if row["cluster"] == "poisoned"}
    newest = {(item.source, item.external_id): item for item in _items(outcomes)}
    kept, quarantined = text.clean(to_frame(newest.values()), max_body_chars=8_000)
    assert set(quarantined["external_id"]) == poisoned
    assert len(kept) == len(truth) - 1
