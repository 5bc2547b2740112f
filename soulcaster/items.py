"""Items as a table: the one schema in which feedback moves from parsers to the store, and how an id is made."""

from __future__ import annotations

import uuid
from collections.abc import Iterable

import polars as pl

from soulcaster.models import FeedbackItem

NAMESPACE = uuid.UUID("6f0d3c52-5d0e-5a53-9c1e-50c1ca57e500")
_TIME = pl.Datetime("us", "UTC")

ITEM_SCHEMA: dict[str, pl.DataType] = {
    "source": pl.String(),
    "external_id": pl.String(),
    "title": pl.String(),
    "body": pl.String(),
    "url": pl.String(),
    "author": pl.String(),
    "channel": pl.String(),
    "created_at": _TIME,
    "updated_at": _TIME,
    "trust": pl.String(),
    "state": pl.String(),
    "state_reason": pl.String(),
    "source_group": pl.String(),
    "duplicate_of": pl.String(),
    "exception_type": pl.String(),
    "frames": pl.List(pl.String()),
    "culprit": pl.String(),
    "release": pl.String(),
    "environment": pl.String(),
    "level": pl.String(),
    "labels": pl.List(pl.String()),
    "event_count": pl.Int64(),
    "user_count": pl.Int64(),
    "payload": pl.String(),
}
"""Columns of a raw item frame, in the order of `FeedbackItem`'s fields."""

CLEAN_COLUMNS: dict[str, pl.DataType] = {
    "content_hash": pl.String(),
    "language": pl.String(),
    "notes": pl.List(pl.String()),
}
"""What `text.clean` adds: sha256 hex of the text that is embedded, ISO 639-1 code or 'und', what hygiene removed."""


def item_id(project_id: str, source: str, external_id: str) -> uuid.UUID:
    """The lasting id of an item: uuid5 of project, source and external id, so that a second import finds the first."""
    return uuid.uuid5(NAMESPACE, f"{project_id}|{source}|{external_id}")


def to_frame(items: Iterable[FeedbackItem]) -> pl.DataFrame:
    """Raw item frame with `ITEM_SCHEMA`, one row an item, in the given order."""
    return pl.DataFrame([item.model_dump() for item in items], schema=ITEM_SCHEMA)


QUARANTINE_SCHEMA: dict[str, pl.DataType] = {
    "source": pl.String(),
    "external_id": pl.String(),
    "location": pl.String(),
    "reason": pl.String(),
    "detail": pl.String(),
    "payload": pl.String(),
    "item": pl.String(),
}
"""Columns of a frame of quarantined rows; `item` is the cleaned item as JSON when only a rule stopped it, else null."""
