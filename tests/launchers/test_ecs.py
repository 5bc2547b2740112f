"""EcsLauncher: one task a token, found again by anybody, its files by presigned addresses alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
from ecs_store import Cloud, ask, environment, running_cloud, wait
from job_folders import SCHEMAS, make_edit, make_verify, read_report
from standins.ecs_server import error, no_place
from standins.s3_server import BUCKET, S3, running_s3
from standins.wire_server import failure
from waiting import wait_for_text

from soulcaster.errors import PermanentError, TransientError
from soulcaster.fix_models import LaunchState

FILES: dict[str, str | bytes] = {"sums.py": "def add(a, b):\n    return a - b\n"}
FIX = {"fix": {"files": {"sums.py": "def add(a, b):\n    return a + b\n"}}}
SLOW = {"fix": {"files": {"a.txt": "a\n"}, "sleep_seconds": 600}}
ENDED = LaunchState(state="ended", exit_code=0)
NOT_STARTED = "CannotPullContainerError: pull image manifest has been retried"


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


def test_a_task_edits_and_its_results_come_back(tmp_path: Path, cloud: Cloud):
    """Patch and report of the container lie in the folder, as a local launch leaves them; nothing else came."""
    folder = make_edit(tmp_path / "job", FILES, FIX)
    launcher = cloud.launcher()
    handle = launcher.launch(ask(folder))

    assert ENDED == wait(launcher, handle)

    report = read_report(folder)
    assert ("done", "container", ["sums.py"]) == (report["status"], report["sandbox"], report["files_changed"])
    assert "return a + b" in (folder / "change.patch").read_text()
    outputs = {"report.json", "change.patch", "events.jsonl", "log.txt"}
    assert {"job.json", "source.tar.gz", "launch"} | outputs == {path.name for path in folder.iterdir()}
    assert {f"soulcaster/t-1/out/{name}" for name in outputs | {"ended.json"}} < set(cloud.s3.list_keys())


def test_what_is_asked_of_ecs_holds_one_address_and_no_secret(tmp_path: Path, cloud: Cloud):
    """Whoever may describe tasks reads the overrides: the ticket's address alone, which soon holds no more."""
    folder = make_edit(tmp_path / "job", FILES, FIX)
    wait(launcher := cloud.launcher(), launcher.launch(ask(folder)))
    (words,) = cloud.ecs.called("RunTask")
    agent, gateway = words["overrides"]["containerOverrides"]

    assert ("t-1", "FARGATE", False, 1) == (
        words["startedBy"], words["launchType"], words["enableExecuteCommand"], words["count"],
    )  # fmt: skip
    assert ["task"] == agent["command"]
    assert ["SOULCASTER_AGENT_TICKET"] == [each["name"] for each in agent["environment"]]
    assert "environment" not in gateway, "without a model the gateway stays closed"
    assert len(json.dumps(words["overrides"])) < 8192
    assert "X-Amz-Expires=1800" in agent["environment"][0]["value"]
    ticket = json.loads(cloud.s3.client.get_object(Bucket=BUCKET, Key="soulcaster/t-1/ticket.json")["Body"].read())
    jsonschema.validate(ticket, json.loads((SCHEMAS / "ticket.json").read_text()))
    seal = json.loads(cloud.s3.client.get_object(Bucket=BUCKET, Key="soulcaster/t-1/out/ended.json")["Body"].read())
    jsonschema.validate(seal, json.loads((SCHEMAS / "ended.json").read_text()))


def test_the_same_token_never_starts_two(tmp_path: Path, cloud: Cloud):
    """A second launch attaches: from another launcher, while it runs, and after its end."""
    folder = make_edit(tmp_path / "job", FILES, SLOW)
    launcher = cloud.launcher()
    handle = launcher.launch(ask(folder))

    assert handle == cloud.launcher().launch(ask(folder))
    launcher.stop(handle)
    assert handle == launcher.launch(ask(folder))
    assert 1 == len(cloud.ecs.called("RunTask"))


def test_a_folder_that_was_made_anew_attaches_by_the_conflict(tmp_path: Path, cloud: Cloud):
    """Other addresses under the same token: ECS answers with a conflict, which names the task that runs."""
    cloud.ecs.fails_to_start = NOT_STARTED
    folder = make_edit(tmp_path / "job", FILES, SLOW)
    handle = cloud.launcher().launch(ask(folder))
    (folder / "launch" / "ecs.json").unlink()
    time.sleep(1)  # addresses signed within one second are equal

    assert handle == cloud.launcher().launch(ask(folder))
    assert 2 == len(cloud.ecs.called("RunTask"))
    assert 1 == len(cloud.ecs.tasks)


def test_a_caller_killed_between_request_and_answer_is_found_again(tmp_path: Path, cloud: Cloud):
    """The stored request is sent again, byte for byte: the same task, and no second one."""
    folder = make_edit(tmp_path / "job", FILES, FIX)
    code = (
        "import sys, json; from pathlib import Path; from soulcaster.fix_models import LaunchRequest\n"
        "from soulcaster.launchers.ecs import EcsLauncher; from soulcaster.launchers.ecs_calls import EcsPlace\n"
        "made = EcsLauncher(EcsPlace.model_validate(json.loads(sys.argv[2])), model_url='', progress_seconds=0.2)\n"
        "made.launch(LaunchRequest(token='t-1', mode='edit', folder=Path(sys.argv[1]), deadline_seconds=100))\n"
    )
    launcher = cloud.launcher()
    caller = subprocess.Popen(
        [sys.executable, "-c", code, folder, launcher.place.model_dump_json()],
        env={**os.environ, **environment(cloud.ecs, cloud.s3)}, start_new_session=True,
    )  # fmt: skip
    cloud.ecs.after_run = lambda: os.killpg(caller.pid, signal.SIGKILL)
    assert -signal.SIGKILL == caller.wait(200)
    cloud.ecs.after_run = lambda: None
    assert "" == json.loads((folder / "launch" / "ecs.json").read_text())["task"]

    handle = launcher.launch(ask(folder))

    assert ENDED == wait(launcher, handle)
    first, second = cloud.ecs.called("RunTask")
    assert first == second
    assert 1 == len(cloud.ecs.tasks)


def test_a_running_task_shows_its_progress(tmp_path: Path, cloud: Cloud):
    """Log and report are brought along while it runs; stopping it keeps the partial work."""
    folder = make_edit(tmp_path / "job", FILES, SLOW)
    launcher = cloud.launcher()
    handle = launcher.launch(ask(folder))

    wait_for_text(folder / "events.jsonl", "wrote a.txt", meanwhile=lambda: launcher.poll(handle))
    wait_for_text(folder / "report.json", "running", meanwhile=lambda: launcher.poll(handle))
    assert "running" == read_report(folder)["status"]
    launcher.stop(handle)

    state = launcher.poll(handle)
    assert ("ended", 143, False) == (state.state, state.exit_code, state.is_infrastructure)
    assert "UserInitiated; Soulcaster ended the launch" in state.reason
    assert "interrupted" == read_report(folder)["status"]
    assert "a.txt" in (folder / "change.patch").read_text()
    launcher.stop(handle)


def test_spot_that_is_taken_away_is_the_place_s_fault_and_the_second_try_is_on_demand(tmp_path: Path, cloud: Cloud):
    """The first task runs on Spot and is interrupted, its work is kept; the next request asks for Fargate itself."""
    folder = make_edit(tmp_path / "job", FILES, SLOW)
    launcher = cloud.launcher(is_spot=True)
    handle = launcher.launch(ask(folder))
    wait_for_text(folder / "events.jsonl", "wrote a.txt", meanwhile=lambda: launcher.poll(handle))
    cloud.ecs.end(cloud.ecs.task.arn, "SpotInterruption", "Your Spot Task was interrupted.")

    state = wait(launcher, handle)
    again = make_edit(tmp_path / "again", FILES, FIX)
    assert ENDED == wait(launcher, launcher.launch(ask(again, token="t-2", is_second_try=True)))

    assert ("ended", True) == (state.state, state.is_infrastructure)
    assert "SpotInterruption" in state.reason
    assert "a.txt" in (folder / "change.patch").read_text()
    first, second = cloud.ecs.called("RunTask")
    assert [{"capacityProvider": "FARGATE_SPOT", "weight": 1}] == first["capacityProviderStrategy"]
    assert ("FARGATE", None) == (second.get("launchType"), second.get("capacityProviderStrategy"))
    assert "launchType" not in first


def test_spot_without_a_place_is_asked_for_on_demand_at_once(tmp_path: Path, cloud: Cloud):
    """The refusal started nothing; the next request has a token of its own."""
    cloud.ecs.refusals.append(no_place())
    cloud.ecs.fails_to_start = NOT_STARTED
    cloud.launcher(is_spot=True).launch(ask(make_edit(tmp_path / "job", FILES, FIX)))

    first, second = cloud.ecs.called("RunTask")
    assert ("FARGATE", True) == (second["launchType"], first["clientToken"] != second["clientToken"])


def test_no_place_on_demand_is_tried_again_later(tmp_path: Path, cloud: Cloud):
    """A transient error with the reason; the same call finds a place afterwards."""
    cloud.ecs.refusals.append(no_place("RESOURCE:CPU"))
    cloud.ecs.fails_to_start = NOT_STARTED
    folder = make_edit(tmp_path / "job", FILES, FIX)
    launcher = cloud.launcher()

    with pytest.raises(TransientError, match="found no place: RESOURCE:CPU"):
        launcher.launch(ask(folder))
    handle = launcher.launch(ask(folder))
    assert cloud.ecs.task.arn in handle


def test_throttling_is_waited_out(tmp_path: Path, cloud: Cloud):
    """A refusal for asking too often, and a fault over there, are no error of the launch."""
    cloud.ecs.fails_to_start = NOT_STARTED
    folder = make_edit(tmp_path / "job", FILES, FIX)
    launcher = cloud.launcher()
    cloud.ecs.wire.failures += [error("ThrottlingException", "Rate exceeded"), failure("500")]
    handle = launcher.launch(ask(folder))

    assert "ended" == launcher.poll(handle).state
    assert 1 == len(cloud.ecs.tasks)


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (error("AccessDeniedException", "not authorized to perform ecs:RunTask"), PermanentError, "AccessDenied"),
        (error("InvalidParameterException", "TaskDefinition is inactive"), PermanentError, "inactive"),
    ],
)
def test_a_refusal_for_good_says_what_aws_said(tmp_path: Path, cloud: Cloud, answer, kind, words):
    """Rights and parameters need a person; nothing was started."""
    cloud.ecs.wire.failures.append(answer)
    folder = make_edit(tmp_path / "job", FILES, FIX)

    with pytest.raises(kind, match=words):
        cloud.launcher().launch(ask(folder))
    assert {} == cloud.ecs.tasks


def test_a_task_that_cannot_start_has_failed(tmp_path: Path, cloud: Cloud):
    """Image, secret, quota: no fault that goes away by itself; the reason and the log's address are told."""
    cloud.ecs.fails_to_start = NOT_STARTED
    folder = make_edit(tmp_path / "job", FILES, FIX)
    launcher = cloud.launcher()

    state = wait(launcher, launcher.launch(ask(folder)))

    assert ("ended", None, False) == (state.state, state.exit_code, state.is_infrastructure)
    assert "TaskFailedToStart; CannotPullContainerError" in state.reason
    assert "log: https://eu-central-1.console.aws.amazon.com/cloudwatch/" in state.reason
    assert f"$252Fsoulcaster$252Fagent/log-events/agent$252Fagent$252F{cloud.ecs.task.arn[-32:]}" in state.reason


def test_a_killed_container_names_memory_and_is_not_repeated(tmp_path: Path, cloud: Cloud):
    """Exit code 137 without a seal: what was handed over before is there, and not final."""
    folder = make_edit(tmp_path / "job", FILES, SLOW)
    launcher = cloud.launcher()
    handle = launcher.launch(ask(folder))
    wait_for_text(folder / "events.jsonl", "wrote a.txt", meanwhile=lambda: launcher.poll(handle))
    cloud.ecs.end(cloud.ecs.task.arn, "EssentialContainerExited", "Essential container exited", signal.SIGKILL)

    state = wait(launcher, handle)

    assert (137, False) == (state.exit_code, state.is_infrastructure)
    assert "out of memory" in state.reason
    assert "running" == read_report(folder)["status"]


def test_a_forgotten_task_is_judged_by_its_seal(tmp_path: Path, cloud: Cloud):
    """An hour later ECS knows nothing; S3 does. Without a seal the launch is missing."""
    launcher = cloud.launcher()
    folder = make_verify(tmp_path / "job", FILES, ["true"])
    handle = launcher.launch(ask(folder, mode="verify"))
    task = cloud.ecs.task
    assert task.ended.wait(200)
    cloud.ecs.forget(task.arn)
    age(folder)

    state = launcher.poll(handle)

    assert ("ended", 0) == (state.state, state.exit_code)
    assert "done" == read_report(folder)["runs"]["baseline"]["status"]
    cloud.s3.client.delete_object(Bucket=BUCKET, Key="soulcaster/t-1/out/ended.json")
    assert "missing" == launcher.poll(handle).state
    launcher.stop(handle)


def test_an_old_request_is_signed_anew_unless_its_task_ran(tmp_path: Path, cloud: Cloud):
    """A stored request whose address holds no more: found by the results it left, else started with a new one."""
    launcher = cloud.launcher()
    folder = make_edit(tmp_path / "job", FILES, FIX)
    wait(launcher, launcher.launch(ask(folder)))
    cloud.ecs.forget(cloud.ecs.task.arn)
    age(folder, task="")

    assert "ended" == wait(launcher, handle := launcher.launch(ask(folder))).state
    assert " - " in handle
    assert 1 == len(cloud.ecs.called("RunTask"))

    cloud.s3.clear()
    age(folder, task="")
    assert ENDED == wait(launcher, launcher.launch(ask(folder)))
    assert 2 == len(cloud.ecs.called("RunTask"))


def test_just_after_its_start_a_task_may_be_unknown(tmp_path: Path, cloud: Cloud):
    """DescribeTasks lags behind RunTask: that is no missing task."""
    cloud.ecs.fails_to_start = NOT_STARTED
    folder = make_edit(tmp_path / "job", FILES, FIX)
    launcher = cloud.launcher()
    handle = launcher.launch(ask(folder))
    task = cloud.ecs.tasks.pop(cloud.ecs.task.arn)

    assert "running" == launcher.poll(handle).state
    cloud.ecs.tasks[task.arn] = task
    assert "ended" == wait(launcher, handle).state


def test_a_folder_of_another_launch_or_without_a_job_is_refused(tmp_path: Path, cloud: Cloud):
    """Two tokens in one folder would mix two attempts."""
    cloud.ecs.fails_to_start = NOT_STARTED
    launcher = cloud.launcher()
    folder = make_edit(tmp_path / "job", FILES, FIX)
    launcher.launch(ask(folder))

    with pytest.raises(PermanentError, match="belongs to another launch"):
        launcher.launch(ask(folder, token="t-2"))
    with pytest.raises(PermanentError, match=r"no job\.json"):
        launcher.launch(ask(tmp_path / "nothing"))
    assert "missing" == launcher.poll(f"t-1 arn:none {tmp_path}/gone").state


def age(folder: Path, **fields: object) -> None:
    """Make the launcher's note of the folder two hours old."""
    path = folder / "launch" / "ecs.json"
    state = json.loads(path.read_text())
    path.write_text(json.dumps(state | {"started_at": 0.0, "usable_until": time.time() - 7200} | fields))
