"""Flows on a real Prefect server: what they store, how they wait, how they fail, and what their run page shows."""

from __future__ import annotations

import json
import logging
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect.states import State
from prefect_server import PrefectServer

from flows.assign import AssignParams, assign
from flows.export import ExportParams, export
from flows.ingest import IngestParams, ingest
from flows.publish import PublishParams, publish
from flows.recluster import ReclusterParams, recluster
from flows.refresh import RefreshParams, refresh
from soulcaster import db
from soulcaster.db.screens import get_overview
from soulcaster.models import ImportReport, ReclusterReport
from soulcaster.settings import Settings
from soulcaster.sources import inbox

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("prefect_server", "settings")]

ROWS = [
    "The export to CSV stops at row 1000 and says nothing",
    "CSV export stops at row 1000 without any message",
    "Exporting to CSV ends after 1000 rows, no message",
    "Dark mode makes the calendar unreadable",
    "Calendar cannot be read in dark mode",
    "In dark mode I cannot read the calendar",
]


@pytest.fixture
def feedback(tmp_path: Path) -> Path:
    """A CSV file of six reports about two problems."""
    path = tmp_path / "feedback.csv"
    path.write_text("id,text\n" + "".join(f'{n},"{text}"\n' for n, text in enumerate(ROWS)))
    return path


def count_items(settings: Settings, project: str = "default") -> int:
    """Number of items in the project."""
    return db.read(settings.duckdb_path, lambda con: get_overview(con, project)).n_items


def ask(server: PrefectServer, what: str, state: State[Any]) -> list[dict[str, Any]]:
    """What the server knows of one flow run: its task_runs or artifacts."""
    body = {"flow_runs": {"id": {"any_": [str(state.state_details.flow_run_id)]}}}
    found: list[dict[str, Any]] = (
        httpx.post(f"{server.api_url}/{what}/filter", json=body, timeout=30).raise_for_status().json()
    )
    return found


def test_ingest_of_a_file_stores_its_rows_and_shows_counts(
    prefect_server: PrefectServer, settings: Settings, feedback: Path
):
    """Rows are in the store; the run is named after its project and shows counts, a bar and a next step."""
    state = ingest(IngestParams(project="acme", path=str(feedback)), return_state=True)
    report = state.result()
    assert isinstance(report, ImportReport)
    assert report.new == len(ROWS) == count_items(settings, "acme")

    run = httpx.get(f"{prefect_server.api_url}/flow_runs/{state.state_details.flow_run_id}", timeout=30).json()
    assert run["name"] == "ingest acme"
    artifacts = {artifact["key"]: artifact for artifact in ask(prefect_server, "artifacts", state)}
    assert {"outcome": "new", "items": len(ROWS)} in json.loads(artifacts["import-counts"]["data"])
    assert artifacts["import-progress"]["data"] == 100.0
    assert "6 new" in artifacts["ingest"]["data"]


def test_second_ingest_of_the_same_file_adds_nothing(settings: Settings, feedback: Path):
    """A rerun of a flow doubles nothing and is not answered from a cache."""
    for expected in ((len(ROWS), 0), (0, len(ROWS))):
        report = ingest(IngestParams(path=str(feedback)))
        assert (report.new, report.unchanged) == expected
    assert count_items(settings) == len(ROWS)


def test_ingest_drains_the_inbox_and_keeps_what_it_could_not_read_in_quarantine(settings: Settings):
    """Received bodies become items, a body that is no JSON waits in quarantine, and the inbox is empty afterwards."""
    posts = [b'{"text": "It crashes on start"}', b'[{"title": "Slow"}, {"text": "Login fails"}]', b"no json \xff"]
    for body in posts:
        inbox.append(settings.inbox_path, "manual", body, "", {})
    report = ingest(IngestParams())
    assert report.new == 3
    assert report.quarantined == {"not-json": 1}
    assert inbox.list_pending(settings.inbox_path) == []
    assert count_items(settings) == 3


def test_busy_store_is_waited_for_and_the_flow_completes(
    settings: Settings, feedback: Path, monkeypatch: pytest.MonkeyPatch
):
    """A store that somebody holds during the first attempt costs that attempt, not the run."""
    monkeypatch.setenv("SOULCASTER_LOCK_TIMEOUT_SECONDS", "0.2")
    is_held, is_retried = threading.Event(), threading.Event()

    def hold(_con: object) -> None:
        is_held.set()
        is_retried.wait(60)

    watcher = logging.Handler()
    watcher.emit = lambda record: is_retried.set() if "Retry 1/" in record.getMessage() else None  # type: ignore[method-assign]
    logging.getLogger("prefect.task_runs").addHandler(watcher)
    holder = threading.Thread(target=db.write, args=(settings.duckdb_path, hold))
    holder.start()
    is_held.wait()
    state = ingest(IngestParams(path=str(feedback)), return_state=True)
    logging.getLogger("prefect.task_runs").removeHandler(watcher)
    assert is_retried.is_set()
    holder.join()
    assert state.is_completed()
    assert count_items(settings) == len(ROWS)


def test_missing_file_fails_at_once_with_our_sentence(caplog: pytest.LogCaptureFixture):
    """What a human must mend is not tried again, and the run says what it is."""
    state = ingest(IngestParams(path="/no/such/feedback.csv"), return_state=True)
    assert state.is_failed()
    assert "/no/such/feedback.csv" in (state.message or "")
    assert not any("Retry" in record.getMessage() for record in caplog.records)


def test_refresh_takes_a_file_through_to_named_clusters_and_export_writes_them(
    prefect_server: PrefectServer, settings: Settings, feedback: Path
):
    """One run embeds, groups and names, without bars for what a model would do; the next flow finds it in the store."""
    state = refresh(RefreshParams(path=str(feedback)), return_state=True)
    report = state.result()
    assert isinstance(report, ReclusterReport)
    keys = {artifact["key"] for artifact in ask(prefect_server, "artifacts", state)}
    assert {"suggest-counts", "embed-progress"} <= keys
    assert not {"suggest-progress", "restate-progress", "restate-counts"} & keys
    assert report.n_items == len(ROWS)
    assert report.n_clusters >= 1
    path = Path(export(ExportParams(kind="clusters", file_name="clusters.jsonl")))
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert path.parent == settings.home / "exports"
    assert len(rows) == report.n_clusters
    assert all(row["title"] for row in rows)


def test_new_items_are_assigned_and_a_refit_comes_only_when_due(settings: Settings, feedback: Path):
    """Nothing is due at once; a known text finds its cluster; then a refit is due, and the first run can come back."""
    first = refresh(RefreshParams(path=str(feedback)))
    assert recluster(ReclusterParams(only_if_needed=True)) is None
    inbox.append(settings.inbox_path, "manual", json.dumps({"text": ROWS[0]}).encode(), "", {})
    ingest(IngestParams())

    report = assign(AssignParams())

    assert (1, 1) == (report.n_new, report.n_exact)
    second = recluster(ReclusterParams(only_if_needed=True))
    assert second is not None
    assert second.n_items == len(ROWS) + 1
    assert publish(PublishParams(run=first.run_id, go_back=True, actor="ann")) == first.run_id
