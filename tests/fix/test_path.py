"""Jobs from start to pull request against a real forge, with agents that do as planned: what a user gets."""

from __future__ import annotations

import json
import re

import fix_store
import pytest
from fix_store import (
    ANSWER,
    CLUSTER,
    DIAGNOSIS,
    FIXED,
    NAME,
    NEW_TEST,
    REVIEW,
    SECRET,
    cluster_status,
    detail_of,
    job_json,
    plan,
)
from grouping_store import PROJECT
from standins.planned_launcher import HONEST_RUNS, PlannedLauncher

from soulcaster import fix, job_folders
from soulcaster.db import activity, read
from soulcaster.errors import PermanentError


def test_an_honest_fix_ends_as_one_proven_draft_pull_request(run, store, forge):
    """Edit, verify, review, publish; costs are summed, the cluster follows, each status is in the log."""
    job, launcher = run()

    [pull] = forge.pull_requests
    assert ("pr_open", "proved", pull["number"], "open") == (job.status, job.verdict, job.pr_number, job.pr_state)
    assert pull["draft"]
    assert [f"{job.job_id}-{n}" for n in (1, 2, 3)] == launcher.started
    assert (30, 3) == (job.n_tokens, job.n_requests)
    assert "pr_open" == cluster_status(store)
    log = read(store.duckdb_path, lambda con: activity.list_activity(con, PROJECT, subject=job.job_id, limit=100))
    statuses = [row["action"] for row in reversed(log) if row["action"].startswith("fix-")]
    assert [
        "queued",
        "launching",
        "running",
        "verifying",
        "verifying",
        "launching",
        "running",
        "publishing",
        "pr_open",
    ] == [each.removeprefix("fix-") for each in statuses]
    assert {"ann"} == {row["actor"] for row in log}


def test_what_goes_out_is_made_of_our_words(run, forge):
    """Title and branch hold ids, counts and file names; no report and no author is quoted."""
    job, _ = run()

    [pull] = forge.pull_requests
    assert f"Fix notes.py: 3 user reports (cluster {CLUSTER[:8]})" == pull["title"]
    assert job.branch == f"soulcaster/c{CLUSTER[:8]}-{job.brief_hash[:8]}" == pull["head"]["ref"]
    for word in ("first row is missing", "user11", "first line never"):
        assert word not in pull["body"]
    assert "- addressed: r1 (github)\n- nothing is said of: r2 (github)\n" in pull["body"]
    assert [("Fixes", "Refs"), {"11", "12"}] == references(pull)


def test_an_issue_that_is_addressed_in_part_stays_open(run, forge):
    """The pull request refers to it; what the agent says twice counts as the lesser."""
    answer = {**ANSWER, "addressed": ["r1", "r2"], "partly": ["r2"], "not_addressed": ["r7"]}
    run(fix={"files": {"notes.py": FIXED, "tests/test_notes.py": NEW_TEST}, "answer": json.dumps(answer)})

    [pull] = forge.pull_requests
    assert [("Fixes", "Refs"), {"11", "12"}] == references(pull)
    assert "- partly: r2 (github)\n" in pull["body"]
    assert "r7" not in pull["body"], "there is no such report"


def references(pull):
    """Words that close or refer, in their order, and the issues."""
    found = re.findall(r"^(Fixes|Refs) #(\d+)$", pull["body"], re.MULTILINE)
    return [tuple(word for word, _ in found), {number for _, number in found}]


def test_the_commit_says_where_it_comes_from_and_who_clicked(store, tmp_path, forge):
    """Trailers name job, cluster, base, proof and tool; an actor with an address is a co-author."""
    launcher = PlannedLauncher(tmp_path / "agents", plan())
    job = fix.start(store, PROJECT, CLUSTER, actor="Ann Lee <ann@example.org>")
    job = fix.follow_job(store, PROJECT, job.job_id, launcher, actor="ann", poll_seconds=0.01)

    said = forge.git(NAME, "show", "-s", "--format=%(trailers)", job.branch).splitlines()
    assert {
        f"Soulcaster-Job: {job.job_id}", f"Soulcaster-Cluster: {CLUSTER}", f"Soulcaster-Base: {job.base_commit}",
        "Soulcaster-Proof: proved", "Soulcaster-Tool: planned 1", "Co-authored-by: Ann Lee <ann@example.org>",
    } == set(said)  # fmt: skip


def test_a_dry_run_publishes_nothing_and_leaves_the_patch(store, tmp_path, forge):
    """The reason says where."""
    launcher = PlannedLauncher(tmp_path / "agents", plan())
    job = fix.start(store, PROJECT, CLUSTER, actor="ann", dry_run=True)
    job = fix.follow_job(store, PROJECT, job.job_id, launcher, actor="ann")

    assert ("no_change", "proved") == (job.status, job.verdict)
    assert str(job_folders.path_of(store, job.job_id)) in job.reason
    assert "+    return sum(rows)" not in str(forge.pull_requests)
    assert [] == forge.pull_requests
    assert list(job_folders.path_of(store, job.job_id).glob("*-change.patch"))
    assert "new" == cluster_status(store)


def test_anonymous_evidence_waits_for_a_person(settings, tmp_path, forge, monkeypatch):
    """Nothing is started before somebody says yes, and the log says who."""
    monkeypatch.setenv("NOTES_TOKEN", forge.token)
    fix_store.add_cluster(settings, trust="anonymous")
    fix_store.add_repository(settings, forge)
    store = fix_store.with_script(settings, tmp_path)
    launcher = PlannedLauncher(tmp_path / "agents", plan())
    job = fix.start(store, PROJECT, CLUSTER, actor="flow")
    assert "waiting" == fix.follow_job(store, PROJECT, job.job_id, launcher, actor="flow").status
    assert [] == launcher.started

    fix.approve(store, PROJECT, job.job_id, actor="ann", reason="looks real")
    job = fix.follow_job(store, PROJECT, job.job_id, launcher, actor="flow", poll_seconds=0.01)

    assert "pr_open" == job.status
    assert "ann" == detail_of(store, job).approved_by
    log = read(store.duckdb_path, lambda con: activity.list_activity(con, PROJECT, subject=job.job_id, limit=100))
    assert ("ann", "Approved by ann: looks real.") in [(row["actor"], row["reason"]) for row in log]
    with pytest.raises(PermanentError, match="expected one that waits"):
        fix.approve(store, PROJECT, job.job_id, actor="ann")


def test_policy_may_ask_a_person_always(run, store):
    """Whatever the trust."""
    job, launcher = run(store.model_copy(update={"fix_approval": "always"}))
    assert ("waiting", []) == (job.status, launcher.started)


def test_a_repository_that_only_plans_gets_a_diagnosis_and_no_edit(run, store, forge):
    """One step, no patch, the cause in the job."""
    fix_store.add_repository(store, forge, mode="plan")
    job, _ = run()

    assert "no_change" == job.status
    assert DIAGNOSIS["cause"] in job.reason
    assert ["diagnose"] == [step["name"] for step in job_json(store, job, "1-edit")["edit"]["steps"]]


def test_not_fixable_is_a_good_answer_and_ends_early(run, store):
    """The cluster is free again, the reason is kept."""
    said = {**DIAGNOSIS, "fixability": "not_actionable", "cause": "a wish"}
    job, launcher = run(diagnose={"diagnosis": said, "status": "not_fixable"})

    assert ("no_change", 1) == (job.status, len(launcher.started))
    assert "a wish" in job.reason
    assert "new" == cluster_status(store)


def test_a_diagnosis_chooses_among_allowed_repositories_only(run, store, forge):
    """Where routes leave several, the newest diagnosis decides the next job; a name that is not allowed is nothing."""
    for name in ("acme/api", "acme/web"):
        fix_store.add_repository(store, forge, name=name, clone_url=forge.clone_url(NAME))
    said = {"diagnosis": {**DIAGNOSIS, "fixability": "not_actionable"}, "status": "not_fixable"}
    with pytest.raises(PermanentError, match="--repo"):
        run()

    job, _ = run(diagnose={**said, "answer": '{"repository": "evil/repo"}'}, repository=NAME)
    assert "evil" not in job.reason
    with pytest.raises(PermanentError, match="--repo"):
        run()
    job, _ = run(diagnose={**said, "answer": '{"cause": "x", "repository": "ACME/web"}'}, repository=NAME)
    assert "acme/web" in job.reason
    assert "acme/web" == fix.start(store, PROJECT, CLUSTER, actor="ann").repository


@pytest.mark.parametrize(
    ("fix_step", "status"),
    [
        ({}, "no_change"),
        ({"status": "no_change"}, "no_change"),
        ({"status": "limit", "reason": "80 requests"}, "failed"),
        ({"status": "failed", "reason": "tool broke"}, "failed"),
    ],
)
def test_an_edit_without_result_ends_the_job_with_its_reason(run, fix_step, status):
    """Nothing is tested or published."""
    job, launcher = run(fix=fix_step)
    assert (status, 1) == (job.status, len(launcher.started))
    assert fix_step.get("reason", "") in job.reason


@pytest.mark.parametrize(
    ("files", "rule"),
    [
        ({".github/workflows/ci.yml": "on: push\n"}, "protected-path"),
        ({"notes.py": FIXED, "tests/test_notes.py": "x = 1\n"}, "test-deleted"),
        ({"notes.py": f"KEY = '{SECRET}'\n"}, "own-secret"),
    ],
)
def test_a_patch_that_policy_stops_is_neither_run_nor_published(run, store, forge, files, rule):
    """Blocked, with the finding; our secret is nowhere in the store."""
    job, launcher = run(fix={"files": files})

    assert ("blocked", 1, []) == (job.status, len(launcher.started), forge.pull_requests)
    assert rule in {each.rule for each in detail_of(store, job).findings}
    assert SECRET.encode() not in store.duckdb_path.read_bytes()


VACUOUS = {**HONEST_RUNS, "new_tests_on_base": {"t::one": "passed", "t::first": "passed"}}
BROKEN = {**HONEST_RUNS, "old_tests_on_patch": {"t::one": "failed"}}


def test_a_patch_that_does_not_hold_is_repaired_once(run, store):
    """With what the runs said, from the patch as it was."""
    job, launcher = run(verify={"queue": [VACUOUS, HONEST_RUNS]})

    assert ("pr_open", 5) == (job.status, len(launcher.started))
    asked = job_json(store, job, "3-edit")["edit"]
    assert (["repair"], True) == ([step["name"] for step in asked["steps"]], asked["starts_from_patch"])
    assert "tail of new_tests_on_base" in asked["steps"][0]["prompt"]
    assert "first row is missing" not in asked["steps"][0]["prompt"]


@pytest.mark.parametrize("runs", [VACUOUS, BROKEN])
def test_a_patch_that_does_not_hold_after_its_repair_is_blocked(run, store, forge, runs):
    """At most one round."""
    job, launcher = run(verify={"runs": runs})

    assert ("blocked", 4, []) == (job.status, len(launcher.started), forge.pull_requests)
    assert job.verdict in ("unverified", "rejected")
    assert detail_of(store, job).proof.reason in job.reason


def test_without_a_known_test_command_nothing_is_proposed_unless_the_owner_wants_it(run, store, forge):
    """Unverified is said as such, in the label too."""
    name = "acme/untested"
    forge.add_repository(name, {"notes.py": fix_store.FILES["notes.py"]})
    fix_store.add_repository(store, forge, name=name, clone_url=forge.clone_url(name), test=[])
    only = {"files": {"notes.py": FIXED}, "answer": json.dumps(ANSWER)}

    job, _ = run(fix=only, repository=name)
    assert ("blocked", "unverified", []) == (job.status, job.verdict, forge.pull_requests)

    job, _ = run(store.model_copy(update={"fix_open_unverified": True}), fix=only, repository=name)
    [pull] = forge.pull_requests
    assert "pr_open" == job.status
    assert "soulcaster:unverified" in [label["name"] for label in pull["labels"]]


def test_a_suspicious_review_blocks_and_a_doubting_one_is_told(run, forge):
    """Only suspicion stops."""
    job, _ = run(review={"review": {**REVIEW, "suspicious": True, "comment": "It sends data away."}})
    assert ("blocked", []) == (job.status, forge.pull_requests)
    assert "sends data away" in job.reason

    run(review={"review": {**REVIEW, "fixes_cause": False}})
    assert "review doubts" in forge.pull_requests[0]["body"]


def test_a_review_without_answer_is_said_in_the_pull_request(run, forge):
    """Its failure is not the patch's."""
    job, _ = run(review={"status": "limit", "reason": "out of tokens"})
    assert "pr_open" == job.status
    assert "No review of the change was made" in forge.pull_requests[0]["body"]


def test_the_review_is_shown_the_patch_and_no_feedback(run, store):
    """Strangers' words have no voice in it."""
    job, _ = run()
    prompt = job_json(store, job, "3-edit")["edit"]["steps"][0]["prompt"]
    assert "+    return sum(rows)" in prompt or "return sum(rows)" in prompt
    assert "first row is missing" not in prompt
