"""Which clusters are fixed next without anybody asking, within caps and budgets, and why each other one waits.

The most urgent first; at equal urgency the better evidence. A cluster goes only where its sources route it, only on
evidence that may start an edit alone, and not again while nothing new was reported since its last job. Choosing reads;
beginning looks once more inside the transaction that stores the jobs, so that two at once begin each job once.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import duckdb

from soulcaster.actors import require
from soulcaster.db import jobs, read, repositories, write
from soulcaster.errors import PermanentError
from soulcaster.export import list_clusters
from soulcaster.fix_case import find_budget_hold
from soulcaster.fix_models import FINAL_STATUSES, Job, JobDetail, PortfolioRow, Repository
from soulcaster.fix_start import draft_job, find_brief_hash
from soulcaster.fixing.trust import TIERS
from soulcaster.launching import check_ready
from soulcaster.settings import Settings

MOST_CLUSTERS = 50
"""Clusters looked at, from the most urgent; what lies below is not near its turn."""

_CANDIDATES = ("new", "triaged", "regressed")


class _Choice(NamedTuple):
    """A row with the job that would be begun for it, and the cluster's last job as it was seen."""

    row: PortfolioRow
    job: Job | None = None
    detail: JobDetail | None = None
    last_job_id: str = ""


def plan(settings: Settings, project_id: str, *, actor: str) -> list[PortfolioRow]:
    """The portfolio as it would go now, most urgent first; begins nothing."""
    return [choice.row for choice in _choose(settings, project_id, actor)]


def begin(settings: Settings, project_id: str, *, actor: str) -> list[PortfolioRow]:
    """The portfolio, with its next jobs begun as rows: `reconcile` moves them.

    Raises:
        PermanentError: fixes cannot run with these settings, or the actor may not begin them.
    """
    require(actor, project_id, "fix", "Beginning the next fixes")
    check_ready(settings)
    chosen = _choose(settings, project_id, actor)

    def store(con: duckdb.DuckDBPyConnection) -> list[PortfolioRow]:
        return [_begin(con, settings, project_id, choice) for choice in chosen]

    return write(settings.duckdb_path, store, timeout_seconds=settings.lock_timeout_seconds)


def _begin(con: duckdb.DuckDBPyConnection, settings: Settings, project_id: str, choice: _Choice) -> PortfolioRow:
    """Store the job of a chosen row, unless the world moved on since it was chosen."""
    row, job = choice.row, choice.job
    if row.state != "next" or job is None or choice.detail is None:
        return row
    known = _find_last(con, project_id, row.cluster_id)
    is_busy = bool(jobs.list_jobs(con, project_id, repository=row.repository, is_open=True, limit=1))
    if [each.job_id for each in known] != ([choice.last_job_id] if choice.last_job_id else []):
        return row.model_copy(update={"state": "waits", "reason": "Somebody began a job for it just now."})
    if is_busy or _is_full(con, settings, project_id):
        return row.model_copy(update={"state": "waits", "reason": "Somebody else's job took its place just now."})
    jobs.add_job(con, job, choice.detail)
    return row.model_copy(update={"state": "started", "reason": job.reason, "job_id": job.job_id})


def _choose(settings: Settings, project_id: str, actor: str) -> list[_Choice]:
    known, open_jobs, n_begun = read(
        settings.duckdb_path,
        lambda con: (
            {each.name: each for each in repositories.list_repositories(con, project_id)},
            jobs.list_jobs(con, project_id, is_open=True, limit=MOST_CLUSTERS * 4),
            _count_begun(con, project_id),
        ),
        timeout_seconds=settings.lock_timeout_seconds,
    )
    looked = [
        _look(settings, project_id, cluster, known, actor)
        for cluster in list_clusters(settings, project_id, MOST_CLUSTERS)
    ]
    looked.sort(key=lambda each: (-round(each.row.priority), -TIERS.index(each.row.trust), -each.row.priority))
    busy = Counter(job.repository.casefold() for job in open_jobs)
    left = max(settings.portfolio_jobs_per_day - n_begun, 0)
    chosen = []
    for choice in looked:
        why = "" if choice.job is None else _find_hold(settings, project_id, choice.row.repository, busy, left)
        if choice.job is not None and not why:
            busy[choice.row.repository.casefold()] += 1
            left -= 1
        row = choice.row.model_copy(update={"state": "waits", "reason": why}) if why else choice.row
        chosen.append(choice._replace(row=row))
    return chosen


def _find_hold(settings: Settings, project_id: str, repository: str, busy: Counter[str], left: int) -> str:
    """Why a cluster that could go waits for others; '' when it goes."""
    if busy[repository.casefold()]:
        return f"{repository} has another job under way, or next before it; one at a time."
    if left <= 0:
        return f"{settings.portfolio_jobs_per_day} jobs in 24 hours are all that the portfolio begins."
    return find_budget_hold(settings, project_id, repository, is_first=True)


def _look(
    settings: Settings, project_id: str, cluster: dict[str, Any], known: dict[str, Repository], actor: str
) -> _Choice:
    """One cluster by itself: the job that could be begun for it, or why none can."""
    row = PortfolioRow(
        cluster_id=cluster["cluster_id"],
        title=cluster["title"] or "",
        priority=cluster["priority"],
        state="waits",
        reason="",
    )
    last = read(
        settings.duckdb_path,
        lambda con: _find_last(con, project_id, row.cluster_id),
        timeout_seconds=settings.lock_timeout_seconds,
    )
    why = _find_work(last[0]) if last else ""
    if not why and cluster["status"] not in _CANDIDATES:
        why = f"Its status is {str(cluster['status']).replace('_', ' ')}."
    if why:
        told = {"reason": why} | ({"trust": last[0].trust, "repository": last[0].repository} if last else {})
        return _Choice(row.model_copy(update=told))
    try:
        job, detail = draft_job(settings, project_id, row.cluster_id, actor=actor)
    except PermanentError as error:
        return _Choice(row.model_copy(update={"reason": str(error)}))
    row = row.model_copy(update={"trust": job.trust, "repository": job.repository})
    if known[job.repository].mode != "draft":
        why = f"{job.repository} is in mode {known[job.repository].mode}; a person begins there."
    elif job.status == "waiting":
        why = job.reason
    elif last and _is_nothing_new(settings, project_id, last[0], known[job.repository]):
        why = f"Its last job ended {last[0].status.replace('_', ' ')}, and nothing new was reported since."
    if why:
        return _Choice(row.model_copy(update={"reason": why}))
    reason = f"Next by priority. {job.reason}"
    job = job.model_copy(update={"reason": reason})
    return _Choice(
        row.model_copy(update={"state": "next", "reason": reason}), job, detail, last[0].job_id if last else ""
    )


def _find_last(con: duckdb.DuckDBPyConnection, project_id: str, cluster_id: str) -> list[Job]:
    """The cluster's last job, if any; a round that came to nothing leaves the one whose change it was to revise."""
    found = jobs.list_jobs(con, project_id, cluster_id=cluster_id, limit=50)
    return [each for each in found if not (each.round and each.status in FINAL_STATUSES - {"pr_open"})][:1]


def _find_work(last: Job) -> str:
    """What is already done about the cluster, or was turned down; '' when its last job stands in nobody's way."""
    if last.status == "waiting":
        return f"Job {last.job_id} waits for a person: `soulcaster approve {last.job_id}`."
    if last.status not in FINAL_STATUSES:
        return f"Job {last.job_id} works on it."
    if last.status == "cancelled":
        return "A person cancelled its last job; a person begins the next."
    if last.pr_number is not None and last.pr_state in (None, "open"):
        return f"Pull request #{last.pr_number} of {last.repository} waits for people."
    if last.pr_state == "closed":
        return f"People closed pull request #{last.pr_number} of {last.repository}; a person begins the next."
    return ""


def _is_nothing_new(settings: Settings, project_id: str, last: Job, repository: Repository) -> bool:
    """Whether a job would rest on the very evidence that the last one did; one that never began tells nothing new."""
    if not last.brief_hash:
        return True
    return find_brief_hash(settings, project_id, last.cluster_id, repository, like=last.job_id) == last.brief_hash


def _is_full(con: duckdb.DuckDBPyConnection, settings: Settings, project_id: str) -> bool:
    return _count_begun(con, project_id) >= settings.portfolio_jobs_per_day


def _count_begun(con: duckdb.DuckDBPyConnection, project_id: str) -> int:
    return jobs.count_jobs(con, project_id, since=datetime.now(UTC) - timedelta(days=1))
