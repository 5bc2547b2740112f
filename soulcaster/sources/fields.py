"""Typed access to JSON objects of strangers: every reader gives a value, None for absent, or one sentence why not.

Owns the wording of "expected, got", and the guard that turns such a sentence into a quarantined row. Reads nothing
from disk or network and knows no source.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TypeGuard
from urllib.parse import urlsplit

from pydantic import ValidationError

from soulcaster.errors import PermanentError
from soulcaster.models import Ignored, Outcome, Quarantined

Record = dict[str, object]
"""A JSON object as `json.loads` gives it."""

MAX_PAYLOAD_CHARS = 1_000_000
_MAX_EXCERPT_CHARS = 60
_MAX_INT64 = 2**63 - 1
_MAX_SLUG_CHARS = 40
_NUMBER = re.compile(r"\d{1,12}(?:\.\d{1,12})?")
_JSON_TYPES = {
    bool: "a boolean",
    dict: "an object",
    float: "a number",
    int: "a number",
    list: "a list",
    str: "a string",
}


def is_record(value: object) -> TypeGuard[Record]:
    """Whether the value is a JSON object."""
    return isinstance(value, dict)


def describe(value: object) -> str:
    """JSON type of a value with a short excerpt, for the 'got' half of a sentence."""
    if value is None:
        return "null"
    name = _JSON_TYPES.get(type(value), type(value).__name__)
    if isinstance(value, dict | list):
        return f"{name} of {len(value)}"
    excerpt = repr(value) if not isinstance(value, int) or abs(value) < _MAX_INT64 else "a very large one"
    return f"{name} {printable(excerpt[:_MAX_EXCERPT_CHARS])}"


def wrong(key: str, expected: str, value: object) -> PermanentError:
    """The error of a field that is not what its source promises."""
    return PermanentError(f"field {key!r}: expected {expected}, got {describe(value)}")


def printable(text: str) -> str:
    """Same text without half surrogate pairs, which no store can encode; they become '?'."""
    return text.encode("utf-8", "replace").decode("utf-8")


def key_names(record: Record) -> str:
    """The first keys of an object, for a sentence about a shape nobody knows."""
    return printable(", ".join(sorted(record)[:8])[:200]) or "none"


def find_text(record: Record, key: str) -> str | None:
    """String under the key, None when absent or null.

    Raises:
        PermanentError: the value is no string.
    """
    value = record.get(key)
    if value is None:
        return None
    if not isinstance(value, str):
        raise wrong(key, "a string", value)
    return printable(value)


def find_id(record: Record, key: str) -> str | None:
    """Id under the key as a string, whether it came as a string or a whole number; None when absent, null or empty.

    Raises:
        PermanentError: neither a string nor a whole number.
    """
    value = record.get(key)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _MAX_INT64:
        return str(value)
    if value is not None and not isinstance(value, str):
        raise wrong(key, "an id (string or whole number)", value)
    return (find_text(record, key) or "").strip() or None


def find_count(record: Record, key: str) -> int | None:
    """Whole number >= 0 under the key, also when it came as a string of digits; None when absent or null.

    Raises:
        PermanentError: no such number.
    """
    value = record.get(key)
    if value is None:
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < len(str(_MAX_INT64)):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_INT64:
        return value
    raise wrong(key, "a count", value)


def find_flag(record: Record, key: str) -> bool:
    """Boolean under the key, False when absent or null.

    Raises:
        PermanentError: the value is no boolean.
    """
    value = record.get(key)
    if value is not None and not isinstance(value, bool):
        raise wrong(key, "a boolean", value)
    return bool(value)


def find_record(record: Record, key: str) -> Record | None:
    """JSON object under the key, None when absent or null.

    Raises:
        PermanentError: the value is no object.
    """
    value = record.get(key)
    if value is not None and not is_record(value):
        raise wrong(key, "an object", value)
    return value


def list_values(record: Record, key: str) -> list[object]:
    """List under the key, empty when absent or null.

    Raises:
        PermanentError: the value is no list.
    """
    value = record.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise wrong(key, "a list", value)
    return value


def find_epoch(record: Record, key: str) -> datetime | None:
    """Aware UTC time under the key, from epoch seconds; None when absent or null.

    Raises:
        PermanentError: no number, or a time outside years 1 to 9999.
    """
    value = record.get(key)
    if value is None:
        return None
    try:
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise wrong(key, "epoch seconds", value) from error
    raise wrong(key, "epoch seconds", value)


def find_iso_time(record: Record, key: str) -> datetime | None:
    """Aware UTC time under the key, from ISO 8601 (UTC when it names no zone); None when absent or null.

    Raises:
        PermanentError: no such string, or a time outside years 1 to 9999.
    """
    text = find_text(record, key)
    if text is None:
        return None
    try:
        parsed = datetime.fromisoformat(text)
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise wrong(key, "an ISO 8601 time", text) from error


def find_time(record: Record, key: str) -> datetime | None:
    """Aware UTC time under the key, from epoch seconds (also as a string of digits) or ISO 8601; None when absent.

    Raises:
        PermanentError: none of these.
    """
    value = record.get(key)
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return find_epoch({key: float(value)}, key)
    return find_iso_time(record, key) if isinstance(value, str) else find_epoch(record, key)


def slug(value: object) -> str:
    """Short lower-case form of a stranger's word, safe to count as a reason; 'other' when nothing is left."""
    words = re.sub(r"[^a-z0-9]+", "-", str(value)[:200].lower()).strip("-") if isinstance(value, str | int) else ""
    return words[:_MAX_SLUG_CHARS].strip("-") or "other"


def text_id(title: str, body: str) -> str:
    """Id of a text whose source gives none: the same words are the same item."""
    return "text-" + hashlib.sha256(f"{title}\n\n{body}".encode()).hexdigest()[:32]


def compact_json(value: object) -> str:
    """Compact JSON of a value, readable where it can be stored so, escaped where half surrogate pairs forbid it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":"))
    return text


def quarantine(reason: str, detail: str, payload: object = None) -> Quarantined:
    """A quarantined row with its payload as capped compact JSON."""
    try:
        raw = None if payload is None else compact_json(payload)[:MAX_PAYLOAD_CHARS]
    except RecursionError:
        raw = None
    return Quarantined(reason=reason, detail=printable(detail), payload=raw)


def url_path(url: str | None) -> str:
    """Path of a URL; '' when it is none."""
    try:
        return urlsplit(url or "").path
    except ValueError:
        return ""


def parsed_row(parse: Callable[[], Outcome], payload: object, what: str) -> Outcome:
    """What `parse` returns, or a quarantined row with the sentence of why it could not.

    Args:
        parse: reads the row; may raise our error, pydantic's, or run out of stack on deep nesting.
        payload: the row as received.
        what: its kind for the sentence, e.g. 'reddit submission'.
    """
    try:
        return parse()
    except PermanentError as error:
        return quarantine("wrong-field", f"{what}: {error}", payload)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        return quarantine("wrong-field", f"{what}: field {place!r}: {first['msg']}", payload)
    except RecursionError:
        return quarantine("too-deep", f"{what}: expected JSON of ordinary depth, got deeper nesting than we can walk")


def or_empty(outcomes: Iterator[Outcome]) -> Iterator[Outcome]:
    """The same outcomes, or one `Ignored('empty')` when there are none."""
    seen = False
    for outcome in outcomes:
        seen = True
        yield outcome
    if not seen:
        yield Ignored(reason="empty")
