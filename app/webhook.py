"""The receiver: checks the proof over the raw body, writes it to the inbox, answers 202. Its own doors open no store.

Start with `uvicorn --factory app.webhook:make_app`. Errors are problem+json (RFC 9457), one sentence each.
"""

from __future__ import annotations

from fastapi import FastAPI
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from app.api import make_api
from app.api.answers import add_problem_answers
from app.health import add_health
from app.metrics import add_metrics
from app.receiver.bounds import Bounds
from app.receiver.intake import make_intake
from app.receiver.page import add_page
from app.receiver.starting import make_starting
from soulcaster import __version__, logs
from soulcaster.settings import Settings, load_settings
from soulcaster.sources import inbox

_DESCRIPTION = (
    "Takes feedback in. Every post shows a proof: a signature over its body, or a token. 202 means that the body is on "
    "the disk; the same body under the same delivery id counts once. The API of clusters and feedback is described at "
    "/api/v1/openapi.json."
)


class Health(BaseModel):
    """The receiver answers."""

    status: str = "ok"
    pending: int
    """Bodies that wait to become items."""


def make_app(settings: Settings | None = None) -> FastAPI:
    """The receiver over one inbox folder; settings come from the environment when none are given."""
    if settings is None:  # served by uvicorn: the process is ours
        settings = load_settings()
        logs.start(settings.log_format, settings.log_level)
    app = FastAPI(
        title="Soulcaster receiver", version=__version__, description=_DESCRIPTION, docs_url=None, redoc_url=None
    )

    @app.get("/health", summary="Whether the receiver answers, and how many bodies wait")
    def health() -> Health:
        return Health(pending=len(inbox.list_pending(settings.inbox_path)))

    app.include_router(make_starting(settings))
    app.include_router(make_intake(settings))

    @app.post("/ingest/{source:path}", include_in_schema=False)
    async def unknown_source(source: str) -> None:
        raise HTTPException(
            404,
            f"There is no source {source[:60]!r}: expected /ingest/sentry, /ingest/github, /ingest/reddit, "
            "/ingest/manual or /ingest/generic/NAME.",
        )

    add_page(app)
    add_metrics(app, settings)
    add_health(app, settings)
    add_problem_answers(app)
    app.mount("/api", make_api(settings))
    app.add_middleware(Bounds)
    return app
