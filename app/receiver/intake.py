"""Doors through which bodies come in: checked over the raw bytes, written to the inbox, answered 202."""

from __future__ import annotations

import functools
import logging
import shutil
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from app.api.answers import responses
from app.api.doors import Throttle
from app.receiver.bounds import read_bounded
from app.receiver.doors import Door, Project, check_hook, check_proof, find_door, get_hook, get_secret, make_doors
from soulcaster.errors import SoulcasterError
from soulcaster.models import Source
from soulcaster.settings import Settings
from soulcaster.sources import inbox

logger = logging.getLogger(__name__)


class Accepted(BaseModel):
    """The body is on the disk; it becomes an item with the next drain."""

    status: str = "accepted"


_ACCEPTED = JSONResponse(Accepted().model_dump(), status_code=202)
_WRONG_PROOFS_PER_MINUTE = 60
_FULL_RETRY_SECONDS = 60
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
    wrong_proofs = Throttle(_WRONG_PROOFS_PER_MINUTE)
    for source, door in make_doors(settings).items():
        _add_door(router, settings, source, door, wrong_proofs)

    @router.post(
        "/ingest/generic/{name}",
        status_code=202,
        response_model=Accepted,
        responses=responses(400, 404, 408, 413, 431),
        openapi_extra=_BODY,
        summary="A post of a service that a mapping reads",
    )
    async def take_generic(name: str, request: Request, project: Project = None) -> Response:
        owner = project or settings.project
        hook, secret = await run_in_threadpool(get_hook, settings, name, owner)
        body = await read_bounded(request, settings.receiver_max_bytes, settings.receiver_body_seconds)
        _prove(request, wrong_proofs, lambda: check_hook(hook, secret, request, body))
        delivery_id = request.headers.get(hook.delivery_header, "") if hook.delivery_header else ""
        return await _keep(settings, owner, name, body, delivery_id, request)

    return router


def _add_door(router: APIRouter, settings: Settings, source: Source, own: Door, wrong_proofs: Throttle) -> None:
    path = f"/ingest/{source}"
    proof = {
        "name": own.proof_header, "in": "header", "required": True, "schema": {"type": "string"},
        "description": f"Made with {own.variable}.",
    }  # fmt: skip

    @router.post(
        path,
        status_code=202,
        response_model=Accepted,
        responses=responses(400, 408, 413, 431),
        openapi_extra=_BODY | {"parameters": [proof]},
        summary=f"A post of {source}",
        operation_id=f"take_{source}",
    )
    async def take(request: Request, project: Project = None) -> Response:
        owner = project or settings.project
        door = find_door(settings, own, owner)
        secret, shown = get_secret(path, door), request.headers.get(door.proof_header, "")
        if not shown:  # a body without a proof is not worth reading
            _prove(request, wrong_proofs, lambda: check_proof(door, secret, shown, b""))
        body = await read_bounded(request, settings.receiver_max_bytes, settings.receiver_body_seconds)
        _prove(request, wrong_proofs, lambda: check_proof(door, secret, shown, body))
        return await _keep(settings, owner, source, body, request.headers.get(door.delivery_header, ""), request)


def _prove(request: Request, wrong_proofs: Throttle, check: Callable[[], None]) -> None:
    """Pass what proves itself, however often an address was wrong before: one that shares it must not be locked out.

    Raises:
        HTTPException: 401, and 429 from the sixty-first wrong proof of an address in a minute on.
    """
    try:
        check()
    except HTTPException as refused:
        host = request.client.host if request.client else "unknown"
        if seconds := wrong_proofs.take(host):
            wait = str(int(seconds) + 1)
            detail = f"Too many wrong proofs from {host}; a right one is still taken, a wrong one again in {wait} s."
            raise HTTPException(429, detail, {"Retry-After": wait}) from refused
        raise


async def _keep(
    settings: Settings, project: str, source: str, body: bytes, delivery_id: str, request: Request
) -> Response:
    headers = dict(request.headers)
    if _free_bytes(settings) < settings.receiver_min_free_bytes:
        logger.error("The disk of the inbox has less free than SOULCASTER_RECEIVER_MIN_FREE_BYTES; posts are refused.")
        raise HTTPException(
            503, "The disk is nearly full; nothing was taken in, please send again.",
            {"Retry-After": str(_FULL_RETRY_SECONDS)},
        )  # fmt: skip
    try:
        keep = functools.partial(inbox.append, settings.inbox_path, source, body, delivery_id, headers, project=project)
        await run_in_threadpool(keep)
    except SoulcasterError as error:
        logger.error("%s", error)  # noqa: TRY400  a full disk has no traceback worth reading
        raise HTTPException(503, "The inbox could not be written; nothing was taken in, please send again.") from error
    return _ACCEPTED


def _free_bytes(settings: Settings) -> int:
    settings.home.mkdir(parents=True, exist_ok=True)
    return shutil.disk_usage(settings.home).free
