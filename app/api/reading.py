"""What a viewer's token reads. Lists come in pages; `next_cursor` goes on where a page ended."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response

from app.api.answers import answer, responses
from app.api.doors import Caller, Conf
from soulcaster import listings
from soulcaster.actors import Actor
from soulcaster.configured import ConfiguredSource
from soulcaster.errors import PermanentError
from soulcaster.fix_models import Job, Repository
from soulcaster.fix_start import Plan, find_plan
from soulcaster.job_view import JobView, view_job
from soulcaster.listings import ClusterDetail, ClusterRow, ItemRow, Page, RunSummary, Stats, ThemeRow
from soulcaster.models import ClusterStatus
from soulcaster.settings import Settings

router = APIRouter(prefix="/v1")

Cursor = Annotated[str | None, Query(max_length=400, description="`next_cursor` of the page before.")]
Limit = Annotated[int, Query(ge=1, le=listings.MOST_ROWS, description="Most rows of this page.")]
Text = Annotated[str, Query(max_length=200, description="Only rows with these words.")]
Names = Annotated[list[str], Query(max_length=20)]
Statuses = Annotated[list[ClusterStatus], Query(max_length=20)]


class SourceList(BaseModel):
    """The sources that a project pulls from."""

    sources: list[ConfiguredSource]


class RepositoryList(BaseModel):
    """The repositories that fixes may be proposed to."""

    repositories: list[Repository]


class SettingList(BaseModel):
    """Every setting by its variable; of a secret only whether it is set."""

    settings: dict[str, str | bool]


@router.get("/clusters", response_model=Page[ClusterRow], responses=responses())
def get_clusters(
    request: Request, actor: Caller, conf: Conf, status: Statuses = [], theme_id: UUID | None = None,  # noqa: B006  FastAPI copies it
    q: Text = "", cursor: Cursor = None, limit: Limit = 50,
) -> Response:  # fmt: skip
    """Clusters on show, largest first."""
    page = listings.list_clusters(
        conf, actor.project_id, statuses=status, theme_id=str(theme_id) if theme_id else None, text=q, cursor=cursor,
        limit=limit,
    )  # fmt: skip
    return answer(request, page)


@router.get("/clusters/{cluster_id}", response_model=ClusterDetail, responses=responses(404))
def get_cluster(request: Request, actor: Caller, conf: Conf, cluster_id: UUID) -> Response:
    """One cluster. Its ETag goes into `If-Match` of what is decided about it."""
    return answer(request, cluster_of(conf, actor, cluster_id)[0])


@router.get("/clusters/{cluster_id}/plan", response_model=Plan, responses=responses(404))
def get_plan(request: Request, actor: Caller, conf: Conf, cluster_id: UUID) -> Response:
    """What a fix would be told to do, to be changed and sent with `POST fix`."""
    cluster_of(conf, actor, cluster_id)
    return answer(request, find_plan(conf, actor.project_id, str(cluster_id)))


@router.get("/items", response_model=Page[ItemRow], responses=responses())
def get_items(
    request: Request, actor: Caller, conf: Conf, cluster_id: UUID | None = None, source: Names = [],  # noqa: B006  FastAPI copies it
    q: Text = "", cursor: Cursor = None, limit: Limit = 50,
) -> Response:  # fmt: skip
    """Feedback, newest first."""
    page = listings.list_items(
        conf, actor.project_id, cluster_id=str(cluster_id) if cluster_id else None, sources=source, text=q,
        cursor=cursor, limit=limit,
    )  # fmt: skip
    return answer(request, page)


@router.get("/themes", response_model=Page[ThemeRow], responses=responses())
def get_themes(request: Request, actor: Caller, conf: Conf, cursor: Cursor = None, limit: Limit = 50) -> Response:
    """Themes on show, largest first."""
    return answer(request, listings.list_themes(conf, actor.project_id, cursor=cursor, limit=limit))


@router.get("/runs", response_model=Page[RunSummary], responses=responses())
def get_runs(request: Request, actor: Caller, conf: Conf, cursor: Cursor = None, limit: Limit = 50) -> Response:
    """Groupings, newest first, with what each would change."""
    return answer(request, listings.list_runs(conf, actor.project_id, cursor=cursor, limit=limit))


@router.get("/jobs", response_model=Page[Job], responses=responses())
def get_jobs(
    request: Request, actor: Caller, conf: Conf, cluster_id: UUID | None = None, open_only: bool = False,
    cursor: Cursor = None, limit: Limit = 50,
) -> Response:  # fmt: skip
    """Attempts to fix clusters, newest first."""
    page = listings.list_jobs(
        conf, actor.project_id, cluster_id=str(cluster_id) if cluster_id else None, is_open=open_only, cursor=cursor,
        limit=limit,
    )  # fmt: skip
    return answer(request, page)


@router.get("/jobs/{job_id}", response_model=JobView, responses=responses(404))
def get_job(
    request: Request, actor: Caller, conf: Conf, job_id: Annotated[str, Path(pattern="^[0-9a-f]{16}$")]
) -> Response:
    """One attempt: diagnosis, launches with their logs, proof, findings, patch."""
    try:
        view = view_job(conf, actor.project_id, job_id)
    except PermanentError as error:
        raise HTTPException(404, str(error)) from None
    return answer(request, view)


@router.get("/stats", response_model=Stats, responses=responses())
def get_stats(request: Request, actor: Caller, conf: Conf) -> Response:
    """Counts of the project."""
    return answer(request, listings.count_all(conf, actor.project_id))


@router.get("/config/sources", response_model=SourceList, responses=responses())
def get_sources(request: Request, actor: Caller, conf: Conf) -> Response:
    """The configured sources with the state of their last pull; names of variables, never secrets."""
    return answer(request, SourceList(sources=listings.list_sources(conf, actor.project_id)))


@router.get("/config/repositories", response_model=RepositoryList, responses=responses())
def get_repositories(request: Request, actor: Caller, conf: Conf) -> Response:
    """The configured repositories; names of variables, never secrets."""
    return answer(request, RepositoryList(repositories=listings.list_repositories(conf, actor.project_id)))


@router.get("/config/settings", response_model=SettingList, responses=responses())
def get_settings(request: Request, _actor: Caller, conf: Conf) -> Response:
    """Every setting; of a secret only whether it is set."""
    return answer(request, SettingList(settings=listings.list_settings(conf)))


def cluster_of(conf: Settings, actor: Actor, cluster_id: UUID) -> tuple[ClusterDetail, str | None]:
    """The cluster, and the run on show.

    Raises:
        HTTPException: 404.
    """
    found = listings.find_cluster(conf, actor.project_id, str(cluster_id))
    if found is None:
        raise HTTPException(404, f"This project has no cluster {str(cluster_id)!r}.")
    return found
