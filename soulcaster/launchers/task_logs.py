"""Why a container died, when nothing else came back: the end of what it wrote, read from its log group.

What stands there was written by programs that strangers' words may have led: it is masked, cut, and shown as text.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from soulcaster.errors import SoulcasterError
from soulcaster.launchers.aws import BRIEFLY, call, code_of, open_client
from soulcaster.launchers.ecs_calls import EcsPlace
from soulcaster.launchers.ecs_tasks import AGENT
from soulcaster.text import mask_secrets

_MOST_LINES, _LONGEST_LINE, _LONGEST_QUOTE = 200, 1000, 160
_MOST_PAGES = 3
"""The service may answer with an empty page although there are lines."""


def stream_of(container: str, task: str) -> str:
    """Name of the container's log stream, as the task definition's prefixes make it; `task` is its ARN."""
    return f"{container}/{container}/{task.rpartition('/')[2]}"


def keep_ends(place: EcsPlace, task: str, folder: Path) -> list[str]:
    """Put the ends of the task's logs beside its launch; one sentence a container on how it ended, or why nobody knows.

    Nothing where no log group is set. A log that cannot be read is told and stops nobody: it explains, no more.
    """
    if not place.log_group:
        return []
    told, kept = [], []
    for container in place.definitions[0][1]:
        stream = stream_of(container, task)
        try:
            client = open_client("logs", region=place.region, endpoint_url=place.endpoint_url, config=BRIEFLY)
            lines = _read_end(client, place.log_group, stream)
        except SoulcasterError as error:
            told.append(str(error))
            continue
        if lines:
            kept += [f"--- {stream}", *lines]
            told.append(f"the last that {container} wrote: {lines[-1][:_LONGEST_QUOTE]!r}")
        elif container == AGENT:
            told.append(f"{container} left no log")
    if kept:
        private = folder / "launch"
        private.mkdir(mode=0o700, exist_ok=True)
        draft = private / f".container.log.{os.getpid()}"
        draft.write_text("\n".join(kept) + "\n", encoding="utf-8")
        draft.replace(private / "container.log")
    return told


def _read_end(client: Any, group: str, stream: str) -> list[str]:  # noqa: ANN401  boto3 has no types
    """The newest lines, oldest first: printable, masked, cut; none of those that say nothing."""
    answer: dict[str, Any] = {}

    def ask() -> dict[str, Any]:
        page = {"nextToken": answer["nextBackwardToken"]} if answer else {}
        try:
            found: dict[str, Any] = client.get_log_events(
                logGroupName=group, logStreamName=stream, startFromHead=False, limit=_MOST_LINES, **page
            )
        except ClientError as error:
            if code_of(error) != "ResourceNotFoundException":  # a container that never started has no stream
                raise
            return {"events": []}
        return found

    for _ in range(_MOST_PAGES):
        answer = call(f"Reading log stream {stream!r} of {group!r}", ask)
        if answer["events"] or "nextBackwardToken" not in answer:
            break
    text = mask_secrets("\n".join(str(event.get("message", "")) for event in answer["events"]))
    lines = ("".join(c if c.isprintable() else " " for c in line).strip() for line in text.splitlines())
    return [line[:_LONGEST_LINE] for line in lines if line]
