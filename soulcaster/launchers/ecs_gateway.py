"""The model gateway of one launch on Fargate: as a container beside the agent, or as a task of its own.

In a task of its own it has a security group of its own, so that of the agent may let out to it and to S3 and nowhere
else. It answers under a word that only this launch is told, and ends itself when nobody can need it any more.
`launch/gateway.json` is written before anything is started, like the launcher's own note.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from functools import partial
from pathlib import Path
from typing import Any

from soulcaster.errors import PermanentError, TransientError
from soulcaster.fix_models import LaunchRequest
from soulcaster.launchers import ecs_calls
from soulcaster.launchers.ecs_calls import EcsPlace
from soulcaster.launchers.ecs_tasks import GATEWAY
from soulcaster.launchers.s3_folder import S3Folder, lifetime_of

_MOST_TRIES = 2
_NOTE = "gateway.json"
_LAST_COUNTS_SECONDS = 120.0


def environment(limits: dict[str, Any], model_url: str, counts_address: str) -> list[dict[str, str]]:
    """What a gateway is told beside its key, in either place."""
    return [
        {"name": "SOULCASTER_GATEWAY_LIMITS", "value": json.dumps(limits)},
        {"name": "SOULCASTER_GATEWAY_URL", "value": model_url},
        {"name": "SOULCASTER_GATEWAY_TICKET", "value": counts_address},
    ]


def start(
    client: Any,  # noqa: ANN401  boto3 has no types
    place: EcsPlace,
    objects: S3Folder,
    request: LaunchRequest,
    folder: Path,
    *,
    limits: dict[str, Any],
    model_url: str,
    port: int,
    poll_seconds: float,
    wait_seconds: float,
) -> str:
    """Address of the launch's gateway task, once it runs: the one that was started before, or a new one.

    Raises:
        TransientError: it has no place yet, or has not come up in time; the same call goes on waiting for it.
        PermanentError: it does not start.
    """
    prepare = partial(_prepare, place, objects, request, folder, limits, model_url, port)
    note = _read(folder) or prepare(0)
    deadline = time.monotonic() + wait_seconds
    while True:
        if not note["task"]:
            task, why = _run(client, note["request"])
            if not task:
                prepare(note["n_tries"])  # the old token may be bound to this answer
                raise TransientError(f"Starting the gateway task of launch {request.token!r} found no place: {why}.")
            note = _write(folder, note | {"task": task})
        found = ecs_calls.describe(client, place, note["task"])
        address = _private_address(found or {})
        if address and found and found.get("lastStatus") == "RUNNING":
            return f"http://{address}:{port}/{note['word']}"
        if found is not None and found.get("lastStatus") == "STOPPED":
            if note["n_tries"] + 1 >= _MOST_TRIES:
                told = f"{found.get('stopCode', '')}, {found.get('stoppedReason', 'no reason known')}"
                raise PermanentError(f"The gateway task of launch {request.token!r} does not run: {told[:500]}.")
            note = prepare(note["n_tries"] + 1)
            continue
        if time.monotonic() > deadline:
            raise TransientError(f"The gateway task of launch {request.token!r} has not come up yet; try again.")
        time.sleep(poll_seconds)


def end(client: Any, place: EcsPlace, folder: Path) -> bool:  # noqa: ANN401  boto3 has no types
    """Whether the launch's gateway task has ended, or there is none; it is told to once. Waits for nothing."""
    note = _read(folder)
    if note is None or not note["task"] or note["has_ended"]:
        return True
    if not note["told_at"]:
        ecs_calls.tell_to_stop(client, place, note["task"])
        note = _write(folder, note | {"told_at": time.time()})
    found = ecs_calls.describe(client, place, note["task"])
    is_over = found is None or found.get("lastStatus") == "STOPPED"
    if is_over or time.time() - note["told_at"] > _LAST_COUNTS_SECONDS:
        _write(folder, note | {"has_ended": True})
        return True
    return False


def _prepare(
    place: EcsPlace,
    objects: S3Folder,
    request: LaunchRequest,
    folder: Path,
    limits: dict[str, Any],
    model_url: str,
    port: int,
    n_tries: int,
) -> dict[str, Any]:
    """A new note: a request under a word and a token of its own."""
    word = secrets.token_urlsafe(32)
    told = environment(limits, model_url, objects.upload_gateway(request))
    told += [
        {"name": "SOULCASTER_GATEWAY_WORD", "value": word},
        {"name": "SOULCASTER_GATEWAY_SECONDS", "value": str(lifetime_of(request))},
    ]
    words = ecs_calls.task_words(
        place,
        definition=place.gateway_task_definition,
        security_groups=place.gateway_security_groups,
        token=hashlib.sha256(f"{request.token} gateway {word}".encode()).hexdigest(),
        started_by=f"{request.token}-gateway",
        overrides=[{"name": GATEWAY, "command": ["gateway", "--port", str(port)], "environment": told}],
    )
    note = {"task": "", "word": word, "n_tries": n_tries, "request": words, "told_at": 0.0, "has_ended": False}
    return _write(folder, note)


def _run(client: Any, words: dict[str, Any]) -> tuple[str, str]:  # noqa: ANN401  boto3 has no types
    """ARN of the task, or '' and why there is none."""
    answer = ecs_calls.run_task(client, words)
    if isinstance(answer, str):
        return answer, ""
    tasks = answer.get("tasks", [])
    return (str(tasks[0]["taskArn"]), "") if tasks else ("", ecs_calls.refusal_of(answer))


def _private_address(task: dict[str, Any]) -> str:
    """IPv4 address of the task's network interface. Source: ECS API, Attachment."""
    for attachment in task.get("attachments", []):
        for detail in attachment.get("details", []):
            if detail.get("name") == "privateIPv4Address":
                return str(detail.get("value", ""))
    return ""


def _read(folder: Path) -> dict[str, Any] | None:
    try:
        note: dict[str, Any] = json.loads((folder / "launch" / _NOTE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return note


def _write(folder: Path, note: dict[str, Any]) -> dict[str, Any]:
    (folder / "launch").mkdir(mode=0o700, exist_ok=True)
    ecs_calls.write_whole(folder / "launch" / _NOTE, note)
    return note
