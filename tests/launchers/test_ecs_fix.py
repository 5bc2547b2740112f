"""A cluster becomes a draft pull request by way of tasks on ECS, whoever is killed or taken away meanwhile."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import fix_store
import pytest
from ecs_store import FAMILY, Cloud, environment, running_cloud
from fix_store import CLUSTER
from grouping_store import PROJECT
from standins.ecs_server import CLUSTER as ECS_CLUSTER
from standins.forge import Forge, running_forge
from standins.s3_server import BUCKET, REGION, S3, running_s3

from soulcaster import fix
from soulcaster.errors import PermanentError, TransientError
from soulcaster.fix_models import FINAL_STATUSES, Job
from soulcaster.job_view import view_job
from soulcaster.launchers.ecs import EcsLauncher
from soulcaster.launching import check_ready, make_launcher
from soulcaster.run_bundle import write_bundle
from soulcaster.settings import Settings

DRIVER = """
import json, sys
from pathlib import Path
from soulcaster import fix
from soulcaster.launchers.ecs import EcsLauncher
from soulcaster.launchers.ecs_calls import EcsPlace
from soulcaster.settings import Settings
settings = Settings(**json.loads(sys.argv[1]), _env_file=None)
launcher = EcsLauncher(EcsPlace.model_validate(json.loads(sys.argv[2])), model_url="", poll_seconds=(0.25, 0.5))
fix.follow_job(settings, settings.project, sys.argv[3], launcher, actor="driver", poll_seconds=0.3)
"""
SAID = {
    "launcher": "ecs", "ecs_region": REGION, "ecs_cluster": ECS_CLUSTER, "ecs_task_definition": FAMILY,
    "ecs_subnets": "subnet-1, subnet-2", "ecs_security_groups": "sg-1", "ecs_bucket": BUCKET,
}  # fmt: skip


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    """One S3 for the file: it takes a while to start."""
    with running_s3() as made:
        yield made


@pytest.fixture
def cloud(s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """An ECS that runs tasks, and an S3."""
    with running_cloud(s3, tmp_path / "ecs", monkeypatch) as made:
        yield made


@pytest.fixture
def forge(tmp_path: Path) -> Iterator[Forge]:
    """A started forge."""
    with running_forge(tmp_path / "forge") as started:
        yield started


@pytest.fixture
def store(settings: Settings, tmp_path: Path, forge: Forge, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings over a store with a cluster and a repository; the agent replays an honest fix."""
    monkeypatch.setenv("NOTES_TOKEN", forge.token)
    fix_store.add_cluster(settings)
    fix_store.add_repository(settings, forge)
    return fix_store.with_script(settings, tmp_path).model_copy(update=SAID)


def bring_on(store: Settings, launcher: EcsLauncher, job: Job) -> Job:
    """What the scheduled flow does, until the job has ended."""
    deadline = time.monotonic() + 240
    while job.status not in FINAL_STATUSES:
        assert time.monotonic() < deadline, f"{job.status}: {job.reason}"
        [job] = fix.reconcile(store, PROJECT, launcher)
        time.sleep(0.4)
    return job


def test_a_killed_caller_s_tasks_are_found_again_and_end_as_one_pull_request(store, cloud, forge):
    """The flow dies with the task just started; reconcile attaches, tests run in tasks too, one proven draft."""
    launcher = cloud.launcher()
    job = fix.start(store, PROJECT, CLUSTER, actor="ann")
    caller = subprocess.Popen(
        [
            sys.executable, "-c", DRIVER, store.model_dump_json(exclude_none=True, exclude={"log_level"}),
            launcher.place.model_dump_json(), job.job_id,
        ],
        env={**os.environ, **environment(cloud.ecs, cloud.s3)}, start_new_session=True,
    )  # fmt: skip
    cloud.ecs.after_run = lambda: os.killpg(caller.pid, signal.SIGKILL)
    assert -signal.SIGKILL == caller.wait(200)
    cloud.ecs.after_run = lambda: None

    job = bring_on(store, launcher, job)

    [pull] = forge.pull_requests
    assert ("pr_open", "proved", "container", "ecs") == (job.status, job.verdict, job.sandbox, job.launcher), job.reason
    assert pull["draft"]
    assert [f"{job.job_id}-{n}" for n in (1, 2, 3)] == [task.request["startedBy"] for task in cloud.ecs.tasks.values()]
    links = [each.log_link for each in view_job(store, PROJECT, job.job_id).launches]
    assert [task.arn[-32:] for task in cloud.ecs.tasks.values()] == [link[-32:] for link in links]
    assert forge.token not in json.dumps([task.request for task in cloud.ecs.tasks.values()])


def test_a_task_that_spot_takes_away_is_tried_once_more_on_demand(store, cloud, forge):
    """The edit is interrupted, its second try asks for Fargate itself; the job ends as if nothing had happened."""
    fix_store.add_repository(store, forge, mode="plan")
    launcher = cloud.launcher(is_spot=True)
    job = fix.start(store, PROJECT, CLUSTER, actor="ann")
    taken: list[str] = []

    def take_away() -> None:
        if not taken:
            taken.append(cloud.ecs.task.arn)
            cloud.ecs.end(cloud.ecs.task.arn, "SpotInterruption", "Your Spot Task was interrupted.")

    cloud.ecs.after_run = take_away
    job = fix.follow_job(store, PROJECT, job.job_id, launcher, actor="ann", poll_seconds=0.3)

    assert ("no_change", 2) == (job.status, job.attempt), job.reason
    assert "Plan only, the repository's mode. Cause: total() leaves out the first row" in job.reason
    assert ["spot", "FARGATE"] == [task.request.get("launchType", "spot") for task in cloud.ecs.tasks.values()]


def test_a_job_whose_containers_died_shows_what_they_wrote(store, cloud):
    """Tickets that expired: two tasks end without a result, and job and bundle show the end of their logs."""
    cloud.ecs.ship_logs = cloud.ship_logs
    cloud.s3.later = timedelta(hours=1)
    job = fix.start(store, PROJECT, CLUSTER, actor="ann")
    try:
        job = fix.follow_job(store, PROJECT, job.job_id, cloud.launcher(), actor="ann", poll_seconds=0.3)
    finally:
        cloud.s3.later = timedelta(0)

    launches = view_job(store, PROJECT, job.job_id).launches
    assert ("failed", 2) == (job.status, len(launches)), job.reason
    for each in launches:
        assert "the last that agent wrote: 'task: Fetching the ticket failed" in str(each.launch.outcome)
        assert "status 403" in each.log_tail
    with zipfile.ZipFile(write_bundle(store, PROJECT, job.job_id)) as bundle:
        assert b"status 403" in bundle.read("2-edit/launch/container.log")


def test_cancelling_stops_the_task(settings, store, tmp_path, cloud, forge):
    """The agent ends, its work so far is kept, nothing is published."""
    slow = fix_store.with_script(settings, tmp_path, diagnose={"sleep_seconds": 600, "answer": "late"})
    store = store.model_copy(update={"agent_script": slow.agent_script})
    launcher = cloud.launcher()
    job = fix.start(store, PROJECT, CLUSTER, actor="ann")
    fix.advance_until_rest(store, PROJECT, job.job_id, launcher, actor="ann")

    fix.cancel(store, PROJECT, job.job_id, actor="ann", launcher=launcher)

    assert cloud.ecs.task.ended.wait(200), "it was told to; nobody waited"
    assert ("STOPPED", "UserInitiated") == (cloud.ecs.task.status, cloud.ecs.task.stop_code)
    assert [] == forge.pull_requests
    with pytest.raises(TransientError, match="another launcher"):
        launcher.poll(f"{job.job_id}-1:{tmp_path}")


def test_settings_name_the_place_and_doctor_says_what_it_lacks(store, cloud):
    """Names are split, a missing one is named; doctor reads cluster, definition and bucket, and says what is wrong."""
    launcher = make_launcher(store)
    assert isinstance(launcher, EcsLauncher)
    assert ("subnet-1", "subnet-2") == launcher.place.subnets
    with pytest.raises(PermanentError, match=r"needs SOULCASTER_ECS_CLUSTER, SOULCASTER_ECS_BUCKET"):
        check_ready(store.model_copy(update={"ecs_cluster": "", "ecs_bucket": ""}))
    store = store.model_copy(update={"project": PROJECT})
    assert "the agent can run on Fargate: cluster fixes" in told(store)

    cloud.ecs.definition["taskRoleArn"] = "arn:aws:iam::1:role/mighty"
    cloud.ecs.definition["containerDefinitions"][0] |= {"secrets": [{"name": "X", "valueFrom": "x"}], "user": "0"}
    found = told(store)
    for words in ("it has a task role", "only 'gateway' may have the model key", "'agent' runs as root"):
        assert words in found
    assert "NoSuchBucket" in told(store.model_copy(update={"ecs_bucket": "other"})) or "404" in told(
        store.model_copy(update={"ecs_bucket": "other"})
    )
    store = store.model_copy(update={"ecs_log_group": "/other"})
    cloud.ecs.definition["containerDefinitions"][0]["logConfiguration"]["options"]["awslogs-group"] = "/gone"
    cloud.ecs.definition["containerDefinitions"][1]["secrets"][0]["valueFrom"] = cloud.secret_without_value()
    found = told(store)
    for words in (
        "model-key-empty", "has no value yet", "Looking for log group '/gone' was refused with ResourceNotFound",
        "no container writes to '/other'",
    ):  # fmt: skip
        assert words in found
    cloud.ecs.definition["containerDefinitions"][1]["secrets"][0]["valueFrom"] += "-not-there:key::"
    assert "-not-there' was refused with ResourceNotFound" in told(store)
    assert "no active cluster 'gone'" in told(store.model_copy(update={"ecs_cluster": "gone"}))


def told(store: Settings) -> str:
    """What `doctor` says of fixes."""
    return " ".join(message for subject, _, message in fix.examine(store) if subject == "fixes")
