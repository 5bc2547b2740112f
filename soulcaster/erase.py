"""Erasing a person: what one author said goes from store, index, inbox, job folders and exports, and stays away.

First a mark is written by which the door refuses the author from then on, then everything is forgotten step by step.
Each step may be done again: after a kill the same command, or the nightly flow, which needs no name, goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

import duckdb
from pydantic import BaseModel, Field

from soulcaster import db, job_folders, logs, vector_index
from soulcaster.actors import require
from soulcaster.db import blanking, erasure
from soulcaster.db.activity import add_activity
from soulcaster.db.copying import rewrite_store
from soulcaster.db.erasure import Found, Mark
from soulcaster.drain import drain_inbox
from soulcaster.errors import PermanentError
from soulcaster.settings import Settings
from soulcaster.sources import inbox

logger = logging.getLogger(__name__)
T = TypeVar("T")

_NOT_REACHED = (
    "Backups made before now still hold it: delete them or let them run out; a restored one is erased again by itself. "
    "Not reached: what GitHub, Sentry, Reddit, the model's provider and S3 hold, files exported outside the home."
)


class ErasureReport(BaseModel):
    """What was erased, or with `is_dry_run` would be, by place; nothing of it says who it was."""

    erasure_id: str = Field(description="Stands in the activity log; '' in a dry run.")
    source: str
    author_hash: str = Field(description="Keyed, so that the log can be held against a name; '' in a dry run.")
    is_dry_run: bool
    n_items: int = Field(description="Items that are blank now: they stay as counted rows.")
    n_quarantined: int = Field(description="Held rows that were deleted.")
    n_vectors: int = Field(description="Vectors of texts that nobody else said.")
    n_clusters: int = Field(description="Clusters whose words were forgotten, since they may have been the author's.")
    n_jobs: int = Field(description="Attempts to fix these, whose prompts, logs and bundles were deleted.")
    n_files: int = Field(0, description="Files deleted: exports, neighbours, bodies of stored deliveries.")
    rows: dict[str, int] = Field(default_factory=dict, description="Rows changed in the store, by kind.")
    n_mentions: int = Field(description="Items of others that name the author; they stay.")
    note: str = _NOT_REACHED


def erase(
    settings: Settings, project_id: str, source: str, author: str, *, actor: str, is_dry_run: bool = False
) -> ErasureReport:
    """Forget what the author said at the source, and whatever comes from now on.

    Args:
        settings: whose home.
        project_id: in which project.
        source: of the items: reddit, github, ….
        author: name or id as it stands at the items; upper and lower case are the same.
        actor: who asks; goes into the activity log, with a hash of the author.
        is_dry_run: count only.

    Raises:
        PermanentError: the actor is no admin, no author is named, or a fix that reads the texts is at work.
        TransientError: somebody held the store; the same call goes on.
    """
    require(actor, project_id, "configure", f"Erasing an author of {source!r}")
    if not author.strip():
        raise PermanentError("Erasing expected the author's name or id as it stands at the items, got nothing.")
    if is_dry_run:
        return _read(settings, lambda con: _count(con, project_id, erasure.make_mark(con, project_id, source, author)))

    def begin(con: duckdb.DuckDBPyConnection) -> tuple[Mark, Found, dict[str, int]]:
        mark = erasure.make_mark(con, project_id, source, author)
        return mark, *_forget(con, project_id, mark, actor=actor)

    return _finish(settings, project_id, *_write(settings, begin), actor=actor)


def finish_erasures(settings: Settings, project_id: str, *, actor: str) -> list[ErasureReport]:
    """Bring every erasure to its end that was begun, or that a restored backup took back; one report each.

    Raises: as `erase`.
    """
    require(actor, project_id, "configure", "Finishing erasures")
    reports = []
    for mark in _read(settings, lambda con: erasure.list_marks(con, project_id)):
        found = _read(settings, partial(erasure.find, project_id=project_id, mark=mark))
        if not mark.is_done or found.authors or found.quarantine_ids:
            found, rows = _write(settings, partial(_forget, project_id=project_id, mark=mark, actor=actor))
            reports.append(_finish(settings, project_id, mark, found, rows, actor=actor))
    return reports


def take_over(settings: Settings, marks: dict[str, list[Mark]], *, actor: str) -> None:
    """Give the store the marks of another one, by project, and erase again what they are of."""
    for project_id, given in marks.items():
        add = partial(erasure.add_marks, project_id=project_id, marks=given, actor=actor, now=datetime.now(UTC))
        _write(settings, add)
    for project_id in marks:
        finish_erasures(settings, project_id, actor=actor)


def list_all_marks(settings: Settings) -> dict[str, list[Mark]]:
    """Marks of all projects of the store, by project."""

    def collect(con: duckdb.DuckDBPyConnection) -> dict[str, list[Mark]]:
        return {name: erasure.list_marks(con, name) for name in erasure.list_marked_projects(con)}

    return _read(settings, collect)


def _count(con: duckdb.DuckDBPyConnection, project_id: str, mark: Mark) -> ErasureReport:
    found = erasure.find(con, project_id, mark)
    return _report(mark, found, is_dry_run=True, n_vectors=len(found.content_hashes))


def _forget(con: duckdb.DuckDBPyConnection, project_id: str, mark: Mark, *, actor: str) -> tuple[Found, dict[str, int]]:
    """What there was, and rows changed by kind: mark and blank items in one transaction, so that no job reads them."""
    found = erasure.find(con, project_id, mark)
    if found.open_job_ids:
        names = ", ".join(found.open_job_ids)
        raise PermanentError(
            f"Erasing needs the jobs that read these items to have ended, got {names} at work; wait, or end them with "
            "`soulcaster cancel JOB`, and say it again. Nothing was changed."
        )
    erasure.open_mark(con, project_id, mark, actor=actor, now=datetime.now(UTC))
    return found, blanking.blank(con, project_id, mark, found)


def _finish(
    settings: Settings, project_id: str, mark: Mark, found: Found, rows: dict[str, int], *, actor: str
) -> ErasureReport:
    """What lies outside of the store; the store's file last, because the steps before still write to it."""
    drain_inbox(settings, project_id)
    n_files = inbox.empty_done(settings.inbox_path)
    n_files += _empty_folder(settings.exports_path) + _empty_folder(settings.neighbors_path)
    n_files += sum(job_folders.forget_words(settings, job_id) for job_id in found.job_ids)
    n_vectors = vector_index.forget(settings.lancedb_path, found.content_hashes)
    _write(settings, lambda con: erasure.forget_hashes(con, mark.erasure_id))
    rewrite_store(settings.duckdb_path, timeout_seconds=settings.lock_timeout_seconds)
    report = _report(mark, found, n_vectors=n_vectors, n_files=n_files, rows=rows)

    def end(con: duckdb.DuckDBPyConnection) -> None:
        erasure.finish(con, mark.erasure_id, rows, datetime.now(UTC))
        add_activity(
            con, project_id, actor=actor, action="erased", subject=f"erasure:{mark.erasure_id}",
            reason="a person's data were asked to go", detail=report.model_dump(exclude={"note", "is_dry_run"}),
        )  # fmt: skip

    _write(settings, end)
    with logs.bound(project=project_id, erasure_id=mark.erasure_id):
        logger.info("erased %d items, %d held rows, %d vectors", report.n_items, report.n_quarantined, n_vectors)
    return report


def _report(
    mark: Mark,
    found: Found,
    *,
    n_vectors: int,
    is_dry_run: bool = False,
    n_files: int = 0,
    rows: dict[str, int] | None = None,
) -> ErasureReport:
    return ErasureReport(
        erasure_id="" if is_dry_run else mark.erasure_id,
        source=mark.source,
        author_hash="" if is_dry_run else mark.author_hash,
        is_dry_run=is_dry_run,
        n_items=len(found.item_ids),
        n_quarantined=len(found.quarantine_ids),
        n_vectors=n_vectors,
        n_clusters=len(found.cluster_ids),
        n_jobs=len(found.job_ids),
        n_files=n_files,
        rows=rows or {},
        n_mentions=found.n_mentions,
    )


def _empty_folder(folder: Path) -> int:
    """Number of files deleted; what is in these folders is made again by whoever needs it."""
    files = [path for path in folder.rglob("*") if not path.is_dir()] if folder.is_dir() else []
    for path in files:
        path.unlink(missing_ok=True)
    return len(files)


def _read(settings: Settings, fn: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
    return db.read(settings.duckdb_path, fn, timeout_seconds=settings.lock_timeout_seconds)


def _write(settings: Settings, fn: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
    return db.write(settings.duckdb_path, fn, timeout_seconds=settings.lock_timeout_seconds)
