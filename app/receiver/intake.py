"""Doors through which bodies come in: checked over the raw bytes, written to the inbox, answered 202."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from app.api.answers import responses
from app.receiver.bounds import read_bounded
from app.receiver.doors import Door, check_hook, check_proof, get_hook, get_secret, make_doors
from soulcaster.errors import SoulcasterError
from soulcaster.models import Source
from soulcaster.settings import Settings
from soulcaster.sources import inbox

logger = logging.getLogger(__name__)


class Accepted(BaseModel):
    """The body is on the disk; it becomes an item with the next drain."""

    status: str = "accepted"


_ACCEPTED = JSONResponse(Accepted().model_dump(), status_code=202)
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The payload as the source sends it; signatures are over these very bytes.",
        "content": {"application/json": {"schema": {}}},
    }
}


def make_intake(settings: Settings) -> APIRouter:
    """One door for each source, and one for every service that a mapping reads."""
    router = APIRouter(tags=["intake"])
    for source, door in make_doors(settings).items():
        _add_door(router, settings, source, door)

    @router.post(
        "/ingest/generic/{name}",
        status_code=202,
        response_model=Accepted,
        responses=responses(400, 404, 413, 431),
        openapi_extra=_BODY,
        summary="A post of a service that a mapping reads",
    )
    async def take_generic(name: str, request: Request) -> Response:
        hook, secret = await run_in_threadpool(get_hook, settings, name)
        body = await read_bounded(request, settings.receiver_max_bytes)
        check_hook(hook, secret, request, body)
        delivery_id = request.headers.get(hook.delivery_header, "") if hook.delivery_header else ""
        return await _keep(settings, name, body, delivery_id, request)

    return router


def _add_door(router: APIRouter, settings: Settings, source: Source, door: Door) -> None:
    path = f"/ingest/{source}"
    proof = {
        "name": door.proof_header, "in": "header", "required": True, "schema": {"type": "string"},
        "description": f"Made with {door.variable}.",
    }  # fmt: skip

    @router.post(
        path,
        status_code=202,
        response_model=Accepted,
        responses=responses(400, 413, 431),
        openapi_extra=_BODY | {"parameters": [proof]},
        summary=f"A post of {source}",
        operation_id=f"take_{source}",
    )
    async def take(request: Request) -> Response:
        secret = get_secret(path, door)
        body = await read_bounded(request, settings.receiver_max_bytes)
        check_proof(door, secret, request.headers.get(door.proof_header, ""), body)
        return await _keep(settings, source, body, request.headers.get(door.delivery_header, ""), request)


async def _keep(settings: Settings, source: str, body: bytes, delivery_id: str, request: Request) -> Response:
    headers = dict(request.headers)
    try:
        await run_in_threadpool(inbox.append, settings.inbox_path, source, body, delivery_id, headers)
    except SoulcasterError as error:
        logger.error("%s", error)  # noqa: TRY400  a full disk has no traceback worth reading
        raise HTTPException(503, "The inbox could not be written; nothing was taken in, please send again.") from error
    return _ACCEPTED
