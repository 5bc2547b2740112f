"""Sentry envelopes: what SDKs and relays send, item by item."""

from __future__ import annotations

from pathlib import Path

import pytest

from soulcaster.models import FeedbackItem, Ignored, Quarantined
from soulcaster.sources.sentry import parse_envelope

PAYLOADS = Path(__file__).parent.parent / "payloads" / "sentry"


def test_an_envelope_is_read_item_by_item_in_bytes():
    """Lengths count bytes; an attachment may hold line breaks; the event takes its id from the header."""
    attachment, crash, session = parse_envelope((PAYLOADS / "crash.envelope").read_text())

    assert (attachment, session) == (Ignored(reason="attachment"), Ignored(reason="session"))
    assert isinstance(crash, FeedbackItem)
    assert (crash.external_id, crash.title, crash.level) == ("event:" + "2222bbbb" * 4, "Ünread page", "fatal")


@pytest.mark.parametrize("length", ["", ',"length":9999', ',"length":3', ',"length":"x"'])
def test_an_envelope_item_with_a_wrong_or_no_length_ends_with_its_line(length: str):
    """Masked copies keep lengths that no longer fit."""
    text = "\n".join(["{}", '{"type":"event"' + length + "}", '{"message":"words"}', '{"type":"session"}', "{}", ""])
    item, session = parse_envelope(text)

    assert isinstance(item, FeedbackItem)
    assert (item.title, session) == ("words", Ignored(reason="session"))


@pytest.mark.parametrize(
    "text", ["no envelope", "{}\nnot json\n", '{}\n{"type":"event"}\nnot json\n', '{}\n{"type":5}\n\n']
)
def test_a_broken_envelope_is_quarantined(text: str):
    """Header, item header and event must be JSON objects."""
    (outcome,) = parse_envelope(text)

    assert isinstance(outcome, Quarantined)
    assert outcome.reason == "broken-envelope"


def test_an_empty_envelope_is_ignored_as_empty():
    """A header alone carries nothing."""
    assert list(parse_envelope("{}\n")) == [Ignored(reason="empty")]


@pytest.mark.shared_data
def test_recorded_envelopes_parse_without_an_exception(shared_data_dir: Path):
    """Sessions, transactions, attachments and reports are named; events are read."""
    files = sorted((shared_data_dir / "payloads_sentry_events" / "envelopes").glob("*.txt"))
    reasons = [getattr(outcome, "reason", "item") for file in files for outcome in parse_envelope(file.read_text())]

    assert {"session", "transaction", "attachment", "user-feedback"} <= set(reasons)
