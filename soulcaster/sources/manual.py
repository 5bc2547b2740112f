"""Typed feedback, posted as JSON by the app, a form or a script: one object or a list of them.

Pure and total: every JSON value gives items or quarantined rows, never an exception.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from soulcaster.errors import PermanentError
from soulcaster.models import FeedbackItem, Outcome
from soulcaster.sources.fields import (
    compact_json,
    find_id,
    find_text,
    find_time,
    is_record,
    key_names,
    or_empty,
    parsed_row,
    text_id,
    wrong,
)


def parse_payload(payload: object) -> Iterator[Outcome]:
    """One outcome for each posted object, in order.

    Read are `text` or `body`, `title`, `id`, `url`, `author`, `channel`, `created_at`, `updated_at` (ISO 8601 or epoch
    seconds). Without an `id` the text is its own identity: the same words posted twice are one item.
    """
    things = payload if isinstance(payload, list) else [payload]
    return or_empty(parsed_row(partial(_parse_thing, thing), thing, "manual feedback") for thing in things)


def _parse_thing(thing: object) -> FeedbackItem:
    if not is_record(thing):
        raise wrong("(root)", "an object with 'text', or 'title' and 'body'", thing)
    title = find_text(thing, "title") or ""
    body = find_text(thing, "body") or find_text(thing, "text") or ""
    if not (title + body).strip():
        raise PermanentError(f"expected text in 'text', 'title' or 'body', got the keys {key_names(thing)}")
    created_at = find_time(thing, "created_at")
    return FeedbackItem(
        source="manual",
        external_id=find_id(thing, "id") or find_id(thing, "external_id") or text_id(title, body),
        title=title,
        body=body,
        url=find_text(thing, "url"),
        author=find_text(thing, "author"),
        channel=find_text(thing, "channel"),
        created_at=created_at,
        updated_at=find_time(thing, "updated_at") or created_at,
        payload=compact_json(thing),
    )
