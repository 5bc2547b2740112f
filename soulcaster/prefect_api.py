"""What we ask a Prefect server over HTTP: start a deployment, follow its run, tidy up after a killed predecessor.

Plain HTTP, because importing Prefect costs seconds and the domain must not know it.
"""

from __future__ import annotations

import os
import re
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import httpx
from pydantic import BaseModel

from soulcaster.errors import PermanentError, TransientError

_BUSY = {httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.TOO_MANY_REQUESTS}
_BUSY_DELAYS_SECONDS = (0.2, 0.5, 1, 2, 4, 8, 16)
_ANSWER_SECONDS = 90.0
"""Longer than the 60 s for which the server waits for its own SQLite file before it answers 503, which we ask again."""

_SECRET_SECONDS = 10.0

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
def connect(
    api_url: str, *, auth: tuple[str, str] | None = None, timeout_seconds: float = _ANSWER_SECONDS
) -> Iterator[httpx.Client]:
    """A client for the server at `api_url`, whose errors come out as ours.

    Raises:
        TransientError: no connection, no answer in time, or the server failed.
        PermanentError: the server refused a request.
    """
    try:
        with httpx.Client(base_url=api_url, auth=auth, timeout=timeout_seconds) as client:
            yield client
    except httpx.HTTPStatusError as error:
        raise _refused(error.response) from error
    except httpx.HTTPError as error:
        raise TransientError(
            f"Prefect does not answer at {api_url!r}, so no work can be started or watched ({type(error).__name__}); "
            "start everything with `soulcaster up`, or set PREFECT_API_URL to the server you use."
        ) from error


def find_auth() -> tuple[str, str] | None:
    """User and password of PREFECT_API_AUTH_STRING, None when it is not set."""
    name, separator, password = os.environ.get("PREFECT_API_AUTH_STRING", "").partition(":")
    return (name, password) if separator else None


def read_secret_block(api_url: str, name: str) -> str:
    """The value of a block of the type Secret.

    Raises:
        PermanentError: the server has no such block, it is empty, or the server refuses us.
        TransientError: the server is away.
    """
    path = f"/block_types/slug/secret/block_documents/name/{quote(name, safe='')}?include_secrets=true"
    with connect(api_url, auth=find_auth(), timeout_seconds=_SECRET_SECONDS) as client:
        found = ask(client, "GET", path)
    value = (found or {}).get("data", {}).get("value")
    if not isinstance(value, str) or not value:
        raise PermanentError(
            f"Reading the secret of a source failed: Prefect has no Secret block {name!r} with a text in it; make it "
            "in Prefect under Blocks."
        )
    return value


def ask(
    client: httpx.Client,
    method: str,
    path: str,
    body: dict[str, Any] | None = None,
    *,
    busy_delays_seconds: Sequence[float] = _BUSY_DELAYS_SECONDS,
) -> Any:  # noqa: ANN401  JSON
    """The decoded answer, None when there is no such thing (404). A busy server is asked again after each delay.

    Raises:
        TransientError: the server stayed busy (its SQLite database is locked while many write) or failed.
        PermanentError: the server refused the request.
    """
    answer = client.request(method, path, json=body)
    for delay in busy_delays_seconds:
        if answer.status_code not in _BUSY:
            break
        time.sleep(delay)
        answer = client.request(method, path, json=body)
    if answer.status_code == httpx.codes.NOT_FOUND:
        return None
    if not answer.is_success:
        raise _refused(answer)
    return answer.json() if answer.content else None


def is_healthy(url: str) -> bool:
    """Whether a GET of this address answers 200 now."""
    try:
        return httpx.get(url, timeout=5).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def start_run(client: httpx.Client, deployment: str, parameters: dict[str, Any]) -> str:
    """Id of a new run of the deployment 'flow/name'.

    Raises:
        PermanentError: there is no such deployment, or it refused the parameters.
    """
    found = ask(client, "GET", f"/deployments/name/{deployment}")
    if found is None:
        raise PermanentError(f"Prefect has no deployment {deployment!r}; `soulcaster up` registers ours.")
    body = {"parameters": parameters, "idempotency_key": str(uuid.uuid4())}
    return str(ask(client, "POST", f"/deployments/{found['id']}/create_flow_run", body)["id"])


def get_run(client: httpx.Client, run_id: str) -> RunState:
    """State of a run and of its tasks.

    Raises:
        PermanentError: there is no such run.
    """
    run = ask(client, "GET", f"/flow_runs/{run_id}")
    if run is None:
        raise PermanentError(f"Prefect knows no flow run {run_id!r}; was it deleted?")
    wanted = {"flow_runs": {"id": {"any_": [run_id]}}, "sort": "EXPECTED_START_TIME_ASC", "limit": _PAGE}
    tasks = ask(client, "POST", "/task_runs/filter", wanted)
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
        ask(client, "POST", f"/flow_runs/{run['id']}/set_state", body)
    now = datetime.now(UTC).isoformat()
    for run in _filter_runs(
        client, {"state": {"type": {"any_": ["SCHEDULED"]}}, "expected_start_time": {"before_": now}}
    ):
        if run["auto_scheduled"]:
            ask(client, "DELETE", f"/flow_runs/{run['id']}")
    limits = ask(client, "POST", "/v2/concurrency_limits/filter", {"limit": _PAGE})
    for limit in limits:
        if limit["active_slots"]:
            ask(client, "PATCH", f"/v2/concurrency_limits/{limit['id']}", {"active_slots": 0})
    return len(left)


def _filter_runs(client: httpx.Client, flow_runs: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        body = {"flow_runs": flow_runs, "limit": _PAGE, "offset": len(found)}
        page: list[dict[str, Any]] = ask(client, "POST", "/flow_runs/filter", body)
        found += page
        if len(page) < _PAGE:
            return found


def _refused(answer: httpx.Response) -> TransientError | PermanentError:
    kind = TransientError if answer.is_server_error else PermanentError
    return kind(
        f"Asking Prefect for {answer.request.method} {answer.request.url.path} was answered with {answer.status_code}: "
        f"{answer.text[:300]!r}; see the Prefect server's log."
    )
