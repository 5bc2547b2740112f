"""Retention: what is kept so many days and no longer. What rollbacks and open pull requests need is not touched.

Groupings have rules of their own (`maintain`), received bodies too: they go once they are stored.
"""

from __future__ import annotations

import shutil
import time
from datetime import UTC, datetime, timedelta
from functools import partial

from pydantic import BaseModel, Field

from soulcaster import db, job_folders
from soulcaster.db import retention
from soulcaster.db.activity import add_activity
from soulcaster.settings import Settings
from soulcaster.traces import traced


class RetainReport(BaseModel):
    """What was too old, by kind; with `is_dry_run` it is still there."""

    is_dry_run: bool
    payloads: int = Field(0, description="Raw payloads; their items stay.")
    quarantine: int = Field(0, description="Held rows that nobody released.")
    answers: int = Field(0, description="Kept answers of the model, and notes of what its calls cost.")
    activity: int = Field(0, description="Lines of the activity log.")
    jobs: int = Field(0, description="Folders and bundles of fixes that have ended; their rows stay.")
    logs: int = Field(0, description="Log files that nobody has written to since.")


@traced("retain")
def retain(settings: Settings, project_id: str, *, actor: str = "retain", is_dry_run: bool = False) -> RetainReport:
    """Delete what is older than the `keep_…_days` of its kind; 0 days keep for ever. Doing it twice does nothing more.

    Raises:
        TransientError: somebody else held the store; the same call may work later.
        PermanentError: there is no store.
    """
    counts = {kind: _rows(settings, project_id, kind, is_dry_run=is_dry_run) for kind in retention.KINDS}
    report = RetainReport(
        is_dry_run=is_dry_run,
        **counts,
        jobs=_jobs(settings, project_id, is_dry_run=is_dry_run),
        logs=_logs(settings, is_dry_run=is_dry_run),
    )
    gone = {name: n for name, n in report.model_dump(exclude={"is_dry_run"}).items() if n}
    if gone and not is_dry_run:
        note = partial(
            add_activity, project_id=project_id, actor=actor, action="retention", subject=project_id,
            reason="older than it is kept", detail=gone,
        )  # fmt: skip
        db.write(settings.duckdb_path, note, timeout_seconds=settings.lock_timeout_seconds)
    return report


def days_kept(settings: Settings) -> dict[str, float]:
    """Days by kind; 0 is for ever."""
    return {
        "payloads": settings.keep_payloads_days,
        "quarantine": settings.keep_quarantine_days,
        "answers": settings.keep_answers_days,
        "activity": settings.keep_activity_days,
        "jobs": settings.keep_jobs_days,
        "logs": settings.keep_logs_days,
    }


def _before(settings: Settings, kind: str) -> datetime | None:
    days = days_kept(settings)[kind]
    return datetime.now(UTC) - timedelta(days=days) if days else None


def _rows(settings: Settings, project_id: str, kind: retention.Kind, *, is_dry_run: bool) -> int:
    before = _before(settings, kind)
    if before is None:
        return 0
    act, open_store = (retention.count_old, db.read) if is_dry_run else (retention.delete_old, db.write)
    return open_store(
        settings.duckdb_path,
        lambda con: act(con, project_id, kind, before),
        timeout_seconds=settings.lock_timeout_seconds,
    )


def _jobs(settings: Settings, project_id: str, *, is_dry_run: bool) -> int:
    before = _before(settings, "jobs")
    if before is None:
        return 0
    old = db.read(
        settings.duckdb_path,
        lambda con: retention.list_old_jobs(con, project_id, before),
        timeout_seconds=settings.lock_timeout_seconds,
    )
    folders = [folder for job in old if (folder := job_folders.path_of(settings, job)).is_dir()]
    for folder in [] if is_dry_run else folders:
        shutil.rmtree(folder)
    return len(folders)


def _logs(settings: Settings, *, is_dry_run: bool) -> int:
    days = days_kept(settings)["logs"]
    limit = time.time() - days * 24 * 3600
    files = settings.logs_path.glob("*.log*") if days and settings.logs_path.is_dir() else []
    old = [path for path in files if path.stat().st_mtime < limit]
    for path in [] if is_dry_run else old:
        path.unlink(missing_ok=True)
    return len(old)
