"""What a backfill is cut into: one span of time of a source, or some files of an archive. Names and bounds only."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from soulcaster.errors import PermanentError
from soulcaster.models import ImportReport, Source

WindowState = Literal["waiting", "started", "done"]

_MOST_WINDOWS = 10_000
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


class WindowSpec(BaseModel):
    """All that is needed to read one window, whoever does it and whenever."""

    model_config = ConfigDict(frozen=True)

    start: AwareDatetime | None = Field(None, description="Nothing from before this time.")
    end: AwareDatetime | None = Field(None, description="Nothing from this time on.")
    files: list[str] = Field(default_factory=list, description="Of an archive: paths below the target; '' is itself.")
    source: Source = "manual"
    columns: dict[str, str] = Field(default_factory=dict, description="Of an archive: which column is what.")
    mapping: str | None = Field(None, description="Of an archive: the mapping that reads it, in place of `source`.")


class Window(BaseModel):
    """One part of a backfill and how far it is."""

    model_config = ConfigDict(frozen=True)

    window_id: UUID
    target: str = Field(description="'github:owner/repo', or the path of an archive.")
    position: int
    title: str
    spec: WindowSpec
    state: WindowState = "waiting"
    n_done: int = Field(0, description="Lines or rows of its files that are stored.")
    counts: ImportReport = Field(default_factory=ImportReport)
    note: str = ""


class BackfillReport(BaseModel):
    """What one start of a backfill did."""

    n_windows: int = Field(description="Windows of the whole backfill.")
    n_before: int = Field(description="Of them: done by an earlier start.")
    n_read: int = Field(0, description="Of them: read to their end now.")
    n_elsewhere: int = Field(0, description="Of them: read meanwhile by another run, or still in its hands.")
    n_failed: int = Field(0, description="Of them: failed now; the next start tries them again.")
    counts: ImportReport = Field(default_factory=ImportReport, description="Of the windows that this start read.")
    notes: list[str] = Field(default_factory=list, description="What failed, and what the source could not give.")

    @property
    def n_left(self) -> int:
        """Windows that the next start has to read."""
        return self.n_windows - self.n_before - self.n_read - self.n_elsewhere


def parse_span(text: str) -> timedelta:
    """Length of a window from '12h', '7d' or '2w'.

    Raises:
        PermanentError: it is none of these.
    """
    match = re.fullmatch(r"([1-9]\d{0,3})([hdw])", text.strip())
    if match is None:
        raise PermanentError(
            f"Reading the window {text[:40]!r} failed: expected hours, days or weeks: '12h', '7d', '2w'."
        )
    return int(match[1]) * _UNITS[match[2]]


def cut(start: datetime, end: datetime, span: timedelta) -> list[tuple[datetime, datetime]]:
    """Windows of one length from `start` to `end`, the newest last and possibly shorter.

    Raises:
        PermanentError: the range is empty, or there would be more than 10,000 windows.
    """
    if start >= end:
        raise PermanentError(
            f"Cutting {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} failed: expected start before end."
        )
    if (end - start) / span > _MOST_WINDOWS:
        raise PermanentError(
            f"Cutting {start:%Y-%m-%d} to {end:%Y-%m-%d} failed: expected at most {_MOST_WINDOWS:,} windows; "
            "make them longer."
        )
    edges = [start]
    while edges[-1] + span < end:
        edges.append(edges[-1] + span)
    return list(zip(edges, [*edges[1:], end], strict=True))
