"""The app's talk with a real Prefect server: what it lists, what it starts, what it says when refused."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from prefect_server import PrefectServer, running_server

from app import runs
from soulcaster import children
from soulcaster.db import migrate
from soulcaster.errors import PermanentError, TransientError
from soulcaster.settings import Settings

pytestmark = [pytest.mark.prefect, pytest.mark.slow]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    """A server with our deployments and no worker: what is started stays scheduled."""
    with running_server(tmp_path_factory.mktemp("prefect")) as started:
        deploy = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
        children.run_to_end(started.members, "deploy", deploy, timeout_seconds=180)
        yield started


@pytest.fixture
def at_server(server: PrefectServer, monkeypatch: pytest.MonkeyPatch) -> PrefectServer:
    """The app's settings point at the server."""
    monkeypatch.setenv("PREFECT_API_URL", server.api_url)
    return server


@pytest.mark.usefixtures("at_server")
def test_started_work_is_listed_with_a_link():
    """What a button starts is at the top of the list, scheduled, and its link leads to Prefect's screens."""
    assert ["refresh", "ingest", "embed", "recluster", "summarize"] == [each.name for each in runs.list_deployments()]

    run_id = runs.start("refresh", {"params": {"project": "default", "sample": True}})

    listed = runs.list_runs()
    assert (run_id, "refresh", "SCHEDULED") == (listed[0].run_id, listed[0].deployment, listed[0].state_type)
    assert not runs.get_run(run_id).is_over
    assert listed[0].url.endswith(f"/runs/flow-run/{run_id}")
    assert "/api" not in listed[0].url


@pytest.mark.usefixtures("at_server")
def test_refused_and_unknown_work_is_a_sentence():
    """Wrong parameters and a wrong name come out as our errors."""
    with pytest.raises(PermanentError, match=r"409|422"):
        runs.start("refresh", {"params": {"sample": "perhaps"}})
    with pytest.raises(PermanentError, match="no deployment 'nonsense"):
        runs.start("nonsense", {})


def test_the_first_visitor_starts_the_sample_with_one_button(open_page, tmp_path, server, monkeypatch):
    """Pressing the button on the empty overview makes a run, and the page shows where it stands."""
    migrate(Settings(_env_file=None, home=tmp_path).duckdb_path)
    at = open_page(tmp_path)
    monkeypatch.setenv("PREFECT_API_URL", server.api_url)
    before = {run.run_id for run in runs.list_runs()}

    at.button(key="start-sample").click().run()

    assert not at.exception
    assert 1 == len({run.run_id for run in runs.list_runs()} - before)
    assert any("scheduled" in str(element.value) for element in at.markdown)


def test_a_server_that_is_away_is_a_sentence(monkeypatch):
    """Nobody listening is said with what to do."""
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")

    with pytest.raises(TransientError, match="soulcaster up"):
        runs.list_runs()


def test_links_lead_to_where_people_reach_prefect(monkeypatch: pytest.MonkeyPatch):
    """Inside a network of containers the API has another name than its pages have for people."""
    monkeypatch.setenv("PREFECT_API_URL", "http://server:4200/api")
    inside = runs.ui_url()
    monkeypatch.setenv("PREFECT_UI_URL", "http://127.0.0.1:4200/")

    assert ("http://server:4200", "http://127.0.0.1:4200") == (inside, runs.ui_url())
