"""One pull of one configured source: page by page into the store, the cursor moved after each page is committed.

Owns the order of things and the state that people see (ok, failing, blocked; since when; what to do). What a source is
asked is the business of `pages`, what an answer or a refusal means that of each source's module.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Literal, TypeVar

import duckdb

from soulcaster import db, logs
from soulcaster.actors import require
from soulcaster.configured import ConfiguredSource, Kind, PullReport, PullState, SourceOptions
from soulcaster.db import sources as store
from soulcaster.errors import PermanentError, TransientError
from soulcaster.ingest import Progress, store_outcomes
from soulcaster.models import FeedbackItem
from soulcaster.pages import read_pages
from soulcaster.settings import Settings
from soulcaster.traces import traced

logger = logging.getLogger(__name__)
T = TypeVar("T")
Verdict = Literal["ok", "warn", "fail"]

BLOCKED_PAUSE = timedelta(minutes=30)
"""Scheduled pulls ask a source that refused us this seldom; a person's `soulcaster ingest SOURCE` asks at once."""


def list_sources(settings: Settings, project_id: str) -> list[ConfiguredSource]:
    """The project's configured sources with the state of their last pull."""
    return _read(settings, lambda con: store.list_sources(con, project_id))


def add_source(
    settings: Settings, project_id: str, kind: Kind, name: str, options: SourceOptions, *, actor: str
) -> None:
    """A new source that begins at the beginning.

    Raises:
        PermanentError: the project has it already.
    """
    require(actor, project_id, "configure", f"Adding source {kind}:{name}")
    now = datetime.now(UTC)
    _write(settings, lambda con: store.add_source(con, project_id, kind, name, options, actor=actor, now=now))


def change_source(
    settings: Settings,
    project_id: str,
    kind: Kind,
    name: str,
    options: SourceOptions,
    *,
    was: SourceOptions,
    actor: str,
) -> None:
    """Give a source other options; it is read from the beginning again when they let other items in.

    Raises:
        PermanentError: no such source, or somebody changed the options `was` meanwhile.
    """
    require(actor, project_id, "configure", f"Changing source {kind}:{name}")
    change = partial(
        store.change_source, project_id=project_id, kind=kind, name=name, options=options, was=was, actor=actor,
        now=datetime.now(UTC),
    )  # fmt: skip
    _write(settings, change)


def remove_source(settings: Settings, project_id: str, kind: Kind, name: str, *, actor: str) -> None:
    """Forget a source and how far it was read; its items stay.

    Raises:
        PermanentError: the project has no such source.
    """
    require(actor, project_id, "configure", f"Removing source {kind}:{name}")
    now = datetime.now(UTC)
    _write(settings, lambda con: store.remove_source(con, project_id, kind, name, actor=actor, now=now))


def pause_source(settings: Settings, project_id: str, kind: Kind, name: str, *, is_paused: bool, actor: str) -> None:
    """Leave a source alone from now on, or no longer.

    Raises:
        PermanentError: the project has no such source.
    """
    require(actor, project_id, "configure", f"Pausing or resuming source {kind}:{name}")
    save = partial(
        store.pause_source, project_id=project_id, kind=kind, name=name, is_paused=is_paused, actor=actor,
        now=datetime.now(UTC),
    )  # fmt: skip
    _write(settings, save)


@traced("pull")
def pull(
    settings: Settings,
    project_id: str,
    kind: Kind,
    name: str,
    *,
    is_forced: bool = False,
    on_progress: Progress | None = None,
) -> PullReport:
    """What one pull brought. Started again after a kill it goes on behind the last committed page.

    Args:
        settings: of the installation.
        project_id: whose source.
        kind: of the source.
        name: of the source.
        is_forced: also when the source is paused or asked to be left alone for a while.
        on_progress: called with (items seen, 0).

    Raises:
        PermanentError: the source refused or is configured wrongly; its state is 'blocked' from now on.
        TransientError: the source or the store is away; the source's state is 'failing', what was stored stays.
    """
    source = _read(settings, lambda con: store.get_source(con, project_id, kind, name))
    reason = _reason_to_skip(source, datetime.now(UTC))
    if reason and not is_forced:
        return PullReport(source_id=source.source_id, way=source.way, skipped=reason, message=source.message)
    report = PullReport(source_id=source.source_id)
    try:
        for page, outcomes in read_pages(settings, project_id, source):
            located = [(source.source_id, outcome) for outcome in outcomes]
            report.counts += store_outcomes(settings, project_id, located, source=source.item_source)
            _write(
                settings,
                partial(store.save_cursor, project_id=project_id, source=source, cursor=page.cursor, way=page.way),
            )
            report.way, report.n_pages = page.way, report.n_pages + 1
            report.message = "; ".join(dict.fromkeys(note for note in (report.message, page.note) if note))
            if on_progress:
                on_progress(report.counts.seen, 0)
    except PermanentError as error:
        _end(settings, project_id, source, "blocked", str(error), retry_at=datetime.now(UTC) + BLOCKED_PAUSE)
        raise
    except TransientError as error:
        _end(settings, project_id, source, "failing", str(error), retry_at=error.retry_at)
        raise
    _end(settings, project_id, source, "ok", report.message)
    with logs.bound(project=project_id, source=source.source_id):
        logger.info("pulled %d items in %d pages", report.counts.seen, report.n_pages)
    return report


def probe(settings: Settings, project_id: str, kind: Kind, name: str) -> PullReport:
    """What the first page of the source holds; nothing is stored, no state changes.

    Raises: as `pull`.
    """
    source = _read(settings, lambda con: store.get_source(con, project_id, kind, name))
    for page, outcomes in read_pages(settings, project_id, source):
        n_items = sum(isinstance(outcome, FeedbackItem) for outcome in outcomes)
        message = f"{n_items} items on the first page" + (f"; {page.note}" if page.note else "")
        return PullReport(source_id=source.source_id, way=page.way, n_pages=1, message=message)
    return PullReport(source_id=source.source_id, message="nothing new since the last pull")


def examine(settings: Settings) -> list[tuple[str, Verdict, str]]:
    """(source, 'ok' | 'warn' | 'fail', sentence) for each configured source of the settings' project, from its state.

    Asks nobody: what the last pull met is what is told. A store that is missing or older than sources has none.
    """
    if not settings.duckdb_path.exists() or not _read(settings, store.has_sources):
        return []
    return [(source.source_id, *_judged(source)) for source in list_sources(settings, settings.project)]


def _judged(source: ConfiguredSource) -> tuple[Verdict, str]:
    since = f"since {source.state_since:%Y-%m-%d %H:%M} UTC" if source.state_since else ""
    if source.is_paused:
        return "warn", f"paused; `soulcaster source resume {source.source_id}` goes on."
    if source.state == "new":
        return "warn", f"never pulled; `soulcaster ingest {source.source_id}` pulls it now."
    if source.state == "ok":
        last = f"last pulled {source.pulled_at:%Y-%m-%d %H:%M} UTC by way of {source.way or 'unchanged pages'}"
        return "warn" if source.message else "ok", f"works {since}, {last}. {source.message}".strip()
    return "fail" if source.state == "blocked" else "warn", f"{source.state} {since}: {source.message}"


def _reason_to_skip(source: ConfiguredSource, now: datetime) -> str | None:
    if source.is_paused:
        return "paused"
    if source.retry_at and source.retry_at > now:
        return f"{source.state}, left alone until {source.retry_at:%Y-%m-%d %H:%M:%S} UTC"
    return None


def _end(
    settings: Settings,
    project_id: str,
    source: ConfiguredSource,
    state: PullState,
    message: str,
    *,
    retry_at: datetime | None = None,
) -> None:
    save = partial(
        store.save_state, project_id=project_id, source=source, state=state, message=message, retry_at=retry_at,
        now=datetime.now(UTC),
    )  # fmt: skip
    _write(settings, save)


def _read(settings: Settings, fn: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
    return db.read(settings.duckdb_path, fn, timeout_seconds=settings.lock_timeout_seconds)


def _write(settings: Settings, fn: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
    return db.write(settings.duckdb_path, fn, timeout_seconds=settings.lock_timeout_seconds)
