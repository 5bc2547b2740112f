"""What several payloads about one thing say together: a Sentry issue seen again, a duplicate declared elsewhere.

A webhook tells of one event, a pull of the whole issue, in any order. The newest payload speaks; what it does not say,
and what only grows, is kept from the others. Doing it twice changes nothing.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import duckdb
import polars as pl

_WORDS = ("title", "body", "content_hash", "language", "notes")
_KEPT = ("release", "culprit", "environment", "exception_type", "level", "url", "channel", "source_group")
_NEEDED = (*_WORDS, "frames", *_KEPT, "created_at", "updated_at", "event_count", "user_count", "state", "state_reason")

Row = dict[str, Any]


def merge_sightings(con: duckdb.DuckDBPyConnection, project_id: str, frame: pl.DataFrame) -> pl.DataFrame:
    """The same rows in the same order, each with what the store and the rows before it know about its item.

    Sentry issues: the greatest counts, the earliest creation, the latest sighting; stack, release and the words made of
    the stack stay when a newer payload has none; an older payload never speaks over a newer one. A single event that is
    newer than all before counts one more. GitHub issues: a declared duplicate stays until it is taken back or the issue
    is reopened.
    """
    is_issue = (pl.col("source") == "sentry") & pl.col("external_id").str.starts_with("issue:")
    if frame.select(is_issue.any()).item():
        indexed = frame.with_row_index("sighting")
        issues = indexed.filter(is_issue)
        known = _load(con, project_id, "sentry", issues["external_id"], _NEEDED)
        merged = [_fold(row, known) for row in issues.iter_rows(named=True)]
        replaced = pl.DataFrame(merged, schema=indexed.schema)
        frame = pl.concat([indexed.filter(~is_issue), replaced]).sort("sighting").drop("sighting")
    return _keep_duplicates(con, project_id, frame)


def _load(
    con: duckdb.DuckDBPyConnection, project_id: str, source: str, external_ids: pl.Series, columns: tuple[str, ...]
) -> dict[str, Row]:
    """Stored rows by external id."""
    names = ", ".join(f'"{name}"' for name in columns)
    found = con.sql(
        f"""
        SELECT external_id, {names} FROM items
        WHERE project_id = $project AND source = $source AND external_id IN (SELECT unnest($ids))
        """,  # noqa: S608  names of our own columns
        params={"project": project_id, "source": source, "ids": external_ids.unique().to_list()},
    ).pl()
    return {row["external_id"]: row for row in found.iter_rows(named=True)}


def _fold(row: Row, known: dict[str, Row]) -> Row:
    """The row with what is known of its issue; `known` holds the result for the rows behind it."""
    before = known.get(row["external_id"])
    merged = row if before is None else _merged(before, row)
    known[row["external_id"]] = merged
    return merged


def _merged(before: Row, row: Row) -> Row:
    is_older = _is_before(row["updated_at"], before["updated_at"])
    newer, older = (before, row) if is_older else (row, before)
    told = {name: newer[name] or older[name] for name in _KEPT}
    # Of two tellings of the same last event the first one's stack stays, so that reading both again changes nothing.
    is_newer = _is_before(before["updated_at"], row["updated_at"])
    stack = next((each for each in ((row, before) if is_newer else (before, row)) if each["frames"]), newer)
    told |= {name: stack[name] for name in (*_WORDS, "frames")}  # the words were made of the stack
    is_one_more = row["event_count"] == 1 and is_newer
    told["event_count"] = before["event_count"] + 1 if is_one_more else max(before["event_count"], row["event_count"])
    told["user_count"] = max((row["user_count"], before["user_count"]), key=lambda n: -1 if n is None else n)
    told["created_at"] = min(filter(None, (row["created_at"], before["created_at"])), default=None)
    told["updated_at"] = max(filter(None, (row["updated_at"], before["updated_at"])), default=None)
    told |= {name: newer[name] for name in ("state", "state_reason")}
    return {**row, **told, "payload": None if is_older else row["payload"]}


def _is_before(one: datetime | None, other: datetime | None) -> bool:
    return one is not None and other is not None and one < other


def _keep_duplicates(con: duckdb.DuckDBPyConnection, project_id: str, frame: pl.DataFrame) -> pl.DataFrame:
    """GitHub issues whose payload is silent keep what was declared elsewhere; '' takes it back, so does reopening."""
    is_github = frame["source"] == "github"
    if not is_github.any():
        return frame
    stored = _load(con, project_id, "github", frame.filter(is_github)["external_id"], ("duplicate_of",))
    known = {key: row["duplicate_of"] for key, row in stored.items()}
    told: list[str | None] = []
    for source, external_id, declared, reason in frame.select(
        "source", "external_id", "duplicate_of", "state_reason"
    ).iter_rows():
        if source == "github":
            is_silent = declared is None and reason != "reopened"
            known[external_id] = known.get(external_id) if is_silent else declared or None
            told.append(known[external_id])
        else:
            told.append(declared)
    return frame.with_columns(duplicate_of=pl.Series(told, dtype=pl.String))
