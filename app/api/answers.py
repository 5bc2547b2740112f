"""How the API answers: models with an ETag, and every error as problem+json (RFC 9457) with one sentence."""

from __future__ import annotations

import hashlib
import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from soulcaster.errors import PermanentError, TransientError

logger = logging.getLogger(__name__)

_RETRY_SECONDS = 5


class Problem(BaseModel):
    """An error. Source: RFC 9457, Problem Details for HTTP APIs."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str = Field(description="One sentence: what was expected, what came, what to do.")


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors of one operation, for the API's description; every operation has 401, 403, 422, 429 and 503."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
            "model": Problem,
        }
        for status in sorted({400, 401, 403, 422, 429, 503, *statuses})
    }


def etag_of(model: BaseModel) -> str:
    """A strong ETag: the same bytes, the same tag."""
    return f'"{hashlib.sha256(model.model_dump_json().encode()).hexdigest()[:32]}"'


def answer(request: Request, model: BaseModel, *, status: int = 200, **headers: str) -> Response:
    """The model as JSON with its ETag; 304 without a body when the caller has it already."""
    tag = etag_of(model)
    headers = {"ETag": tag, **{name.replace("_", "-"): value for name, value in headers.items()}}
    if request.method == "GET" and tag in known_tags(request.headers.get("if-none-match", "")):
        return Response(status_code=304, headers=headers)
    return Response(model.model_dump_json(), status_code=status, media_type="application/json", headers=headers)


def known_tags(header: str) -> set[str]:
    """The tags of an If-Match or If-None-Match header, without the mark of weak ones."""
    return {each.strip().removeprefix("W/") for each in header.split(",") if each.strip()}


def problem(status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """An error answer."""
    body = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail)
    return JSONResponse(body.model_dump(), status_code=status, media_type="application/problem+json", headers=headers)


def add_problem_answers(api: FastAPI) -> None:
    """Every error leaves as problem+json: ours, the framework's, and one that nobody expected."""

    @api.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        detail = str(error.detail)
        if detail == HTTPStatus(error.status_code).phrase:  # the framework's own, about the path or the method
            detail = f"There is no {request.method} {request.url.path}; /api/v1/openapi.json describes what there is."
        return problem(error.status_code, detail, dict(error.headers or {}))

    @api.exception_handler(RequestValidationError)
    async def malformed(_request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        if first["type"] == "json_invalid" or place == "body":
            return problem(422, "The 'body' was refused: expected a JSON object with Content-Type application/json.")
        return problem(422, f"Field {place!r} was refused: {first['msg']}.")

    @api.exception_handler(TransientError)
    async def busy(_request: Request, error: TransientError) -> Response:
        return problem(503, str(error), {"Retry-After": str(_RETRY_SECONDS)})

    @api.exception_handler(PermanentError)
    async def refused_by_us(request: Request, error: PermanentError) -> Response:
        return problem(400 if request.method == "GET" else 409, str(error))

    @api.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> Response:
        logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return problem(500, "This should not happen; the log of the receiver says what did.")
