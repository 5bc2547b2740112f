"""Ten thousand mutated copies of payloads: each is stored, ignored or quarantined, and none makes anything raise."""

from __future__ import annotations

import copy
import json
import random
from collections import Counter
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from soulcaster.db import count_contents, read
from soulcaster.ingest import store_outcomes
from soulcaster.items import to_frame
from soulcaster.models import FeedbackItem, Outcome, Quarantined, Source
from soulcaster.settings import Settings
from soulcaster.sources import github, reddit, sentry

PAYLOADS = Path(__file__).parent.parent / "payloads"
MOST_BYTES = 20_000
N_MUTANTS = 3_400
"""For each of three sources."""

N_STORED = 400
ODD_VALUES: list[object] = [
    None,
    True,
    -1,
    0,
    10**25,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "\ud800",
    "\x00",
    "[removed]",
    "9" * 5000,
    "x" * 100_000,
    "https://[bad/issues/5",
    "2025-13-45T99:99:99Z",
    "0001-01-01T00:00:00+14:00",
    [],
    {},
    [[]],
    [None],
    [1, "a"],
    {"kind": "t3"},
    {"values": [None, 5]},
    {"": {"": ""}},
]


def mutated(payload: Any, chance: random.Random) -> Any:
    """A copy with one to four values replaced, dropped, wrapped or swapped, anywhere in it."""
    copied = {"root": copy.deepcopy(payload)}
    for _ in range(chance.randint(1, 4)):
        places = list(_places(copied))
        holder, key = chance.choice(places)
        action = chance.choice(["replace", "replace", "drop", "wrap", "swap"])
        if action == "drop" and holder is not copied:
            del holder[key]
        elif action == "wrap":
            holder[key] = [holder[key]] if chance.random() < 0.5 else {"values": holder[key]}
        elif action == "swap":
            other, other_key = chance.choice(places)
            holder[key] = copy.deepcopy(other[other_key])
        else:
            holder[key] = copy.deepcopy(chance.choice(ODD_VALUES))
    return copied["root"]


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(pairs):
        yield value, key
        yield from _places(inner)


def own_payloads(source: Source) -> list[Any]:
    """Payloads that the project itself carries: the tests' and the sample's."""
    with resources.as_file(resources.files("soulcaster.sample")) as sample:
        files = [*(PAYLOADS / source).glob("*.json"), *(sample / source).glob("*.json")]
        payloads = [json.loads(path.read_text()) for path in sorted(files) if path.stat().st_size < MOST_BYTES]
    if source == "github":
        payloads += [
            json.loads(line) for line in (PAYLOADS / "github" / "events.jsonl").read_text().splitlines() if line
        ]
    return payloads


def parse_all(source: str, payload: Any) -> list[Outcome]:
    """Outcomes with every option of the source's parser on."""
    if source == "reddit":
        return list(reddit.parse_payload(payload, include_comments=True))
    if source == "github":
        return [
            *github.parse_payload(payload, include_comments=True),
            *github.parse_payload(payload, event="issues", include_comments=True),
        ]
    return [*sentry.parse_payload(payload), *sentry.parse_payload(payload, resource="issue")]


def check_storable(outcomes: list[Outcome]) -> None:
    """At least one outcome, and every text in it can be written to the store."""
    assert outcomes
    to_frame(outcome for outcome in outcomes if isinstance(outcome, FeedbackItem))
    for outcome in outcomes:
        outcome.model_dump_json().encode("utf-8")
        assert isinstance(outcome, FeedbackItem) or 0 < len(outcome.reason) < 80


@pytest.mark.parametrize("source", ["reddit", "sentry", "github"])
def test_mutated_copies_of_payloads_are_stored_ignored_or_quarantined(settings: Settings, source: Source):
    """Swapped types, missing keys, nulls, huge strings and half characters: no exception, and a count for each."""
    chance = random.Random(20251009)  # noqa: S311  a repeatable test, no secret
    found: list[Outcome] = []
    seeds = own_payloads(source)
    for _ in range(N_MUTANTS):
        outcomes = parse_all(source, mutated(chance.choice(seeds), chance))
        check_storable(outcomes)
        found += outcomes
    kinds = Counter(type(outcome) for outcome in found)
    stored = found[:: len(found) // N_STORED]
    report = store_outcomes(
        settings, "default", ((f"mutant {n}", each) for n, each in enumerate(stored)), source=source
    )

    assert min(kinds[FeedbackItem], kinds[Quarantined]) > N_MUTANTS // 100
    assert report.seen == len(stored)
    assert read(settings.duckdb_path, lambda con: count_contents(con, "default"))[0] == report.new


@pytest.mark.parametrize("source", ["reddit", "sentry", "github"])
@pytest.mark.parametrize("payload", [None, True, 5, "words", [5, None], {"a": 1}, {"": []}, [[[[]]]]])
def test_any_json_value_gives_an_outcome(source: str, payload: object):
    """Not one value of JSON is beyond the parsers."""
    check_storable(parse_all(source, payload))


@pytest.mark.parametrize(
    ("source", "thing"),
    [
        ("reddit", {"kind": "t3", "data": {"name": "t3_q", "title": "x", "subreddit": "s"}}),
        ("sentry", {"event_id": "x", "message": "x"}),
        ("github", {"number": 5, "title": "x", "html_url": "https://github.com/a/b/issues/5"}),
    ],
)
def test_deep_nesting_is_quarantined(source: str, thing: dict[str, Any]):
    """A payload nested deeper than the stack gives a reason, not a crash."""
    deep: Any = {}
    for _ in range(200_000):
        deep = {"inner": deep}
    outcome = next(iter(parse_all(source, thing | {"extra": deep})))
    while deep:
        deep = deep["inner"]  # taken apart by hand: letting go of it at once would recurse too

    assert isinstance(outcome, Quarantined)
    assert outcome.reason == "too-deep"


def test_no_cut_of_an_envelope_makes_its_parser_raise():
    """Envelopes cut, doubled and garbled anywhere give outcomes."""
    chance = random.Random(7)  # noqa: S311  a repeatable test, no secret
    text = (PAYLOADS / "sentry" / "crash.envelope").read_text()
    for _ in range(N_MUTANTS):
        start, end = sorted(chance.choices(range(len(text)), k=2))
        garbled = text[:start] + chance.choice(["", "\n", "{", "\ud800", text[start:end] * 2]) + text[end:]
        check_storable(list(sentry.parse_envelope(garbled)))


@pytest.mark.shared_data
@pytest.mark.slow
@pytest.mark.parametrize(
    "folder",
    [
        "payloads_reddit",
        "payloads_sentry_events",
        "payloads_sentry_webhooks",
        "payloads_sentry_api",
        "payloads_github_api",
        "payloads_github_webhooks",
        "payloads_github_events",
    ],
)
def test_mutated_recordings_do_not_make_a_parser_raise(shared_data_dir: Path, folder: str):
    """What real payloads become when fields change their minds."""
    chance = random.Random(folder)  # noqa: S311  a repeatable test, no secret
    files = [path for path in sorted((shared_data_dir / folder).rglob("*.json*")) if path.stat().st_size < 100_000]
    texts = [
        text
        for path in files
        for text in (path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()])
    ]
    for _ in range(300 if texts else 0):
        check_storable(parse_all(folder.split("_")[1], mutated(json.loads(chance.choice(texts)), chance)))
