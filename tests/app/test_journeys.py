"""Ways that people go from the first page to what was to be done, in a real Chromium, one after the other on one home.

Prefect and its worker are a stand-in: what comes in is drawn, a grouping is shown by the real step, a fix by its moves.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from browser import chromium, chromium_path, running_app, settle
from playwright.sync_api import Page, expect
from seeding import PROJECT, seed_drawn
from standins.prefect_worker import PrefectWorker, running_worker

from soulcaster.db import jobs, migrate, read, runs, write
from soulcaster.fix_models import Job, JobDetail
from soulcaster.models import ChurnReport
from soulcaster.publish import publish
from soulcaster.settings import Settings

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(chromium_path() is None, reason="no Chromium on this machine"),
]
MOST_MS = 90_000
JOB = "0001-waits"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """An empty store."""
    made = Settings(_env_file=None, home=tmp_path_factory.mktemp("journeys"))
    migrate(made.duckdb_path)
    return made


@pytest.fixture(scope="module")
def worker(settings: Settings) -> Iterator[PrefectWorker]:
    """Does what the deployments do."""

    def show(given: dict[str, Any]) -> None:
        publish(settings, PROJECT, given["run"], actor=given["actor"])

    def fix(given: dict[str, Any]) -> None:
        move_job(settings, given["job"], status="running", reason="")

    def refresh(_given: dict[str, Any]) -> None:
        seed_drawn(settings.duckdb_path, n_items=200, n_clusters=12)

    works = {"refresh": refresh, "publish": show, "fix": fix}
    with running_worker(works) as started:
        yield started


@pytest.fixture(scope="module")
def page(settings: Settings, worker: PrefectWorker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """One tab with the app over that home."""
    log = tmp_path_factory.mktemp("log") / "app.log"
    with running_app(settings.home, log, PREFECT_API_URL=worker.url) as url, chromium() as browser:
        tab = browser.new_page(viewport={"width": 1440, "height": 1200}, base_url=url)
        tab.set_default_timeout(MOST_MS)
        yield tab


def move_job(settings: Settings, job_id: str, **changes: object) -> None:
    """One move of a job, as the flow stores it."""

    def move(con) -> None:
        job = jobs.get_job(con, PROJECT, job_id)
        jobs.update_job(con, job, actor="flow", now=datetime.now(UTC), **changes)

    write(settings.duckdb_path, move)


def test_a_first_run_from_empty_leads_to_clusters_by_one_button(page, worker):
    """The empty first page offers the sample; when its work is done the page shows clusters without a reload."""
    page.goto("/")
    page.get_by_role("button", name="Load the sample").click()

    expect(page.get_by_role("heading", name="Top clusters")).to_be_visible(timeout=MOST_MS)
    assert ["refresh"] == [each["deployment_id"] for each in worker.runs.values()]


def look_and_decide(page: Page) -> None:
    """Follow the first line that waits, once all are drawn: until then a line can hold the link of another."""
    settle(page)
    page.get_by_test_id("stMain").get_by_role("link", name="Look and decide").first.click()


def test_a_burst_is_seen_opened_and_triaged(page, settings):
    """From the line on the first page over the filtered list to the cluster's page, where the person decides."""
    cluster = make_burst(settings)
    page.goto("/")
    line = page.get_by_test_id("stMain").get_by_text("Far more reports this week than before")
    expect(line).to_be_visible(timeout=MOST_MS)
    look_and_decide(page)
    expect(page.get_by_text("1 cluster · click a row to open it")).to_be_visible(timeout=MOST_MS)
    settle(page)
    box = page.get_by_test_id("stDataFrame").first.bounding_box()
    page.mouse.click(box["x"] + 60, box["y"] + 37 + 19)
    expect(page.get_by_text("Typical feedback")).to_be_visible(timeout=MOST_MS)
    settle(page)
    page.get_by_role("button", name="Status", exact=False).first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("triaged").click()
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_have_count(0, timeout=MOST_MS)

    expect(page.get_by_text("set the status")).to_be_visible(timeout=MOST_MS)
    status = "SELECT status FROM clusters WHERE cluster_id = $1::UUID"
    assert [("triaged",)] == read(settings.duckdb_path, lambda con: con.execute(status, [cluster]).fetchall())


def make_burst(settings: Settings) -> str:
    """Everything is old but the reports of one cluster, which different people wrote yesterday; its id."""

    def change(con) -> str:
        [(cluster,)] = con.execute(
            "SELECT cluster_id::VARCHAR FROM published_memberships WHERE cluster_id IS NOT NULL "
            "GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1"
        ).fetchall()
        con.execute(
            "UPDATE items SET created_at = now() - CASE WHEN item_id IN (SELECT item_id FROM published_memberships "
            "WHERE cluster_id = $1::UUID) THEN INTERVAL 1 DAY ELSE INTERVAL 100 DAY END, author = external_id, "
            "source_group = NULL",
            [cluster],
        )
        return str(cluster)

    return write(settings.duckdb_path, change)


def test_a_proposal_is_looked_at_and_published(page, settings):
    """From the line on the first page to the grouping's churn and its button; then it is the one on show."""
    made = propose_run(settings)
    page.goto("/")
    expect(page.get_by_text("A new grouping waits to be shown")).to_be_visible(timeout=MOST_MS)
    look_and_decide(page)
    table = page.get_by_role("region", name="Groupings, newest first", exact=False)
    expect(table).to_be_visible(timeout=MOST_MS)
    expect(page.get_by_role("region", name="Runs in Prefect", exact=False)).to_be_visible(timeout=MOST_MS)
    settle(page)
    box = table.bounding_box()
    page.mouse.click(box["x"] + 150, box["y"] + 37 + 19)
    expect(page.get_by_text("It waits for a person")).to_be_visible(timeout=MOST_MS)
    page.get_by_role("button", name="Show it").click()
    expect(page.get_by_role("button", name="Show it")).to_have_count(0, timeout=MOST_MS)

    assert made == read(settings.duckdb_path, lambda con: runs.find_published_run(con, PROJECT))


def propose_run(settings: Settings) -> str:
    """The run on show once more, as a proposal that waits; its id."""

    def add(con) -> str:
        shown, made = runs.find_published_run(con, PROJECT), str(uuid.uuid4())
        for table in ("runs", "run_clusters", "memberships", "themes"):
            copied = f"INSERT INTO {table} SELECT * REPLACE (?::UUID AS run_id) FROM {table} WHERE run_id = ?::UUID"  # noqa: S608  names of tables
            con.execute(copied, [made, shown])
        con.execute("UPDATE runs SET created_at = now() WHERE run_id = ?::UUID", [made])
        churn = ChurnReport(waits_because="much changes", share=0.25, n_clustered=100, n_kept=75, n_moved=25)
        runs.add_proposal(con, PROJECT, made, churn, kind="refit", actor="flow", base_run_id=shown)
        return made

    return write(settings.duckdb_path, add)


def test_a_fix_is_approved_and_watched_to_its_pull_request(page, settings):
    """Approve on the job's page; each later state comes by itself, without a reload, down to the link."""
    cluster = "SELECT cluster_id::VARCHAR FROM published_memberships WHERE cluster_id IS NOT NULL LIMIT 1"

    def wait(con) -> None:
        [(own,)] = con.execute(cluster).fetchall()
        at = datetime.now(UTC)
        job = Job(
            job_id=JOB, project_id=PROJECT, cluster_id=own, repository="acme/notes", status="queued", actor="ann",
            created_at=at, changed_at=at,
        )  # fmt: skip
        jobs.add_job(con, job, JobDetail())
        jobs.update_job(con, job, actor="flow", now=at, status="waiting", reason="Only strangers say so.")

    write(settings.duckdb_path, wait)
    page.goto("/")
    expect(page.get_by_text("waits for somebody to approve it")).to_be_visible(timeout=MOST_MS)
    look_and_decide(page)
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("▶️ writing")).to_be_visible(timeout=MOST_MS)
    address = "https://forge.example/acme/notes/pull/7"
    move_job(settings, JOB, status="pr_open", verdict="proved", pr_number=7, pr_url=address)

    link = page.get_by_role("link", name="Pull request #7")
    expect(link).to_be_visible(timeout=MOST_MS)
    assert address == link.get_attribute("href")
    expect(page.get_by_role("button", name="Approve")).to_have_count(0)
