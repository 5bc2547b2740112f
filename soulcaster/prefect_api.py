"""What we ask a Prefect server over HTTP: start a deployment, follow its run, tidy up after a killed predecessor.

Plain HTTP, because importing Prefect costs seconds and the domain must not know it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
from pydantic import BaseModel

from soulcaster.errors import PermanentError, TransientError

_TERMINAL = {"COMPLETED", "FAILED", "CANCELLED", "CRASHED"}
_PAGE = 200
_RUN_SUFFIX = re.compile(r"-[0-9a-f]{3}$")
"""What Prefect adds to a task's name to tell its runs apart."""


class RunState(BaseModel):
    """Where a flow run stands."""

    state: str
    type: str
    message: str
    tasks: list[tuple[str, str, float]]
    """Name, state and seconds of each task run, in the order in which they began."""

    @property
    def is_final(self) -> bool:
        """Whether the run is over."""
        return self.type in _TERMINAL


@contextmanager
def connect(api_url: str, *, timeout_seconds: float = 60.0) -> Iterator[httpx.Client]:
    """A client for the server at `api_url`, whose errors come out as ours.

    Raises:
        TransientError: no connection, or the server answered 5xx.
        PermanentError: the server refused the request.
    """
    try:
        with httpx.Client(base_url=api_url, timeout=timeout_seconds) as client:
            yield client
    except httpx.HTTPStatusError as error:
        request, answer = error.request, error.response
        kind = TransientError if answer.is_server_error else PermanentError
        raise kind(
            f"Asking Prefect for {request.method} {request.url.path} was answered with {answer.status_code}: "
            f"{answer.text[:300]!r}; see the Prefect server's log."
        ) from error
    except httpx.HTTPError as error:
        raise TransientError(f"Asking Prefect at {api_url!r} failed: {error!r}; is the server running?") from error


def is_healthy(url: str) -> bool:
    """Whether a GET of this address answers 200 now."""
    try:
        return httpx.get(url, timeout=5).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def start_run(client: httpx.Client, deployment: str, parameters: dict[str, Any]) -> str:
    """Id of a new run of the deployment 'flow/name'."""
    found = client.get(f"/deployments/name/{deployment}").raise_for_status().json()
    answer = client.post(f"/deployments/{found['id']}/create_flow_run", json={"parameters": parameters})
    return str(answer.raise_for_status().json()["id"])


def get_run(client: httpx.Client, run_id: str) -> RunState:
    """State of a run and of its tasks."""
    run = client.get(f"/flow_runs/{run_id}").raise_for_status().json()
    wanted = {"flow_runs": {"id": {"any_": [run_id]}}, "sort": "EXPECTED_START_TIME_ASC", "limit": _PAGE}
    tasks = client.post("/task_runs/filter", json=wanted).raise_for_status().json()
    state = run["state"] or {}
    return RunState(
        state=state.get("name") or "Unknown",
        type=state.get("type") or "UNKNOWN",
        message=state.get("message") or "",
        tasks=[
            (_RUN_SUFFIX.sub("", task["name"]), task["state_name"] or "", task["estimated_run_time"]) for task in tasks
        ],
    )


def tidy_after_restart(client: httpx.Client) -> int:
    """Number of runs that a killed predecessor left behind; they are marked crashed and their slots freed.

    Only for a server whose workers are all down: it takes every run that claims to be alive for dead. Scheduled runs
    that were missed meanwhile are deleted, else all of them would start at once.
    Source: PrefectHQ/prefect issues 18324 and 17415.
    """
    left = _filter_runs(client, {"state": {"type": {"any_": ["RUNNING", "PENDING", "CANCELLING"]}}})
    message = "Soulcaster was ended while this run was alive."
    for run in left:
        body = {"state": {"type": "CRASHED", "name": "Crashed", "message": message}, "force": True}
        client.post(f"/flow_runs/{run['id']}/set_state", json=body).raise_for_status()
    now = datetime.now(UTC).isoformat()
    for run in _filter_runs(
        client, {"state": {"type": {"any_": ["SCHEDULED"]}}, "expected_start_time": {"before_": now}}
    ):
        if run["auto_scheduled"]:
            client.delete(f"/flow_runs/{run['id']}").raise_for_status()
    limits = client.post("/v2/concurrency_limits/filter", json={"limit": _PAGE}).raise_for_status().json()
    for limit in limits:
        if limit["active_slots"]:
            client.patch(f"/v2/concurrency_limits/{limit['id']}", json={"active_slots": 0}).raise_for_status()
    return len(left)


def _filter_runs(client: httpx.Client, flow_runs: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        body = {"flow_runs": flow_runs, "limit": _PAGE, "offset": len(found)}
        page: list[dict[str, Any]] = client.post("/flow_runs/filter", json=body).raise_for_status().json()
        found += page
        if len(page) < _PAGE:
            return found
