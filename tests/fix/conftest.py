"""A forge, a store with a cluster and a repository, and a way to run jobs with an agent that does as planned."""

from __future__ import annotations

import fix_store
import pytest
from fix_store import CLUSTER, SECRET, plan
from grouping_store import PROJECT
from pydantic import SecretStr
from standins.forge import running_forge
from standins.planned_launcher import PlannedLauncher

from soulcaster import fix


@pytest.fixture
def forge(tmp_path):
    """A started forge."""
    with running_forge(tmp_path / "forge") as started:
        yield started


@pytest.fixture
def store(settings, tmp_path, forge, monkeypatch):
    """Settings over a store with a cluster and a repository; fixing is possible at once."""
    monkeypatch.setenv("NOTES_TOKEN", forge.token)
    fix_store.add_cluster(settings)
    fix_store.add_repository(settings, forge)
    return fix_store.with_script(settings, tmp_path).model_copy(update={"gemini_api_key": SecretStr(SECRET)})


@pytest.fixture
def run(store, tmp_path):
    """Starts a job and follows it; (job, launcher)."""

    def go(settings=None, *, steps=None, repository=None, **changes):
        launcher = PlannedLauncher(tmp_path / "agents", steps or plan(**changes))
        chosen = settings or store
        job = fix.start(chosen, PROJECT, CLUSTER, actor="ann", repository=repository)
        return fix.follow_job(chosen, PROJECT, job.job_id, launcher, actor="ann", poll_seconds=0.01), launcher

    return go
