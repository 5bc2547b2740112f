"""Put in place on a Prefect server what the deployments of `prefect.yaml` rely on. Safe to run again: it only mends.

Makes the work pool, the global concurrency limits and the automation that marks dead runs as crashed. Talks plain HTTP
to PREFECT_API_URL (basic auth from PREFECT_API_AUTH_STRING), so that it starts in a fraction of a second.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tasks.policies import LIMITS, WORK_POOL

ZOMBIE_WINDOW_SECONDS = 90
"""Three heartbeats of 30 s. With the default heartbeat of 180 s this window would crash healthy runs."""

_ENDED = ["Completed", "Failed", "Cancelled", "Crashed"]
ZOMBIE_AUTOMATION: dict[str, Any] = {
    "name": "soulcaster: crash runs whose heartbeat stopped",
    "description": "A run whose machine or worker died would stay Running and hold its deployment's slot.",
    "enabled": True,
    "trigger": {
        "type": "event",
        "posture": "Proactive",
        "match": {"prefect.resource.id": ["prefect.flow-run.*"]},
        "for_each": ["prefect.resource.id"],
        "after": ["prefect.flow-run.heartbeat"],
        "expect": ["prefect.flow-run.heartbeat", *(f"prefect.flow-run.{state}" for state in _ENDED)],
        "threshold": 1,
        "within": ZOMBIE_WINDOW_SECONDS,
    },
    "actions": [
        {
            "type": "change-flow-run-state",
            "state": "CRASHED",
            "message": f"No heartbeat for {ZOMBIE_WINDOW_SECONDS} s: the process or its machine died.",
        }
    ],
}


def ensure_work_pool(client: httpx.Client) -> None:
    """The process pool exists, with the process worker's own job template."""
    if client.get(f"/work_pools/{WORK_POOL}").status_code == httpx.codes.OK:
        return
    workers = client.get("/collections/views/aggregate-worker-metadata").raise_for_status().json()
    body = {
        "name": WORK_POOL,
        "type": "process",
        "description": "Soulcaster's flows, as processes on the worker's machine.",
        "base_job_template": workers["prefect"]["process"]["default_base_job_configuration"],
    }
    answer = client.post("/work_pools/", json=body)
    if answer.status_code != httpx.codes.CONFLICT:
        answer.raise_for_status()


def ensure_limits(client: httpx.Client) -> None:
    """Every limit the tasks ask for exists: a missing one fails the task, a switched-off one would pass unseen."""
    for name, slots in LIMITS.items():
        body = {"name": name, "limit": slots, "active": True}
        known = client.get(f"/v2/concurrency_limits/{name}")
        if known.status_code == httpx.codes.NOT_FOUND:
            client.post("/v2/concurrency_limits/", json=body).raise_for_status()
        else:
            client.patch(f"/v2/concurrency_limits/{name}", json=body).raise_for_status()


def ensure_zombie_automation(client: httpx.Client) -> None:
    """One automation of that name, as it stands above."""
    wanted = {"automations": {"name": {"any_": [ZOMBIE_AUTOMATION["name"]]}}}
    known = client.post("/automations/filter", json=wanted).raise_for_status().json()
    if known:
        client.put(f"/automations/{known[0]['id']}", json=ZOMBIE_AUTOMATION).raise_for_status()
    else:
        client.post("/automations/", json=ZOMBIE_AUTOMATION).raise_for_status()


def main() -> int:
    """Exit code 0 when all is in place, else 1 with one sentence."""
    url = os.environ.get("PREFECT_API_URL")
    if not url:
        sys.stderr.write("PREFECT_API_URL is not set: expected the address of a Prefect server's API.\n")
        return 1
    user, _, password = os.environ.get("PREFECT_API_AUTH_STRING", "").partition(":")
    try:
        with httpx.Client(base_url=url, auth=(user, password) if user else None, timeout=60) as client:
            ensure_work_pool(client)
            ensure_limits(client)
            ensure_zombie_automation(client)
    except httpx.HTTPStatusError as error:
        what = f"{error.request.method} {error.request.url.path} answered {error.response.status_code}"
        sys.stderr.write(f"Setting up Prefect at {url!r} failed: {what}, {error.response.text[:300]!r}.\n")
        return 1
    except httpx.HTTPError as error:
        sys.stderr.write(f"Setting up Prefect at {url!r} failed: {error!r}; is the server running?\n")
        return 1
    sys.stdout.write(f"work pool {WORK_POOL!r}, {len(LIMITS)} limits and the zombie automation are in place\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
