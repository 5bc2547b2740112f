"""Sentry payloads to items: webhook bodies, API responses, raw events, envelopes; one item an issue where one is known.

Owns what wraps an event or issue; the event itself is read by `sentry_events`. Pure and total: any JSON value gives
items, ignored or quarantined rows, never an exception. Opens nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial

from soulcaster.models import FeedbackItem, Ignored, ItemState, Outcome, Quarantined
from soulcaster.sources.fields import (
    Record,
    compact_json,
    describe,
    find_count,
    find_id,
    find_record,
    find_text,
    find_time,
    is_record,
    key_names,
    or_empty,
    parsed_row,
    quarantine,
    slug,
    wrong,
)
from soulcaster.sources.sentry_events import (
    find_channel,
    find_issue_id,
    find_level,
    find_message,
    find_release,
    first_line,
    not_an_error,
    parse_event,
    read_tags,
    title_of_metadata,
    web_url,
)

_EVENT_RESOURCES = {"event_alert": "event", "error": "error", "issue": "issue"}
_OTHER_RESOURCES = ("metric_alert", "comment", "installation", "metric")
_SECURITY_TYPES = {"csp", "hpkp", "expectct", "expectstaple", "nel"}
_EVENT_KEYS = frozenset(
    {
        *("event_id", "eventID", "exception", "logentry", "message", "stacktrace", "threads", "entries", "template"),
        *("platform", "culprit", "logger", "contexts", "request", "sdk", "modules", "breadcrumbs", "event.type"),
        *(
            f"sentry.interfaces.{name}"
            for name in ("Exception", "Message", "Stacktrace", "Threads", "Template", "Http")
        ),
    }
)
_REST_SHAPES: tuple[tuple[frozenset[str], str], ...] = (
    (frozenset({"comments", "eventID"}), "user-feedback"),
    (frozenset({"comments", "event_id"}), "user-feedback"),
    (frozenset({"sid", "status"}), "session"),
    (frozenset({"data", "meta"}), "query-result"),
    (frozenset({"key", "uniqueValues"}), "tag"),
    (frozenset({"key", "totalValues"}), "tag"),
    (frozenset({"value", "lastSeen"}), "tag-value"),
    (frozenset({"version", "dateCreated"}), "release"),
    (frozenset({"slug", "platform"}), "project"),
    (frozenset({"slug", "name"}), "organization"),
    (frozenset({"type", "data", "dateCreated"}), "activity"),
)
"""Keys that tell what an API object is which is no issue and no event; the first that all occur win."""

_ENVELOPE_ITEMS = {
    "user_report": "user-feedback",
    "feedback": "user-feedback",
    "replay_event": "replay",
    "replay_recording": "replay",
    "replay_video": "replay",
    "raw_security": "csp",
    "sessions": "session",
    "profile_chunk": "profile",
    "check_in": "check-in",
    "client_report": "client-report",
}
_CLOSED = {"resolved", "resolvedInNextRelease", "ignored", "archived", "muted"}
_DELETED = {"pending_deletion", "deletion_in_progress", "pending_merge"}


def parse_payload(payload: object, *, resource: str | None = None) -> Iterator[Outcome]:
    """Outcomes of one webhook body, API response or raw event, one for each issue or event in it, in its order.

    Args:
        payload: any JSON value.
        resource: value of the `Sentry-Hook-Resource` header, when known; else the shape decides.
    """
    return or_empty(
        parsed_row(partial(_parse_thing, thing, resource), thing, "sentry payload")
        if is_record(thing)
        else quarantine("wrong-field", f"sentry payload: expected an object, got {describe(thing)}", thing)
        for thing in _walk_things(payload)
    )


def parse_envelope(text: str) -> Iterator[Outcome]:
    """Outcomes of one envelope (a header line, then item headers and their payloads), one for each item in it.

    Source: Sentry's envelope format: an item's payload has the length in bytes its header says, or ends with its line.
    """
    data = text.encode("utf-8", "replace")
    first, _, rest = data.partition(b"\n")
    header = _json_object(first)
    if header is None:
        detail = (
            f"sentry envelope: line 1: expected a JSON object as header, got {first[:60].decode('utf-8', 'replace')!r}"
        )
        yield quarantine("broken-envelope", detail)
        return
    yield from or_empty(_parse_envelope_items(rest, header))


def _walk_things(payload: object) -> Iterator[object]:
    """Entries of lists, or the payload itself."""
    waiting = [payload]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting.extend(reversed(value))
        else:
            yield value


def _parse_thing(thing: Record, resource: str | None) -> Outcome:
    if not thing:
        return Ignored(reason="empty")
    if thing.keys() == {"issue", "event"}:
        return _parse_pulled(thing)
    data = thing.get("data")
    if is_record(data) and ("action" in thing or resource is not None):
        return _parse_webhook(thing, data, resource)
    if (
        is_record(thing.get("event"))
        and ({"culprit", "project_name", "url"} & thing.keys())
        and "comments" not in thing
    ):
        return _parse_legacy_webhook(thing)
    if "shortId" in thing or {"id", "title", "firstSeen", "lastSeen"} <= thing.keys():
        return _parse_issue(thing, thing)
    return _parse_other(thing)


def _parse_other(thing: Record) -> Outcome:
    """A raw event, an API object that is no feedback, or an error body."""
    shape = next((reason for keys, reason in _REST_SHAPES if keys <= thing.keys()), None)
    if shape == "activity" and thing.get("type") == "note":
        shape = "comment"
    if shape is None and thing.keys() <= {"name"}:
        shape = "tag-value"
    if shape is None and thing.keys() <= {"activity"}:
        shape = "activity"
    if shape is not None:
        return Ignored(reason=shape)
    if thing.keys() & _EVENT_KEYS or not_an_error(thing) is not None:
        return parse_event(thing, thing)
    if "detail" in thing:
        return Ignored(reason="sentry-error")
    raise wrong("event_id", f"an issue, an event or another known object (keys here: {key_names(thing)})", None)


def _parse_webhook(body: Record, data: Record, resource: str | None) -> Outcome:
    """The event or issue of an integration webhook; other resources are ignored under their name."""
    shaped = next((name for name, key in _EVENT_RESOURCES.items() if key in data), None)
    if resource is not None and resource not in _EVENT_RESOURCES:
        return Ignored(reason=f"webhook-{slug(resource)}")
    if shaped is None and resource is None:
        named = next((name for name in _OTHER_RESOURCES if name in data), None)
        named = named or ("seer" if "run_id" in data or "group_id" in data else "other")
        return Ignored(reason=f"webhook-{slug(named)}")
    resource = shaped or resource or "event_alert"
    key = _EVENT_RESOURCES[resource]
    inner = find_record(data, key)
    if inner is None:
        raise wrong(f"data.{key}", "an object", None)
    return _parse_issue(inner, body) if resource == "issue" else parse_event(inner, body)


def _parse_legacy_webhook(body: Record) -> Outcome:
    """The event of the old plugin's flat body, which knows the issue, project, page and level better than the event."""
    event = dict(find_record(body, "event") or {})
    for key in ("culprit", "level", "project_name", "project_slug"):
        if not event.get(key) and body.get(key):
            event[key] = body[key]
    if not find_message(event) and body.get("message"):
        event["message"] = body["message"]
    item = parse_event(event, body, find_id(body, "id") or find_issue_id({"web_url": body.get("url")}))
    if not isinstance(item, FeedbackItem):
        return item
    channel = find_text(body, "project_slug") or find_id(body, "project") or item.channel
    return item.model_copy(update={"url": web_url(body, "url") or item.url, "channel": channel})


def _parse_issue(issue: Record, whole: Record) -> Outcome:
    """The item of an issue object: words and counts, no stack trace."""
    issue_id = find_id(issue, "id")
    if issue_id is None:
        raise wrong("id", "the issue's id", None)
    if find_text(issue, "type") in _SECURITY_TYPES:
        return Ignored(reason="csp" if issue["type"] == "csp" else slug(issue["type"]))
    metadata = find_record(issue, "metadata") or {}
    title = first_line(find_text(issue, "title") or "") or first_line(title_of_metadata(issue))
    culprit = (find_text(issue, "culprit") or "").strip()
    if not (title or culprit):
        raise wrong("title", "a title or culprit", issue.get("title"))
    place, function = find_text(metadata, "filename"), find_text(metadata, "function")
    frames = [f"{place}:{function}"] if place and function else []
    tags = read_tags(issue) if isinstance(issue.get("tags"), list) else {}
    state, state_reason = _issue_state(issue)
    return FeedbackItem(
        source="sentry",
        external_id=f"issue:{issue_id}",
        title=title or culprit,
        body=_issue_body(title, metadata, culprit, frames),
        url=web_url(issue, "permalink", "web_url"),
        channel=find_channel(issue),
        created_at=find_time(issue, "firstSeen"),
        updated_at=find_time(issue, "lastSeen") or find_time(issue, "firstSeen"),
        trust="member",
        state=state,
        state_reason=state_reason,
        source_group=issue_id,
        exception_type=find_text(metadata, "type") or None,
        frames=frames,
        culprit=culprit or None,
        release=find_release(issue, "lastRelease") or find_release(issue, "firstRelease"),
        environment=tags.get("environment"),
        level=find_level(issue),
        event_count=_event_count(issue),
        user_count=find_count(issue, "userCount"),
        payload=compact_json(whole),
    )


def _parse_pulled(thing: Record) -> Outcome:
    """The item of an issue as the API lists it, with the words and stack of its latest event."""
    issue = find_record(thing, "issue")
    if issue is None:
        raise wrong("issue", "an object", None)
    item = _parse_issue(issue, thing)
    event = find_record(thing, "event")
    if event is None or not isinstance(item, FeedbackItem):
        return item
    seen = parse_event(event, thing, item.source_group)
    if not isinstance(seen, FeedbackItem):
        return item if isinstance(seen, Quarantined) else seen
    told = {
        "body": seen.body or item.body,
        "exception_type": seen.exception_type or item.exception_type,
        "frames": seen.frames or item.frames,
        "culprit": item.culprit or seen.culprit,
        "release": seen.release or item.release,
        "environment": seen.environment or item.environment,
        "level": item.level or seen.level,
    }
    return item.model_copy(update=told)


def _event_count(issue: Record) -> int:
    """How often the issue happened; 1 where its count was left out."""
    count = find_count(issue, "count")
    return 1 if count is None else count


def _issue_body(title: str, metadata: Record, culprit: str, frames: list[str]) -> str:
    value = (find_text(metadata, "value") or find_text(metadata, "message") or "").strip()
    lines = [value] if value and value not in title else []
    if culprit:
        lines.append(f"in {culprit}")
    lines.extend(f"at {frame}" for frame in frames)
    return "\n".join(lines)


def _issue_state(issue: Record) -> tuple[ItemState, str | None]:
    """Whether the team still has it before them, and Sentry's finer word for it."""
    status, substatus = find_text(issue, "status"), find_text(issue, "substatus")
    if status in _DELETED:
        return "deleted", status
    if status in _CLOSED:
        return "closed", substatus or status
    return "open", substatus


def _parse_envelope_items(data: bytes, header: Record) -> Iterator[Outcome]:
    position = 0
    while position < len(data):
        end = _line_end(data, position)
        line, position = data[position:end], end + 1
        if not line.strip():
            continue
        item_header = _json_object(line)
        if item_header is None:
            excerpt = line[:60].decode("utf-8", "replace")
            yield quarantine("broken-envelope", f"sentry envelope: expected an item header, got {excerpt!r}")
            return
        end = _payload_end(data, position, item_header)
        yield _parse_envelope_item(data[position:end], item_header, header)
        position = end + 1


def _line_end(data: bytes, start: int) -> int:
    end = data.find(b"\n", start)
    return len(data) if end < 0 else end


def _payload_end(data: bytes, start: int, item_header: Record) -> int:
    """Where an item's payload ends: after its length if a line or the data ends there, else with its line.

    A length that does not fit is what masking or re-encoding of a stored envelope leaves behind.
    """
    length = item_header.get("length")
    if isinstance(length, int) and 0 <= length <= len(data) - start:
        end = start + length
        if end == len(data) or data[end : end + 1] == b"\n":
            return end
    return _line_end(data, start)


def _parse_envelope_item(body: bytes, item_header: Record, header: Record) -> Outcome:
    kind = item_header.get("type")
    if not isinstance(kind, str):
        detail = f"sentry envelope: field 'type': expected a string, got {describe(kind)}"
        return quarantine("broken-envelope", detail)
    if kind != "event":
        return Ignored(reason=_ENVELOPE_ITEMS.get(kind) or slug(kind))
    event = _json_object(body)
    if event is None:
        excerpt = body[:60].decode("utf-8", "replace")
        return quarantine("broken-envelope", f"sentry envelope: expected an event as JSON object, got {excerpt!r}")
    event_id = header.get("event_id")
    if "event_id" not in event and isinstance(event_id, str):
        event["event_id"] = event_id
    return parsed_row(partial(parse_event, event, event), event, "sentry event")


def _json_object(line: bytes) -> Record | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if is_record(value) else None
