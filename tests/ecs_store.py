"""An ECS and an S3 on loopback with the launcher between them: what the tests of tasks start from."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from standins.ecs_server import CLUSTER, Ecs, Task, running_ecs
from standins.s3_server import ACCESS_KEY, BUCKET, REGION, S3, SECRET_KEY

from soulcaster.fix_models import LaunchRequest, LaunchState
from soulcaster.launchers.ecs import EcsLauncher
from soulcaster.launchers.ecs_calls import EcsPlace

FAMILY, LOG_GROUP = "soulcaster-agent", "/soulcaster/agent"


@dataclass
class Cloud:
    """Both stand-ins; credentials and addresses are in the environment, as boto3 reads it."""

    ecs: Ecs
    s3: S3

    def launcher(self, *, model_url: str = "", **place: Any) -> EcsLauncher:
        """A launcher that does not wait long; tasks share this machine's ports, so each has one of its own."""
        chosen = {
            "region": REGION, "cluster": CLUSTER, "task_definition": FAMILY, "subnets": ("subnet-1",),
            "security_groups": ("sg-1",), "bucket": BUCKET, "log_group": LOG_GROUP,
        }  # fmt: skip
        return EcsLauncher(
            EcsPlace.model_validate({**chosen, **place}), model_url=model_url, gateway_port=free_port(),
            poll_seconds=(0.25, 0.5), stop_seconds=60, progress_seconds=0.5,
        )  # fmt: skip

    def ship_logs(self, task: Task) -> None:
        """Put what the containers wrote into the log group, as the log driver of a task does."""
        logs = self.s3.open("logs")
        for name in task.processes:
            stream = {"logGroupName": LOG_GROUP, "logStreamName": f"{name}/{name}/{task.arn.rpartition('/')[2]}"}
            logs.create_log_stream(**stream)
            now = int(time.time() * 1000)
            if events := [{"timestamp": now, "message": line} for line in task.log(name).splitlines() if line]:
                logs.put_log_events(**stream, logEvents=events)

    def secret_without_value(self) -> str:
        """The ARN of one as Terraform makes it: a person puts the key in later."""
        arn: str = self.s3.open("secretsmanager").create_secret(Name="soulcaster/model-key-empty")["ARN"]
        return arn


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@contextmanager
def running_cloud(s3: S3, folder: Path, monkeypatch: pytest.MonkeyPatch, **ecs: Any) -> Iterator[Cloud]:
    """A new ECS beside an S3 that runs already and is empty afterwards."""
    with running_ecs(folder, **ecs) as tasks:
        for name, value in environment(tasks, s3).items():
            monkeypatch.setenv(name, value)
        secret = fill_places(tasks, s3)
        yield Cloud(tasks, s3)
    s3.clear()
    s3.open("secretsmanager").delete_secret(SecretId=secret, ForceDeleteWithoutRecovery=True)
    s3.open("logs").delete_log_group(logGroupName=LOG_GROUP)


def fill_places(ecs: Ecs, s3: S3) -> str:
    """Make the log group and the secret that the definitions name; the secret's ARN stands in them now."""
    s3.open("logs").create_log_group(logGroupName=LOG_GROUP)
    arn: str = s3.open("secretsmanager").create_secret(Name="soulcaster/model-key", SecretString="a key")["ARN"]
    for definition in ecs.definitions.values():
        for container in definition["containerDefinitions"]:
            for each in container.get("secrets", []):
                each["valueFrom"] = arn
    return arn


def environment(ecs: Ecs, s3: S3) -> dict[str, str]:
    """What leads boto3 of any process there."""
    return {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY, "AWS_ENDPOINT_URL_ECS": ecs.wire.url,
        "AWS_ENDPOINT_URL_S3": s3.url, "AWS_ENDPOINT_URL_SECRETS_MANAGER": s3.url,
        "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS": s3.url, "AWS_EC2_METADATA_DISABLED": "true",
    }  # fmt: skip


def ask(folder: Path, *, token: str = "t-1", mode: str = "edit", **more: Any) -> LaunchRequest:  # noqa: S107  no password
    """A request for the folder."""
    return LaunchRequest.model_validate(
        {"token": token, "mode": mode, "folder": folder, "deadline_seconds": 100, **more}
    )


def wait(launcher: EcsLauncher, handle: str, seconds: float = 200) -> LaunchState:
    """The state once it is not running any more."""
    deadline = time.monotonic() + seconds
    while (state := launcher.poll(handle)).state == "running":
        assert time.monotonic() < deadline, f"{handle} still runs"
        time.sleep(0.1)
    return state
