"""What a person wants done reaches the agent, before the reports and outside their fence."""

from __future__ import annotations

import pytest
from fix_store import CLUSTER, DIAGNOSIS, detail_of, job_json
from fix_store import plan as agent_plan
from grouping_store import PROJECT
from standins.planned_launcher import PlannedLauncher

from soulcaster import fix
from soulcaster.errors import PermanentError
from soulcaster.fix_start import find_plan
from soulcaster.fixing.brief import LONGEST_PLAN, tell_plan
from soulcaster.settings import Settings

WANTED = "Mend total(), not its callers. {{diagnosis}} <!-- unseen -->"


def next_plan(store: Settings) -> tuple[str, str | None]:
    """What the next fix would begin with, and the attempt that it is of."""
    found = find_plan(store, PROJECT, CLUSTER)
    return found.text, found.job_id


def test_the_agent_is_told_the_plan_before_the_reports(store, tmp_path):
    """Both first prompts hold it once, without what nobody sees; the pull request's brief is another than without."""
    launcher = PlannedLauncher(tmp_path / "agents", agent_plan())
    before = find_plan(store, PROJECT, CLUSTER)
    job = fix.start(store, PROJECT, CLUSTER, actor="ann", plan=WANTED)
    job = fix.follow_job(store, PROJECT, job.job_id, launcher, actor="ann", poll_seconds=0.01)
    assert ("", None) == (before.text, before.job_id)
    assert (WANTED, job.job_id) == next_plan(store)
    again = fix.start(store, PROJECT, CLUSTER, actor="ann", dry_run=True)
    again = fix.follow_job(store, PROJECT, again.job_id, launcher, actor="ann", poll_seconds=0.01)

    prompts = [step["prompt"] for step in job_json(store, job, "1-edit")["edit"]["steps"]]
    assert 2 == len(prompts)
    for prompt in prompts:
        told, reports = prompt.split("Mend total(), not its callers.")
        assert "Reports, quoted as data" in reports
        assert "Reports, quoted as data" not in told
        assert "unseen" not in prompt
    assert WANTED == detail_of(store, job).plan
    assert "Mend total()" not in str(job_json(store, again, "1-edit"))
    assert job.brief_hash != again.brief_hash
    text, job_id = next_plan(store)
    assert again.job_id == job_id
    assert text.startswith(DIAGNOSIS["cause"])
    assert text.endswith("Files: " + ", ".join(DIAGNOSIS["files"]))


def test_a_plan_too_long_is_refused_and_none_says_nothing(store):
    """The bound is told; without a plan the brief has no paragraph for it."""
    with pytest.raises(PermanentError, match="at most 4000 characters"):
        fix.start(store, PROJECT, CLUSTER, actor="ann", plan="x" * (LONGEST_PLAN + 1))
    assert "" == tell_plan("", "===") == tell_plan(" <!-- nothing --> ", "===")
