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
from standins.ecs_server import CLUSTER, Ecs, running_ecs
from standins.s3_server import ACCESS_KEY, BUCKET, REGION, S3, SECRET_KEY

from soulcaster.fix_models import LaunchRequest, LaunchState
from soulcaster.launchers.ecs import EcsLauncher
from soulcaster.launchers.ecs_calls import EcsPlace

FAMILY = "soulcaster-agent"


@dataclass
class Cloud:
    """Both stand-ins; credentials and addresses are in the environment, as boto3 reads it."""

    ecs: Ecs
    s3: S3

    def launcher(self, *, model_url: str = "", **place: Any) -> EcsLauncher:
        """A launcher that does not wait long; tasks share this machine's ports, so each has one of its own."""
        chosen = {
            "region": REGION, "cluster": CLUSTER, "task_definition": FAMILY, "subnets": ("subnet-1",),
            "security_groups": ("sg-1",), "bucket": BUCKET, "log_group": "/soulcaster/agent",
        }  # fmt: skip
        return EcsLauncher(
            EcsPlace.model_validate({**chosen, **place}), model_url=model_url, gateway_port=free_port(),
            poll_seconds=(0.25, 0.5), stop_seconds=60, progress_seconds=0.5,
        )  # fmt: skip


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
        yield Cloud(tasks, s3)
    s3.clear()


def environment(ecs: Ecs, s3: S3) -> dict[str, str]:
    """What leads boto3 of any process there."""
    return {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY, "AWS_ENDPOINT_URL_ECS": ecs.wire.url,
        "AWS_ENDPOINT_URL_S3": s3.url, "AWS_EC2_METADATA_DISABLED": "true",
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
