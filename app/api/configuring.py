"""What an admin's token configures: the sources a project pulls from. Secrets go in by the name of what holds them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Path, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from app.api.answers import answer, etag_of, known_tags, responses
from app.api.doors import Caller, Conf, check_role
from soulcaster import listings, pull
from soulcaster.actors import Actor
from soulcaster.configured import ConfiguredSource, Kind, SourceOptions, parse_options, parse_source_id
from soulcaster.errors import PermanentError
from soulcaster.settings import Settings

router = APIRouter(prefix="/v1")

SourceId = Annotated[str, Path(max_length=250, description="As in the list: github:OWNER/REPO, reddit:SUBREDDIT, ….")]
IfMatch = Annotated[
    str | None, Header(max_length=400, description="ETag of the source as you saw it; * for whatever it is.")
]


class SourceWish(BaseModel):
    """What a source is to be; options that its kind has not are refused."""

    model_config = ConfigDict(extra="forbid")

    options: SourceOptions = Field(default_factory=SourceOptions)
    is_paused: bool = Field(default=False, description="Leave it alone until this is false again.")


@router.get("/config/sources/{source_id:path}", response_model=ConfiguredSource, responses=responses(404))
def get_source(request: Request, actor: Caller, conf: Conf, source_id: SourceId) -> Response:
    """One configured source, with the ETag that a change has to show."""
    return answer(request, _source_of(conf, actor, source_id))


@router.put(
    "/config/sources/{source_id:path}",
    response_model=ConfiguredSource,
    responses={**responses(409, 411, 412, 413, 428), 201: {"model": ConfiguredSource, "description": "Added"}},
)
def put_source(
    request: Request, actor: Caller, conf: Conf, source_id: SourceId, wish: SourceWish, if_match: IfMatch = None
) -> Response:
    """Add the source, or change the one that is there (then with If-Match); it is pulled with the next schedule."""
    check_role(actor, "configure")
    kind, name = _parsed(source_id)
    options = parse_options(kind, wish.options.model_dump(exclude_defaults=True))
    found = _find(conf, actor, source_id)
    if found is None:
        pull.add_source(conf, actor.project_id, kind, name, options, actor=actor)
    else:
        _check_seen(found, if_match)
        if found.options != options:
            pull.change_source(conf, actor.project_id, kind, name, options, was=found.options, actor=actor)
    if wish.is_paused != (found is not None and found.is_paused):
        pull.pause_source(conf, actor.project_id, kind, name, is_paused=wish.is_paused, actor=actor)
    return answer(request, _source_of(conf, actor, source_id), status=200 if found else 201)


@router.delete("/config/sources/{source_id:path}", status_code=204, responses=responses(404, 409, 412, 428))
def delete_source(actor: Caller, conf: Conf, source_id: SourceId, if_match: IfMatch = None) -> Response:
    """Forget the source and how far it was read; its items stay."""
    check_role(actor, "configure")
    _check_seen(_source_of(conf, actor, source_id), if_match)
    pull.remove_source(conf, actor.project_id, *_parsed(source_id), actor=actor)
    return Response(status_code=204)


def _parsed(source_id: str) -> tuple[Kind, str]:
    try:
        return parse_source_id(source_id)
    except PermanentError as error:
        raise HTTPException(422, str(error)) from error


def _find(conf: Settings, actor: Actor, source_id: str) -> ConfiguredSource | None:
    kind, name = _parsed(source_id)
    found = listings.list_sources(conf, actor.project_id)
    return next((source for source in found if (source.kind, source.name) == (kind, name)), None)


def _source_of(conf: Settings, actor: Actor, source_id: str) -> ConfiguredSource:
    found = _find(conf, actor, source_id)
    if found is None:
        raise HTTPException(404, f"There is no source {source_id[:120]!r} in this project.")
    return found


def _check_seen(found: ConfiguredSource, if_match: str | None) -> None:
    """Pass who shows the ETag of the source as it is now.

    Raises:
        HTTPException: 428 without If-Match, 412 when the source is another one by now.
    """
    if not if_match:
        raise HTTPException(428, "This changes a source: send the ETag of GET as If-Match, or * for whatever it is.")
    if if_match.strip() != "*" and etag_of(found) not in known_tags(if_match):
        raise HTTPException(412, f"Source {found.source_id!r} is not as you saw it any more; get it again.")
