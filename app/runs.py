"""The app's only contact with Prefect: which deployments there are, their newest runs, and starting one."""

from __future__ import annotations

import os
from datetime import datetime
from typing import Any

import httpx
from pydantic import BaseModel

from soulcaster import prefect_api
from soulcaster.settings import load_settings

_WAIT_SECONDS = 5.0
_WORK = ("refresh", "ingest", "embed", "recluster", "summarize")
"""Deployments that a person starts from a screen, in the order in which the work is done."""


class Deployment(BaseModel):
    """Work that can be started by name."""

    deployment_id: str
    name: str
    description: str
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
    settings = load_settings()
    return os.environ.get("PREFECT_API_URL") or f"http://{settings.host}:{settings.prefect_port}/api"


def ui_url() -> str:
    """Address of Prefect's own screens."""
    return api_url().removesuffix("/").removesuffix("/api")


def list_deployments() -> list[Deployment]:
    """The deployments that a person may start, in the order of the work.

    Raises:
        TransientError, PermanentError: Prefect is away or refuses, see `prefect_api.connect`.
    """
    with prefect_api.connect(api_url(), timeout_seconds=_WAIT_SECONDS) as client:
        answer = client.post("/deployments/filter", json={"limit": 200}).raise_for_status().json()
    found = [
        Deployment(
            deployment_id=each["id"],
            name=each["name"],
            description=each.get("description") or "",
            is_paused=bool(each.get("paused")),
            is_ready=each.get("status") == "READY",
        )
        for each in answer
        if each["name"] in _WORK
    ]
    return sorted(found, key=lambda each: _WORK.index(each.name))


def list_runs(*, limit: int = 25) -> list[FlowRun]:
    """The newest runs that have begun or wait to begin, newest first; runs that are only planned are left out.

    Raises:
        TransientError, PermanentError: Prefect is away or refuses.
    """
    with prefect_api.connect(api_url(), timeout_seconds=_WAIT_SECONDS) as client:
        names = {
            each["id"]: each["name"]
            for each in client.post("/deployments/filter", json={"limit": 200}).raise_for_status().json()
        }
        wanted = {
            "sort": "EXPECTED_START_TIME_DESC",
            "limit": limit,
            "flow_runs": {"state": {"name": {"not_any_": ["Scheduled"]}}},
        }
        answer: list[dict[str, Any]] = client.post("/flow_runs/filter", json=wanted).raise_for_status().json()
        started = [each for each in _waiting(client) if each["id"] not in {run["id"] for run in answer}]
    return [_flow_run(each, names) for each in started + answer]


def get_run(run_id: str) -> FlowRun:
    """One run as it stands now.

    Raises:
        TransientError, PermanentError: Prefect is away, or knows no such run.
    """
    with prefect_api.connect(api_url(), timeout_seconds=_WAIT_SECONDS) as client:
        return _flow_run(client.get(f"/flow_runs/{run_id}").raise_for_status().json(), {})


def start(deployment: str, parameters: dict[str, Any]) -> str:
    """Id of the new run of the deployment of that name (flow and deployment are named alike).

    Raises:
        TransientError, PermanentError: Prefect is away, has no such deployment, or refuses the parameters.
    """
    with prefect_api.connect(api_url(), timeout_seconds=_WAIT_SECONDS) as client:
        return prefect_api.start_run(client, f"{deployment}/{deployment}", parameters)


def _waiting(client: httpx.Client) -> list[dict[str, Any]]:
    """Runs that a person or an event asked for and no worker has taken yet."""
    wanted = {
        "sort": "EXPECTED_START_TIME_DESC",
        "limit": 10,
        "flow_runs": {"state": {"name": {"any_": ["Scheduled"]}}},
    }
    answer: list[dict[str, Any]] = client.post("/flow_runs/filter", json=wanted).raise_for_status().json()
    return [each for each in answer if not each.get("auto_scheduled")]


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
