"""The receiver: checks the signature over the raw body, writes it to the inbox, answers 202. Never opens the store.

Start with `uvicorn --factory app.webhook:make_app`. Errors are problem+json (RFC 9457), one sentence each.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import NamedTuple

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import SecretStr
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from app.api import make_api
from app.metrics import add_metrics
from soulcaster.errors import SoulcasterError
from soulcaster.models import Source
from soulcaster.settings import Settings, load_settings
from soulcaster.sources import inbox

logger = logging.getLogger(__name__)


class Door(NamedTuple):
    """How one source proves that a body is its own."""

    variable: str
    secret: SecretStr | None
    proof_header: str
    expected: Callable[[bytes, bytes], str]
    delivery_header: str


def hex_signature(secret: bytes, body: bytes) -> str:
    """HMAC-SHA256 of the raw body, in hex. Source: Sentry integration platform, 'Verifying the signature'."""
    return hmac.new(secret, body, hashlib.sha256).hexdigest()


def github_signature(secret: bytes, body: bytes) -> str:
    """The same with the algorithm in front. Source: GitHub, 'Validating webhook deliveries'."""
    return "sha256=" + hex_signature(secret, body)


def bearer(secret: bytes, _body: bytes) -> str:
    """A fixed token, for senders that cannot sign."""
    return "Bearer " + secret.decode()


def make_doors(settings: Settings) -> dict[Source, Door]:
    """What each source must show."""
    token = ("SOULCASTER_RECEIVER_TOKEN", settings.receiver_token, "authorization", bearer)
    return {
        "sentry": Door(
            "SOULCASTER_SENTRY_CLIENT_SECRET",
            settings.sentry_client_secret,
            "sentry-hook-signature",
            hex_signature,
            "request-id",
        ),
        "github": Door(
            "SOULCASTER_GITHUB_WEBHOOK_SECRET",
            settings.github_webhook_secret,
            "x-hub-signature-256",
            github_signature,
            "x-github-delivery",
        ),
        "reddit": Door(*token, "idempotency-key"),
        "manual": Door(*token, "idempotency-key"),
    }


def make_app(settings: Settings | None = None) -> FastAPI:
    """The receiver over one inbox folder; settings come from the environment when none are given."""
    settings = settings or load_settings()
    doors = make_doors(settings)
    app = FastAPI(title="Soulcaster receiver", docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/health")
    def health() -> dict[str, object]:
        return {"status": "ok", "pending": len(inbox.list_pending(settings.inbox_path))}

    @app.post("/ingest/{source}")
    async def ingest(source: Source, request: Request) -> Response:
        door = doors[source]
        secret = get_secret(source, door)
        body = await read_bounded(request, settings.receiver_max_bytes)
        check_proof(door, secret, request.headers.get(door.proof_header, ""), body)
        delivery_id = request.headers.get(door.delivery_header, "")
        await run_in_threadpool(inbox.append, settings.inbox_path, source, body, delivery_id, dict(request.headers))
        return JSONResponse({"status": "accepted"}, status_code=202)

    add_metrics(app, settings)
    add_problem_answers(app)
    app.mount("/api", make_api(settings))
    return app


async def read_bounded(request: Request, max_bytes: int) -> bytes:
    """The whole body, of which never more than `max_bytes` and one chunk is held.

    Raises:
        HTTPException: 413, from the announced length already when there is one; 400 for an empty body.
    """
    too_large = HTTPException(413, f"Expected a body of at most {max_bytes} bytes (SOULCASTER_RECEIVER_MAX_BYTES).")
    announced = request.headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and int(announced[:20]) > max_bytes:
        raise too_large
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise too_large
    if not body:
        raise HTTPException(400, "Expected the payload as the request's body, got none.")
    return bytes(body)


def get_secret(source: Source, door: Door) -> bytes:
    """The secret that proves this source's bodies.

    Raises:
        HTTPException: 503 when none is set: nothing is taken in unchecked.
    """
    secret = door.secret.get_secret_value() if door.secret else ""
    if not secret:
        raise HTTPException(503, f"Posts to /ingest/{source} cannot be checked: set {door.variable} and start again.")
    return secret.encode()


def check_proof(door: Door, secret: bytes, shown: str, body: bytes) -> None:
    """Pass only a body that its source signed, or whose sender knows the token; compared in constant time.

    Raises:
        HTTPException: 401 when the proof is missing or wrong.
    """
    expected = door.expected(secret, body).encode()
    if not hmac.compare_digest(shown.encode("latin-1"), expected):
        got = "one that does not match" if shown else "none"
        raise HTTPException(401, f"Expected proof in {door.proof_header!r} made with {door.variable}, got {got}.")


def problem(status: int, detail: str) -> JSONResponse:
    """An error answer. Source: RFC 9457, Problem Details for HTTP APIs."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return JSONResponse(body, status_code=status, media_type="application/problem+json")


def add_problem_answers(app: FastAPI) -> None:
    """Every error of the receiver leaves as problem+json: ours, the framework's and a full disk's."""

    @app.exception_handler(HTTPException)
    async def refused(_request: Request, error: HTTPException) -> Response:
        return problem(error.status_code, str(error.detail))

    @app.exception_handler(RequestValidationError)
    async def unknown_source(_request: Request, _error: RequestValidationError) -> Response:
        return problem(404, "Expected /ingest/sentry, /ingest/github, /ingest/reddit or /ingest/manual.")

    @app.exception_handler(SoulcasterError)
    async def not_written(_request: Request, error: SoulcasterError) -> Response:
        logger.error("%s", error)
        return problem(503, "The inbox could not be written; nothing was taken in, please send again.")
