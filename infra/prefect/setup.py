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

from soulcaster.errors import SoulcasterError
from soulcaster.prefect_api import ask, connect
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
    if ask(client, "GET", f"/work_pools/{WORK_POOL}"):
        return
    workers = ask(client, "GET", "/collections/views/aggregate-worker-metadata")
    body = {
        "name": WORK_POOL,
        "type": "process",
        "description": "Soulcaster's flows, as processes on the worker's machine.",
        "base_job_template": workers["prefect"]["process"]["default_base_job_configuration"],
    }
    ask(client, "POST", "/work_pools/", body)


def ensure_limits(client: httpx.Client) -> None:
    """Every limit the tasks ask for exists: a missing one fails the task, a switched-off one would pass unseen."""
    for name, slots in LIMITS.items():
        body = {"name": name, "limit": slots, "active": True}
        if ask(client, "GET", f"/v2/concurrency_limits/{name}"):
            ask(client, "PATCH", f"/v2/concurrency_limits/{name}", body)
        else:
            ask(client, "POST", "/v2/concurrency_limits/", body)


def ensure_zombie_automation(client: httpx.Client) -> None:
    """One automation of that name, as it stands above."""
    known = ask(client, "POST", "/automations/filter", {"automations": {"name": {"any_": [ZOMBIE_AUTOMATION["name"]]}}})
    if known:
        ask(client, "PUT", f"/automations/{known[0]['id']}", ZOMBIE_AUTOMATION)
    else:
        ask(client, "POST", "/automations/", ZOMBIE_AUTOMATION)


def main() -> int:
    """Exit code 0 when all is in place, else 1 with one sentence."""
    url = os.environ.get("PREFECT_API_URL")
    if not url:
        sys.stderr.write("PREFECT_API_URL is not set: expected the address of a Prefect server's API.\n")
        return 1
    user, _, password = os.environ.get("PREFECT_API_AUTH_STRING", "").partition(":")
    try:
        with connect(url, auth=(user, password) if user else None) as client:
            ensure_work_pool(client)
            ensure_limits(client)
            ensure_zombie_automation(client)
    except SoulcasterError as error:
        sys.stderr.write(f"Setting up Prefect failed: {error}\n")
        return 1
    sys.stdout.write(f"work pool {WORK_POOL!r}, {len(LIMITS)} limits and the zombie automation are in place\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
