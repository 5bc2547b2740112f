"""Jobs and their launches: one row each, moved only from the status the mover saw; every move is in the activity log.

Writing functions take a connection inside `db.write`. Budgets are sums over these rows, so nothing can drift.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

import duckdb

from soulcaster.db.activity import add_activity
from soulcaster.errors import PermanentError
from soulcaster.fix_models import FINAL_STATUSES, Job, JobDetail, Launch, Spent

_COLUMNS = ", ".join(Job.model_fields)
_LAUNCH_COLUMNS = ", ".join(Launch.model_fields)
_FINAL = sorted(FINAL_STATUSES)


class EvidenceRow(NamedTuple):
    """One item of a cluster, as a brief may quote it."""

    item_id: str
    source: str
    channel: str | None
    external_id: str
    title: str
    body: str
    url: str | None
    author: str | None
    trust: str
    content_hash: str | None
    culprit: str | None
    exception_type: str | None
    frames: list[str]
    is_exemplar: bool


def add_job(con: duckdb.DuckDBPyConnection, job: Job, detail: JobDetail) -> None:
    """A new job.

    Raises:
        PermanentError: one for the same cluster and repository has not ended; names it.
    """
    open_ids = con.execute(
        "SELECT job_id, status FROM jobs WHERE project_id = $1 AND cluster_id = $2 AND lower(repository) = lower($3) "
        "AND NOT list_contains($4, status)",
        [job.project_id, job.cluster_id, job.repository, _FINAL],
    ).fetchall()
    if open_ids:
        raise PermanentError(
            f"Starting a fix of cluster {job.cluster_id!r} in {job.repository!r} expected none under way, got job "
            f"{open_ids[0][0]!r} ({open_ids[0][1]}); wait for it, or `soulcaster cancel {open_ids[0][0]}`."
        )
    fields = job.model_dump()
    marks = ", ".join(f"${name}" for name in fields)
    con.execute(
        f"INSERT INTO jobs ({_COLUMNS}, detail) VALUES ({marks}, $detail)",  # noqa: S608  names of columns
        {**fields, "detail": detail.model_dump_json()},
    )
    _note(con, job, actor=job.actor, before="", at=job.created_at)


def get_job(con: duckdb.DuckDBPyConnection, project_id: str, job_id: str) -> Job:
    """The one job of the project whose id is, or begins with, `job_id`.

    Raises:
        PermanentError: there is none, or more than one.
    """
    rows = con.execute(
        f"SELECT {_COLUMNS} FROM jobs WHERE project_id = $1 AND starts_with(job_id, $2) ORDER BY job_id = $2 DESC",  # noqa: S608  names of columns
        [project_id, job_id],
    ).fetchall()
    if not job_id or not rows or (len(rows) > 1 and rows[0][0] != job_id):
        raise PermanentError(
            f"Looking for job {job_id!r} in project {project_id!r} expected one whose id starts so, got {len(rows)}; "
            "`soulcaster jobs` lists them."
        )
    return _job(rows[0])


def list_jobs(
    con: duckdb.DuckDBPyConnection,
    project_id: str,
    *,
    cluster_id: str | None = None,
    repository: str | None = None,
    statuses: tuple[str, ...] = (),
    is_open: bool = False,
    limit: int = 200,
) -> list[Job]:
    """Jobs, newest first; each argument narrows, `is_open` to those that have not ended."""
    rows = con.execute(
        f"SELECT {_COLUMNS} FROM jobs WHERE project_id = $project "  # noqa: S608  names of columns
        "AND ($cluster IS NULL OR cluster_id = $cluster) "
        "AND ($repository IS NULL OR lower(repository) = lower($repository)) "
        "AND (len($statuses) = 0 OR list_contains($statuses, status)) "
        "AND NOT ($is_open AND list_contains($final, status)) "
        "ORDER BY created_at DESC, job_id LIMIT $limit",
        {
            "project": project_id,
            "cluster": cluster_id,
            "repository": repository,
            "statuses": list(statuses),
            "is_open": is_open,
            "final": _FINAL,
            "limit": limit,
        },
    ).fetchall()
    return [_job(row) for row in rows]


def get_detail(con: duckdb.DuckDBPyConnection, project_id: str, job_id: str) -> JobDetail:
    """What the job found out so far."""
    [(detail,)] = con.execute(
        "SELECT detail FROM jobs WHERE project_id = $1 AND job_id = $2", [project_id, job_id]
    ).fetchall()
    return JobDetail.model_validate_json(detail)


def find_suggested_repository(con: duckdb.DuckDBPyConnection, project_id: str, cluster_id: str) -> str:
    """Where the cluster's newest diagnosis sees the cause; '' when it named nothing."""
    found = list_jobs(con, project_id, cluster_id=cluster_id, limit=1)
    return get_detail(con, project_id, found[0].job_id).suggested_repository if found else ""


def update_job(
    con: duckdb.DuckDBPyConnection,
    job: Job,
    *,
    actor: str,
    now: datetime,
    detail: JobDetail | None = None,
    **changes: Any,  # noqa: ANN401  fields of Job, checked by it
) -> Job | None:
    """The job with `changes`, or None when it is no longer in the status that `job` says: somebody was faster.

    A change of status or reason is logged with its actor; a change of figures alone is not.
    """
    changed = Job.model_validate({**job.model_dump(), **changes, "changed_at": now})
    columns = [*changes, "changed_at"]
    values = changed.model_dump(include=set(columns))
    if detail is not None:
        values["detail"] = detail.model_dump_json()
        columns.append("detail")
    sets = ", ".join(f"{name} = ${name}" for name in columns)
    found = con.execute(
        f"UPDATE jobs SET {sets} WHERE project_id = $project AND job_id = $job AND status = $seen RETURNING job_id",  # noqa: S608  names of columns
        {**values, "project": job.project_id, "job": job.job_id, "seen": job.status},
    ).fetchall()
    if not found:
        return None
    if (changed.status, changed.reason) != (job.status, job.reason):
        _note(con, changed, actor=actor, before=job.status, at=now)
    return changed


def add_launch(con: duckdb.DuckDBPyConnection, project_id: str, launch: Launch) -> None:
    """Write down that something is about to be started, before it is."""
    fields = launch.model_dump()
    marks = ", ".join(f"${name}" for name in fields)
    con.execute(
        f"INSERT INTO launches (project_id, {_LAUNCH_COLUMNS}) VALUES ($project, {marks})",  # noqa: S608  names of columns
        {**fields, "project": project_id},
    )


def update_launch(con: duckdb.DuckDBPyConnection, project_id: str, launch: Launch) -> None:
    """Store handle, times and outcome of a launch."""
    con.execute(
        "UPDATE launches SET handle = $handle, launched_at = $launched, ended_at = $ended, outcome = $outcome "
        "WHERE project_id = $project AND job_id = $job AND attempt = $attempt",
        {
            "handle": launch.handle,
            "launched": launch.launched_at,
            "ended": launch.ended_at,
            "outcome": launch.outcome,
            "project": project_id,
            "job": launch.job_id,
            "attempt": launch.attempt,
        },
    )


def list_launches(con: duckdb.DuckDBPyConnection, project_id: str, job_id: str) -> list[Launch]:
    """Launches of the job, in order."""
    rows = con.execute(
        f"SELECT {_LAUNCH_COLUMNS} FROM launches WHERE project_id = $1 AND job_id = $2 ORDER BY attempt",  # noqa: S608  names of columns
        [project_id, job_id],
    ).fetchall()
    names = _LAUNCH_COLUMNS.split(", ")
    return [Launch.model_validate(dict(zip(names, row, strict=True))) for row in rows]


def list_leftover_launches(con: duckdb.DuckDBPyConnection, project_id: str) -> list[Launch]:
    """Launches that nobody saw the end of, of jobs that have ended."""
    rows = con.execute(
        f"SELECT {_LAUNCH_COLUMNS} FROM launches l WHERE project_id = $1 AND ended_at IS NULL AND EXISTS ("  # noqa: S608  names of columns
        "SELECT 1 FROM jobs j WHERE j.job_id = l.job_id AND j.project_id = l.project_id "
        "AND list_contains($2, j.status)) ORDER BY created_at",
        [project_id, _FINAL],
    ).fetchall()
    names = _LAUNCH_COLUMNS.split(", ")
    return [Launch.model_validate(dict(zip(names, row, strict=True))) for row in rows]


def sum_spent(
    con: duckdb.DuckDBPyConnection, project_id: str, *, since: datetime, repository: str | None = None
) -> Spent:
    """What jobs that were launched and created since then used; with `repository` only those of it."""
    [row] = con.execute(
        "SELECT count(*), coalesce(sum(n_requests), 0)::BIGINT, coalesce(sum(n_tokens), 0)::BIGINT, "
        "coalesce(sum(cost_usd), 0) FROM jobs "
        "WHERE project_id = $1 AND created_at >= $2 AND ($3 IS NULL OR lower(repository) = lower($3)) AND attempt > 0",
        [project_id, since, repository],
    ).fetchall()
    return Spent(n_jobs=row[0], n_requests=row[1], n_tokens=row[2], cost_usd=row[3])


def count_jobs(con: duckdb.DuckDBPyConnection, project_id: str, *, since: datetime) -> int:
    """How many jobs that make a change of their own were begun since then, launched or not."""
    query = "SELECT count(*) FROM jobs WHERE project_id = $1 AND created_at >= $2 AND round = 0"
    return int(con.execute(query, [project_id, since]).fetchall()[0][0])


def list_spent(con: duckdb.DuckDBPyConnection, project_id: str, *, since: datetime) -> list[Spent]:
    """What jobs that were launched used, by the day (UTC) on which they were created, newest first."""
    rows = con.execute(
        "SELECT (created_at AT TIME ZONE 'UTC')::DATE AS day, count(*), coalesce(sum(n_requests), 0)::BIGINT, "
        "coalesce(sum(n_tokens), 0)::BIGINT, coalesce(sum(cost_usd), 0) FROM jobs "
        "WHERE project_id = $1 AND created_at >= $2 AND attempt > 0 GROUP BY day ORDER BY day DESC",
        [project_id, since],
    ).fetchall()
    names = ("day", "n_jobs", "n_requests", "n_tokens", "cost_usd")
    return [Spent.model_validate(dict(zip(names, row, strict=True))) for row in rows]


def list_evidence(con: duckdb.DuckDBPyConnection, project_id: str, cluster_id: str) -> list[EvidenceRow]:
    """The cluster's items on show, exemplars first, then those people stand behind most, newest first."""
    rows = con.execute(
        """
        SELECT i.item_id::VARCHAR, i.source, i.channel, i.external_id, i.title, i.body, i.url, i.author, i.trust,
            i.content_hash, i.culprit, i.exception_type, i.frames, m.is_exemplar
        FROM published_memberships m JOIN items i ON i.item_id = m.item_id AND i.project_id = m.project_id
        WHERE m.project_id = $1 AND m.cluster_id = $2::UUID
        ORDER BY m.is_exemplar DESC, list_position(['maintainer', 'verified', 'member', 'anonymous'], i.trust),
            i.created_at DESC NULLS LAST, i.item_id
        """,
        [project_id, cluster_id],
    ).fetchall()
    return [EvidenceRow(*row) for row in rows]


def _job(row: tuple[Any, ...]) -> Job:
    return Job.model_validate(dict(zip(Job.model_fields, row, strict=True)))


def _note(con: duckdb.DuckDBPyConnection, job: Job, *, actor: str, before: str, at: datetime) -> None:
    add_activity(
        con,
        job.project_id,
        actor=actor,
        action=f"fix-{job.status}",
        subject=job.job_id,
        reason=job.reason,
        detail={"cluster_id": job.cluster_id, "repository": job.repository, "from": before, "pr": job.pr_url},
        at=at,
    )
