"""The page of fixes over a store with jobs: what it says, what a person may do, and that hostile text stays text."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from seeding import PROJECT, seed_drawn
from streamlit.testing.v1 import AppTest

from soulcaster import repositories
from soulcaster.db import jobs, read, write
from soulcaster.db.drills import Drill, DrillResult, add_drill
from soulcaster.fix_models import Finding, Job, JobDetail, Launch, Proof, ProofRow
from soulcaster.settings import Settings

AT = datetime.now(UTC) - timedelta(minutes=5)
NASTY = "<img src=x onerror=alert(1)> [Approve](https://evil.test)"
PATCH = "--- a/sync.py\n+++ b/sync.py\n@@ -1 +1 @@\n-old = 1\n+new = 1\n"


def said(at: AppTest) -> str:
    """All text of a page that is not in a table of rows."""
    kinds = (at.title, at.subheader, at.markdown, at.caption, at.text, at.code, at.warning, at.info, at.error)
    return "\n".join(str(element.value) for kind in kinds for element in kind)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A store with one job that waits and one that was blocked, the second with everything there is to look at."""
    settings = Settings(_env_file=None, home=tmp_path)
    clusters = seed_drawn(settings.duckdb_path, n_items=60, n_clusters=5)
    waiting = job("0001-waits", clusters[0], status="queued")
    blocked = job("0002-blocked", clusters[1], status="queued")
    detail = JobDetail(
        diagnosis={"fixability": "fixable", "cause": NASTY, "files": ["sync.py"]},
        review={"fixes_cause": True, "unrelated": False, "suspicious": True, "comment": NASTY},
        proof=Proof(
            verdict="rejected", reason="An old test fails.", command=["python", "-m", "pytest"],
            rows=[
                ProofRow(run="old_tests_on_patch", expected="pass", n_passed=3, n_failed=1, exit_code=1, holds=False)
            ],
        ),
        findings=[Finding(rule="protected-path", path=".github/x.yml", detail="A patch may not touch it.")],
        patch_attempt=1,
    )  # fmt: skip
    launch = Launch(job_id="0002-blocked", attempt=1, purpose="edit", token="t-1", deadline_seconds=60, created_at=AT)

    def insert(con):
        jobs.add_job(con, waiting, JobDetail())
        jobs.update_job(con, waiting, actor="flow", now=AT, status="waiting", reason="Only strangers say so.")
        jobs.add_job(con, blocked, detail)
        jobs.update_job(con, blocked, actor="flow", now=AT, status="blocked", verdict="rejected", reason=NASTY)
        jobs.add_launch(con, PROJECT, launch)

    write(settings.duckdb_path, insert)
    folder = tmp_path / "jobs" / "0002-blocked" / "1-edit"
    folder.mkdir(parents=True)
    (folder.parent / "1-change.patch").write_text(PATCH)
    (folder / "log.txt").write_text("the last line of the log")
    (folder / "job.json").write_text(json.dumps({"edit": {"steps": [{"name": "fix", "prompt": "Fix the sync."}]}}))
    (folder / "report.json").symlink_to("/etc/hostname")
    return tmp_path


def job(job_id: str, cluster_id: str, *, status: str) -> Job:
    """A job of a person called ann."""
    return Job(
        job_id=job_id, project_id=PROJECT, cluster_id=cluster_id, repository="acme/notes", status=status, attempt=1,
        actor="ann", created_at=AT, changed_at=AT, cost_usd=0.42, n_tokens=1234, sandbox="bwrap",
    )  # fmt: skip


def status_of(home: Path, job_id: str) -> tuple[str, str]:
    """State and reason of a job as stored."""
    found = read(Settings(_env_file=None, home=home).duckdb_path, lambda con: jobs.get_job(con, PROJECT, job_id))
    return found.status, found.reason


def test_the_list_says_what_waits_first_and_why(open_page, home):
    """The job for a person is in the first row, with its reason; the other follows."""
    at = open_page(home, "fixes")
    table = at.dataframe[0].value

    assert ["✋ waits for you", "🛑 blocked"] == list(table["state"])
    assert "Only strangers say so." == table["reason"][0]
    assert "1 job for a person to approve" in said(at)


def test_without_a_repository_the_page_says_how_to_configure_one(open_page, tmp_path):
    """Empty, it names the command."""
    seed_drawn(Settings(_env_file=None, home=tmp_path).duckdb_path, n_items=30, n_clusters=3)
    words = said(open_page(tmp_path, "fixes"))

    assert "soulcaster repo add" in words
    assert "No fix was ever started" in words


def test_a_job_shows_claims_proof_policy_patch_brief_and_log_as_text(open_page, home):
    """Everything is there once; what the agent wrote is never Markdown."""
    at = open_page(home, "fixes", job="0002-blocked")
    words = said(at)

    for wanted in (
        "An old test fails.",
        "python -m pytest",
        "protected-path",
        "+new = 1",
        "Fix the sync.",
        "last line",
    ):
        assert wanted in words
    assert NASTY in [element.value for element in at.text]
    assert not any(NASTY in str(element.value) for element in at.markdown)


def test_a_report_that_is_a_link_is_not_followed(open_page, home):
    """The page says that there is no readable report, and the linked file's content is nowhere."""
    words = said(open_page(home, "fixes", job="0002-blocked"))
    assert Path("/etc/hostname").read_text().strip() not in words


def test_a_person_approves_a_waiting_job(open_page, home):
    """It goes on, and the store says who said so."""
    at = open_page(home, "fixes", job="0001-waits")
    at.button(key="job-approve").click().run()

    status, reason = status_of(home, "0001-waits")
    assert "queued" == status
    assert reason.startswith("Approved by ")


def test_an_emergency_switch_stops_launching_for_all(open_page, home):
    """The page shows at once that it is off and why; turning it on takes the banner away."""
    at = open_page(home, "fixes")
    at.text_input(key="switch-reason").set_value("odd patches").run()
    at.button(key="switch-launching").click().run()
    assert "odd patches" in said(at)

    at.button(key="switch-launching").click().run()
    assert "is switched off" not in said(at)


def test_the_plan_begins_with_the_last_diagnosis_and_goes_with_the_job(open_page, home, monkeypatch, tmp_path):
    """A person changes what the agent said before it runs again; the new job and its page have the words."""
    settings = Settings(_env_file=None, home=home)
    repositories.change_repository(settings, PROJECT, "acme/notes", {"mode": "draft"}, actor="root")
    script = tmp_path / "script.json"
    script.write_text("{}")
    monkeypatch.setenv("SOULCASTER_AGENT_TOOL", "scripted")
    monkeypatch.setenv("SOULCASTER_AGENT_SCRIPT", str(script))
    monkeypatch.setenv("SOULCASTER_AGENT_SANDBOX", "none")
    last = read(settings.duckdb_path, lambda con: jobs.get_job(con, PROJECT, "0002-blocked"))
    at = open_page(home, "cluster", id=last.cluster_id)
    at.button(key="act-fix").click().run()
    assert f"{NASTY}\nFiles: sync.py" == at.text_area(key="fix-plan").value

    at.text_area(key="fix-plan").set_value("Only the sync; leave the export alone.")
    at.button(key="act-fix").click()  # a dialog stays open in a browser; here each run opens it anew
    at.button(key="fix-start").click().run()

    found = read(settings.duckdb_path, lambda con: jobs.list_jobs(con, PROJECT, cluster_id=last.cluster_id))
    new = next(each for each in found if each.job_id != last.job_id)
    detail = read(settings.duckdb_path, lambda con: jobs.get_detail(con, PROJECT, new.job_id))
    assert "Only the sync; leave the export alone." == detail.plan
    assert detail.plan in said(open_page(home, "fixes", job=new.job_id))


def test_a_cluster_without_a_repository_says_how_to_configure_one(open_page, home):
    """The dialog of *Fix this* names the command, and the page links to the last job of the cluster."""
    cluster = read(
        Settings(_env_file=None, home=home).duckdb_path, lambda con: jobs.get_job(con, PROJECT, "0002-blocked")
    ).cluster_id
    at = open_page(home, "cluster", id=cluster)
    at.button(key="act-fix").click().run()

    assert "soulcaster repo add" in said(at)


def test_open_jobs_can_be_brought_on_at_once(open_page, home):
    """The button says how many have not ended; without Prefect its press is a sentence, and the jobs still show.

    A job that waits for a person is nothing that anybody else could bring on.
    """
    assert "Not ended yet" not in said(open_page(home, "fixes"))

    def start(con) -> None:
        waiting = jobs.get_job(con, PROJECT, "0001-waits")
        jobs.update_job(con, waiting, actor="ann", now=AT, status="running", reason="")

    write(Settings(_env_file=None, home=home).duckdb_path, start)
    at = open_page(home, "fixes")
    assert "Not ended yet: **1 job**" in said(at)

    at.button(key="start-reconcile").click().run()

    assert not at.exception
    assert "Prefect does not answer" in said(at)
    assert not at.dataframe[0].value.empty


def test_the_last_drill_says_which_layer_stopped_what_and_what_got_out(open_page, home):
    """Before the first drill the command; after it a sentence and a row a case, whose text stays text."""
    assert "soulcaster drill" in said(open_page(home, "fixes"))
    held = DrillResult(
        name="hidden-orders", about="Orders in white text.", layer="hygiene", stopped_by="hygiene", reason=NASTY,
        sandbox="bwrap", escapes=[], seconds=1.0,
    )  # fmt: skip
    out = held.model_copy(update={"name": "reads-a-key", "stopped_by": "nobody", "escapes": ["The key left."]})
    drill = Drill(began_at=AT, seconds=2, tool="scripted", launcher="process", n_known=3, results=[held, out])
    write(Settings(_env_file=None, home=home).duckdb_path, lambda con: add_drill(con, drill))

    at = open_page(home, "fixes")

    assert not at.exception
    assert "got out of **1 of 2 cases**" in said(at)
    assert "1 more case not tried" in said(at)
    table = at.dataframe[-1].value.set_index("case")
    assert ["hygiene", "\u26a0\ufe0f nobody"] == table["stopped_by"].to_list()
    assert "The key left." == table["escapes"]["reads-a-key"]
    assert NASTY == table["reason"]["hidden-orders"]
