"""Payloads of any service to items, as a declared mapping says; and the proof that a post of it is its own.

Pure and total: every JSON value gives items, ignored or quarantined rows, never an exception.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, get_args

from jmespath.exceptions import JMESPathError

from soulcaster.errors import PermanentError
from soulcaster.models import FeedbackItem, Ignored, Outcome
from soulcaster.sources.fields import (
    compact_json,
    describe,
    find_count,
    find_time,
    is_record,
    key_names,
    or_empty,
    parsed_row,
    printable,
    quarantine,
    text_id,
)
from soulcaster.sources.mapping import (
    CountField,
    HmacProof,
    ListField,
    ServiceMapping,
    TimeField,
    TokenProof,
    compiled,
)

_FIRST_MILLISECONDS = 10**11
"""Larger epoch numbers are milliseconds: as seconds they would lie beyond the year 5000."""
_MAX_EPOCH_DIGITS = 15
_SEPARATORS = {"body": "\n\n", "title": " ", "id": "/"}


def parse_payload(payload: object, mapping: ServiceMapping) -> Iterator[Outcome]:
    """One outcome for each record that the mapping finds in the payload, in order."""
    what = f"{mapping.name} record"
    try:
        found = search(mapping.records, payload)
    except (PermanentError, RecursionError) as error:
        yield quarantine("wrong-shape", f"{mapping.name} payload: {error}", payload)
        return
    if is_record(found):
        found = [found]
    if not isinstance(found, list):
        keys = f"an object with the keys {key_names(payload)}" if is_record(payload) else describe(payload)
        detail = f"{mapping.name} payload: expected records at {mapping.records!r}, got none in {keys}"
        yield quarantine("wrong-shape", detail, payload)
        return
    yield from or_empty(parsed_row(partial(_parse_record, record, mapping), record, what) for record in found)


def search(expression: str, value: object) -> object:
    """What the expression finds.

    Raises:
        PermanentError: a function in it cannot work on what is there.
    """
    try:
        found: object = compiled(expression).search(value)
    except (JMESPathError, TypeError, ValueError, OverflowError) as error:
        said = " ".join(str(error).split())[:200]
        raise PermanentError(f"expression {expression!r} could not be worked out: {said}") from error
    return found


def is_proven(
    proof: HmacProof | TokenProof, secret: bytes, headers: Mapping[str, str], query: str, body: bytes
) -> bool:
    """Whether a post shows the signature or token that the mapping asks for; compared in constant time.

    Args:
        proof: the mapping's rule.
        secret: value of the rule's variable.
        headers: of the post, found in any case.
        query: value of the token's query parameter, '' when the post has none.
        body: raw, as received.
    """
    if isinstance(proof, TokenProof):
        shown = query if proof.header is None else headers.get(proof.header, "")
        return hmac.compare_digest(_raw(shown), proof.prefix.encode() + secret)
    time_shown = headers.get(proof.timestamp_header, "") if proof.timestamp_header else ""
    if proof.timestamp_header and not time_shown:
        return False
    if proof.max_age_seconds is not None and not _is_recent(time_shown, proof.max_age_seconds):
        return False
    digest = hmac.new(secret, _raw(time_shown + proof.separator) + body, proof.algorithm).digest()
    encoded = digest.hex() if proof.encoding == "hex" else base64.b64encode(digest).decode()
    return hmac.compare_digest(_raw(headers.get(proof.header, "")), (proof.prefix + encoded).encode())


def _raw(text: str) -> bytes:
    """The bytes a header came as; other text (of an address) as UTF-8."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")


def _is_recent(shown: str, max_age_seconds: int) -> bool:
    try:
        at = find_time({"time": shown}, "time")
    except PermanentError:
        return False
    return at is not None and abs((datetime.now(UTC) - at).total_seconds()) <= max_age_seconds


def _parse_record(record: object, mapping: ServiceMapping) -> FeedbackItem | Ignored:
    for rule in mapping.ignore:
        if _is_true(search(rule.when, record)):
            return Ignored(reason=rule.reason)
    fields: dict[str, Any] = {"source": mapping.name, "trust": mapping.constants.trust, "payload": compact_json(record)}
    constants = mapping.constants.model_dump(exclude_defaults=True, exclude={"trust", "labels"})
    fields |= constants
    for name in mapping.fields:
        value = _field(name, record, mapping)
        if value is not None:
            fields[name] = value
    title, body = fields.get("title", ""), fields.get("body", "")
    if not (title + body).strip():
        asked = " or ".join(
            f"{name} by {mapping.fields[name]!r}" for name in ("title", "body") if name in mapping.fields
        )
        got = f"the keys {key_names(record)}" if is_record(record) else describe(record)
        raise PermanentError(f"expected text for {asked}, got {got}")
    fields["external_id"] = fields.pop("id", None) or text_id(title, body)
    fields["labels"] = list(dict.fromkeys([*fields.get("labels", []), *mapping.constants.labels]))
    fields.setdefault("updated_at", fields.get("created_at"))
    fields.setdefault("created_at", fields["updated_at"])
    return FeedbackItem(**fields)


def _field(name: str, record: object, mapping: ServiceMapping) -> Any:  # noqa: ANN401  one of several kinds of field
    rule = mapping.fields[name]  # type: ignore[index]  # name is a key of it
    found = [search(each, record) for each in ([rule] if isinstance(rule, str) else rule)]
    values = [value for value in found if value is not None]
    if name in get_args(ListField):
        separator = mapping.label_separator if name == "labels" else None
        texts = [text for value in values for text in _texts(name, value)]
        cut = [part for text in texts for part in (text.split(separator) if separator else [text])]
        return [part.strip() for part in cut if part.strip()]
    if not values:
        return None
    if name in get_args(TimeField):
        return _time(name, values[0], mapping.time_format)
    if name in get_args(CountField):
        return find_count({name: values[0]}, name)
    parts = [part for value in values for part in _texts(name, value)]
    text = _SEPARATORS.get(name, " ").join(part for part in parts if part.strip())
    table = {known.casefold(): becomes for known, becomes in mapping.values.get(name, {}).items()}  # type: ignore[call-overload]  # same
    return table.get(text.casefold(), table.get("*", text)) if table else (text or None)


def _is_true(value: object) -> bool:
    """As JMESPath means it: zero is true, what is empty is not."""
    return value is not None and value is not False and value not in ("", [], {})


def _texts(name: str, value: object) -> list[str]:
    """The words of a value: of a string, a number, a boolean, or a list of these.

    Raises:
        PermanentError: an object, or a list that holds one.
    """
    values = value if isinstance(value, list) else [value]
    texts = []
    for each in values:
        if isinstance(each, bool):
            texts.append(str(each).lower())
        elif isinstance(each, int | float):
            texts.append(str(each))
        elif isinstance(each, str):
            texts.append(printable(each))
        elif each is not None:
            raise PermanentError(f"field {name!r}: expected text, a number or a list of these, got {describe(each)}")
    return texts


def _time(name: str, value: object, time_format: str) -> datetime | None:
    if value == "":
        return None
    if time_format == "auto":
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _MAX_EPOCH_DIGITS:
            value = int(value)
        if isinstance(value, int | float) and _FIRST_MILLISECONDS <= abs(value) < 10**_MAX_EPOCH_DIGITS:
            value /= 1000
        return find_time({name: value}, name)
    try:
        parsed = datetime.strptime(str(value), time_format)  # noqa: DTZ007  the zone follows
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise PermanentError(f"field {name!r}: expected a time as {time_format!r}, got {describe(value)}") from error
