"""What a triager's or fixer's token decides. Whoever changes a cluster shows by `If-Match` which state they saw."""

from __future__ import annotations

import logging
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Header, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from app import runs
from app.api.answers import answer, etag_of, known_tags, responses
from app.api.doors import Caller, Conf, check_role
from app.api.reading import cluster_of
from soulcaster import edit, fix, listings, publish, triage
from soulcaster.actors import Actor
from soulcaster.errors import SoulcasterError
from soulcaster.fix_models import Job
from soulcaster.fixing.brief import LONGEST_PLAN
from soulcaster.listings import ClusterDetail, RunSummary
from soulcaster.models import EditReport
from soulcaster.settings import Settings

logger = logging.getLogger(__name__)
router = APIRouter(prefix="/v1")

IfMatch = Annotated[
    str | None, Header(max_length=400, description="ETag of the cluster as you saw it; * for whatever it is.")
]
Reason = Annotated[str, Field(max_length=500, description="Why, for the activity log.")]


class StatusChange(BaseModel):
    """A status for a cluster."""

    model_config = ConfigDict(extra="forbid")

    status: Literal["new", "triaged", "ignored", "fixed"]
    until_items: int | None = Field(None, ge=2, le=10**9, description="Only with ignored: new again at so many items.")
    reason: Reason = ""


class Merge(BaseModel):
    """Clusters to become one with the cluster of the path."""

    model_config = ConfigDict(extra="forbid")

    clusters: list[UUID] = Field(min_length=1, max_length=50)
    reason: Reason = ""


class Split(BaseModel):
    """Items that become a cluster of their own."""

    model_config = ConfigDict(extra="forbid")

    items: list[UUID] = Field(min_length=2, max_length=1000)
    reason: Reason = ""


class FixRequest(BaseModel):
    """A fix to be tried. What waits for a person's approval still waits: a token is no person."""

    model_config = ConfigDict(extra="forbid")

    repository: str | None = Field(None, max_length=201, description="OWNER/NAME; by the routes when not given.")
    dry_run: bool = Field(default=False, description="Stop before publishing.")
    plan: str = Field("", max_length=LONGEST_PLAN, description="What to change and what to leave; see GET plan.")


class Publication(BaseModel):
    """How to show a run that waits."""

    model_config = ConfigDict(extra="forbid")

    force: bool = Field(default=False, description="Also when it was made from a run that is shown no more.")


@router.post(
    "/clusters/{cluster_id}/status", response_model=ClusterDetail, responses=responses(404, 409, 411, 412, 413, 428)
)
def set_status(
    request: Request, actor: Caller, conf: Conf, cluster_id: UUID, change: StatusChange, if_match: IfMatch = None
) -> Response:
    """Say where a cluster stands."""
    check_role(actor, "decide")
    seen, _ = _matched(conf, actor, cluster_id, if_match)
    triage.set_status(
        conf, actor.project_id, str(cluster_id), change.status, actor=actor, reason=change.reason,
        until_items=change.until_items, was=None if if_match == "*" else seen.status,
    )  # fmt: skip
    return answer(request, cluster_of(conf, actor, cluster_id)[0])


@router.post(
    "/clusters/{cluster_id}/merge", response_model=EditReport, responses=responses(404, 409, 411, 412, 413, 428)
)
def merge(
    request: Request, actor: Caller, conf: Conf, cluster_id: UUID, wanted: Merge, if_match: IfMatch = None
) -> Response:
    """Make one cluster of several, now and in every later grouping."""
    check_role(actor, "edit")
    _, run_id = _matched(conf, actor, cluster_id, if_match)
    clusters = [str(cluster_id), *(str(each) for each in wanted.clusters)]
    report = edit.merge(conf, actor.project_id, clusters, actor=actor, reason=wanted.reason, on_run=run_id)
    _name_later(actor.project_id)
    return answer(request, report)


@router.post(
    "/clusters/{cluster_id}/split", response_model=EditReport, responses=responses(404, 409, 411, 412, 413, 428)
)
def split(
    request: Request, actor: Caller, conf: Conf, cluster_id: UUID, wanted: Split, if_match: IfMatch = None
) -> Response:
    """Take items out into a cluster of their own, now and in every later grouping."""
    check_role(actor, "edit")
    _, run_id = _matched(conf, actor, cluster_id, if_match)
    items = [str(each) for each in wanted.items]
    report = edit.split(
        conf, actor.project_id, str(cluster_id), items, actor=actor, reason=wanted.reason, on_run=run_id
    )
    _name_later(actor.project_id)
    return answer(request, report)


@router.post(
    "/clusters/{cluster_id}/fix", status_code=202, response_model=Job, responses=responses(404, 409, 411, 412, 413)
)
def start_fix(
    request: Request, actor: Caller, conf: Conf, cluster_id: UUID, wanted: FixRequest, if_match: IfMatch = None
) -> Response:
    """Start trying to fix a cluster; the job tells how it goes on."""
    check_role(actor, "fix")
    _matched(conf, actor, cluster_id, if_match or "*")
    job = fix.start(
        conf, actor.project_id, str(cluster_id), actor=actor, repository=wanted.repository, dry_run=wanted.dry_run,
        plan=wanted.plan,
    )  # fmt: skip
    _start("fix", {"project": actor.project_id, "job": job.job_id})
    return answer(request, job, status=202, Location=f"/api/v1/jobs/{job.job_id}")


@router.post("/runs/{run_id}/publish", response_model=RunSummary, responses=responses(404, 409, 411, 413))
def publish_run(request: Request, actor: Caller, conf: Conf, run_id: UUID, wanted: Publication) -> Response:
    """Show a grouping that waits for a person."""
    check_role(actor, "publish")
    if listings.find_run(conf, actor.project_id, str(run_id)) is None:
        raise HTTPException(404, f"This project has no run {str(run_id)!r}.")
    publish.publish(conf, actor.project_id, str(run_id), actor=actor, force=wanted.force)
    _name_later(actor.project_id)
    shown = listings.find_run(conf, actor.project_id, str(run_id))
    assert shown is not None  # noqa: S101  what is on show is kept
    return answer(request, shown)


def _matched(conf: Settings, actor: Actor, cluster_id: UUID, if_match: str | None) -> tuple[ClusterDetail, str | None]:
    """The cluster as the caller saw it, and the run it is on: an edit on top of a later one is refused by the step.

    Raises:
        HTTPException: 404; 428 without If-Match; 412 when the cluster is another one by now.
    """
    seen, run_id = cluster_of(conf, actor, cluster_id)
    if not if_match:
        raise HTTPException(428, "This changes a cluster: send the ETag of GET as If-Match, or * for whatever it is.")
    if if_match.strip() != "*" and etag_of(seen) not in known_tags(if_match):
        raise HTTPException(412, f"Cluster {str(cluster_id)!r} is not as you saw it any more; get it again.")
    return seen, run_id


def _name_later(project_id: str) -> None:
    _start("summarize", {"project": project_id})


def _start(deployment: str, params: dict[str, str]) -> None:
    """Let Prefect go on at once; when it is away, the scheduled runs (reconcile, refresh) do so later."""
    try:
        runs.start(deployment, {"params": params})
    except SoulcasterError as error:
        logger.warning("Starting %s waits for its schedule: %s", deployment, error)
