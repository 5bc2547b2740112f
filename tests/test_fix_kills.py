"""Whoever moves a job, and the agent, is killed at seeded moments; afterwards every job has come to its end.

The moments are counted in outside effects, not in seconds: a slow machine dies at the same places as a quick one.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import fix_store
import pytest
from fix_store import ANSWER, CLUSTER, DIAGNOSIS, FIXED, NEW_TEST, REVIEW, RUN
from grouping_store import PROJECT, query
from standins.forge import running_forge
from standins.planned_launcher import PlannedLauncher

from soulcaster import fix
from soulcaster.db import write
from soulcaster.run_bundle import list_jobs

N_JOBS, N_KILLS, N_AGENT_KILLS = 10, 80, 20
"""100 in all, of both kinds."""
PLAN = {
    "diagnose": {"diagnosis": DIAGNOSIS},
    "fix": {"files": {"notes.py": FIXED, "tests/test_notes.py": NEW_TEST}, "answer": json.dumps(ANSWER)},
    "review": {"review": REVIEW},
}
pytestmark = pytest.mark.slow


@pytest.fixture
def store(settings, tmp_path, monkeypatch):
    """(settings, cluster ids, forge): more clusters than jobs, over the same reports."""
    clusters = [CLUSTER[:-3] + f"{number:03}" for number in range(100, 160)]
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
    """One job goes through to count its effects; the others die again and again; then all are reconciled."""
    settings, clusters, forge = store
    driver = Driver(settings, tmp_path)
    ids = [fix.start(settings, PROJECT, cluster, actor="ann").job_id for cluster in clusters[:N_JOBS]]
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


def test_killed_agents_are_started_once_more_and_then_the_job_says_why_it_ended(store, tmp_path):
    """Holder, edit and test runs of the real launcher die; each job ends with one pull request or with a reason."""
    settings, clusters, forge = store
    calls = "[test() for name, test in vars(test_notes).items() if name[:4] == 'test']"
    run_all = f"import sys; sys.path.insert(0, 'tests'); import test_notes; {calls}"
    fix_store.add_repository(settings, forge, test=[sys.executable, "-c", run_all])
    here = Path(__file__).parent
    shutil.copytree(here.parent / "agent", tmp_path / "code" / "agent", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(here / "dying.py", tmp_path / "code" / "agent")
    with (tmp_path / "code" / "agent" / "__init__.py").open("a") as file:
        file.write("\nfrom agent import dying  # noqa\n")
    unheld = settings.model_copy(update={"agent_sandbox": "none"})
    (tmp_path / "settings.json").write_text(json.dumps(unheld.model_dump(mode="json", exclude_none=True)))
    done = subprocess.run(
        [sys.executable, str(here / "agents_driver.py"), str(tmp_path / "settings.json"), json.dumps(clusters),
         str(N_AGENT_KILLS), "20261123"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (tmp_path / "code", here, here.parent)))},
        stdout=subprocess.PIPE, check=True, text=True,
    )  # fmt: skip
    told = json.loads(done.stdout)

    assert N_AGENT_KILLS == sum(told["fallen"].values())
    assert {"supervise", "edit", "verify"} == set(told["fallen"])
    jobs = {job.job_id: job for job in list_jobs(settings, PROJECT, limit=1000)}
    assert set(told["jobs"]) == set(jobs)
    assert {"pr_open", "failed"} == {job.status for job in jobs.values()}, jobs
    reasons = [job.reason for job in jobs.values() if job.status == "failed"]
    assert [] == [reason for reason in reasons if "ended without a result" not in reason]
    opened = sorted(job.branch for job in jobs.values() if job.status == "pr_open")
    assert opened == sorted(pull["head"]["ref"] for pull in forge.pull_requests)
    left = [path for path in Path("/proc").glob("[0-9]*/cmdline") if str(settings.home) in read_quietly(path)]
    assert [] == left, "an agent outlived its job"


def read_quietly(path: Path) -> str:
    """Text of a file that may be gone."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
