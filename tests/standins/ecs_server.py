"""A stand-in for ECS on loopback, as boto3 speaks to it: a task really runs, one process a container of its definition.

A container gets the image's environment, what the definition and its secrets say, and the overrides; nothing of ours.
As root, processes run without capabilities, as in a container: of one user, yet no eyes on each other's secrets.
Each task has a loopback address of its own, as in a cloud each has one of its network.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from standins.s3_server import REGION
from standins.wire_server import Answer, Request, Wire, running

ROOT = Path(__file__).resolve().parents[2]
CLUSTER = "fixes"
_ACCOUNT = "123456789012"
_DROP = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"] if os.geteuid() == 0 else []


@dataclass
class Task:
    """One task: what was asked for, its processes by container, what became of it."""

    arn: str
    request: dict[str, Any]
    folder: Path
    address: str
    essential: str = ""
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    status: str = "PENDING"
    stop_code: str = "EssentialContainerExited"
    stopped_reason: str = "Essential container in task exited"
    ended: threading.Event = field(default_factory=threading.Event)

    def log(self, container: str) -> str:
        """What the container wrote."""
        return (self.folder / f"{container}.log").read_text()

    def described(self) -> dict[str, Any]:
        """As DescribeTasks shows it: with its overrides."""
        containers = [
            {"name": name, "lastStatus": self.status, **_exit_code(process)} for name, process in self.processes.items()
        ]
        shown = {
            "taskArn": self.arn, "lastStatus": self.status, "startedBy": self.request.get("startedBy", ""),
            "overrides": self.request.get("overrides", {}), "containers": containers,
            "attachments": [{"details": [{"name": "privateIPv4Address", "value": self.address}]}],
        }  # fmt: skip
        if self.status == "STOPPED":
            shown |= {"stopCode": self.stop_code, "stoppedReason": self.stopped_reason}
        return shown


@dataclass
class Ecs:
    """The running stand-in. `refusals` are answers to the next RunTasks that start nothing."""

    wire: Wire
    folder: Path
    definitions: dict[str, dict[str, Any]]
    secrets: dict[str, str]
    tools: Path
    tasks: dict[str, Task] = field(default_factory=dict)
    tokens: dict[str, tuple[dict[str, Any], str]] = field(default_factory=dict)
    refusals: list[Answer] = field(default_factory=list)
    fails_to_start: str = ""
    after_run: Callable[[], None] = lambda: None
    ship_logs: Callable[[Task], None] = lambda _task: None
    """Is given each task that has ended, before anybody is told that it has."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def called(self, name: str) -> list[dict[str, Any]]:
        """Parameters of all calls of that name, in order."""
        wanted = f".{name}"
        return [json.loads(each.body) for each in self.wire.requests if each.headers["x-amz-target"].endswith(wanted)]

    @property
    def definition(self) -> dict[str, Any]:
        """That of the agent."""
        return self.definitions["soulcaster-agent"]

    @property
    def task(self) -> Task:
        """The newest task."""
        return list(self.tasks.values())[-1]

    def forget(self, arn: str) -> None:
        """An hour after its end nobody knows the task, and its token is free."""
        with self.lock:
            del self.tasks[arn]
            self.tokens = {token: entry for token, entry in self.tokens.items() if entry[1] != arn}

    def end(self, arn: str, code: str, reason: str, number: signal.Signals = signal.SIGTERM) -> None:
        """End the task from outside, and wait until it has."""
        task = self.tasks[arn]
        task.stop_code, task.stopped_reason = code, reason
        _signal(task.processes[task.essential], number)
        assert task.ended.wait(200)


@contextmanager
def running_ecs(
    folder: Path, *, files: Sequence[str] = ("task-definition",), secrets: dict[str, str] | None = None,
    tools: Path | None = None,
) -> Iterator[Ecs]:  # fmt: skip
    """The started stand-in with these files of `infra/ecs`; whatever still runs is killed at the end of the block."""
    wire = Wire()
    read = [json.loads((ROOT / "infra" / "ecs" / f"{name}.json").read_text()) for name in files]
    ecs = Ecs(wire, folder, {each["family"]: each for each in read}, secrets or {}, tools or ROOT / ".tools")

    def answer(request: Request) -> Answer:
        return _answer(ecs, request)

    with running(answer, wire):
        try:
            yield ecs
        finally:
            for task in list(ecs.tasks.values()):
                _signal(task.processes.get(task.essential), signal.SIGKILL)
                assert task.ended.wait(200)


def _answer(ecs: Ecs, request: Request) -> Answer:
    words = json.loads(request.body)
    calls = {
        "RunTask": _run_task, "DescribeTasks": _describe_tasks, "StopTask": _stop_task,
        "DescribeTaskDefinition": _describe_definition, "DescribeClusters": _describe_clusters,
    }  # fmt: skip
    name = request.headers["x-amz-target"].rpartition(".")[2]
    if words.get("cluster", CLUSTER) != CLUSTER:
        return error("ClusterNotFoundException", "Cluster not found.")
    return calls[name](ecs, words)


def error(code: str, message: str, status: int = 400, **more: Any) -> Answer:
    """An error as ECS writes it."""
    return Answer(status, {"__type": code, "message": message, **more}, {"Content-Type": "application/x-amz-json-1.1"})


def no_place(reason: str = "Capacity is unavailable at this time.") -> Answer:
    """An answer of RunTask that started nothing."""
    return Answer(payload={"tasks": [], "failures": [{"reason": reason}]})


def _run_task(ecs: Ecs, words: dict[str, Any]) -> Answer:
    token = words["clientToken"]
    with ecs.lock:
        if token in ecs.tokens:
            before, arn = ecs.tokens[token]
            if before != words:
                return error("ConflictException", "The token was used with other parameters.", resourceIds=[arn])
            return Answer(payload={"tasks": [ecs.tasks[arn].described()], "failures": []})
        if ecs.refusals:
            return ecs.refusals.pop(0)
        task_id = uuid.uuid4().hex
        arn = f"arn:aws:ecs:{REGION}:{_ACCOUNT}:task/{CLUSTER}/{task_id}"
        ecs.tokens[token] = words, arn
        task = ecs.tasks[arn] = Task(arn, words, ecs.folder / task_id, f"127.0.1.{len(ecs.tokens)}")
        _start(ecs, task)
    ecs.after_run()
    return Answer(payload={"tasks": [task.described()], "failures": []})


def _start(ecs: Ecs, task: Task) -> None:
    (task.folder / "job").mkdir(parents=True)
    if ecs.fails_to_start:
        task.status, task.stop_code, task.stopped_reason = "STOPPED", "TaskFailedToStart", ecs.fails_to_start
        task.ended.set()
        return
    overrides = {each["name"]: each for each in task.request.get("overrides", {}).get("containerOverrides", [])}
    definition = ecs.definitions[task.request["taskDefinition"].partition(":")[0]]
    [task.essential] = [each["name"] for each in definition["containerDefinitions"] if each["essential"]]
    for container in sorted(definition["containerDefinitions"], key=lambda each: len(each.get("dependsOn", []))):
        task.processes[container["name"]] = _start_container(ecs, task, container, overrides.get(container["name"], {}))
    task.status = "RUNNING"
    threading.Thread(target=_wait, args=(ecs, task), daemon=True).start()


def _start_container(
    ecs: Ecs, task: Task, container: dict[str, Any], override: dict[str, Any]
) -> subprocess.Popen[bytes]:
    environment = {
        "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1",
        "SOULCASTER_AGENT_FOLDER": str(task.folder / "job"), "SOULCASTER_AGENT_TOOLS": str(ecs.tools),
        "SOULCASTER_AGENT_SANDBOX": "container", "AWS_EXECUTION_ENV": "AWS_ECS_FARGATE",
        "ECS_CONTAINER_METADATA_URI_V4": "http://127.0.0.1:9/v4/standin",
    }  # fmt: skip
    environment |= {each["name"]: each["value"] for each in container.get("environment", [])}
    environment |= {each["name"]: ecs.secrets.get(each["name"], "") for each in container.get("secrets", [])}
    environment |= {each["name"]: each["value"] for each in override.get("environment", [])}
    command = [*_DROP, sys.executable, "-s", "-P", "-m", "agent", *override.get("command", container["command"])]
    with (task.folder / f"{container['name']}.log").open("wb") as log:
        return subprocess.Popen(
            command, env=environment, cwd=task.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip


def _wait(ecs: Ecs, task: Task) -> None:
    """Until the essential container ends; then all of the task does."""
    task.processes[task.essential].wait()
    for process in task.processes.values():
        _signal(process, signal.SIGTERM)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    ecs.ship_logs(task)
    task.status = "STOPPED"
    task.ended.set()


def _describe_tasks(ecs: Ecs, words: dict[str, Any]) -> Answer:
    found = [ecs.tasks[arn].described() for arn in words["tasks"] if arn in ecs.tasks]
    failures = [{"arn": arn, "reason": "MISSING"} for arn in words["tasks"] if arn not in ecs.tasks]
    return Answer(payload={"tasks": found, "failures": failures})


def _stop_task(ecs: Ecs, words: dict[str, Any]) -> Answer:
    task = ecs.tasks.get(words["task"])
    if task is None:
        return error("InvalidParameterException", "The referenced task was not found.")
    if task.status != "STOPPED":
        task.stop_code, task.stopped_reason = "UserInitiated", words["reason"]
        _signal(task.processes[task.essential], signal.SIGTERM)
    return Answer(payload={"task": task.described()})


def _describe_definition(ecs: Ecs, words: dict[str, Any]) -> Answer:
    found = ecs.definitions.get(words["taskDefinition"].partition(":")[0])
    if found is None:
        return error("ClientException", "Unable to describe task definition.")
    return Answer(payload={"taskDefinition": {**found, "status": "ACTIVE", "revision": 1}})


def _describe_clusters(_ecs: Ecs, words: dict[str, Any]) -> Answer:
    known = [{"clusterName": CLUSTER, "status": "ACTIVE"}] if words["clusters"] == [CLUSTER] else []
    return Answer(payload={"clusters": known, "failures": []})


def _exit_code(process: subprocess.Popen[bytes]) -> dict[str, int]:
    code = process.poll()
    return {} if code is None else {"exitCode": code if code >= 0 else 128 - code}


def _signal(process: subprocess.Popen[bytes] | None, number: signal.Signals) -> None:
    if process is not None and process.poll() is None:
        process.send_signal(number)
