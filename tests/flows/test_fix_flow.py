"""The flows of fixes on a real Prefect server: run page, the pause with its form, cancellation, reconcile."""

from __future__ import annotations

import contextvars
import threading
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import fix_store
import httpx
import pytest
from fix_store import CLUSTER
from grouping_store import PROJECT, query
from prefect.client.schemas.objects import FlowRun
from prefect.flow_runs import resume_flow_run
from prefect.states import Cancelled
from prefect_server import PrefectServer
from standins.forge import Forge, running_forge

from flows.fix import FixParams
from flows.fix import fix as fix_flow
from flows.portfolio import PortfolioParams, portfolio
from flows.reconcile import ReconcileParams, reconcile
from soulcaster import fix
from soulcaster.launching import make_launcher
from soulcaster.settings import Settings, load_settings
from tasks.approval import actor_of, end_job
from tasks.fix_artifacts import block

pytestmark = [pytest.mark.prefect, pytest.mark.slow, pytest.mark.usefixtures("prefect_server", "settings")]


@pytest.fixture
def forge(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A forge whose repository is configured, and the scripted tool in the environment that flows read."""
    with running_forge(tmp_path / "forge") as started:
        monkeypatch.setenv("NOTES_TOKEN", started.token)
        fix_store.add_repository(settings, started)
        use_script(settings, tmp_path, monkeypatch)
        yield started


def use_script(settings: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch, **steps: Any) -> None:
    """Let flows replay this script."""
    chosen = fix_store.with_script(settings, folder, **steps)
    for name in ("agent_tool", "agent_script", "project"):
        monkeypatch.setenv(f"SOULCASTER_{name.upper()}", str(getattr(chosen, name)))


def runs_named(server: PrefectServer, state: str) -> list[dict[str, Any]]:
    """Flow runs of `fix` in this state."""
    body = {"flow_runs": {"state": {"type": {"any_": [state]}}}, "flows": {"name": {"any_": ["fix"]}}}
    found: list[dict[str, Any]] = (
        httpx.post(f"{server.api_url}/flow_runs/filter", json=body, timeout=30).raise_for_status().json()
    )
    return found


def test_the_run_page_shows_brief_diagnosis_log_patch_proof_and_cost(prefect_server, settings, forge: Forge):
    """The whole way in a flow; the proposal is on the forge."""
    fix_store.add_cluster(settings)

    state = fix_flow(FixParams(cluster=CLUSTER, dry_run=False), return_state=True)

    job = state.result()
    assert ("pr_open", "proved") == (job.status, job.verdict), job.reason
    assert 1 == len(forge.pull_requests)
    body = {"flow_runs": {"id": {"any_": [str(state.state_details.flow_run_id)]}}}
    found = httpx.post(f"{prefect_server.api_url}/artifacts/filter", json=body, timeout=30).json()
    shown = {each["key"]: str(each["data"]) for each in sorted(found, key=lambda each: each["created"])}
    assert {"fix", "fix-state", "fix-brief", "fix-diagnosis", "fix-log", "fix-patch", "fix-proof"} <= set(shown)
    assert "cost so far" in shown["fix-state"]
    assert forge.pull_requests[0]["html_url"] in shown["fix-state"]
    assert "[review]" in shown["fix-log"]
    assert "return sum(rows)" in shown["fix-patch"]


def test_a_run_pauses_with_a_form_and_goes_on_when_a_person_says_yes(prefect_server, settings, forge):
    """Who said so, and why, is in the activity log."""
    fix_store.add_cluster(settings, trust="anonymous")
    fix_store.add_repository(settings, forge, mode="plan")
    ended: list[Any] = []
    here = contextvars.copy_context()  # which server to talk to
    work = lambda: ended.append(fix_flow(FixParams(cluster=CLUSTER), return_state=True))  # noqa: E731  a thread's body
    thread = threading.Thread(target=here.run, args=(work,))
    thread.start()
    deadline = time.monotonic() + 120
    while not (paused := runs_named(prefect_server, "PAUSED")) and time.monotonic() < deadline:
        time.sleep(0.5)
    [run] = paused
    assert [("waiting",)] == query(settings, "SELECT status FROM jobs")

    resume_flow_run(run["id"], run_input={"approve": True, "name": "ann", "reason": "looks real"})
    thread.join(120)

    job = ended[0].result()
    assert "no_change" == job.status
    assert job.reason.startswith("Plan only")
    said = query(settings, "SELECT actor, reason FROM activity WHERE action = 'fix-queued' AND subject = ?", job.job_id)
    assert 1 == len(said)
    assert said[0][0].startswith("ann (form of flow fix")
    assert "looks real" in said[0][1]


def test_cancelling_a_run_ends_its_job_and_its_agent(settings, forge, tmp_path, monkeypatch):
    """The hook that Prefect calls finds the job by the run's name; other people's jobs go on."""
    assert forge.url
    use_script(settings, tmp_path, monkeypatch, diagnose={"sleep_seconds": 600, "answer": "late"})
    fix_store.add_cluster(settings)
    run = FlowRun(flow_id=uuid4(), parameters={"params": {"project": PROJECT, "cluster": CLUSTER}})
    launcher = make_launcher(load_settings())
    job = fix.start(load_settings(), PROJECT, CLUSTER, actor=actor_of(run.id))
    job = fix.advance_until_rest(load_settings(), PROJECT, job.job_id, launcher)
    assert "running" == job.status
    handle = query(settings, "SELECT handle FROM launches")[0][0]
    end_job(fix_flow, FlowRun(flow_id=uuid4(), parameters=run.parameters), Cancelled())
    assert "running" == launcher.poll(handle).state

    end_job(fix_flow, run, Cancelled())

    assert [("cancelled",)] == query(settings, "SELECT status FROM jobs")
    assert "ended" == launcher.poll(handle).state
    other = fix.start(load_settings(), PROJECT, CLUSTER, actor="ann").job_id
    end_job(fix_flow, FlowRun(flow_id=uuid4(), parameters={"params": {"project": PROJECT, "job": other}}), Cancelled())
    assert [("cancelled",)] == query(settings, "SELECT status FROM jobs WHERE job_id = ?", other)


def test_the_reconcile_flow_brings_a_left_job_on(settings, forge):
    """What nobody waits for any more is moved by the schedule."""
    fix_store.add_cluster(settings)
    fix_store.add_repository(settings, forge, mode="plan")
    job = fix.start(load_settings(), PROJECT, CLUSTER, actor="ann")
    deadline = time.monotonic() + 120

    while query(settings, "SELECT status FROM jobs") != [("no_change",)] and time.monotonic() < deadline:
        jobs = reconcile(ReconcileParams(project=PROJECT))
        assert [job.job_id] == [each.job_id for each in jobs]
        time.sleep(1)

    assert [] == reconcile(ReconcileParams(project=PROJECT))


def test_the_portfolio_flow_looks_and_begins_only_when_it_is_told_to(settings, forge):
    """Its table says what is next; with `begin` the job is queued, and the run's name is its actor."""
    assert forge.token
    fix_store.add_cluster(settings)
    assert ["next"] == [row.state for row in portfolio(PortfolioParams(project=PROJECT))]
    assert [] == query(settings, "SELECT * FROM jobs")
    assert ["started"] == [row.state for row in portfolio(PortfolioParams(project=PROJECT, begin=True))]
    [(status, actor)] = query(settings, "SELECT status, actor FROM jobs")
    assert "queued" == status
    assert actor.startswith("flow portfolio ")


def test_text_of_agents_cannot_leave_its_code_block():
    """The fence is longer than any in the text."""
    text = "```\n# Click here\n````"
    assert block(text).startswith("`````\n")
    assert block(text).endswith("\n`````")
