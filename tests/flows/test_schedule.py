"""A schedule fires: on a real server, with a real worker, from `prefect deploy` to rows in the store.

With another SQLAlchemy than the pinned one the server looks healthy and never creates a scheduled run.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prefect_server import START_SECONDS, PrefectServer

from soulcaster import children, prefect_api
from soulcaster.settings import Settings
from soulcaster.sources import inbox

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.prefect, pytest.mark.slow]


def often_config(folder: Path, home: Path) -> Path:
    """prefect.yaml with `ingest` alone, every five seconds, over another home."""
    config = yaml.safe_load((ROOT / "prefect.yaml").read_text())
    [ingest] = [deployment for deployment in config["deployments"] if deployment["name"] == "ingest"]
    ingest |= {"name": "often", "schedules": [{"interval": 5}]}
    ingest["work_pool"]["job_variables"]["env"]["SOULCASTER_HOME"] = str(home)
    path = folder / "often.yaml"
    path.write_text(yaml.safe_dump({"name": "often", "deployments": [ingest]}))
    return path


def list_runs(client: httpx.Client) -> list[dict[str, Any]]:
    """Runs of that deployment, oldest first."""
    body = {"deployments": {"name": {"any_": ["often"]}}, "sort": "EXPECTED_START_TIME_ASC"}
    runs: list[dict[str, Any]] = client.post("/flow_runs/filter", json=body).raise_for_status().json()
    return runs


@pytest.mark.timeout(420)
def test_interval_deployment_gets_runs_and_one_is_executed(
    prefect_server: PrefectServer, settings: Settings, tmp_path: Path
):
    """The scheduler makes runs by itself, the worker executes one, our log lines are on its page, then it is paused."""
    inbox.append(settings.inbox_path, "manual", b'{"text": "It crashes on start"}', "", {})
    members = prefect_server.members
    config = often_config(tmp_path, settings.home)
    deploy = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(config)]
    children.run_to_end(members, "deploy", deploy, timeout_seconds=START_SECONDS)
    worker = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "soulcaster", "--type", "process"]
    children.start(members, "worker", worker)

    with prefect_api.connect(prefect_server.api_url) as client:

        def completed() -> list[dict[str, Any]]:
            return [run for run in list_runs(client) if run["state_name"] == "Completed"]

        children.wait_until(lambda: bool(completed()), members, "a scheduled run to complete", START_SECONDS)
        found = client.get("/deployments/name/ingest/often").raise_for_status().json()
        client.post(f"/deployments/{found['id']}/pause_deployment").raise_for_status()
        run = completed()[0]
        assert run["auto_scheduled"]
        logs = client.post("/logs/filter", json={"logs": {"flow_run_id": {"any_": [run["id"]]}}}).json()
    assert any(line["name"] == "soulcaster.drain" and "drained 1 deliveries" in line["message"] for line in logs)
    assert inbox.list_pending(settings.inbox_path) == []


def test_restart_marks_dead_runs_and_frees_their_slots(prefect_server: PrefectServer):
    """Runs that claim to be alive after a kill are crashed, orphaned slots are free, waiting runs of people stay."""
    with prefect_api.connect(prefect_server.api_url) as client:
        flow = client.post("/flows/", json={"name": "left-behind"}).raise_for_status().json()

        def make(kind: str) -> str:
            body = {"flow_id": flow["id"], "state": {"type": kind}}
            return str(client.post("/flow_runs/", json=body).raise_for_status().json()["id"])

        dead, waiting = make("RUNNING"), make("SCHEDULED")
        limit = client.get("/v2/concurrency_limits/soulcaster-heavy").raise_for_status().json()
        client.patch(f"/v2/concurrency_limits/{limit['id']}", json={"active_slots": 1}).raise_for_status()

        assert prefect_api.tidy_after_restart(client) >= 1
        assert prefect_api.get_run(client, dead).type == "CRASHED"
        assert prefect_api.get_run(client, waiting).type == "SCHEDULED"
        freed = client.get("/v2/concurrency_limits/soulcaster-heavy").raise_for_status().json()
        assert freed["active_slots"] == 0
