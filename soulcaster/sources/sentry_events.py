"""Sentry events to items: every shape SDKs, the store endpoint, webhooks and the REST API have given an event.

Owns how an event's exception, message, frames, tags and time are found, and the item's title and body made of them.
Knows nothing of what wraps an event (webhook, response, envelope). Opens nothing.
"""

from __future__ import annotations

import hashlib
import json
import re
from datetime import datetime

from soulcaster.models import FeedbackItem, Ignored, Outcome
from soulcaster.sources.fields import (
    Record,
    compact_json,
    find_id,
    find_record,
    find_text,
    find_time,
    is_record,
    key_names,
    list_values,
    printable,
    quarantine,
    url_path,
    wrong,
)
from soulcaster.sources.sentry_frames import find_frames, innermost_function

UNLABELED = "<unlabeled event>"
"""What Sentry itself calls an event without exception and message."""

_MAX_TITLE_VALUE_CHARS = 100
_MAX_CAUSES = 5
_OLD_KEYS = {
    "exception": "sentry.interfaces.Exception",
    "logentry": "sentry.interfaces.Message",
    "stacktrace": "sentry.interfaces.Stacktrace",
    "threads": "sentry.interfaces.Threads",
    "template": "sentry.interfaces.Template",
}
_NOT_ERRORS = {
    "transaction": "transaction",
    "replay_event": "replay",
    "feedback": "user-feedback",
    "csp": "csp",
    "hpkp": "hpkp",
    "expectct": "expect-ct",
    "expectstaple": "expect-staple",
    "nel": "network-error-log",
}
_REPORT_KEYS = {
    "csp": "csp",
    "sentry.interfaces.Csp": "csp",
    "csp-report": "csp",
    "hpkp": "hpkp",
    "expectct": "expect-ct",
    "expect-ct-report": "expect-ct",
    "expectstaple": "expect-staple",
    "expect-staple-report": "expect-staple",
    "nel": "network-error-log",
}
_LEVEL_NAMES = {10: "debug", 20: "info", 30: "warning", 40: "error", 50: "fatal"}
_ISSUE_IN_URL = re.compile(r"/issues/(\d+)(?:/|$)")
_PROJECT_IN_URL = re.compile(r"/projects/[^/]+/([^/]+)/")


def not_an_error(event: Record) -> str | None:
    """What the event is if it reports no error: a transaction, a replay, a browser's security report; else None."""
    kind = event.get("type") or event.get("event.type")
    if isinstance(kind, str) and kind in _NOT_ERRORS:
        return _NOT_ERRORS[kind]
    return next((reason for key, reason in _REPORT_KEYS.items() if isinstance(event.get(key), dict)), None)


def parse_event(event: Record, whole: Record, issue_id: str | None = None) -> Outcome:
    """The item of one event; ignored when it reports no error, quarantined when it has not one word to go by.

    Args:
        event: the event in any of its shapes.
        whole: what was received, kept as the item's payload.
        issue_id: the Sentry issue it belongs to, where the wrapper knows better than the event.

    Raises:
        PermanentError: a field is of a kind no shape allows.
    """
    reason = not_an_error(event)
    if reason is not None:
        return Ignored(reason=reason)
    parts = _with_entries(event)
    exceptions = _exceptions(parts)
    frames = find_frames([*reversed(exceptions), {"stacktrace": _interface(parts, "stacktrace")}, *_threads(parts)])
    message = find_message(parts)
    culprit = _culprit(event)
    issue_id = issue_id or find_issue_id(event)
    title = _title(event, exceptions, message) or culprit or (frames[0] if frames else "")
    if not title and not _template_name(parts):
        detail = f"sentry event: expected an exception, message, stack trace or culprit (keys here: {key_names(event)})"
        return quarantine("no-text", detail, whole)
    tags = read_tags(event)
    happened_at = event_time(event)
    main_type = find_text(exceptions[-1], "type") if exceptions else _metadata_text(event, "type")
    return FeedbackItem(
        source="sentry",
        external_id=f"issue:{issue_id}" if issue_id else f"event:{_event_id(event)}",
        title=title or UNLABELED,
        body=_body(title, message, exceptions, culprit, frames, _template_name(parts)),
        url=web_url(event, "web_url", "permalink", "url"),
        channel=find_channel(event),
        created_at=happened_at,
        updated_at=happened_at,
        trust="member",
        source_group=issue_id,
        exception_type=main_type or None,
        frames=frames,
        culprit=culprit or None,
        release=find_release(event) or tags.get("sentry:release") or tags.get("release"),
        environment=find_text(event, "environment") or tags.get("environment"),
        level=find_level(event) or tags.get("level"),
        payload=compact_json(whole),
    )


def event_time(event: Record) -> datetime | None:
    """When it happened, under whichever key this shape has it; else when it was received."""
    keys = ("timestamp", "datetime", "dateCreated", "received", "dateReceived")
    times = (find_time(event, key) for key in keys if event.get(key) != "")
    return next((time for time in times if time is not None), None)


def find_issue_id(record: Record) -> str | None:
    """Id of the Sentry issue, from a key or, in the older webhooks, out of a URL."""
    for key in ("issue_id", "group_id", "groupID", "groupId"):
        found = find_id(record, key)
        if found:
            return found
    for key in ("issue_url", "web_url"):
        match = _ISSUE_IN_URL.search(url_path(find_text(record, key) or ""))
        if match:
            return match[1]
    return None


def find_channel(record: Record) -> str | None:
    """The project: its slug where known, else its name or number."""
    project = record.get("project")
    if is_record(project):
        return find_text(project, "slug") or find_text(project, "name") or find_id(project, "id")
    named = find_text(record, "project_slug") or find_text(record, "project_name")
    in_url = _PROJECT_IN_URL.search(url_path(find_text(record, "url") or ""))
    return named or (in_url[1] if in_url else None) or find_id(record, "project") or find_id(record, "projectID")


def web_url(record: Record, *keys: str) -> str | None:
    """The first page address among the keys; addresses of the API are no pages."""
    for key in keys:
        url = find_text(record, key)
        if url and url.startswith(("https://", "http://")) and not url_path(url).startswith("/api/"):
            return url
    return None


def find_level(record: Record) -> str | None:
    """Level by name; Python's numbers of old SDKs are translated."""
    level = record.get("level")
    if isinstance(level, int) and not isinstance(level, bool) and level in _LEVEL_NAMES:
        return _LEVEL_NAMES[level]
    return find_text(record, "level") or None


def find_release(record: Record, key: str = "release") -> str | None:
    """Version of a release, which is a string in events and an object in API responses."""
    release = record.get(key)
    return (find_text(release, "version") if is_record(release) else find_text(record, key)) or None


def read_tags(event: Record) -> dict[str, str]:
    """Tags by name, from an object, a list of pairs or a list of key/value objects; null entries left out."""
    tags = event.get("tags")
    if is_record(tags):
        pairs: list[object] = [list(pair) for pair in tags.items()]
    else:
        pairs = list_values(event, "tags")
    found: dict[str, str] = {}
    for pair in pairs:
        key, value = _tag(pair)
        if isinstance(key, str) and isinstance(value, str) and value:
            found.setdefault(printable(key), printable(value))
    return found


def _tag(pair: object) -> tuple[object, object]:
    if is_record(pair):
        return pair.get("key"), pair.get("value")
    if isinstance(pair, list) and len(pair) == len(("key", "value")):
        return pair[0], pair[1]
    if pair is None:
        return None, None
    raise wrong("tags", "pairs of key and value", pair)


def find_message(parts: Record) -> str:
    """The logged words: `logentry`, or `message` as a string or an object; '' when there are none."""
    for key in ("logentry", "message"):
        value = _interface(parts, key)
        if is_record(value):
            text = find_text(value, "formatted") or find_text(value, "message")
        elif value is None or isinstance(value, str):
            text = printable(value or "")
        else:
            raise wrong(key, "a string or an object", value)
        if text and text.strip():
            return text.strip()
    return ""


def _with_entries(event: Record) -> Record:
    """The event with the interfaces that API responses keep in `entries` put back under their names."""
    parts = dict(event)
    for entry in list_values(event, "entries"):
        if not is_record(entry):
            raise wrong("entries", "a list of objects", entry)
        name = find_text(entry, "type")
        if name in {"exception", "stacktrace", "threads", "template"} and name not in event:
            parts[name] = entry.get("data")
        elif name == "message":
            parts["logentry"] = entry.get("data")
    return parts


def _interface(parts: Record, key: str) -> object:
    """The interface under its present name or, in events before 2019, its old one."""
    value = parts.get(key)
    return value if value is not None else parts.get(_OLD_KEYS.get(key, key))


def _exceptions(parts: Record) -> list[Record]:
    """Exceptions, cause first and the one that was reported last, whatever holds them; null entries left out."""
    holder = _interface(parts, "exception")
    if is_record(holder):
        values = list_values(holder, "values") if "values" in holder else [holder]
    elif holder is None or isinstance(holder, list):
        values = holder or []
    else:
        raise wrong("exception", "an object or a list", holder)
    found = []
    for value in values:
        if value is not None and not is_record(value):
            raise wrong("exception.values", "a list of objects", value)
        if value and any(value.get(key) for key in ("type", "value", "stacktrace", "module")):
            found.append(value)
    return found


def _threads(parts: Record) -> list[Record]:
    """Threads with the crashed one first, then the current one."""
    holder = _interface(parts, "threads")
    values = list_values(holder, "values") if is_record(holder) else holder
    if values is not None and not isinstance(values, list):
        raise wrong("threads", "an object or a list", holder)
    threads = [thread for thread in values or [] if is_record(thread)]
    return sorted(threads, key=lambda thread: (thread.get("crashed") is not True, thread.get("current") is not True))


def _title(event: Record, exceptions: list[Record], message: str) -> str:
    """Title the server gave, or as it would make it: 'Type: first line of value' of the reported exception, or message.

    Source: Sentry's event types; a synthetic type (a signal) names no error, so the function stands in for it.
    """
    given = first_line(find_text(event, "title") or "")
    if given and given != UNLABELED:
        return given
    if exceptions:
        reported = exceptions[-1]
        mechanism = reported.get("mechanism")
        is_synthetic = is_record(mechanism) and mechanism.get("synthetic") is True
        value = first_line(exception_value(reported))[:_MAX_TITLE_VALUE_CHARS]
        kind = find_text(reported, "type") or ""
        crashed_in = innermost_function(reported)
        if is_synthetic and crashed_in:
            kind = f"{kind} in {crashed_in}" if kind else crashed_in
        title = f"{kind}: {value}" if kind and value else kind or value
        if title:
            return title
    return first_line(message) or first_line(title_of_metadata(event))


def title_of_metadata(record: Record) -> str:
    """Title out of the `metadata` the server made of an event: its own title, or type and value."""
    title = _metadata_text(record, "title") or _metadata_text(record, "message")
    kind, value = _metadata_text(record, "type"), first_line(_metadata_text(record, "value"))
    return title or (f"{kind}: {value}" if kind and value else kind or value)


def _metadata_text(record: Record, key: str) -> str:
    return find_text(find_record(record, "metadata") or {}, key) or ""


def exception_value(exception: Record) -> str:
    """An exception's message; some SDKs send an object or a number, which is kept as JSON."""
    value = exception.get("value")
    if value is None or isinstance(value, str):
        return printable(value or "")
    return compact_json(value)


def first_line(text: str) -> str:
    """First line with a word in it, '' when there is none."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def _type_and_value(exception: Record) -> str:
    words = (find_text(exception, "type") or "", first_line(exception_value(exception)))
    return ": ".join(word for word in words if word)


def _culprit(event: Record) -> str:
    return (find_text(event, "culprit") or find_text(event, "transaction") or "").strip()


def _template_name(parts: Record) -> str:
    template = _interface(parts, "template")
    return (find_text(template, "filename") or "") if is_record(template) else ""


def _body(title: str, message: str, exceptions: list[Record], culprit: str, frames: list[str], template: str) -> str:
    """What a developer reads first: message, full value, causes, culprit, the way to the failing line."""
    lines = [message] if message and message != title else []
    value = exception_value(exceptions[-1]).strip() if exceptions else ""
    if value and value not in title and value != message:
        lines.append(value)
    causes = list(reversed(exceptions[:-1]))[:_MAX_CAUSES]
    lines.extend(f"caused by {_type_and_value(cause)}" for cause in causes)
    if culprit:
        lines.append(f"in {culprit}")
    lines.extend(f"at {frame}" for frame in frames)
    if template:
        lines.append(f"in template {template}")
    return "\n".join(lines)


def _event_id(event: Record) -> str:
    """The event's own id as 32 hex digits, else a hash of its content, so that the same event finds itself again."""
    for key in ("event_id", "eventID", "id"):
        found = find_id(event, key)
        if found:
            return found.replace("-", "").lower()[:64]
    return hashlib.sha256(json.dumps(event, sort_keys=True).encode("utf-8")).hexdigest()[:32]
