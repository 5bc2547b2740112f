"""The door of the monitoring system: `GET /metrics` beside the receiver."""

from __future__ import annotations

import hmac
import ipaddress

from fastapi import FastAPI, Request
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response

from soulcaster.metrics import render
from soulcaster.settings import Settings


def add_metrics(app: FastAPI, settings: Settings) -> None:
    """Serve the gauges to those who show SOULCASTER_METRICS_TOKEN; without one, to programs of this machine only."""

    @app.get("/metrics", include_in_schema=False)
    async def metrics(request: Request) -> Response:
        if settings.metrics_token is None:
            if not _is_near(request):
                raise HTTPException(403, "Metrics are served to this machine only; set SOULCASTER_METRICS_TOKEN.")
        else:
            wanted = f"Bearer {settings.metrics_token.get_secret_value()}".encode()
            if not hmac.compare_digest(wanted, request.headers.get("authorization", "").encode()):
                raise HTTPException(401, "Expected SOULCASTER_METRICS_TOKEN as bearer token.")
        return Response(await run_in_threadpool(render, settings), media_type=CONTENT_TYPE_LATEST)


def _is_near(request: Request) -> bool:
    """From loopback, and not handed on by a proxy that stands there."""
    forwarded = any(name in request.headers for name in ("forwarded", "x-forwarded-for", "x-real-ip"))
    host = request.client.host if request.client else ""
    try:
        return ipaddress.ip_address(host).is_loopback and not forwarded
    except ValueError:
        return False
