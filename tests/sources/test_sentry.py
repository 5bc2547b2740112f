"""Sentry payloads: webhooks, responses and raw events, and one item an issue."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from soulcaster.models import FeedbackItem, Ignored, Quarantined
from soulcaster.sources.sentry import parse_payload

PAYLOADS = Path(__file__).parent.parent / "payloads" / "sentry"
FRAMES: list[object] = [
    {"module": "outer", "function": "start", "in_app": False},
    {"module": "middle", "function": "go", "in_app": True},
    {"module": "inner", "function": "stop", "in_app": False},
]
RAISED = {"type": "E", "value": "v", "stacktrace": {"frames": FRAMES}}


def load(name: str) -> Any:
    """A made-up payload from beside the tests."""
    return json.loads((PAYLOADS / name).read_text())


def event(**fields: Any) -> dict[str, Any]:
    """A raw event with one exception, changed by `fields`; None takes a key away."""
    plain = {
        "event_id": "ab" * 16,
        "platform": "python",
        "timestamp": 1760000000.5,
        "exception": {"values": [{"type": "ValueError", "value": "no page", "stacktrace": {"frames": FRAMES}}]},
    }
    return {key: value for key, value in (plain | fields).items() if value is not None}


def issue(**fields: Any) -> dict[str, Any]:
    """A plain issue object, changed by `fields`."""
    return load("issues.json")[0] | fields


def parsed(payload: Any, **options: Any) -> Any:
    """The one outcome of a payload."""
    (outcome,) = parse_payload(payload, **options)
    return outcome


def test_a_raw_event_becomes_an_item_with_its_diagnosis():
    """Title as Sentry writes it, causes, culprit and in-app frames (innermost first) in the body, tags as fields."""
    item = parsed(load("event_python.json"))

    assert item.external_id == "event:0a1b2c3d00004000800000000000000a"
    assert item.title == "ExportError: could not write page 7"
    assert item.frames == ["inkleaf.pdf:write_page", "inkleaf.tasks:export_pdf"]
    assert item.body.splitlines() == [
        "export of book failed",
        "could not write page 7",
        "of 12",
        "caused by OSError: disk full",
        "in inkleaf.tasks.export_pdf",
        "at inkleaf.pdf:write_page",
        "at inkleaf.tasks:export_pdf",
    ]
    assert (item.exception_type, item.culprit) == ("ExportError", "inkleaf.tasks.export_pdf")
    assert (item.release, item.environment, item.level) == ("inkleaf@4.2.0", "production", "error")
    assert item.created_at == datetime(2025, 10, 9, 8, 53, 20, 123456, tzinfo=UTC)
    assert (item.trust, item.source_group) == ("member", None)


def test_an_issue_has_the_counts_and_the_time_span():
    """External id and group are the issue's; counts may be strings; seen times become the item's times."""
    item = parsed(load("issues.json"))

    assert (item.external_id, item.source_group, item.channel) == ("issue:4242", "4242", "inkleaf-web")
    assert (item.event_count, item.user_count) == (1312, 57)
    assert item.created_at == datetime(2025, 9, 1, tzinfo=UTC)
    assert item.updated_at == datetime(2025, 10, 9, 9, 0, 0, 500000, tzinfo=UTC)
    assert (item.state, item.state_reason, item.release) == ("open", "regressed", "inkleaf-web@9")
    assert item.url == "https://sentry.example/organizations/acme/issues/4242/"


def test_an_alert_and_its_issue_are_one_item():
    """The webhook of an event and the issue from the API find each other by the issue id, here out of a URL."""
    alert, listed = parsed(load("event_alert.json")), parsed(load("issues.json"))

    assert alert.external_id == listed.external_id == "issue:4242"
    assert alert.title == listed.title
    assert (alert.environment, alert.release, alert.channel) == ("staging", "inkleaf-web@9", "inkleaf-web")
    assert alert.frames == ["static/src/page.ts:renderPage"]
    assert alert.url == "https://sentry.example/organizations/acme/issues/4242/events/1111/"


def test_an_error_webhook_is_read_like_an_alert():
    """`error.created` has the same event under another key."""
    alert = load("event_alert.json")
    error = {"action": "created", "data": {"error": alert["data"]["event"]}}

    assert parsed(error, resource="error").external_id == "issue:4242"


@pytest.mark.parametrize(
    ("status", "substatus", "state", "reason"),
    [
        ("unresolved", "new", "open", "new"),
        ("resolved", None, "closed", "resolved"),
        ("ignored", "archived_until_escalating", "closed", "archived_until_escalating"),
        ("pending_deletion", None, "deleted", "pending_deletion"),
    ],
)
def test_an_issue_webhook_carries_the_teams_decision(status: str, substatus: str | None, state: str, reason: str):
    """Resolved and archived issues are closed, with Sentry's finer word as the reason."""
    body = {"action": "resolved", "data": {"issue": issue(status=status, substatus=substatus)}}
    item = parsed(body, resource="issue")

    assert (item.state, item.state_reason) == (state, reason)


@pytest.mark.parametrize(
    ("data", "resource", "reason"),
    [
        ({"metric_alert": {}, "description_text": "x"}, None, "webhook-metric-alert"),
        ({"comment": "hi", "issue_id": 5}, None, "webhook-comment"),
        ({"installation": {}}, None, "webhook-installation"),
        ({"run_id": 5, "group_id": 6}, None, "webhook-seer"),
        ({"run_id": 5, "group_id": 6}, "seer", "webhook-seer"),
        ({"comment": "hi"}, "comment", "webhook-comment"),
    ],
)
def test_other_webhooks_are_ignored_by_name(data: object, resource: str | None, reason: str):
    """Alerts on metrics, comments and installations are accepted and counted."""
    body = {"action": "created", "data": data, "installation": {"uuid": "u"}}

    assert parsed(body, resource=resource) == Ignored(reason=reason)


@pytest.mark.parametrize(
    "inner",
    [
        {"sentry.interfaces.Message": {"message": "Sync stuck"}, "type": "default"},
        {"title": "Sync stuck", "message": ""},
        {"metadata": {"title": "Sync stuck"}},
    ],
)
def test_the_legacy_plugins_flat_body_is_read_in_both_versions(inner: dict[str, Any]):
    """Its id is the issue's; where `message` is empty the event's title or metadata has the words."""
    body = {
        "id": "99",
        "project": "inkleaf",
        "project_name": "Inkleaf",
        "project_slug": "inkleaf",
        "culprit": "sync in run",
        "level": "warning",
        "message": "",
        "url": "https://sentry.example/acme/inkleaf/issues/99/?referrer=x",
        "event": {"event_id": "cd" * 16} | inner,
    }
    item = parsed(body)

    assert (item.external_id, item.title, item.channel) == ("issue:99", "Sync stuck", "inkleaf")
    assert (item.level, item.culprit, item.url) == ("warning", "sync in run", body["url"])


@pytest.mark.parametrize(
    "holder",
    [
        {"exception": {"values": [RAISED]}},
        {"exception": [RAISED]},
        {"exception": RAISED},
        {"sentry.interfaces.Exception": {"values": [None, RAISED]}},
        {"exception": [{"type": "E", "value": "v"}], "stacktrace": {"frames": FRAMES}},
        {"exception": [{"type": "E", "value": "v"}], "sentry.interfaces.Stacktrace": {"frames": [None, *FRAMES]}},
        {
            "exception": [{"type": "E", "value": "v", "stacktrace": {"frames": None}}],
            "threads": {"values": [{"id": 1, "stacktrace": None}, {"crashed": True, "stacktrace": {"frames": FRAMES}}]},
        },
        {
            "entries": [
                {
                    "type": "exception",
                    "data": {"values": [RAISED]},
                }
            ],
            "exception": None,
        },
    ],
)
def test_exception_and_frames_are_found_under_every_key(holder: dict[str, Any]):
    """Object, list, old interface names, threads and API entries hold the same thing."""
    item = parsed({"event_id": "ef" * 16, "platform": "x"} | {key: value for key, value in holder.items() if value})

    assert (item.title, item.exception_type, item.frames) == ("E: v", "E", ["middle:go"])


def test_without_in_app_marks_the_last_frames_count():
    """Compiled languages send no marks; the frames nearest to the crash are kept, a recursion once."""
    frames = [{"package": "/usr/lib/libfoo.so", "function": f"f{n}"} for n in range(20)]
    frames += [{"package": r"C:\x\bar.dll", "function": "last"}] * 3
    item = parsed(event(exception=[{"type": "SIGSEGV", "stacktrace": {"frames": frames}}]))

    assert item.frames[:3] == ["bar.dll:last", "libfoo.so:f19", "libfoo.so:f18"]
    assert len(item.frames) == 10


def test_a_signal_is_titled_with_the_function_it_struck():
    """A synthetic type is no error's name: without the function all crashes would look alike."""
    crash = {"type": "SIGSEGV", "value": "Segfault", "mechanism": {"synthetic": True}, "stacktrace": {"frames": FRAMES}}

    assert parsed(event(exception=[crash])).title == "SIGSEGV in stop: Segfault"


@pytest.mark.parametrize(
    ("fields", "title"),
    [
        ({"logentry": {"message": "hello %s", "formatted": "hello you"}}, "hello you"),
        ({"logentry": {"message": "hello %s", "formatted": None}}, "hello %s"),
        ({"message": "plain words"}, "plain words"),
        ({"message": {"message": "in an object", "params": []}}, "in an object"),
        ({"sentry.interfaces.Message": {"message": "old words"}}, "old words"),
        ({"logentry": "wrongly a string"}, "wrongly a string"),
        ({"message": "", "culprit": "views.index"}, "views.index"),
        ({"transaction": "/export"}, "/export"),
        ({"stacktrace": {"frames": FRAMES}}, "middle:go"),
        ({"template": {"filename": "page.html"}}, "<unlabeled event>"),
    ],
)
def test_without_exception_the_title_falls_back(fields: dict[str, Any], title: str):
    """Message in any shape, then culprit, then the top frame, then Sentry's own name for it."""
    assert parsed(event(exception=None, **fields)).title == title


def test_an_exception_without_a_type_is_titled_by_its_value():
    """A null type does not become the word 'None'."""
    item = parsed(event(exception=[{"type": None, "value": "stopped"}]))

    assert (item.title, item.exception_type) == ("stopped", None)


def test_an_event_without_a_word_is_quarantined():
    """Nothing to read means nothing to group; it waits instead of joining all other empty ones."""
    outcome = parsed(event(exception={"values": []}))

    assert isinstance(outcome, Quarantined)
    assert outcome.reason == "no-text"


@pytest.mark.parametrize(
    "tags",
    [
        {"environment": "beta", "release": "r1", "level": "info"},
        [["environment", "beta"], ["release", "r1"], ["level", "info"]],
        [{"key": "environment", "value": "beta"}, {"key": "release", "value": "r1"}, {"key": "level", "value": "info"}],
    ],
)
def test_release_environment_and_level_may_be_tags(tags: object):
    """Webhook events have no such keys, only tags, in three shapes."""
    item = parsed(event(tags=tags))

    assert (item.environment, item.release, item.level) == ("beta", "r1", "info")


@pytest.mark.parametrize(
    ("timestamp", "expected"),
    [
        (1760000000.5, datetime(2025, 10, 9, 8, 53, 20, 500000, tzinfo=UTC)),
        ("1760000000.5", datetime(2025, 10, 9, 8, 53, 20, 500000, tzinfo=UTC)),
        ("2025-10-09T08:53:20.123456789Z", datetime(2025, 10, 9, 8, 53, 20, 123456, tzinfo=UTC)),
        ("2025-10-09T10:53:20+02:00", datetime(2025, 10, 9, 8, 53, 20, tzinfo=UTC)),
        ("2025-10-09T08:53:20", datetime(2025, 10, 9, 8, 53, 20, tzinfo=UTC)),
        (None, None),
    ],
)
def test_timestamps_are_read_in_all_their_shapes(timestamp: object, expected: datetime | None):
    """Numbers, ISO with nanoseconds, other zones, no zone, or none at all."""
    assert parsed(event(timestamp=timestamp)).created_at == expected


def test_the_same_event_without_an_id_finds_itself_again():
    """Its content is its identity, whatever the order of its keys."""
    first = event(event_id=None)
    turned = dict(reversed(first.items()))

    assert parsed(first).external_id == parsed(turned).external_id
    assert parsed(first).external_id != parsed(event(event_id=None, timestamp=1.0)).external_id


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ({"type": "transaction", "event_id": "x", "platform": "python"}, "transaction"),
        ({"type": "replay_event", "event_id": "x"}, "replay"),
        ({"type": "csp", "event_id": "x", "platform": "x"}, "csp"),
        ({"message": "Blocked", "sentry.interfaces.Csp": {}}, "csp"),
        ({"csp-report": {"document-uri": "x"}}, "csp"),
        ({"message": "failed", "hpkp": {}}, "hpkp"),
        ({"message": "failed", "expectct": {}}, "expect-ct"),
        ({"type": "feedback", "event_id": "x", "contexts": {}}, "user-feedback"),
        ({"id": "1", "name": "a", "slug": "a", "platform": "x"}, "project"),
        ({"id": "1", "name": "a", "slug": "a", "links": {}}, "organization"),
        ({"key": "os", "name": "OS", "uniqueValues": 5}, "tag"),
        ({"value": "x", "name": "x", "count": 5, "lastSeen": "2025-01-01T00:00:00Z"}, "tag-value"),
        ({"id": "1", "type": "note", "data": {"text": "x"}, "dateCreated": "x"}, "comment"),
        ({"data": [], "meta": {}}, "query-result"),
        ({"id": "1", "comments": "bad", "eventID": "x", "event": {"id": "x"}}, "user-feedback"),
        ({"detail": "You do not have permission"}, "sentry-error"),
    ],
)
def test_what_reports_no_error_is_ignored_by_name(payload: object, reason: str):
    """Transactions, replays, browser reports and other API objects have names."""
    assert parsed(payload) == Ignored(reason=reason)


def test_a_security_issue_is_ignored_and_a_feedback_issue_is_not():
    """Issues come in kinds too: a browser's report is none of ours, a person's words are."""
    words = issue(type="feedback", title="User Feedback: slow", metadata={"value": "It is slow", "type": "Feedback"})

    assert parsed(issue(type="csp")) == Ignored(reason="csp")
    assert "It is slow" in parsed(words).body


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (event(timestamp="soon"), "field 'timestamp': expected an ISO 8601 time, got a string 'soon'"),
        (event(timestamp=[]), "field 'timestamp': expected epoch seconds, got a list of 0"),
        (event(tags=5), "field 'tags': expected a list"),
        (event(level={"a": 1}), "field 'level': expected a string"),
        (event(exception="boom"), "field 'exception': expected an object or a list"),
        (event(exception=["boom"]), "field 'exception.values': expected a list of objects"),
        (event(exception=[{"type": "E", "stacktrace": {"frames": ["f"]}}]), "field 'stacktrace.frames'"),
        (event(message=5, exception=None), "field 'message': expected a string or an object"),
        (issue(count="many"), "field 'count': expected a count"),
        (issue(count=10**30), "field 'count': expected a count, got a number a very large one"),
        (issue(title=["a"]), "field 'title': expected a string"),
        (issue(id=None), "field 'id': expected the issue's id"),
        ({"action": "x", "data": {"issue": []}}, "field 'issue': expected an object"),
    ],
)
def test_a_wrong_type_quarantines_that_row_with_a_sentence(payload: object, words: str):
    """The sentence names field, expected and got."""
    outcome = parsed(payload)

    assert isinstance(outcome, Quarantined)
    assert words in outcome.detail


def test_an_exceptions_value_of_another_type_is_kept_as_json():
    """SDKs put objects and numbers where a string belongs; the words in them still count."""
    assert parsed(event(exception=[{"type": "E", "value": {"code": 5}}])).title == 'E: {"code":5}'


def test_an_items_payload_parses_to_the_same_item_again():
    """History can be replayed from what is stored, without the header."""
    for name in ("event_python.json", "event_alert.json", "issues.json"):
        item = next(iter(parse_payload(load(name))))
        assert parsed(json.loads(item.payload)) == item


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("folder", "least_items", "most_quarantined"),
    [("payloads_sentry_events", 140, 6), ("payloads_sentry_webhooks", 18, 0), ("payloads_sentry_api", 15, 1)],
)
def test_recordings_parse_without_an_exception(
    shared_data_dir: Path, folder: str, least_items: int, most_quarantined: int
):
    """Every recorded SDK, webhook and response gives items or named reasons, twice the same."""
    items, others = [], []
    for file in sorted((shared_data_dir / folder).rglob("*.json")):
        payload = json.loads(file.read_text())
        outcomes = list(parse_payload(payload))
        assert outcomes == list(parse_payload(payload))
        items += [outcome for outcome in outcomes if isinstance(outcome, FeedbackItem)]
        others += [outcome for outcome in outcomes if not isinstance(outcome, FeedbackItem)]

    assert len(items) > least_items
    assert {"no-text"} >= {outcome.reason for outcome in others if isinstance(outcome, Quarantined)}
    assert len([outcome for outcome in others if isinstance(outcome, Quarantined)]) <= most_quarantined
    assert not {"unknown", "other", "webhook-other"} & {outcome.reason for outcome in others}
    assert all(item.title for item in items)
