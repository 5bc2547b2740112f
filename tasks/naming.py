"""Which project a run works on, and the name under which people find the run."""

from __future__ import annotations

import contextlib
from typing import Any

from prefect import runtime

from soulcaster import db
from soulcaster.errors import TransientError
from soulcaster.settings import load_settings


def resolve_project(name: str | None) -> str:
    """The named project, else that of SOULCASTER_PROJECT."""
    return name or load_settings().project


def open_project(name: str | None) -> str:
    """The named project, in a store that this worker's version can work on; who holds the store is the tasks' business.

    Raises:
        PermanentError: the store has the schema of another version.
    """
    settings = load_settings()
    path = settings.duckdb_path
    if path.exists():
        with contextlib.suppress(TransientError):
            db.read(path, lambda con: db.check_schema(con, path), timeout_seconds=settings.lock_timeout_seconds)
    return name or settings.project


def run_name() -> str:
    """Name of the current flow run: flow and project, e.g. 'refresh default'."""
    params: Any = runtime.flow_run.parameters.get("params")
    name = params.get("project") if isinstance(params, dict) else getattr(params, "project", None)
    return f"{runtime.flow_run.flow_name} {resolve_project(name)}"
