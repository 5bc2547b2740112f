"""A new job as it would be stored: cluster, repository, trust of its evidence, and whether a person has to say yes."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import duckdb
from pydantic import BaseModel, Field

from soulcaster.db import jobs, read, repositories, triage
from soulcaster.db.jobs import EvidenceRow
from soulcaster.errors import PermanentError
from soulcaster.fix_models import Job, JobDetail, Repository
from soulcaster.fixing import trust
from soulcaster.fixing.brief import LONGEST_PLAN, find_orders, hash_brief
from soulcaster.fixing.routing import Origin, route
from soulcaster.models import Trust
from soulcaster.settings import Settings


class Plan(BaseModel):
    """What a fix of a cluster would be told to do; a person may change it before it starts."""

    cluster_id: str
    text: str = Field(description="Empty: the agent finds the cause by itself. A diagnosis is the agent's claim.")
    job_id: str | None = Field(description="The attempt whose plan or diagnosis it is; null before the first one.")


def find_plan(settings: Settings, project_id: str, cluster_id: str) -> Plan:
    """The plan to begin with: that of the cluster's newest attempt, or else what that one diagnosed.

    Raises:
        PermanentError: no such cluster.
    """

    def query(con: duckdb.DuckDBPyConnection) -> Plan:
        own = triage.get_decided(con, project_id, cluster_id).cluster_id
        newest = next(iter(jobs.list_jobs(con, project_id, cluster_id=own, limit=1)), None)
        text = "" if newest is None else _plan_of(jobs.get_detail(con, project_id, newest.job_id))
        return Plan(cluster_id=own, text=text, job_id=newest.job_id if newest else None)

    return read(settings.duckdb_path, query, timeout_seconds=settings.lock_timeout_seconds)


def _plan_of(detail: JobDetail) -> str:
    diagnosis = detail.diagnosis or {}
    files = ", ".join(str(file) for file in diagnosis.get("files", []))
    parts = (str(diagnosis.get("cause", "")), f"Files: {files}" if files else "")
    return (detail.plan or "\n".join(part for part in parts if part))[:LONGEST_PLAN]


def draft_job(
    settings: Settings,
    project_id: str,
    cluster_id: str,
    *,
    actor: str,
    repository: str | None = None,
    dry_run: bool = False,
    approved: bool = False,
    plan: str = "",
) -> tuple[Job, JobDetail]:
    """The job for a cluster, stored nowhere; `jobs.add_job` does that.

    Raises:
        PermanentError: no such cluster, or no repository for it.
    """

    def query(con: duckdb.DuckDBPyConnection) -> tuple[triage.Decided, list[EvidenceRow], list[Repository], str]:
        cluster = triage.get_decided(con, project_id, cluster_id)
        return (
            cluster,
            jobs.list_evidence(con, project_id, cluster.cluster_id),
            repositories.list_repositories(con, project_id),
            jobs.find_suggested_repository(con, project_id, cluster.cluster_id),
        )

    cluster, evidence, known, suggested = read(
        settings.duckdb_path, query, timeout_seconds=settings.lock_timeout_seconds
    )
    if not cluster.n_items:
        raise PermanentError(
            f"Starting a fix of cluster {cluster.cluster_id!r} expected one with items on show, got none; "
            "`soulcaster clusters` lists those that have some."
        )
    origins = [Origin(row.source, row.channel) for row in evidence]
    routed = route(origins, known, named=repository, suggested=suggested)
    tier = find_trust(evidence)
    hold = "" if approved else trust.find_hold(settings.fix_approval, tier)
    now = datetime.now(UTC)
    job = Job(
        job_id=uuid.uuid4().hex[:16],
        project_id=project_id,
        cluster_id=cluster.cluster_id,
        repository=routed.repository.name,
        status="waiting" if hold else "queued",
        reason=hold or f"Chosen because {routed.because}.",
        attempt=0, is_dry_run=dry_run, trust=tier, actor=actor, created_at=now, changed_at=now,
    )  # fmt: skip
    before = cluster.status if cluster.status != "fixing" else "new"
    return job, JobDetail(cluster_status_before=before, approved_by=actor if approved else None, plan=plan)


def find_trust(evidence: list[EvidenceRow]) -> Trust:
    """The highest tier among reports that may be quoted: one that gives orders lends its tier to nobody."""
    orders = find_orders([f"{row.title}\n\n{row.body}" for row in evidence])
    return trust.find_highest(row.trust for position, row in enumerate(evidence) if position not in orders)


def list_heard(settings: Settings, evidence: list[EvidenceRow], approved_by: str | None) -> list[EvidenceRow]:
    """Reports whose words the agent may be told."""
    return [row for row in evidence if trust.may_speak(settings.fix_approval, row.trust, approved_by=approved_by)]


def hash_heard(cluster_id: str, repository: Repository, heard: list[EvidenceRow], plan: str) -> str:
    """The brief's hash: it changes with what the agent would be told, and with nothing else."""
    return hash_brief(cluster_id, repository, [(row.item_id, row.content_hash) for row in heard], plan)


def find_brief_hash(settings: Settings, project_id: str, cluster_id: str, repository: Repository, *, like: str) -> str:
    """The hash that a job for the cluster would have now, approved as the job `like` was."""

    def query(con: duckdb.DuckDBPyConnection) -> tuple[list[EvidenceRow], JobDetail]:
        return jobs.list_evidence(con, project_id, cluster_id), jobs.get_detail(con, project_id, like)

    evidence, detail = read(settings.duckdb_path, query, timeout_seconds=settings.lock_timeout_seconds)
    return hash_heard(cluster_id, repository, list_heard(settings, evidence, detail.approved_by), detail.plan)
