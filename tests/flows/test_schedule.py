"""A schedule fires: on a real server, with a real worker, from `prefect deploy` to rows in the store.

With another SQLAlchemy than the pinned one the server looks healthy and never creates a scheduled run.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prefect_server import START_SECONDS, PrefectServer

from soulcaster import children, prefect_api
from soulcaster.settings import Settings
from soulcaster.sources import inbox
from tasks.policies import HEAVY_LIMIT

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.prefect, pytest.mark.slow]


def often_config(folder: Path, home: Path) -> Path:
    """prefect.yaml with `ingest` alone, every ten seconds, over another home."""
    config = yaml.safe_load((ROOT / "prefect.yaml").read_text())
    [ingest] = [deployment for deployment in config["deployments"] if deployment["name"] == "ingest"]
    ingest |= {"name": "often", "schedules": [{"interval": 10}]}
    ingest["work_pool"]["job_variables"]["env"]["SOULCASTER_HOME"] = str(home)
    path = folder / "often.yaml"
    path.write_text(yaml.safe_dump({"name": "often", "deployments": [ingest]}))
    return path


def list_runs(client: httpx.Client) -> list[dict[str, Any]]:
    """Runs of that deployment, oldest first."""
    body = {"deployments": {"name": {"any_": ["often"]}}, "sort": "EXPECTED_START_TIME_ASC"}
    runs: list[dict[str, Any]] = prefect_api.ask(client, "POST", "/flow_runs/filter", body)
    return runs


@pytest.mark.timeout(420)
def test_interval_deployment_gets_runs_and_one_is_executed(
    prefect_server: PrefectServer, settings: Settings, tmp_path: Path
):
    """The scheduler makes runs by itself, the worker executes one, our log lines are on its page, then it is paused."""
    inbox.append(settings.inbox_path, "manual", b'{"text": "It crashes on start"}', "", {})
    config = often_config(tmp_path, settings.home)
    deploy = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(config)]
    worker = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "soulcaster", "--type", "process"]
    with (
        children.family(tmp_path / "logs", ROOT, prefect_server.members.env) as members,
        prefect_api.connect(prefect_server.api_url) as client,
    ):
        children.run_to_end(members, "deploy", deploy, timeout_seconds=START_SECONDS)
        children.start(members, "worker", worker)

        def completed() -> list[dict[str, Any]]:
            time.sleep(1)  # the server has better things to do than to answer us
            return [run for run in list_runs(client) if run["state_name"] == "Completed"]

        children.wait_until(lambda: bool(completed()), members, "a scheduled run to complete", START_SECONDS)
        found = prefect_api.ask(client, "GET", "/deployments/name/ingest/often")
        prefect_api.ask(client, "POST", f"/deployments/{found['id']}/pause_deployment")
        run = completed()[0]
        assert run["auto_scheduled"]
        logs = prefect_api.ask(client, "POST", "/logs/filter", {"logs": {"flow_run_id": {"any_": [run["id"]]}}})
    assert any(line["name"] == "soulcaster.drain" and "drained 1 deliveries" in line["message"] for line in logs)
    assert inbox.list_pending(settings.inbox_path) == []


def test_restart_marks_dead_runs_and_frees_their_slots(prefect_server: PrefectServer):
    """Runs that claim to be alive after a kill are crashed, orphaned slots are free, waiting runs of people stay."""
    with prefect_api.connect(prefect_server.api_url) as client:
        flow = prefect_api.ask(client, "POST", "/flows/", {"name": "left-behind"})

        def make(kind: str) -> str:
            body = {"flow_id": flow["id"], "state": {"type": kind}}
            return str(prefect_api.ask(client, "POST", "/flow_runs/", body)["id"])

        def active_slots() -> int:
            return int(prefect_api.ask(client, "GET", limit)["active_slots"])

        dead, waiting = make("RUNNING"), make("SCHEDULED")
        limit = f"/v2/concurrency_limits/{HEAVY_LIMIT}"
        prefect_api.ask(client, "PATCH", limit, {"active_slots": 1})
        assert active_slots() == 1

        assert prefect_api.tidy_after_restart(client) >= 1
        assert prefect_api.get_run(client, dead).type == "CRASHED"
        assert prefect_api.get_run(client, waiting).type == "SCHEDULED"
        assert active_slots() == 0
