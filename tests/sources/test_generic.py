"""Declared mappings: what they may say, what they make of payloads, and the proofs they ask for."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from soulcaster.errors import PermanentError
from soulcaster.models import FeedbackItem, Ignored, Outcome, Quarantined
from soulcaster.sources.generic import is_proven, parse_payload
from soulcaster.sources.mapping import (
    HmacProof,
    TokenProof,
    find_mappings,
    load_mapping,
    parse_mapping,
    read_mapping,
    read_sample,
)

NOWHERE = Path("/nonexistent")
SHIPPED = [name for name, _ in find_mappings(NOWHERE)]
TICKETS = """
title: Tickets
records: tickets
fields:
  id: nr
  title: subject
  body: [text, "notes[].text"]
  created_at: at
  labels: [tags, kind]
  event_count: times
  state: status
  level: severity
label_separator: ","
values:
  state: {Done: closed, "*": open}
  level: {P1: fatal}
constants: {channel: desk, trust: member, labels: [desk]}
ignore:
  - {when: "spam", reason: spam}
"""


def outcomes_of(payload: object, declared: str = TICKETS) -> list[Outcome]:
    """What a mapping makes of a payload."""
    return list(parse_payload(payload, parse_mapping(declared, "tickets")))


def only(payload: object, declared: str = TICKETS) -> Any:
    """The one outcome."""
    [outcome] = outcomes_of(payload, declared)
    return outcome


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_mapping_makes_whole_items_of_its_sample(name: str):
    """Id, words, time, a service's name as source: what every sample has."""
    found = list(parse_payload(read_sample(name), load_mapping(NOWHERE, name)))
    assert found
    for item in found:
        assert isinstance(item, FeedbackItem), item
        assert item.source == name
        assert item.external_id
        assert not item.external_id.startswith("text-")
        assert (item.title + item.body).strip()
        assert item.created_at is not None
        assert item.level in {"fatal", "error", "warning", "info", None}


def test_shipped_mappings_are_the_six_promised_and_name_their_secrets():
    """A hook has a proof, a poll has an address, and no file holds a secret."""
    assert {"datadog", "posthog", "splunk", "zendesk", "app-store", "google-play"} == set(SHIPPED)
    hooks = {name: load_mapping(NOWHERE, name).hook for name in SHIPPED}
    assert {name for name, hook in hooks.items() if hook} == {"datadog", "posthog", "splunk", "zendesk"}


@pytest.mark.parametrize(
    ("name", "payload", "expected"),
    [
        (
            "datadog",
            {
                "data": [
                    {
                        "id": "e1",
                        "attributes": {
                            "timestamp": "2026-11-20T09:00:00Z",
                            "message": "Disk full",
                            "tags": ["env:prod"],
                            "attributes": {"title": "Disk", "status": "error", "service": "db"},
                        },
                    }
                ]
            },
            {"external_id": "e1", "title": "Disk", "body": "Disk full", "channel": "db", "level": "error"},
        ),
        (
            "posthog",
            {
                "results": [
                    {
                        "id": "p1",
                        "event": "$exception",
                        "timestamp": "2026-11-20T09:00:00Z",
                        "distinct_id": "u",
                        "properties": {"$exception_list": [{"type": "TypeError", "value": "x is undefined"}]},
                    }
                ]
            },
            {"external_id": "p1", "title": "TypeError", "body": "x is undefined", "exception_type": "TypeError"},
        ),
        (
            "zendesk",
            {
                "tickets": [
                    {
                        "id": 7,
                        "raw_subject": "Slow",
                        "description": "It is slow",
                        "status": "solved",
                        "priority": "urgent",
                        "created_at": "2026-11-20T09:00:00Z",
                        "tags": [],
                    }
                ],
                "end_of_stream": True,
            },
            {"external_id": "7", "title": "Slow", "state": "closed", "level": "fatal"},
        ),
        (
            "app-store",
            {
                "feed": {
                    "entry": {
                        "id": {"label": "99"},
                        "title": {"label": "Bad"},
                        "content": {"label": "Crash"},
                        "im:version": {"label": "2.0"},
                        "im:rating": {"label": "1"},
                        "updated": {"label": "2026-11-20T09:00:00-07:00"},
                        "author": {"name": {"label": "Bo"}},
                    }
                }
            },
            {"external_id": "99", "title": "Bad", "body": "Crash", "release": "2.0", "level": "error", "author": "Bo"},
        ),
        (
            "splunk",
            {"result": {"count": "3", "host": "a"}, "sid": "s1", "search_name": None, "app": "search"},
            {"external_id": "s1", "title": "Splunk alert", "body": '{"count":"3","host":"a"}', "event_count": 3},
        ),
    ],
)
def test_shipped_mapping_reads_the_services_other_shape_too(name: str, payload: object, expected: dict[str, Any]):
    """What a poll answers is mapped as what a hook posts is."""
    [item] = parse_payload(payload, load_mapping(NOWHERE, name))
    assert isinstance(item, FeedbackItem), item
    assert {key: getattr(item, key) for key in expected} == expected


def test_fields_are_joined_looked_up_split_and_counted():
    """Every kind of rule at once."""
    record = {
        "nr": 12, "subject": "Export", "text": "stops", "notes": [{"text": "at 1000 rows"}, {"text": None}, {}],
        "at": 1763799940000, "tags": "csv, export,,", "kind": "bug", "times": "4", "status": "DONE", "severity": "p1",
    }  # fmt: skip
    item = only({"tickets": [record]})
    assert (item.external_id, item.title, item.body) == ("12", "Export", "stops\n\nat 1000 rows")
    assert item.labels == ["csv", "export", "bug", "desk"]
    assert (item.event_count, item.state, item.level) == (4, "closed", "fatal")
    assert item.created_at.isoformat() == "2025-11-22T08:25:40+00:00"
    assert (item.channel, item.trust) == ("desk", "member")
    assert json.loads(item.payload) == record


def test_records_are_ignored_and_quarantined_each_for_itself():
    """One bad row costs itself; the reasons say expected and got."""
    rows = [
        {"nr": 1, "subject": "ok"},
        {"spam": True},
        {"nr": 2},
        {"nr": 3, "subject": {"a": 1}},
        {"subject": "x", "times": -1},
        5,
    ]
    good, ignored, no_text, shape, count, number = outcomes_of({"tickets": rows})
    assert isinstance(good, FeedbackItem)
    assert ignored == Ignored(reason="spam")
    assert "expected text for title by 'subject' or body by" in no_text.detail
    assert "field 'title': expected text, a number or a list of these, got an object of 1" in shape.detail
    assert "field 'event_count': expected a count" in count.detail
    assert isinstance(number, Quarantined)


@pytest.mark.parametrize("payload", [None, 5, "x", [], {}, {"tickets": None}, {"tickets": "no"}, {"items": [1]}])
def test_payload_without_records_says_where_they_were_expected(payload: object):
    """A shape that the mapping does not know is quarantined whole, with its keys."""
    outcome = only(payload)
    assert outcome.reason == "wrong-shape"
    assert "expected records at 'tickets', got none" in outcome.detail


def test_empty_page_is_ignored_as_empty():
    """Nothing new is no error."""
    assert only({"tickets": []}) == Ignored(reason="empty")


def test_words_without_an_id_are_their_own_identity():
    """The same words twice are one item."""
    first, second = outcomes_of({"tickets": [{"subject": "Same"}, {"subject": "Same"}]})
    assert first.external_id == second.external_id
    assert first.external_id.startswith("text-")


def test_a_function_that_cannot_work_quarantines_the_row():
    """An expression's error is a reason, not an exception."""
    declared = "title: T\nfields: {title: \"join(', ', a)\"}"
    outcome = only({"a": 5}, declared)
    assert outcome.reason == "wrong-field"
    assert "could not be worked out" in outcome.detail


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@hypothesis_settings(max_examples=60)
@given(name=st.sampled_from(SHIPPED), data=st.data())
def test_no_mutation_of_a_sample_makes_a_shipped_mapping_raise(name: str, data: st.DataObject):
    """A random value in a random place of the sample: outcomes, never an exception."""
    payload: Any = json.loads(json.dumps(read_sample(name)))
    place = payload
    while isinstance(place, dict | list) and place:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if not isinstance(place[key], dict | list) or data.draw(st.booleans()):
            place[key] = data.draw(JSON)
            break
        place = place[key]
    assert list(parse_payload(payload, load_mapping(NOWHERE, name)))


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ("- a", "expected fields"),
        ("title: [", "expected YAML"),
        ("title: T\nfields: {title: 'a['}", "no JMESPath expression"),
        ("title: T\nfields: {id: a}", "expected title or body"),
        ("title: T\nfields: {title: a}\nname: x", "the name is the file's"),
        ("title: T\nfields: {title: a, colour: b}", "fields.colour"),
        ("title: T\nfields: {title: a}\ntime_format: later", "time_format"),
        ("title: T\nfields: {title: a}\nhook: {proof: {kind: token, variable: X}}", "either header or parameter"),
        ("title: T\nfields: {title: a}\nhook: {proof: {kind: token, variable: s3cret, header: A}}", "variable"),
        ("title: T\nfields: {title: a}\npoll: {paging: {kind: cursor, path: a}}", "parameter is for cursor and page"),
        ("title: T\nfields: {title: a}\nconstants: {trust: boss}", "constants.trust"),
    ],
)
def test_broken_mapping_is_refused_with_the_field(declared: str, words: str):
    """The first wrong field is named; a secret in place of a variable's name is not repeated."""
    with pytest.raises(PermanentError, match="Reading the mapping 'mine' failed") as caught:
        parse_mapping(declared, "mine")
    assert words in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_own_file_goes_before_the_shipped_and_a_changed_one_is_read_again(tmp_path: Path):
    """The person's folder wins; an edit counts at once; a name that is a path finds nothing."""
    own = tmp_path / "zendesk.yaml"
    own.write_text("title: Mine\nfields: {title: a}")
    assert load_mapping(tmp_path, "zendesk").title == "Mine"
    time.sleep(0.01)
    own.write_text("title: Mine again\nfields: {title: a}")
    assert load_mapping(tmp_path, "zendesk").title == "Mine again"
    assert dict(find_mappings(tmp_path))["zendesk"] == own
    for name in ("../zendesk", "Zendesk", "nothing", ""):
        with pytest.raises(PermanentError, match="There is no mapping"):
            load_mapping(tmp_path, name)


def test_file_named_like_a_source_or_too_large_is_refused(tmp_path: Path):
    """`github` has a parser of its own; a mapping is short."""
    (tmp_path / "github.yaml").write_text("title: T\nfields: {title: a}")
    (tmp_path / "big.json").write_text(" " * 300_000)
    with pytest.raises(PermanentError, match="a source of its own"):
        read_mapping(tmp_path / "github.yaml")
    with pytest.raises(PermanentError, match="at most"):
        read_mapping(tmp_path / "big.json")
    with pytest.raises(PermanentError, match=r"expected a file \.yaml"):
        read_mapping(tmp_path / "x.txt")


BODY = b'{"a": "\xc3\xbc"}'


def signed(secret: bytes, content: bytes, encoding: str) -> str:
    """What a sender puts into its header."""
    digest = hmac.new(secret, content, hashlib.sha256).digest()
    return digest.hex() if encoding == "hex" else base64.b64encode(digest).decode()


@pytest.mark.parametrize("encoding", ["hex", "base64"])
def test_signature_over_time_and_body_is_checked(encoding: str):
    """Right passes; another body, time, secret, prefix or an old time does not."""
    proof = HmacProof(
        kind="hmac", variable="V", header="X-Sig", encoding=encoding, prefix="v1=", timestamp_header="X-Time",
        separator=".", max_age_seconds=60,
    )  # fmt: skip
    now = str(int(time.time()))
    good = {"X-Sig": "v1=" + signed(b"k", now.encode() + b"." + BODY, encoding), "X-Time": now}
    assert is_proven(proof, b"k", good, "", BODY)
    assert not is_proven(proof, b"k", good, "", BODY + b" ")
    assert not is_proven(proof, b"other", good, "", BODY)
    assert not is_proven(proof, b"k", good | {"X-Time": str(int(now) + 1)}, "", BODY)
    assert not is_proven(proof, b"k", good | {"X-Sig": good["X-Sig"][3:]}, "", BODY)
    assert not is_proven(proof, b"k", {}, "", BODY)
    old = str(int(now) - 3600)
    assert not is_proven(
        proof, b"k", {"X-Sig": "v1=" + signed(b"k", old.encode() + b"." + BODY, encoding), "X-Time": old}, "", BODY
    )
    assert not is_proven(proof, b"k", {"X-Sig": "ä€", "X-Time": "soon"}, "", BODY)


def test_token_is_taken_from_its_header_or_parameter_only():
    """A token in the wrong place proves nothing."""
    by_header = TokenProof(kind="token", variable="V", header="X-Token", prefix="Bearer ")
    by_query = TokenProof(kind="token", variable="V", parameter="token")
    assert is_proven(by_header, b"k", {"X-Token": "Bearer k"}, "", BODY)
    assert not is_proven(by_header, b"k", {"X-Token": "k"}, "k", BODY)
    assert is_proven(by_query, b"k", {}, "k", BODY)
    assert not is_proven(by_query, b"k", {"X-Token": "k"}, "", BODY)
    assert not is_proven(by_query, b"k", {}, "k€", BODY)
