"""Doors through which work is started: they ask Prefect for a run of the deployment `ingest` and do none themselves."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request
from fastapi.security import HTTPBearer
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from app import runs
from app.api.answers import responses
from app.receiver.doors import Project, check_proof, find_door, get_secret, make_token_door
from soulcaster.configured import parse_source_id
from soulcaster.errors import PermanentError, SoulcasterError
from soulcaster.settings import Settings


class Started(BaseModel):
    """A run that Prefect will begin as soon as a worker is free."""

    run_id: str
    url: str = Field(description="The run in Prefect's own screens.")


def make_starting(settings: Settings) -> APIRouter:
    """The doors of those who know the receiver's token."""
    own = make_token_door(settings)
    scheme = HTTPBearer(auto_error=False, description="SOULCASTER_RECEIVER_TOKEN")

    def check(request: Request, project: Project = None) -> None:
        door = find_door(settings, own, project or settings.project)
        check_proof(door, get_secret(request.url.path, door), request.headers.get(door.proof_header, ""), b"")

    router = APIRouter(tags=["work"], dependencies=[Depends(scheme), Depends(check)])

    @router.post(
        "/ingest/github/sync/{owner}/{repo}",
        status_code=202,
        responses=responses(431),
        summary="Pull one repository now",
    )
    async def sync(owner: str, repo: str, project: Project = None) -> Started:
        try:
            kind, name = parse_source_id(f"github:{owner}/{repo}")
        except PermanentError as error:
            raise HTTPException(422, str(error)) from error
        return await run_in_threadpool(_start, project or settings.project, f"{kind}:{name}")

    @router.post("/admin/poll", status_code=202, responses=responses(431), summary="Pull all sources that are due now")
    async def poll(project: Project = None) -> Started:
        return await run_in_threadpool(_start, project or settings.project, None)

    return router


def _start(project: str, only: str | None) -> Started:
    try:
        run_id = runs.start("ingest", {"params": {"project": project, "only": only}})
    except SoulcasterError as error:
        raise HTTPException(503, str(error)) from error
    return Started(run_id=run_id, url=f"{runs.ui_url()}/runs/flow-run/{run_id}")
