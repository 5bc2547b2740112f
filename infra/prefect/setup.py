"""Put in place on a Prefect server what the deployments of `prefect.yaml` rely on. Safe to run again: it only mends.

Makes the work pool, the global concurrency limits and the automations (`automations.py`). Talks plain HTTP
to PREFECT_API_URL (basic auth from PREFECT_API_AUTH_STRING), so that it starts in a fraction of a second.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from automations import ZOMBIE, ensure_automation, ensure_notifications

from soulcaster.errors import SoulcasterError
from soulcaster.prefect_api import ask, connect
from soulcaster.settings import load_settings
from tasks.policies import LIMITS, WORK_POOL


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
            ensure_automation(client, ZOMBIE)
            n_telling = ensure_notifications(client, load_settings().notify_block)
    except SoulcasterError as error:
        sys.stderr.write(f"Setting up Prefect failed: {error}\n")
        return 1
    told = f"{n_telling} automations tell people" if n_telling else "nobody is told (SOULCASTER_NOTIFY_BLOCK)"
    sys.stdout.write(f"work pool {WORK_POOL!r}, {len(LIMITS)} limits and the zombie automation are in place; {told}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
