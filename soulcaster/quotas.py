"""How many items a project may take in. What is over stays where it is: at the source, in the inbox, in the file.

A quota is checked before a chunk is committed, and stops the chunk that begins when it is reached: it may be passed by
one page. Changes of known items always go through.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

import duckdb

from soulcaster import db
from soulcaster.db import feedback
from soulcaster.errors import PermanentError, TransientError
from soulcaster.settings import Settings, read_limit


def check_quota(
    con: duckdb.DuckDBPyConnection, settings: Settings, project_id: str, *, n_new: int, now: datetime
) -> None:
    """Return when the `n_new` items that this transaction has just written may stay.

    Raises:
        TransientError: the quota of the day was reached before them; says when the next day begins.
        PermanentError: the total quota was.
    """
    (per_day, day_variable), (total, total_variable) = _limits(settings, project_id)
    if not n_new or not (per_day or total):
        return
    midnight = _midnight(now)
    counts = feedback.count_items(con, project_id, since=midnight)
    if total and counts.total - n_new >= total:
        raise PermanentError(
            f"Taking items into project {project_id!r} stopped: its quota of {total:,} items is reached; the "
            f"rest stays where it is until {total_variable} is raised."
        )
    if per_day and counts.since - n_new >= per_day:
        tomorrow = midnight + timedelta(days=1)
        raise TransientError(
            f"Taking items into project {project_id!r} stopped: its quota of {per_day:,} items a day "
            f"({day_variable}) is reached; the rest stays where it is and is taken from {tomorrow:%Y-%m-%d} "
            "00:00 UTC on.",
            retry_at=tomorrow,
        )


def examine(settings: Settings) -> list[tuple[Literal["ok", "warn"], str]]:
    """What is used of each quota that is set, for the settings' project; a store that is missing has used nothing."""
    (per_day, _), (total, total_variable) = _limits(settings, settings.project)
    if not settings.duckdb_path.exists() or not (per_day or total):
        return []
    midnight = _midnight(datetime.now(UTC))
    counts = db.read(
        settings.duckdb_path,
        lambda con: feedback.count_items(con, settings.project, since=midnight),
        timeout_seconds=settings.lock_timeout_seconds,
    )
    told: list[tuple[Literal["ok", "warn"], str]] = []
    for used, limit, what, then in (
        (
            counts.since,
            per_day,
            "items a day",
            "the rest waits at its source or in the inbox until 00:00",
        ),
        (counts.total, total, "items", f"raise {total_variable}; until then the rest waits"),
    ):
        if limit:
            is_reached = used >= limit
            told.append(
                ("warn" if is_reached else "ok", f"{used:,} of {limit:,} {what}" + f"; {then}" * is_reached + ".")
            )
    return told


def _limits(settings: Settings, project_id: str) -> tuple[tuple[int, str], tuple[int, str]]:
    return read_limit(settings, "items_per_day", project_id), read_limit(settings, "items_total", project_id)


def _midnight(now: datetime) -> datetime:
    return now.replace(hour=0, minute=0, second=0, microsecond=0)
