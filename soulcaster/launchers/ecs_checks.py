"""What can be said of an ECS place without starting anything: reads that cost nothing, answered in a few seconds.

Of a secret only whether it is there and has a value is asked, never the value.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import boto3

from soulcaster.errors import SoulcasterError
from soulcaster.launchers.aws import BRIEFLY, call, open_client
from soulcaster.launchers.ecs_calls import EcsPlace
from soulcaster.launchers.ecs_tasks import AGENT, GATEWAY

Finding = tuple[Literal["ok", "warn", "fail"], str]


def examine(place: EcsPlace) -> Iterator[Finding]:
    """State and sentence on credentials, cluster, task definition and bucket."""
    try:
        credentials = boto3.Session().get_credentials()
        if credentials is None:
            yield "warn", "the launcher ecs has no AWS credentials here; sign in, or set AWS_PROFILE."
            return
        if credentials.token:
            yield (
                "ok",
                (
                    "AWS credentials are temporary: a task's addresses hold no longer than they do; refresh them well "
                    "before a fix ends."
                ),
            )
        ecs, s3 = (
            open_client(name, region=place.region, endpoint_url=place.endpoint_url, config=BRIEFLY)
            for name in ("ecs", "s3")
        )
        found = call(
            f"Describing cluster {place.cluster!r}", ecs.describe_clusters, clusters=[place.cluster]
        )["clusters"]  # fmt: skip
        if not found or found[0].get("status") != "ACTIVE":
            yield (
                "warn",
                f"there is no active cluster {place.cluster!r} in {place.region}; create it, or mend the name.",
            )
        problems = []
        for name, containers in place.definitions:
            definition = _read_definition(ecs, name)
            found_here = [*find_problems(definition, containers), *_find_missing(definition, place)]
            problems += [f"task definition {name!r}: {problem}" for problem in found_here]
        call(f"Looking for bucket {place.bucket!r}", s3.head_bucket, Bucket=place.bucket)
    except SoulcasterError as error:
        yield "warn", str(error)
        return
    for problem in problems:
        yield "warn", f"{problem}."
    if not problems and found:
        yield "ok", f"the agent can run on Fargate: cluster {place.cluster}, {place.task_definition}, {place.bucket}."


def _read_definition(client: Any, name: str) -> dict[str, Any]:  # noqa: ANN401  boto3 has no types
    found: dict[str, Any] = call(
        f"Describing task definition {name!r}", client.describe_task_definition, taskDefinition=name
    )["taskDefinition"]
    return found


def find_problems(definition: dict[str, Any], wanted: Sequence[str] = (AGENT, GATEWAY)) -> Iterator[str]:
    """What a task definition with these containers has that it should not, or lacks. Source: agent.md §4.2."""
    containers = {each["name"]: each for each in definition.get("containerDefinitions", [])}
    for name in wanted:
        if name not in containers:
            yield f"it has no container {name!r}"
    if definition.get("taskRoleArn"):
        yield "it has a task role; what runs there must have no AWS rights"
    if definition.get("networkMode") != "awsvpc":
        yield "its network mode is not awsvpc"
    agent, gateway = containers.get(AGENT, {}), containers.get(GATEWAY, {})
    if agent.get("secrets"):
        yield f"its container {AGENT!r} is given secrets; only {GATEWAY!r} may have the model key"
    if gateway and GATEWAY not in wanted:
        yield f"it has a container {GATEWAY!r} beside the agent; the gateway is to run in a task of its own"
    if GATEWAY in wanted and "SOULCASTER_GATEWAY_KEY" not in {each["name"] for each in gateway.get("secrets", [])}:
        yield f"its container {GATEWAY!r} gets no SOULCASTER_GATEWAY_KEY from Secrets Manager"
    if tuple(wanted) == (AGENT, GATEWAY) and (not agent.get("essential", True) or gateway.get("essential", True)):
        yield f"{AGENT!r} has to be essential and {GATEWAY!r} not, so that the task ends with the agent"
    for name, container in containers.items():
        yield from _find_rights(name, container)


def _find_missing(definition: dict[str, Any], place: EcsPlace) -> Iterator[str]:
    """Secrets and log groups that containers name and that are not there; without them no task starts."""
    containers = definition.get("containerDefinitions", [])
    secrets = {each["valueFrom"] for container in containers for each in container.get("secrets", [])}
    groups = {container.get("logConfiguration", {}).get("options", {}).get("awslogs-group") for container in containers}
    for arn in sorted(each for each in secrets if ":secretsmanager:" in each):
        wanted = ":".join(arn.split(":")[:7])  # behind it may stand a field, a stage, a version
        told = _look("secretsmanager", place, f"Looking for secret {wanted!r}", "describe_secret", SecretId=wanted)
        if isinstance(told, str):
            yield told
        elif told.get("DeletedDate"):
            yield f"its secret {wanted!r} is to be deleted"
        elif not told.get("VersionIdsToStages"):
            yield f"its secret {wanted!r} has no value yet; put the model key into it"
    for group in sorted(filter(None, groups)):
        doing = f"Looking for log group {group!r}"
        told = _look("logs", place, doing, "describe_log_streams", logGroupName=group, limit=1)
        if isinstance(told, str):
            yield told
    if place.log_group and place.log_group not in groups:
        yield f"no container writes to {place.log_group!r}, where SOULCASTER_ECS_LOG_GROUP says their log is"


def _look(service: str, place: EcsPlace, doing: str, action: str, **words: Any) -> dict[str, Any] | str:  # noqa: ANN401  boto3 has no types
    """The answer, or why there is none: one thing that cannot be seen hides no other."""
    try:
        client = open_client(service, region=place.region, endpoint_url=place.endpoint_url, config=BRIEFLY)
        found: dict[str, Any] = call(doing, getattr(client, action), **words)
    except SoulcasterError as error:
        return str(error).removesuffix(".")
    return found


def _find_rights(name: str, container: dict[str, Any]) -> Iterator[str]:
    linux = container.get("linuxParameters", {})
    if container.get("user", "root").partition(":")[0] in ("", "0", "root"):
        yield f"its container {name!r} runs as root"
    if not container.get("readonlyRootFilesystem"):
        yield f"its container {name!r} can write to its root"
    if "ALL" not in linux.get("capabilities", {}).get("drop", []):
        yield f"its container {name!r} keeps Linux capabilities"
    if linux.get("initProcessEnabled"):
        yield f"its container {name!r} has an init process, whose environment would show the ticket's address"
    if container.get("privileged"):
        yield f"its container {name!r} is privileged"
