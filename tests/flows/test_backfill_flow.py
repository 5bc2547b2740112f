"""The backfill deployment's flow on a real server: a task a window, a bar, and a second run that reads what is left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect_server import PrefectServer

from flows.backfill import BackfillParams, backfill


def ask(server: PrefectServer, what: str, state: Any) -> list[dict[str, Any]]:
    """What the server knows of one flow run: its task_runs or artifacts."""
    body = {"flow_runs": {"id": {"any_": [str(state.state_details.flow_run_id)]}}}
    found: list[dict[str, Any]] = (
        httpx.post(f"{server.api_url}/{what}/filter", json=body, timeout=60).raise_for_status().json()
    )
    return found


@pytest.mark.usefixtures("settings")
def test_each_window_is_a_task_and_the_next_run_reads_only_what_is_left(prefect_server: PrefectServer, tmp_path: Path):
    """A broken table fails its own task; mended, the second run reads it and nothing else."""
    folder = tmp_path / "tables"
    folder.mkdir()
    (folder / "a.csv").write_text("id,text\n1,It crashes on start\n")
    (folder / "b.csv").write_bytes(b"\x89PNG no table")
    (folder / "c.csv").write_text("id,text\n3,It is slow\n")
    params = BackfillParams(target=str(folder))
    first = backfill(params, return_state=True)
    (folder / "b.csv").write_text("id,text\n2,It crashes on exit\n")
    second = backfill(params, return_state=True)

    assert first.is_completed()
    assert second.is_completed()
    states = {run["name"]: run["state_type"] for run in ask(prefect_server, "task_runs", first)}
    assert {name: state for name, state in states.items() if name.startswith("window")} == {
        "window a.csv": "COMPLETED", "window b.csv": "FAILED", "window c.csv": "COMPLETED",
    }  # fmt: skip
    names = {run["name"] for run in ask(prefect_server, "task_runs", second)}
    assert {name for name in names if name.startswith("window")} == {"window b.csv"}
    shown = {artifact["key"]: artifact for artifact in ask(prefect_server, "artifacts", first)}
    assert "1 are left" in shown["backfill"]["data"]
    assert {"outcome": "new", "items": 2} in json.loads(shown["backfill-counts"]["data"])
    assert shown["backfill-progress"]["data"] == 100.0
    assert second.result().counts.new == 1
