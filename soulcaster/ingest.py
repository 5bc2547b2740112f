"""Files and payloads into the store: read, clean, commit chunk by chunk, count every row.

Each chunk is one short transaction, and every id is made from content, so an import that was killed and is started
again ends in the same store as one that was not.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from soulcaster import db, text
from soulcaster.actors import require
from soulcaster.db import erasure, feedback, quarantine
from soulcaster.errors import PermanentError
from soulcaster.items import CLEAN_COLUMNS, ITEM_SCHEMA, QUARANTINE_SCHEMA, to_frame
from soulcaster.models import SOURCES, FeedbackItem, Ignored, ImportReport, Outcome, Quarantined, Source
from soulcaster.quotas import check_quota
from soulcaster.settings import Settings
from soulcaster.sources.payloads import is_dump, read_payloads
from soulcaster.sources.table_files import sniff_kind
from soulcaster.sources.tabular import ColumnMap, TableBatch, read_table

Progress = Callable[[int, int], None]

OUTSIDE = "outside-range"
"""Reason under which rows are ignored that a backfill was not asked for."""

_OUTCOMES_PER_COMMIT = 2_000
_PAYLOAD_CHARS_PER_COMMIT = 32 * 1024 * 1024
_QUARANTINED_PAYLOAD_CHARS = 1_000_000


def import_path(
    settings: Settings,
    project_id: str,
    path: Path,
    source: Source,
    columns: ColumnMap,
    *,
    on_progress: Progress | None = None,
) -> ImportReport:
    """Counts of a table (CSV, JSON lines, Parquet), a payload file or a folder of payloads; their sum is what was seen.

    JSON lines of Reddit, Sentry or GitHub are payloads unless a column is named.

    Raises:
        PermanentError: nothing is there, or it is not what its name says; the message names the next step.
        TransientError: the store was busy for too long; what was committed stays, start the import again.
    """
    if not path.exists():
        raise PermanentError(f"Importing {str(path)!r} failed: expected a file or folder, got none; check the path.")
    if path.is_dir() or is_payload_file(path, source, columns):
        located = ((where, outcome) for where, outcomes in read_payloads(path, source) for outcome in outcomes)
        return store_outcomes(settings, project_id, located, source=source, is_archive=True, on_progress=on_progress)
    report = ImportReport()
    for chunk, share in store_table(settings, project_id, path, source, columns):
        report += chunk
        if on_progress:
            on_progress(report.seen, max(report.seen, round(report.seen / share)) if share else 0)
    return report


def store_table(
    settings: Settings,
    project_id: str,
    path: Path,
    source: Source,
    columns: ColumnMap,
    *,
    n_skipped: int = 0,
    span: tuple[datetime | None, datetime | None] = (None, None),
) -> Iterator[tuple[ImportReport, float]]:
    """Counts of each committed chunk of a table, and the share of the file read so far.

    Args:
        settings: where the store is.
        project_id: whose items they are.
        path: the table.
        source: what it holds.
        columns: which column is what.
        n_skipped: chunks that end within so many rows are passed over.
        span: rows created before the first or from the second time on are ignored; None is no bound.

    Raises: as `import_path`.
    """
    batches = (_clean(settings, batch) for batch in _within(read_table(path, source, columns), n_skipped, span))
    for chunk in _ahead(batches):
        yield _store(settings, project_id, chunk), chunk.share


def import_sample(settings: Settings, project_id: str, *, on_progress: Progress | None = None) -> ImportReport:
    """Counts of the bundled sample, taken in through the same parsers as real payloads."""
    report = ImportReport()
    with resources.as_file(resources.files("soulcaster.sample")) as folder:
        parts: list[tuple[Path, Source]] = [
            (folder / source, source) for source in SOURCES if (folder / source).is_dir()
        ]
        parts.append((folder / "manual.csv", "manual"))
        for done, (path, source) in enumerate(parts, start=1):
            report += import_path(settings, project_id, path, source, ColumnMap())
            if on_progress:
                on_progress(done, len(parts))
    return report


def store_outcomes(
    settings: Settings,
    project_id: str,
    outcomes: Iterable[tuple[str, Outcome]],
    *,
    source: str | None = None,
    is_archive: bool = False,
    on_progress: Progress | None = None,
) -> ImportReport:
    """Counts of parsed payloads, each with the place it came from, committed in chunks.

    `source` is where quarantined payloads came from, when they do not say themselves. `is_archive` tells payloads of
    some time ago from those of now: `feedback.upsert_items` says what that decides.
    """
    report = ImportReport()
    for counts in store_chunks(settings, project_id, outcomes, source=source, is_archive=is_archive):
        report += counts
        if on_progress:
            on_progress(report.seen, 0)
    return report


def store_chunks(
    settings: Settings,
    project_id: str,
    outcomes: Iterable[tuple[str, Outcome]],
    *,
    source: str | None = None,
    is_archive: bool = False,
) -> Iterator[ImportReport]:
    """Counts of each chunk once it is committed; no outcome behind a chunk is taken before its counts are."""
    for chunk in _chunks(outcomes):
        ignored = Counter(outcome.reason for _, outcome in chunk if isinstance(outcome, Ignored))
        items = [(where, outcome) for where, outcome in chunk if isinstance(outcome, FeedbackItem)]
        frame = to_frame(item for _, item in items).with_columns(
            location=pl.Series([where for where, _ in items], dtype=pl.String)
        )
        held = [_quarantine_row(where, each, source) for where, each in chunk if isinstance(each, Quarantined)]
        quarantined = pl.DataFrame(held, schema=QUARANTINE_SCHEMA)
        batch = TableBatch(frame, quarantined, labels=pl.Series(), share=0.0)
        cleaned = _clean(settings, batch)
        yield ImportReport(ignored=dict(ignored)) + _store(settings, project_id, cleaned, is_archive=is_archive)


def add_typed(
    settings: Settings, project_id: str, *, title: str, body: str, author: str, url: str | None = None
) -> tuple[str, ImportReport]:
    """Id at the source, and counts, of one text that somebody typed; the same words by the same person count once."""
    words = f"{author}\x1f{title.strip()}\x1f{body.strip()}"
    external_id = "typed-" + hashlib.sha256(words.encode()).hexdigest()[:16]
    item = FeedbackItem(
        source="manual", external_id=external_id, title=title.strip(), body=body.strip(), author=author, url=url,
        trust="member", created_at=datetime.now(UTC),
    )  # fmt: skip
    is_known = db.read(
        settings.duckdb_path,
        lambda con: feedback.has_item(con, project_id, "manual", external_id),
        timeout_seconds=settings.lock_timeout_seconds,
    )
    if is_known:
        return external_id, ImportReport(unchanged=1)
    return external_id, store_outcomes(settings, project_id, [("typed", item)], source="manual")


def list_held(settings: Settings, project_id: str, *, limit: int = 50) -> list[dict[str, Any]]:
    """Rows that wait in quarantine, newest first: quarantine_id, source, external_id, location, reason, detail."""
    return db.read(
        settings.duckdb_path,
        lambda con: quarantine.list_held(con, project_id, limit=limit),
        timeout_seconds=settings.lock_timeout_seconds,
    )


def release(settings: Settings, project_id: str, row: str, *, actor: str, reason: str = "") -> ImportReport:
    """Counts of sending one quarantined row on as if it had just come.

    Args:
        settings: where the store is.
        project_id: whose row it is.
        row: its id, or an unambiguous beginning of it.
        actor: who says that it is harmless; goes into the activity log with `reason`.
        reason: why, in the person's words.

    Raises:
        PermanentError: no such row waits, several begin so, or it never could be read as an item.
    """
    require(actor, project_id, "take in", f"Releasing row {row!r}")

    def send_on(con: duckdb.DuckDBPyConnection) -> ImportReport:
        quarantine_id = quarantine.find_held(con, project_id, row)
        counts = quarantine.release(con, project_id, quarantine_id, actor=actor, reason=reason, now=datetime.now(UTC))
        return ImportReport(**counts._asdict())

    return db.write(settings.duckdb_path, send_on, timeout_seconds=settings.lock_timeout_seconds)


def is_payload_file(path: Path, source: Source, columns: ColumnMap) -> bool:
    """Whether a file holds payloads; else it is a table."""
    if is_dump(path):
        return True
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() not in (".gz", ".zst")]
    if suffixes[-1:] == [".json"] or (source == "sentry" and suffixes[-1:] in ([".envelope"], [".txt"])):
        return True
    is_mapped = any(name is not None for name in columns.model_dump().values())
    return source != "manual" and not is_mapped and sniff_kind(path) == "jsonl"


def _within(
    batches: Iterable[TableBatch], n_skipped: int, span: tuple[datetime | None, datetime | None]
) -> Iterator[TableBatch]:
    """The chunks behind the skipped rows, without the rows outside of the span, which are counted."""
    start, end = span
    n_read = 0
    for batch in batches:
        n_read += batch.n_rows
        if n_read <= n_skipped:
            continue
        inside = batch.frame
        if start:
            inside = inside.filter((pl.col("created_at") >= start).fill_null(value=True))
        if end:
            inside = inside.filter((pl.col("created_at") < end).fill_null(value=True))
        yield replace(batch, frame=inside, n_outside=batch.frame.height - inside.height)


def _chunks(outcomes: Iterable[tuple[str, Outcome]]) -> Iterator[list[tuple[str, Outcome]]]:
    chunk: list[tuple[str, Outcome]] = []
    chars = 0
    for where, outcome in outcomes:
        chunk.append((where, outcome))
        chars += 0 if isinstance(outcome, Ignored) else len(outcome.payload or "")
        if len(chunk) >= _OUTCOMES_PER_COMMIT or chars >= _PAYLOAD_CHARS_PER_COMMIT:
            yield chunk
            chunk, chars = [], 0
    if chunk:
        yield chunk


def _quarantine_row(where: str, outcome: Quarantined, source: str | None) -> dict[str, str | None]:
    return {
        "source": outcome.source or source or "unknown",
        "external_id": outcome.external_id,
        "location": outcome.location or where,
        "reason": outcome.reason,
        "detail": outcome.detail,
        "payload": outcome.payload and outcome.payload[:_QUARANTINED_PAYLOAD_CHARS],
        "item": None,
    }


@dataclass(frozen=True)
class _Chunk:
    """Cleaned rows on their way into one transaction; `held` is `suspects` as rows of the quarantine."""

    kept: pl.DataFrame
    suspects: pl.DataFrame
    held: pl.DataFrame
    unreadable: pl.DataFrame
    share: float
    n_outside: int


def _ahead(chunks: Iterator[_Chunk]) -> Iterator[_Chunk]:
    """The same chunks; while the caller stores one, a thread reads and cleans the next."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        following = pool.submit(next, chunks, None)
        while (chunk := following.result()) is not None:
            following = pool.submit(next, chunks, None)
            yield chunk


def _clean(settings: Settings, batch: TableBatch) -> _Chunk:
    kept, suspects = text.clean(batch.frame, max_body_chars=settings.max_body_chars)
    held = suspects.select(
        *(pl.col(name) for name in ("source", "external_id", "location", "reason")),
        detail=pl.col("location") + ": " + pl.col("detail"),
        payload=pl.col("payload").str.head(_QUARANTINED_PAYLOAD_CHARS),
        item=quarantine.to_json(suspects),
    )
    return _Chunk(kept, suspects, held, batch.quarantined, batch.share, batch.n_outside)


def _store(settings: Settings, project_id: str, everything: _Chunk, *, is_archive: bool = False) -> ImportReport:
    """Counts of one chunk, committed in one transaction."""
    now = datetime.now(UTC)

    def commit(con: duckdb.DuckDBPyConnection) -> ImportReport:
        chunk, n_erased = _without_erased(con, project_id, everything)
        is_released = quarantine.find_released(con, project_id, chunk.held)
        released = chunk.suspects.filter(is_released)
        items = [each.select(*ITEM_SCHEMA, *CLEAN_COLUMNS) for each in (chunk.kept, released)]
        counts = feedback.upsert_items(con, project_id, pl.concat(items), now, is_archive=is_archive)
        check_quota(con, settings, project_id, n_new=counts.new, now=now)
        waiting = pl.concat([chunk.held.filter(~is_released), chunk.unreadable])
        quarantine.insert_quarantined(con, project_id, waiting, now)
        reasons = dict(Counter(waiting["reason"].to_list()))
        ignored = {reason: n for reason, n in ((OUTSIDE, chunk.n_outside), (erasure.ERASED, n_erased)) if n}
        return ImportReport(**counts._asdict(), ignored=ignored, quarantined=reasons)

    return db.write(settings.duckdb_path, commit, timeout_seconds=settings.lock_timeout_seconds)


def _without_erased(con: duckdb.DuckDBPyConnection, project_id: str, chunk: _Chunk) -> tuple[_Chunk, int]:
    """The chunk without what erased authors said, and how many rows that were."""
    kept, suspects = (~erasure.find_erased(con, project_id, frame) for frame in (chunk.kept, chunk.suspects))
    unreadable = ~erasure.find_erased_rows(con, project_id, chunk.unreadable)
    n_erased = sum(len(each) - int(each.sum()) for each in (kept, suspects, unreadable))
    if not n_erased:
        return chunk, 0
    left = replace(
        chunk, kept=chunk.kept.filter(kept), suspects=chunk.suspects.filter(suspects),
        held=chunk.held.filter(suspects), unreadable=chunk.unreadable.filter(unreadable),
    )  # fmt: skip
    return left, n_erased
