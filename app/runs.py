"""The app's only contact with Prefect: which deployments there are, their newest runs, and starting one."""

from __future__ import annotations

import os
import uuid
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from pydantic import BaseModel

from soulcaster import prefect_api
from soulcaster.errors import PermanentError
from soulcaster.settings import load_settings

_WAIT_SECONDS = 5.0
_WORK = ("refresh", "ingest", "embed", "recluster", "summarize")
"""Deployments that a person starts from a screen, in the order in which the work is done."""


class Deployment(BaseModel):
    """Work that can be started by name."""

    deployment_id: str
    name: str
    is_paused: bool
    is_ready: bool


class FlowRun(BaseModel):
    """One run of a deployment, as a list shows it."""

    run_id: str
    name: str
    deployment: str
    state: str
    state_type: str
    begun_at: datetime | None
    seconds: float
    url: str

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen in it."""
        return self.state_type in {"COMPLETED", "FAILED", "CANCELLED", "CRASHED"}


def api_url() -> str:
    """Address of Prefect's API: PREFECT_API_URL as `soulcaster up` sets it, else made from our settings."""
    return load_settings().prefect_api_url


def ui_url() -> str:
    """Address of Prefect's own screens as people reach them: PREFECT_UI_URL, else where its API is."""
    return os.environ.get("PREFECT_UI_URL", "").rstrip("/") or api_url().removesuffix("/").removesuffix("/api")


def list_deployments() -> list[Deployment]:
    """The deployments that a person may start, in the order of the work.

    Raises:
        TransientError, PermanentError: Prefect is away or refuses.
    """
    found = [
        Deployment(
            deployment_id=each["id"],
            name=each["name"],
            is_paused=bool(each.get("paused")),
            is_ready=each.get("status") == "READY",
        )
        for each in _ask("POST", "/deployments/filter", {"limit": 200})
        if each["name"] in _WORK
    ]
    return sorted(found, key=lambda each: _WORK.index(each.name))


def list_runs(*, limit: int = 25) -> list[FlowRun]:
    """The newest runs that have begun or that somebody asked for, newest first; what is only planned is left out.

    Raises:
        TransientError, PermanentError: Prefect is away or refuses.
    """
    names = {each["id"]: each["name"] for each in _ask("POST", "/deployments/filter", {"limit": 200})}
    soon = {"before_": (datetime.now(UTC) + timedelta(minutes=1)).isoformat()}
    planned = {"state": {"name": {"any_": ["Scheduled"]}}, "expected_start_time": soon}
    begun = {"state": {"name": {"not_any_": ["Scheduled"]}}}
    asked_for = [each for each in _filter_runs(planned, limit) if not each.get("auto_scheduled")]
    return [_flow_run(each, names) for each in (asked_for + _filter_runs(begun, limit))[:limit]]


def get_run(run_id: str) -> FlowRun:
    """One run as it stands now.

    Raises:
        TransientError, PermanentError: Prefect is away, or knows no such run.
    """
    return _flow_run(_ask("GET", f"/flow_runs/{uuid.UUID(run_id)}"), {})


def start(deployment: str, parameters: dict[str, Any]) -> str:
    """Id of the new run of the deployment of that name (flow and deployment are named alike).

    Raises:
        TransientError, PermanentError: Prefect is away, has no such deployment, or refuses the parameters.
    """
    with _connect() as client:
        return prefect_api.start_run(client, f"{deployment}/{deployment}", parameters)


def _filter_runs(wanted: dict[str, Any], limit: int) -> list[dict[str, Any]]:
    body = {"sort": "EXPECTED_START_TIME_DESC", "limit": limit, "flow_runs": wanted}
    found: list[dict[str, Any]] = _ask("POST", "/flow_runs/filter", body)
    return found


def _ask(method: str, path: str, body: dict[str, Any] | None = None) -> Any:  # noqa: ANN401  JSON
    """The decoded answer. One short try only: a page that waits for a busy server helps nobody."""
    with _connect() as client:
        answer = prefect_api.ask(client, method, path, body, busy_delays_seconds=())
    if answer is None:
        raise PermanentError(f"Prefect has no {path!r}; `soulcaster up` registers the deployments, or use its own UI.")
    return answer


def _connect() -> AbstractContextManager[httpx.Client]:
    return prefect_api.connect(api_url(), auth=prefect_api.find_auth(), timeout_seconds=_WAIT_SECONDS)


def _flow_run(each: dict[str, Any], names: dict[str, str]) -> FlowRun:
    return FlowRun(
        run_id=each["id"],
        name=each["name"],
        deployment=names.get(each.get("deployment_id") or "", "without deployment"),
        state=each.get("state_name") or "Unknown",
        state_type=each.get("state_type") or "UNKNOWN",
        begun_at=each.get("start_time") or each.get("expected_start_time"),
        seconds=each.get("total_run_time") or each.get("estimated_run_time") or 0.0,
        url=f"{ui_url()}/runs/flow-run/{each['id']}",
    )
