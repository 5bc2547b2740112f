"""Whether this process lives and whether it can do its work, for whoever starts and watches it."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.responses import JSONResponse

from soulcaster.health import check_ready
from soulcaster.settings import Settings


def add_health(app: FastAPI, settings: Settings) -> None:
    """`/health/live`: restart it when this fails. `/health/ready`: send it nothing while this answers 503.

    The answers name parts and no paths, because anybody may ask.
    """

    @app.get("/health/live", include_in_schema=False)
    async def live() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/health/ready", include_in_schema=False)
    def ready() -> JSONResponse:
        parts = check_ready(settings)
        told = {name: "ok" if is_ready else "not ready" for name, is_ready in parts.items()}
        return JSONResponse(told, status_code=200 if all(parts.values()) else 503)
