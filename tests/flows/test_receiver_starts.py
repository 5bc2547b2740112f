"""Work started through the receiver's doors, on a real Prefect server: the run is there, and does what was asked."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from prefect.utilities.callables import parameter_schema
from prefect_server import PrefectServer
from pydantic import SecretStr
from standins.github_server import TOKEN, running_github

from app.webhook import make_app
from flows.ingest import IngestParams, ingest
from soulcaster.configured import SourceOptions
from soulcaster.pull import add_source, list_sources
from soulcaster.settings import Settings

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("prefect_server", "settings")]


def deploy(api: httpx.Client) -> None:
    """The deployment `ingest` with the form of the real flow, which the server enforces."""
    flow = api.post("/flows/", json={"name": "ingest"}).raise_for_status().json()
    body = {
        "name": "ingest", "flow_id": flow["id"], "work_pool_name": "soulcaster", "entrypoint": "flows/ingest.py:ingest",
        "parameter_openapi_schema": parameter_schema(ingest).model_dump_for_openapi(), "enforce_parameter_schema": True,
    }  # fmt: skip
    api.post("/deployments/", json=body).raise_for_status()


def test_doors_start_runs_with_the_parameters_of_the_flow(
    prefect_server: PrefectServer, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    """202 with the run, whose parameters the flow takes; without the deployment 503 says what registers it."""
    monkeypatch.setenv("PREFECT_API_URL", prefect_server.api_url)
    monkeypatch.setenv("SOULCASTER_RECEIVER_TOKEN__OTHER", "t")
    token = {"Authorization": "Bearer t"}
    made = make_app(settings.model_copy(update={"receiver_token": SecretStr("t"), "project": "acme"}))
    with TestClient(made) as client, httpx.Client(base_url=prefect_server.api_url, timeout=60) as api:
        known = api.get("/deployments/name/ingest/ingest")
        if known.status_code == httpx.codes.OK:
            api.delete(f"/deployments/{known.json()['id']}").raise_for_status()
        away = client.post("/admin/poll", headers=token)
        assert away.status_code == 503
        assert "soulcaster up" in away.json()["detail"]
        deploy(api)
        runs: dict[str, dict[str, Any]] = {}
        for path in ("/admin/poll", "/ingest/github/sync/acme/notes?project=other"):
            answer = client.post(path, headers=token)
            assert answer.status_code == 202, answer.text
            assert answer.json()["run_id"] in answer.json()["url"]
            run = api.get(f"/flow_runs/{answer.json()['run_id']}").raise_for_status().json()
            runs[path] = ingest.validate_parameters(run["parameters"])["params"].model_dump(exclude_defaults=True)
            api.delete(f"/flow_runs/{run['id']}").raise_for_status()
    assert runs == {
        "/admin/poll": {"project": "acme"},
        "/ingest/github/sync/acme/notes?project=other": {"project": "other", "only": "github:acme/notes"},
    }


def test_run_for_one_source_pulls_it_at_once_and_no_other(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    """Also when it was asked to be left alone; the others stay as they were."""
    monkeypatch.setenv("ACME_TOKEN", TOKEN)
    with running_github() as server, running_github(repository="acme/web") as other:
        server.put(1, "Export stops", "2026-01-01T00:00:00Z")
        other.put(1, "Import stops", "2026-01-01T00:00:00Z")
        for name, url in (("acme/notes", server.url), ("acme/web", other.url)):
            chosen = SourceOptions(token_variable="ACME_TOKEN", base_url=url)
            add_source(settings, "default", "github", name, chosen, actor="test")
        state = ingest(IngestParams(only="github:acme/notes"), return_state=True)
    assert state.is_completed()
    assert state.result().new == 1
    assert {source.name: source.state for source in list_sources(settings, "default")} == {
        "acme/notes": "ok", "acme/web": "new",
    }  # fmt: skip
    assert other.requests == []
