"""The calls to ECS that both tasks of a launch need: RunTask as a stored request, DescribeTasks, StopTask."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from pydantic import BaseModel, ConfigDict, Field

from soulcaster.launchers.aws import call, code_of
from soulcaster.launchers.ecs_tasks import AGENT, GATEWAY


class EcsPlace(BaseModel):
    """Where tasks run and their files lie."""

    model_config = ConfigDict(frozen=True)

    region: str = Field(min_length=1)
    cluster: str = Field(min_length=1)
    task_definition: str = Field(min_length=1, description="Family, family:revision or ARN; see docs/fixes.md.")
    subnets: tuple[str, ...] = Field(min_length=1)
    security_groups: tuple[str, ...] = Field(min_length=1)
    bucket: str = Field(min_length=1)
    prefix: str = "soulcaster"
    is_spot: bool = False
    has_public_ip: bool = False
    log_group: str = ""
    gateway_task_definition: str = Field("", description="Task that the gateway is alone in; '': beside the agent.")
    gateway_security_groups: tuple[str, ...] = Field((), description="Of that task; only the agent's may reach it.")
    endpoint_url: str | None = Field(None, description="Another address of ECS and S3, for stand-ins.")

    @property
    def definitions(self) -> list[tuple[str, tuple[str, ...]]]:
        """Every task definition that is used, and the containers it has to have."""
        if not self.gateway_task_definition:
            return [(self.task_definition, (AGENT, GATEWAY))]
        return [(self.task_definition, (AGENT,)), (self.gateway_task_definition, (GATEWAY,))]


def task_words(
    place: EcsPlace,
    *,
    definition: str,
    security_groups: Sequence[str],
    token: str,
    started_by: str,
    overrides: list[dict[str, Any]],
    is_spot: bool = False,
) -> dict[str, Any]:
    """What RunTask is asked for: with the same words and token it starts one task, however often it is sent."""
    words: dict[str, Any] = {
        "cluster": place.cluster,
        "taskDefinition": definition,
        "count": 1,
        "clientToken": token,
        "startedBy": started_by,
        "enableExecuteCommand": False,
        "networkConfiguration": {
            "awsvpcConfiguration": {
                "subnets": list(place.subnets),
                "securityGroups": list(security_groups),
                "assignPublicIp": "ENABLED" if place.has_public_ip else "DISABLED",
            }
        },
        "overrides": {"containerOverrides": overrides},
    }
    if is_spot:
        return words | {"capacityProviderStrategy": [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]}
    return words | {"launchType": "FARGATE"}


def run_task(client: Any, words: dict[str, Any]) -> dict[str, Any] | str:  # noqa: ANN401  boto3 has no types
    """The answer of RunTask; the ARN alone when this token has started a task with another request before."""

    def ask() -> dict[str, Any] | str:
        try:
            answer: dict[str, Any] = client.run_task(**words)
        except ClientError as error:
            known = error.response.get("resourceIds") or []
            if code_of(error) == "ConflictException" and known:
                return str(known[0])
            raise
        return answer

    answer: dict[str, Any] | str = call(f"Starting a task in cluster {words['cluster']!r}", ask)
    return answer


def refusal_of(answer: dict[str, Any]) -> str:
    """Why an answer of RunTask names no task."""
    failures = answer.get("failures", [])
    told = [f"{each.get('reason', 'no reason')} {each.get('detail', '')}".strip() for each in failures]
    return "; ".join(told) or "no task and no failure came back"


def describe(client: Any, place: EcsPlace, task: str) -> dict[str, Any] | None:  # noqa: ANN401  boto3 has no types
    """The task; None when ECS does not know it (yet, or any more)."""
    found = call(f"Describing task {task!r}", client.describe_tasks, cluster=place.cluster, tasks=[task])
    tasks: list[dict[str, Any]] = found.get("tasks", [])
    return tasks[0] if tasks else None


def tell_to_stop(client: Any, place: EcsPlace, task: str) -> None:  # noqa: ANN401  boto3 has no types
    """Ask ECS to end the task; harmless when it has ended."""

    def ask() -> None:
        try:
            client.stop_task(cluster=place.cluster, task=task, reason="Soulcaster ended the launch")
        except ClientError as error:
            if code_of(error) != "InvalidParameterException":  # it is not known any more: it has ended
                raise

    call(f"Stopping task {task!r}", ask)


def write_whole(path: Path, content: dict[str, Any]) -> None:
    """Replace the file at once, for its owner alone; on the disk when this returns."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
