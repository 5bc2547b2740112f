"""The flow `ingest` over configured sources on a real Prefect server: one task a source, none sinks the others."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from prefect_server import PrefectServer
from standins.github_server import TOKEN, running_github
from standins.wire_server import failure

from flows.ingest import IngestParams, ingest
from soulcaster.configured import SourceOptions
from soulcaster.pull import add_source, list_sources, pause_source
from soulcaster.settings import Settings
from soulcaster.sources import inbox

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("prefect_server", "settings")]


def ask(server: PrefectServer, what: str, state: Any) -> list[dict[str, Any]]:
    """What the server knows of one flow run: its task_runs or artifacts."""
    body = {"flow_runs": {"id": {"any_": [str(state.state_details.flow_run_id)]}}}
    found: list[dict[str, Any]] = (
        httpx.post(f"{server.api_url}/{what}/filter", json=body, timeout=60).raise_for_status().json()
    )
    return found


def test_each_source_is_a_task_of_its_own_and_a_refused_one_stops_nobody(
    prefect_server: PrefectServer, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    """Inbox, good source and busy source arrive; the refused one is a failed task, named on the run's page."""
    monkeypatch.setenv("ACME_TOKEN", TOKEN)
    inbox.append(settings.inbox_path, "manual", b'{"text": "It crashes on start"}', "", {})
    with running_github() as server, running_github(repository="acme/web") as busy:
        server.put(1, "Export stops", "2026-01-01T00:00:00Z")
        busy.put(1, "Import stops", "2026-01-01T00:00:00Z")
        busy.failures = [failure("500")]
        for name, url in (("acme/notes", server.url), ("acme/web", busy.url), ("acme/gone", server.url)):
            chosen = SourceOptions(token_variable="ACME_TOKEN", base_url=url)
            add_source(settings, "default", "github", name, chosen, actor="test")
        add_source(settings, "default", "reddit", "asleep", SourceOptions(base_url="http://127.0.0.1:9"), actor="test")
        pause_source(settings, "default", "reddit", "asleep", is_paused=True, actor="test")
        state = ingest(IngestParams(), return_state=True)

    assert state.is_completed()
    assert state.result().new == 3
    runs = {run["name"]: run for run in ask(prefect_server, "task_runs", state)}
    pulls = {name: run["state_type"] for name, run in runs.items() if name.startswith("pull ")}
    assert pulls == {
        "pull github:acme/gone": "FAILED", "pull github:acme/notes": "COMPLETED", "pull github:acme/web": "COMPLETED",
    }  # fmt: skip
    assert runs["pull github:acme/gone"]["run_count"] == 1
    assert runs["pull github:acme/web"]["run_count"] == 2
    artifacts = {artifact["key"]: artifact["data"] for artifact in ask(prefect_server, "artifacts", state)}
    assert "Blocked: github:acme/gone" in artifacts["ingest"]
    shown = {row["source_id"]: row["state"] for row in json.loads(artifacts["sources"])}
    assert shown == {
        "github:acme/gone": "blocked", "github:acme/notes": "ok", "github:acme/web": "ok", "reddit:asleep": "new",
    }  # fmt: skip
    assert [source.state for source in list_sources(settings, "default")][:3] == ["blocked", "ok", "ok"]
