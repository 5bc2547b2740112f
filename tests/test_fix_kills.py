"""Whoever moves a job is killed at seeded moments; afterwards every job has come to its end, with one pull request."""

from __future__ import annotations

import contextlib
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

from soulcaster import fix
from soulcaster.db import write

N_JOBS, KILLS_A_JOB = 6, 4
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

    def run(self, job_id: str, *, kill_after: float | None) -> float:
        """Seconds that the child lived."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(job_id + "\n")
        self.process.stdin.flush()
        child = int(self.process.stdout.readline())
        started = time.monotonic()
        if kill_after is not None:
            time.sleep(kill_after)
            with contextlib.suppress(ProcessLookupError):  # it had come to its end already
                os.kill(child, signal.SIGKILL)
        assert "done\n" == self.process.stdout.readline()
        return time.monotonic() - started

    def close(self) -> None:
        """End it."""
        self.process.communicate()
        assert 0 == self.process.returncode


def test_a_killed_mover_loses_nothing_and_doubles_nothing(store, tmp_path):
    """One job goes through to learn how long it takes, the others are killed four times each, then all reconciled."""
    settings, clusters, forge = store
    driver = Driver(settings, tmp_path)
    ids = [fix.start(settings, PROJECT, cluster, actor="ann").job_id for cluster in clusters]
    whole = driver.run(ids[0], kill_after=None)
    moments = random.Random(20261122)  # noqa: S311  seeded on purpose
    seen = Counter()
    for job_id in ids[1:]:
        for _ in range(KILLS_A_JOB):
            driver.run(job_id, kill_after=moments.uniform(0, 0.5 * whole))
            seen[query(settings, "SELECT status FROM jobs WHERE job_id = ?", job_id)[0][0]] += 1
    driver.close()

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
    assert len(seen) > 1, f"all kills hit the same place: {seen}"
