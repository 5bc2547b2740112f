"""Files of payloads: which are read, how they are unpacked, and that no content makes a parser raise."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import zstandard

from soulcaster.errors import PermanentError
from soulcaster.items import ITEM_SCHEMA, to_frame
from soulcaster.models import FeedbackItem, Ignored, Outcome, Quarantined, Source
from soulcaster.sources import payloads
from soulcaster.sources.payloads import read_payloads

PAYLOADS = Path(__file__).parent.parent / "payloads"
POST = {"kind": "t3", "data": {"name": "t3_q", "title": "Slow", "selftext": "", "subreddit": "s", "created_utc": 1.0}}


def outcomes_of(path: Path, source: Source) -> list[Outcome]:
    """All outcomes of a path, without their locations."""
    return [outcome for _, outcomes in read_payloads(path, source) for outcome in outcomes]


def only(path: Path, source: Source = "reddit") -> Any:
    """The one outcome of a path."""
    (outcome,) = outcomes_of(path, source)
    return outcome


def test_a_folder_is_read_in_name_order_with_locations_below_it(tmp_path: Path):
    """Sub-folders, hidden files and other kinds of files are told apart; every location is relative."""
    (tmp_path / "b").mkdir()
    (tmp_path / ".git").mkdir()
    for name in ("b/two.json", "a.json", ".hidden.json", ".git/x.json"):
        (tmp_path / name).write_text(json.dumps(POST))
    for name in ("README.md", "index.csv", "SHA256SUMS", "notes.txt"):
        (tmp_path / name).write_text("words")

    found = {location: outcomes[0] for location, outcomes in read_payloads(tmp_path, "reddit")}

    assert list(found) == ["README.md", "SHA256SUMS", "a.json", "index.csv", "notes.txt", "b/two.json"]
    assert isinstance(found["a.json"], FeedbackItem)
    assert isinstance(found["b/two.json"], FeedbackItem)
    assert {found[name].reason for name in ("README.md", "index.csv", "SHA256SUMS", "notes.txt")} == {"not-a-payload"}


def test_links_that_leave_the_folder_are_not_followed(tmp_path: Path):
    """A link in an archive of strangers must not pull in other files of the machine; broken ones do no harm."""
    outside = tmp_path / "outside.json"
    outside.write_text(json.dumps(POST))
    folder = tmp_path / "folder"
    (folder / "real").mkdir(parents=True)
    (folder / "real" / "post.json").write_text(json.dumps(POST))
    (folder / "away.json").symlink_to(outside)
    (folder / "inside.json").symlink_to(folder / "real" / "post.json")
    (folder / "broken.json").symlink_to(folder / "nothing.json")
    (folder / "loop.json").symlink_to(folder / "loop.json")
    (folder / "up").symlink_to(tmp_path)

    found = {location: outcomes[0] for location, outcomes in read_payloads(folder, "reddit")}

    assert found["away.json"] == Ignored(reason="link-outside")
    assert isinstance(found["inside.json"], FeedbackItem)
    assert found["broken.json"] == found["loop.json"] == Ignored(reason="not-a-payload")
    assert not [location for location in found if location.startswith("up/")]


def test_nothing_at_the_path_is_an_error(tmp_path: Path):
    """A mistyped path is not an empty import."""
    with pytest.raises(PermanentError, match="no such file or folder"):
        list(read_payloads(tmp_path / "typo", "reddit"))


@pytest.mark.parametrize("packing", ["", ".gz", ".zst"])
def test_packed_files_are_unpacked(tmp_path: Path, packing: str):
    """Plain, gzip and zstandard (several frames too) hold the same lines; each line is one location."""
    lines = "".join(json.dumps({**POST, "data": {**POST["data"], "name": f"t3_{n}"}}) + "\n" for n in range(3))
    content = ("\ufeff" + lines + "\n").encode()
    if packing == ".gz":
        content = gzip.compress(content)
    if packing == ".zst":
        packer = zstandard.ZstdCompressor()
        content = packer.compress(content[:50]) + packer.compress(content[50:])
    path = tmp_path / f"posts.jsonl{packing}"
    path.write_bytes(content)

    found = list(read_payloads(path, "reddit"))

    assert [location for location, _ in found] == [f"posts.jsonl{packing}:{n}" for n in (1, 2, 3)]
    assert [outcomes[0].external_id for _, outcomes in found] == ["t3_0", "t3_1", "t3_2"]  # type: ignore[union-attr]  # items


@pytest.mark.parametrize(
    ("name", "content", "reason", "words"),
    [
        ("a.json", b'{"kind": "Listing",\n "data": }', "broken-json", "a.json: line 2: expected JSON"),
        ("a.json", b'{"kind"', "broken-json", "got 'the end'"),
        ("a.json", b'{"a": "\xff\xfe"}', "not-utf8", "a.json: line 1: expected UTF-8, got b'\\xff"),
        ("a.json", "{}".encode("utf-16"), "not-utf8", "expected UTF-8"),
        ("a.json", b"", "empty-file", "a.json: expected a payload, got an empty file"),
        ("a.json", b" \n", "empty-file", "empty file"),
        ("a.jsonl", b"\n\n", "empty-file", "empty file"),
        ("a.json", b"[" * 100_000, "too-deep", "ordinary depth"),
        ("a.json", b'{"error": ' + b"9" * 5000 + b"}", "broken-json", "numbers of ordinary length"),
        ("a.json.gz", b"not packed", "unreadable", "a.json.gz: expected a file packed as gz"),
        ("a.json.gz", gzip.compress(b"{}" * 900, mtime=0)[:-9], "unreadable", "expected a file packed as gz"),
        ("a.json.zst", b"not packed", "unreadable", "a.json.zst: expected a file packed as zst"),
    ],
)
def test_an_unreadable_file_is_quarantined_with_place_and_reason(
    tmp_path: Path, name: str, content: bytes, reason: str, words: str
):
    """The sentence names file, line, expected and got; nothing is raised."""
    (tmp_path / name).write_bytes(content)

    outcome = only(tmp_path / name)

    assert isinstance(outcome, Quarantined)
    assert (outcome.reason, outcome.location) == (reason, name)
    assert words in outcome.detail


def test_a_bad_line_leaves_its_neighbours_alone(tmp_path: Path):
    """One broken line of an archive is quarantined under its number."""
    path = tmp_path / "posts.ndjson"
    path.write_bytes(json.dumps(POST).encode() + b"\n{broken\n\xff\n" + json.dumps(POST).encode())

    found = {location: outcomes[0] for location, outcomes in read_payloads(path, "reddit")}

    assert [type(outcome) for outcome in found.values()] == [FeedbackItem, Quarantined, Quarantined, FeedbackItem]
    assert found["posts.ndjson:2"].location == "posts.ndjson:2"
    assert "line 2" in found["posts.ndjson:2"].detail
    assert "line 3" in found["posts.ndjson:3"].detail


def test_a_packed_bomb_ends_at_the_limit(tmp_path: Path):
    """A few kilobytes that unpack to more than the limit are quarantined, as a file and as a line."""
    size = payloads.MAX_DOCUMENT_BYTES + 10
    bomb = zstandard.ZstdCompressor().compress(b"[" + b" " * size + b"]\n" + json.dumps(POST).encode())
    (tmp_path / "a.json.zst").write_bytes(bomb)
    (tmp_path / "b.jsonl.zst").write_bytes(bomb)

    first, second, third = outcomes_of(tmp_path, "reddit")

    assert isinstance(first, Quarantined)
    assert isinstance(second, Quarantined)
    assert {first.reason, second.reason} == {"too-large"}
    assert "at most 64 MB" in first.detail
    assert isinstance(third, FeedbackItem)


def test_an_empty_listing_is_counted(tmp_path: Path):
    """A page without posts is one ignored file."""
    path = tmp_path / "page.json"
    path.write_text('{"kind": "Listing", "data": {"children": []}}')

    assert only(path) == Ignored(reason="empty")


def test_envelopes_are_read_for_sentry_only(tmp_path: Path):
    """A text file is an envelope when it starts like one and the source is Sentry."""
    envelope = (PAYLOADS / "sentry" / "crash.envelope").read_text()
    (tmp_path / "a.txt").write_text(envelope)
    (tmp_path / "b.envelope").write_text(envelope)
    (tmp_path / "c.txt").write_text("Read me")

    found = dict(read_payloads(tmp_path, "sentry"))

    assert [type(outcome) for outcome in found["a.txt"]] == [Ignored, FeedbackItem, Ignored]
    assert found["a.txt"] == found["b.envelope"]
    assert found["c.txt"] == [Ignored(reason="not-a-payload")]
    assert {outcome.reason for outcome in outcomes_of(tmp_path, "github") if isinstance(outcome, Ignored)} == {
        "not-a-payload"
    }


ISSUES_BODY = {"zen": "x", "hook_id": 1}


@pytest.mark.parametrize(
    "wrapped",
    [
        {"status": 200, "headers": {"X-GitHub-Event": "ping"}, "body": ISSUES_BODY},
        {"headers": {"X-GitHub-Event": ["ping"]}, "body": json.dumps(ISSUES_BODY)},
        {
            "http_interactions": [
                {"request": {}, "response": {"headers": {}, "body": {"string": json.dumps(ISSUES_BODY)}}}
            ]
        },
        [{"scope": "https://api.github.com:443", "path": "/x", "method": "GET", "response": ISSUES_BODY}],
    ],
)
def test_recorders_wrappers_are_taken_off(tmp_path: Path, wrapped: object):
    """Headers beside a body, cassettes and recorded requests hold the payload inside."""
    path = tmp_path / "recorded.json"
    path.write_text(json.dumps(wrapped))

    assert only(path, "github") == Ignored(reason="event-ping")


def test_a_bare_header_names_the_event(tmp_path: Path):
    """A recorded delivery header is used where the shape alone does not tell."""
    path = tmp_path / "delivery.json"
    path.write_text(json.dumps({"headers": {"Sentry-Hook-Resource": "seer"}, "body": {"data": {"x": 1}}}))

    assert only(path, "sentry") == Ignored(reason="webhook-seer")


def test_typed_feedback_is_read_from_files_too(tmp_path: Path):
    """The same command reads JSON of the app's form."""
    path = tmp_path / "typed.jsonl"
    path.write_text('{"id": "5", "text": "Dark mode please"}\n')

    assert only(path, "manual").external_id == "5"


def test_the_same_folder_twice_gives_identical_outcomes():
    """Parsing has no memory, clock or chance in it; made-up payloads of all sources become a frame."""
    for source in ("reddit", "sentry", "github"):
        first, second = (outcomes_of(PAYLOADS / source, source) for _ in range(2))
        items = [outcome for outcome in first if isinstance(outcome, FeedbackItem)]

        assert first == second
        assert to_frame(items).schema == ITEM_SCHEMA
        assert items


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("folder", "source", "least_items"),
    [
        ("payloads_reddit", "reddit", 5000),
        ("payloads_sentry_events", "sentry", 140),
        ("payloads_sentry_webhooks", "sentry", 18),
        ("payloads_sentry_api", "sentry", 15),
        ("payloads_github_api", "github", 300),
        ("payloads_github_webhooks", "github", 30),
        ("payloads_github_events", "github", 25),
    ],
)
def test_recorded_folders_are_read_whole(shared_data_dir: Path, folder: str, source: Source, least_items: int):
    """Every file of a recorded folder is accounted for; only wordless or truly broken events are quarantined."""
    found = list(read_payloads(shared_data_dir / folder, source))
    outcomes = [outcome for _, outcomes in found for outcome in outcomes]

    assert len([outcome for outcome in outcomes if isinstance(outcome, FeedbackItem)]) > least_items
    assert all(outcomes for _, outcomes in found)
    assert {"README.md"} <= {location for location, _ in found}
    assert {outcome.reason for outcome in outcomes if isinstance(outcome, Quarantined)} <= {
        "no-text",
        "broken-envelope",
    }
