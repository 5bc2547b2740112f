"""One job as its movers see it: row, detail, launches, repository, what its budgets still hold; how a move is stored.

A move is decided outside the store and applied in one short transaction, from the status that was seen.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb

from soulcaster import job_folders, logs
from soulcaster.db import jobs, read, repositories, triage, write
from soulcaster.fix_models import (
    FINAL_STATUSES,
    Job,
    JobDetail,
    JobStatus,
    Launch,
    Launcher,
    LaunchPurpose,
    Repository,
    Switch,
)
from soulcaster.settings import Settings

_WORKING = ("launching", "running", "verifying", "publishing")
_WORKED_ON = ("new", "triaged", "regressed", "fixing", "pr_open")
"""Statuses of a cluster that a job may change; what people set otherwise stays."""


@dataclass(frozen=True)
class Case:
    """A job with all that moving it needs; read in one transaction."""

    settings: Settings
    launcher: Launcher
    actor: str
    job: Job
    detail: JobDetail
    launches: list[Launch]
    repository: Repository

    @property
    def launch(self) -> Launch:
        """The newest launch."""
        return self.launches[-1]

    def next_launch(self, purpose: LaunchPurpose, deadline_seconds: int) -> Launch:
        """A launch to be written down."""
        attempt = self.job.attempt + 1
        return Launch(
            job_id=self.job.job_id,
            attempt=attempt,
            purpose=purpose,
            token=f"{self.job.job_id}-{attempt}",
            deadline_seconds=deadline_seconds,
            created_at=datetime.now(UTC),
        )


@dataclass(frozen=True)
class Move:
    """Where a job goes, why, and what is stored with it."""

    status: JobStatus
    reason: str = ""
    detail: JobDetail | None = None
    changes: dict[str, Any] = field(default_factory=dict)
    new_launch: Launch | None = None
    told_launch: Launch | None = None
    """A launch already stored, with what became of it."""


def load(settings: Settings, project_id: str, job_id: str, launcher: Launcher, *, actor: str) -> Case:
    """The case of a job.

    Raises:
        PermanentError: there is no such job, or its repository was removed.
    """

    def query(con: duckdb.DuckDBPyConnection) -> Case:
        job = jobs.get_job(con, project_id, job_id)
        return Case(
            settings=settings,
            launcher=launcher,
            actor=actor,
            job=job,
            detail=jobs.get_detail(con, project_id, job.job_id),
            launches=jobs.list_launches(con, project_id, job.job_id),
            repository=repositories.get_repository(con, project_id, job.repository),
        )

    return read(settings.duckdb_path, query, timeout_seconds=settings.lock_timeout_seconds)


def apply(settings: Settings, job: Job, move: Move, *, actor: str, detail: JobDetail) -> Job | None:
    """The job after the move, or None when somebody else moved it meanwhile: then nothing of the move is stored."""
    now = datetime.now(UTC)

    def store(con: duckdb.DuckDBPyConnection) -> Job | None:
        changes = {**move.changes, "status": move.status, "reason": move.reason[:1000]}
        moved = jobs.update_job(con, job, actor=actor, now=now, detail=move.detail, **changes)
        if moved is None:
            return None
        if move.told_launch is not None:
            jobs.update_launch(con, job.project_id, move.told_launch)
        if move.new_launch is not None:
            jobs.add_launch(con, job.project_id, move.new_launch)
        _tell_cluster(con, moved, move.detail or detail, actor=actor, now=now)
        return moved

    return write(settings.duckdb_path, store, timeout_seconds=settings.lock_timeout_seconds)


@contextlib.contextmanager
def held(settings: Settings, job_id: str) -> Iterator[bool]:
    """Whether this process alone may move the job while the block lasts; the lock dies with its holder."""
    folder = job_folders.path_of(settings, job_id)
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / job_folders.LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        with logs.bound(job_id=job_id):
            yield True
    finally:
        os.close(descriptor)


def sum_usage(settings: Settings, launches: Sequence[Launch]) -> dict[str, Any]:
    """Requests, tokens and money of these launches so far, running ones too; fields of Job."""
    used = [job_folders.read_usage(settings, launch) for launch in launches]
    return {
        "n_requests": sum(each.requests for each in used),
        "n_tokens": sum(each.tokens for each in used),
        "cost_usd": round(sum(each.cost_usd for each in used), 8),
    }


def find_hold(case: Case) -> str:
    """Why nothing more may be launched for the job now: kill switch or a budget; '' when it may."""
    return find_budget_hold(case.settings, case.job.project_id, case.job.repository, is_first=not case.job.attempt)


def find_budget_hold(settings: Settings, project_id: str, repository: str, *, is_first: bool) -> str:
    """Why nothing may be launched in the repository now; '' when it may.

    Args:
        settings: the budgets.
        project_id: whose.
        repository: where.
        is_first: it would be the first launch of its job, which the repository's number of jobs bounds.
    """
    since = datetime.now(UTC) - timedelta(days=1)

    def query(con: duckdb.DuckDBPyConnection) -> tuple[str, Any, Any]:
        return (
            repositories.find_switch_off(con, "launching"),
            jobs.sum_spent(con, project_id, since=since),
            jobs.sum_spent(con, project_id, since=since, repository=repository),
        )

    off, day, there = read(settings.duckdb_path, query, timeout_seconds=settings.lock_timeout_seconds)
    if off:
        return _waits(off)
    if is_first and there.n_jobs >= settings.fix_repository_jobs_per_day:
        most = settings.fix_repository_jobs_per_day
        return f"It waits: {there.n_jobs} jobs of {repository} in 24 hours, {most} allowed."
    if day.n_tokens >= settings.fix_tokens_per_day:
        return f"It waits: {day.n_tokens:,} tokens in 24 hours, {settings.fix_tokens_per_day:,} allowed."
    if day.cost_usd >= settings.fix_cost_per_day_usd:
        return f"It waits: {day.cost_usd:.2f} USD in 24 hours, {settings.fix_cost_per_day_usd:.2f} allowed."
    return ""


def find_switch_off(case: Case, name: Switch) -> str:
    """Why the job waits for a kill switch; '' while it is on."""
    off = read(
        case.settings.duckdb_path,
        lambda con: repositories.find_switch_off(con, name),
        timeout_seconds=case.settings.lock_timeout_seconds,
    )
    return _waits(off) if off else ""


def find_exhausted(case: Case) -> str:
    """Which budget of the job itself is used up; '' when none is."""
    settings, job = case.settings, case.job
    if job.n_tokens >= settings.fix_job_tokens:
        return f"The job used {job.n_tokens:,} tokens, {settings.fix_job_tokens:,} allowed."
    if job.cost_usd >= settings.fix_job_cost_usd:
        return f"The job cost {job.cost_usd:.2f} USD, {settings.fix_job_cost_usd:.2f} allowed."
    return ""


def _waits(why: str) -> str:
    return f"It waits: {why}."


def _tell_cluster(con: duckdb.DuckDBPyConnection, job: Job, detail: JobDetail, *, actor: str, now: datetime) -> None:
    if job.status in _WORKING:
        status, reason = "fixing", f"job {job.job_id} works on it"
    elif job.status == "pr_open":
        status, reason = "pr_open", f"job {job.job_id} opened {job.pr_url}"
    elif job.status in FINAL_STATUSES and job.attempt:
        status, reason = detail.cluster_status_before, f"job {job.job_id} ended: {job.status}"
    else:
        return
    triage.change_status(
        con, job.project_id, job.cluster_id, status, seen=_WORKED_ON, actor=actor, reason=reason, at=now
    )
