"""Whoever moves a job, and the agent, is killed at seeded moments; afterwards every job has come to its end.

The moments are counted in outside effects, not in seconds: a slow machine dies at the same places as a quick one.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import fix_store
import pytest
from fix_store import ANSWER, CLUSTER, DIAGNOSIS, FIXED, NEW_TEST, REVIEW, RUN
from grouping_store import PROJECT, query
from standins.forge import running_forge
from standins.planned_launcher import PlannedLauncher

from soulcaster import fix, job_folders
from soulcaster.db import write
from soulcaster.fix_models import FINAL_STATUSES
from soulcaster.job_view import view_job
from soulcaster.launching import make_launcher
from soulcaster.run_bundle import list_jobs

N_JOBS, N_KILLS = 12, 100
PLAN = {
    "diagnose": {"diagnosis": DIAGNOSIS},
    "fix": {"files": {"notes.py": FIXED, "tests/test_notes.py": NEW_TEST}, "answer": json.dumps(ANSWER)},
    "review": {"review": REVIEW},
}
pytestmark = pytest.mark.slow


@pytest.fixture
def store(settings, tmp_path, monkeypatch):
    """(settings, cluster ids, forge): as many clusters as jobs, over the same reports."""
    clusters = [CLUSTER[:-3] + f"{number:03}" for number in range(100, 100 + N_JOBS)]
    with running_forge(tmp_path / "forge") as forge:
        monkeypatch.setenv("NOTES_TOKEN", forge.token)
        fix_store.add_cluster(settings)
        fix_store.add_repository(settings, forge)

        def insert(con):
            for number, cluster in enumerate(clusters, start=1):
                con.execute(
                    "INSERT INTO clusters (cluster_id, project_id, status, terms, created_at, changed_at) "
                    "VALUES (?, ?, 'new', [], now(), now())",
                    [cluster, PROJECT],
                )
                con.execute(
                    "INSERT INTO memberships SELECT run_id, project_id, item_id, ?, ?::UUID, theme_id, 1.0, true, 0.9, "
                    "reason FROM memberships WHERE run_id = ? AND label = 0",
                    [number, cluster, RUN],
                )

        write(settings.duckdb_path, insert)
        chosen = fix_store.with_script(settings, tmp_path)
        yield chosen.model_copy(update={"fix_repository_jobs_per_day": 1000}), clusters, forge


class Driver:
    """The process whose children are killed."""

    def __init__(self, settings, folder: Path) -> None:
        fields = settings.model_dump(mode="json", exclude_none=True)
        (folder / "settings.json").write_text(json.dumps(fields))
        (folder / "plan.json").write_text(json.dumps(PLAN))
        words = [str(folder / "settings.json"), str(folder / "agents"), str(folder / "plan.json")]
        here = Path(__file__).parent
        path = f"{here}{os.pathsep}{here.parent}"
        self.process = subprocess.Popen(
            [sys.executable, str(here / "fix_driver.py"), *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path},
        )  # fmt: skip

    def run(self, job_id: str, moment: int) -> int:
        """Effects up to the end of a child that dies at the moment, or lives when it is 0."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{job_id} {moment}\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def close(self) -> None:
        """End it."""
        self.process.communicate()
        assert 0 == self.process.returncode


def test_a_killed_mover_loses_nothing_and_doubles_nothing(store, tmp_path):
    """One job goes through to count its effects; the others die 100 times; then all are reconciled."""
    settings, clusters, forge = store
    driver = Driver(settings, tmp_path)
    ids = [fix.start(settings, PROJECT, cluster, actor="ann").job_id for cluster in clusters]
    whole = driver.run(ids[0], 0)
    moments = random.Random(20261122)  # noqa: S311  seeded on purpose
    seen, n_kills = Counter(), 0
    under_way = ids[1:]
    while under_way and n_kills < N_KILLS:
        for job_id in under_way:
            # Every child goes on where the last one died: some die soon, some get on.
            moment = moments.randint(1, moments.choice((whole // 10, whole // 3)))
            n_kills += driver.run(job_id, moment) == moment
            seen[query(settings, "SELECT status FROM jobs WHERE job_id = ?", job_id)[0][0]] += 1
        ended = {row[0] for row in query(settings, "SELECT job_id FROM jobs WHERE status = 'pr_open'")}
        under_way = [job_id for job_id in under_way if job_id not in ended]
    driver.close()
    assert n_kills >= N_KILLS, (n_kills, seen)
    assert len(seen) >= 4, f"too many kills hit the same place: {seen}"

    launcher = PlannedLauncher(tmp_path / "agents", PLAN)
    for _ in range(5):
        if not [job for job in fix.reconcile(settings, PROJECT, launcher) if job.status != "pr_open"]:
            break

    jobs = query(settings, "SELECT job_id, status, branch, pr_number, attempt, reason FROM jobs")
    assert {"pr_open"} == {status for _, status, *_ in jobs}, jobs
    heads = Counter(pull["head"]["ref"] for pull in forge.pull_requests)
    assert {branch: 1 for _, _, branch, *_ in jobs} == heads
    assert len({number for _, _, _, number, *_ in jobs}) == len(jobs) == N_JOBS
    assert {3} == {attempt for *_, attempt, _ in jobs}
    assert 3 * N_JOBS == len(launcher.started)


def kill_agent(settings, launcher, job_id: str, purpose: str) -> None:
    """Bring the job to a launch of this purpose and kill, as the machine would, what holds it."""
    job = fix.advance(settings, PROJECT, job_id, launcher)
    while not (launch := view_job(settings, PROJECT, job_id).launches) or launch[-1].launch.purpose != purpose:
        job = fix.advance(settings, PROJECT, job_id, launcher)
        assert job.status not in FINAL_STATUSES, job.reason
    while view_job(settings, PROJECT, job_id).launches[-1].launch.handle is None:
        fix.advance(settings, PROJECT, job_id, launcher)
    state = job_folders.folder_of(settings, view_job(settings, PROJECT, job_id).launches[-1].launch) / "launch"
    holder = json.loads((state / "state.json").read_text())
    if holder["state"] == "running":
        os.kill(holder["pid"], signal.SIGKILL)


def test_a_killed_agent_is_started_once_more_and_then_the_job_says_why_it_ended(store, tmp_path):
    """The real launcher and agent: killed once, the job still ends with its pull request; twice, with a reason."""
    settings, clusters, forge = store
    files = {"notes.py": FIXED, "tests/test_notes.py": NEW_TEST}
    quick = {"files": files, "answer": json.dumps(ANSWER)}
    settings = fix_store.with_script(settings, tmp_path, fix={**quick, "sleep_seconds": 600})
    calls = "[test() for name, test in vars(test_notes).items() if name[:4] == 'test']"
    run_all = f"import sys; sys.path.insert(0, 'tests'); import test_notes; {calls}"
    test = [sys.executable, "-c", run_all]
    fix_store.add_repository(settings, forge, test=test)
    launcher = make_launcher(settings)

    once = fix.start(settings, PROJECT, clusters[0], actor="ann")
    kill_agent(settings, launcher, once.job_id, "edit")
    twice = fix.start(settings, PROJECT, clusters[1], actor="ann")
    for _ in range(2):
        kill_agent(settings, launcher, twice.job_id, "edit")
    fix_store.with_script(settings, tmp_path, fix=quick)
    while [job for job in fix.reconcile(settings, PROJECT, launcher) if job.status not in FINAL_STATUSES]:
        time.sleep(0.1)

    jobs = {job.job_id: job for job in list_jobs(settings, PROJECT)}
    assert ("pr_open", "failed") == (jobs[once.job_id].status, jobs[twice.job_id].status), jobs
    assert "killed, or the machine was restarted" in jobs[twice.job_id].reason
    assert [jobs[once.job_id].pr_number] == [pull["number"] for pull in forge.pull_requests]
