"""`soulcaster fix` and its neighbours, as a person types them."""

from __future__ import annotations

import json
import zipfile

import fix_store
import pytest
from fix_store import CLUSTER
from standins.forge import running_forge
from typer.testing import CliRunner

from soulcaster.cli import app
from soulcaster.errors import PermanentError, SoulcasterError

runner = CliRunner()


@pytest.fixture
def home(settings, tmp_path, monkeypatch):
    """A store with a cluster, its project chosen, the scripted tool set; a forge with the repository."""
    with running_forge(tmp_path / "forge") as forge:
        monkeypatch.setenv("NOTES_TOKEN", forge.token)
        fix_store.add_repository(settings, forge)
        chosen = fix_store.with_script(settings, tmp_path)
        for name in ("agent_tool", "agent_script", "project"):
            monkeypatch.setenv(f"SOULCASTER_{name.upper()}", str(getattr(chosen, name)))
        yield settings


def call(*words):
    """The last line of standard output, parsed."""
    done = runner.invoke(app, [*words, "--json"], catch_exceptions=False)
    assert 0 == done.exit_code, done.output
    return json.loads(done.stdout.splitlines()[-1])


def test_what_is_missing_is_said_before_anything_starts(home, monkeypatch):
    """Key, cluster and repository, each in one sentence."""
    with pytest.raises(PermanentError, match="soulcaster clusters"):
        runner.invoke(app, ["fix", "beef"], catch_exceptions=False)
    fix_store.add_cluster(home)
    with pytest.raises(PermanentError, match="soulcaster repo list"):
        runner.invoke(app, ["fix", CLUSTER, "--repo", "acme/other"], catch_exceptions=False)
    monkeypatch.setenv("SOULCASTER_AGENT_TOOL", "kilo")
    with pytest.raises(PermanentError, match="SOULCASTER_GEMINI_API_KEY"):
        runner.invoke(app, ["fix", CLUSTER], catch_exceptions=False)
    assert [] == call("jobs")["jobs"]


def test_a_job_that_waits_is_approved_or_cancelled_by_hand(home):
    """What it waits for is said; both are in the activity log with who and why."""
    fix_store.add_cluster(home, trust="anonymous")

    first = runner.invoke(app, ["fix", CLUSTER[:8], "--actor", "ann"], catch_exceptions=False)

    assert "soulcaster approve" in first.stdout
    [job] = call("jobs", "--open")["jobs"]
    assert ("waiting", "ann") == (job["status"], job["actor"])
    assert "cancelled" == call("cancel", job["job_id"][:6], "--reason", "not ours", "--actor", "bob")["status"]
    assert [] == call("jobs", "--open")["jobs"]
    told = call("activity", job["job_id"])["activity"]
    assert ("bob", "Cancelled by bob: not ours.") in [(row["actor"], row["reason"]) for row in told]

    assert "No plan yet" in runner.invoke(app, ["plan", CLUSTER[:8]], catch_exceptions=False).stdout
    again = call("fix", CLUSTER, "--no-wait", "--plan", "Mend total(), not its callers.\nLeave \x1b[2Jthe tests.")
    assert again["job_id"] == call("plan", CLUSTER)["job_id"]
    told = runner.invoke(app, ["plan", CLUSTER], catch_exceptions=False).stdout
    assert "Mend total(), not its callers.\nLeave  [2Jthe tests.\n" == told
    assert "queued" == call("approve", again["job_id"], "--actor", "bob")["status"]
    assert "waiting for a person" not in runner.invoke(app, ["jobs"]).stdout


def test_jobs_are_shown_with_why_and_bundled_without_secrets(home, tmp_path, monkeypatch):
    """One file holds rows, log and prompts; our key is not in it."""
    monkeypatch.setenv("SOULCASTER_GEMINI_API_KEY", "canary-0123456789")
    monkeypatch.setenv("NOTES_TOKEN", "wrong-token-0123456789")
    fix_store.add_cluster(home)
    with pytest.raises(SoulcasterError, match="ended failed"):
        runner.invoke(app, ["fix", CLUSTER, "--actor", "canary-0123456789"], catch_exceptions=False)
    [job] = call("jobs")["jobs"]

    shown = runner.invoke(app, ["jobs", job["job_id"]]).stdout
    path = call("bundle", job["job_id"], "-o", str(tmp_path / "b.zip"))["path"]

    assert job["reason"][:60] in shown
    with zipfile.ZipFile(path) as bundle:
        texts = {name: bundle.read(name).decode() for name in bundle.namelist()}
    assert {"job.json", "detail.json", "activity.json", "launches.json", "hashes.json", "made-with.json"} <= set(texts)
    assert "canary-0123456789" not in str(texts)
    assert "wrong-token" not in str(texts)
    assert job["job_id"] in texts["job.json"]


@pytest.mark.slow
def test_fix_stays_until_the_pull_request_is_open(home):
    """The whole way in one command, with the real agent and launcher; then the whole story in one bundle."""
    fix_store.add_cluster(home)

    done = runner.invoke(app, ["fix", CLUSTER], catch_exceptions=False)

    assert "Draft pull request: http://" in done.stdout, done.stdout
    [job] = call("jobs")["jobs"]
    assert "proved" == job["verdict"]
    shown = runner.invoke(app, ["jobs", job["job_id"]]).stdout
    assert "new_tests_on_base" in shown
    with zipfile.ZipFile(call("bundle", job["job_id"])["path"]) as bundle:
        assert {"1-edit/job.json", "1-edit/report.json", "2-verify/report.json", "change.patch"} <= set(
            bundle.namelist()
        )
    assert [] == call("reconcile")["jobs"]


def test_the_portfolio_is_shown_begun_and_followed_by_hand(home, tmp_path):
    """Looking begins nothing; what was begun shows among jobs; an empty day, no pull request, no bundle are said."""
    fix_store.add_cluster(home)
    shown = runner.invoke(app, ["portfolio"], catch_exceptions=False).stdout
    assert "next" in shown
    assert "Totals are wrong" in shown
    assert [] == call("jobs")["jobs"]
    [row] = call("portfolio", "--start", "--actor", "ann")["clusters"]
    assert ("started", "queued", "ann") == (
        row["state"],
        *[call("jobs")["jobs"][0][key] for key in ("status", "actor")],
    )
    assert [] == call("spend")["days"]
    assert "No job used anything" in runner.invoke(app, ["spend"], catch_exceptions=False).stdout
    assert {"repositories": [], "problems": [], "regressions": []} == call("follow")
    with pytest.raises(PermanentError, match="Reading the bundle"):
        runner.invoke(app, ["replay", str(tmp_path / "none.zip")], catch_exceptions=False)
