"""Launches the agent as a task on Fargate: one RunTask a token, found again by its stored request or by the conflict.

`launch/ecs.json` of the job folder is written before the call, with everything the call says; with S3 it is the only
memory. Tasks have no role: what they read and write goes through the addresses of `s3_folder`.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from soulcaster.errors import PermanentError, SoulcasterError, TransientError
from soulcaster.fix_models import LaunchRequest, LaunchState
from soulcaster.launchers import ecs_calls, ecs_gateway, task_logs
from soulcaster.launchers.aws import open_client
from soulcaster.launchers.ecs_calls import EcsPlace, write_whole
from soulcaster.launchers.ecs_tasks import AGENT, GATEWAY, judge_task
from soulcaster.launchers.s3_folder import S3Folder

logger = logging.getLogger(__name__)

_USABLE_SECONDS = 1200
"""A stored request is sent again for so long; then its ticket's address is signed anew."""

_YOUNG_SECONDS = 120
"""Just after RunTask, DescribeTasks may not know the task yet."""

_NOTHING = "-"


class EcsLauncher:
    """A `Launcher` over Fargate tasks.

    Args:
        place: where.
        model_url: root of the Gemini service, or base of an OpenAI-compatible one; the gateway beside the agent goes
            there. Its key is in the task definition alone.
        poll_seconds: a task is looked at after so long, later more seldom, up to the second number.
        stop_seconds: how long `stop` waits for the end.
        progress_seconds: how often a running task hands over what is new.
        gateway_port: loopback port of the gateway inside the task.
    """

    name = "ecs"

    def __init__(
        self,
        place: EcsPlace,
        *,
        model_url: str,
        poll_seconds: tuple[float, float] = (10.0, 30.0),
        stop_seconds: float = 90.0,
        progress_seconds: float = 15.0,
        gateway_port: int = 8790,
    ) -> None:
        self.place = place
        self._model_url = model_url
        self._poll_seconds = poll_seconds
        self._stop_seconds = stop_seconds
        self._progress_seconds = progress_seconds
        self._gateway_port = gateway_port
        self._looked: dict[str, tuple[float, float]] = {}
        self._folders: dict[str, S3Folder] = {}
        self._clients: dict[str, Any] = {}

    def launch(self, request: LaunchRequest) -> str:
        """Start, or find what this token started; see `Launcher`."""
        folder = request.folder.resolve()
        if not (folder / "job.json").is_file():
            raise PermanentError(f"Launching in {str(folder)!r} failed: there is no job.json; write it first.")
        state = _read_state(folder)
        if state is not None and state["token"] != request.token:
            raise PermanentError(
                f"Launching in {str(folder)!r} was refused: the folder belongs to another launch; make a new one."
            )
        if state is None:
            state = self._prepare(request, folder, is_spot=self.place.is_spot and not request.is_second_try)
        elif not state["task"] and time.time() > state["usable_until"]:
            if self._objects(request.token, folder).has_results():
                state = self._note(folder, state | {"task": _NOTHING, "started_at": time.time()})
            else:
                state = self._prepare(request, folder, is_spot=state["is_spot"], n_refused=state["n_refused"])
        if not state["task"]:
            state = self._run(request, state, folder)
        return f"{request.token} {state['task']} {folder}"

    def poll(self, handle: str) -> LaunchState:
        """State now, by a look that is not too recent; see `Launcher`. Brings new results into the folder."""
        token, task, folder = _read_handle(handle)
        if not folder.is_dir():
            return LaunchState(state="missing", reason=f"its folder {str(folder)!r} is gone")
        due_at, seconds = self._looked.get(task, (-math.inf, 0.0))
        if time.monotonic() < due_at:
            return LaunchState(state="running")
        objects = self._objects(token, folder)
        found = self._describe(task)
        if (found is None and self._is_young(folder)) or (found or {}).get("lastStatus", "STOPPED") != "STOPPED":
            return self._running(task, seconds, objects)
        if not ecs_gateway.end(self._client("ecs"), self.place, folder):
            return self._running(task, seconds, objects)  # its last counts are still to come
        seal, problems = objects.download()
        if seal is None and task != _NOTHING:
            problems += task_logs.keep_ends(self.place, task, folder)
        self._looked.pop(task, None)
        return judge_task(found, seal, problems, self.log_link(task))

    def stop(self, handle: str, *, wait_seconds: float | None = None) -> None:
        """End it; see `Launcher`. Comes back when the task has ended and its work so far is in the folder.

        Raises:
            TransientError: it has not ended in time; it was told to.
        """
        token, task, folder = _read_handle(handle)
        self._looked.pop(task, None)
        if task != _NOTHING:
            ecs_calls.tell_to_stop(self._client("ecs"), self.place, task)
        deadline = time.monotonic() + (self._stop_seconds if wait_seconds is None else wait_seconds)
        # Both are asked each time: the gateway is told to stop as soon as the agent is.
        while not all([self._has_ended(task, folder), ecs_gateway.end(self._client("ecs"), self.place, folder)]):
            if time.monotonic() >= deadline:
                raise TransientError(f"Stopping task {task!r} has not ended it yet; try again.")
            time.sleep(min(5.0, self._poll_seconds[0]))
        if folder.is_dir():
            self._objects(token, folder).download()

    def delete_objects(self, token: str, folder: Path) -> None:
        """Take the launch's files out of S3; the task has ended, and what it handed back is in the folder."""
        self._objects(token, folder).delete()

    def log_link(self, task: str) -> str:
        """Address of the task's log in the AWS console; '' when the log group is not set."""
        place = self.place
        if not place.log_group or task == _NOTHING:
            return ""
        names = place.log_group, task_logs.stream_of(AGENT, task)
        group, stream = (quote(quote(word, safe=""), safe="").replace("%", "$") for word in names)
        return (
            f"https://{place.region}.console.aws.amazon.com/cloudwatch/home?region={place.region}"
            f"#logsV2:log-groups/log-group/{group}/log-events/{stream}"
        )

    def _prepare(self, request: LaunchRequest, folder: Path, *, is_spot: bool, n_refused: int = 0) -> dict[str, Any]:
        """Upload everything and write down what will be asked for; of the agent nothing was started before."""
        limits = _read_model_limits(folder)
        gateway = self._find_gateway(request, folder, limits) if limits else ""
        objects = self._objects(request.token, folder)
        address = objects.upload(request, gateway=gateway, progress_seconds=self._progress_seconds)
        words = ecs_calls.task_words(
            self.place,
            definition=self.place.task_definition,
            security_groups=self.place.security_groups,
            token=hashlib.sha256(f"{request.token} {is_spot} {n_refused}".encode()).hexdigest(),
            started_by=request.token,
            overrides=self._overrides(request, folder, address, limits),
            is_spot=is_spot,
        )
        state = {
            "token": request.token, "task": "", "is_spot": is_spot, "n_refused": n_refused, "request": words,
            "usable_until": time.time() + _USABLE_SECONDS, "started_at": 0.0,
        }  # fmt: skip
        return self._note(folder, state)

    def _find_gateway(self, request: LaunchRequest, folder: Path, limits: dict[str, Any]) -> str:
        """Where the agent will find the model: beside it, or in a task that runs already."""
        if not self.place.gateway_task_definition:
            return f"http://127.0.0.1:{self._gateway_port}"
        return ecs_gateway.start(
            self._client("ecs"), self.place, self._objects(request.token, folder), request, folder,
            limits=limits, model_url=self._model_url, port=self._gateway_port, poll_seconds=self._poll_seconds[0],
            wait_seconds=self._stop_seconds,
        )  # fmt: skip

    def _overrides(
        self, request: LaunchRequest, folder: Path, address: str, limits: dict[str, Any]
    ) -> list[dict[str, Any]]:
        """What differs from the task definition: everybody who may describe tasks can read it.

        Without limits the gateway beside the agent stays closed: that is what its task definition says.
        """
        agent = {
            "name": AGENT,
            "command": ["task"],
            "environment": [{"name": "SOULCASTER_AGENT_TICKET", "value": address}],
        }
        if self.place.gateway_task_definition:
            return [agent]
        gateway: dict[str, Any] = {"name": GATEWAY, "command": ["gateway", "--port", str(self._gateway_port)]}
        if limits:
            counts_address = self._objects(request.token, folder).upload_gateway(request)
            gateway["environment"] = ecs_gateway.environment(limits, self._model_url, counts_address)
        return [agent, gateway]

    def _run(self, request: LaunchRequest, state: dict[str, Any], folder: Path) -> dict[str, Any]:
        """The state with its task; RunTask with the stored request, so that sending it twice is harmless."""
        answer = ecs_calls.run_task(self._client("ecs"), state["request"])
        if isinstance(answer, str):
            return self._note(folder, state | {"task": answer, "started_at": time.time()})
        if answer.get("tasks"):
            return self._note(folder, state | {"task": answer["tasks"][0]["taskArn"], "started_at": time.time()})
        # Nothing was started, so the next try is a new request: the old token may be bound to this answer.
        why = ecs_calls.refusal_of(answer)
        again = self._prepare(request, folder, is_spot=False, n_refused=state["n_refused"] + 1)
        if state["is_spot"]:
            logger.warning(
                "Fargate Spot took no task for launch %s (%s); it is asked for on demand.", state["token"], why
            )
            return self._run(request, again, folder)
        raise TransientError(
            f"Starting a task for launch {request.token!r} in cluster {self.place.cluster!r} found no place: {why}; "
            "try again."
        )

    def _describe(self, task: str) -> dict[str, Any] | None:
        """The task; None when ECS does not know it (any more)."""
        return None if task == _NOTHING else ecs_calls.describe(self._client("ecs"), self.place, task)

    def _has_ended(self, task: str, folder: Path) -> bool:
        found = self._describe(task)
        return not self._is_young(folder) if found is None else found.get("lastStatus") == "STOPPED"

    def _running(self, task: str, seconds: float, objects: S3Folder) -> LaunchState:
        """Note when to look again; what is new comes along, if it can."""
        first, most = self._poll_seconds
        seconds = min(most, seconds * 1.5) if seconds else first
        try:
            objects.download()
        except SoulcasterError as error:
            logger.warning("Progress of task %s was not read: %s", task, error)
        self._looked[task] = (time.monotonic() + seconds, seconds)
        return LaunchState(state="running")

    def _is_young(self, folder: Path) -> bool:
        state = _read_state(folder)
        return state is not None and state["task"] != _NOTHING and time.time() - state["started_at"] < _YOUNG_SECONDS

    def _objects(self, token: str, folder: Path) -> S3Folder:
        if token not in self._folders:
            self._folders[token] = S3Folder(self._client("s3"), self.place.bucket, self.place.prefix, token, folder)
        return self._folders[token]

    def _client(self, service: str) -> Any:  # noqa: ANN401  boto3 has no types
        if service not in self._clients:
            self._clients[service] = open_client(
                service, region=self.place.region, endpoint_url=self.place.endpoint_url
            )
        return self._clients[service]

    def _note(self, folder: Path, state: dict[str, Any]) -> dict[str, Any]:
        """Keep the state; on the disk before anything follows from it."""
        private = folder / "launch"
        private.mkdir(mode=0o700, exist_ok=True)
        write_whole(private / "ecs.json", state)
        link = self.log_link(state["task"]) if state["task"] else ""
        if link:
            write_whole(private / "place.json", {"log_link": link})
        return state


def _read_state(folder: Path) -> dict[str, Any] | None:
    """What was noted last; None when nothing was ever asked for from this folder."""
    try:
        state: dict[str, Any] = json.loads((folder / "launch" / "ecs.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return state


def _read_handle(handle: str) -> tuple[str, str, Path]:
    words = handle.split(" ", 2)
    if len(words) != 3 or not words[1].startswith(("arn:", _NOTHING)):  # noqa: PLR2004  as it is put together
        raise TransientError(
            f"Looking at launch {handle!r} waits: another launcher started it; set SOULCASTER_LAUNCHER back until its "
            "job has ended, or cancel the job then."
        )
    return words[0], words[1], Path(words[2])


def _read_model_limits(folder: Path) -> dict[str, Any]:
    """What the gateway may let through for all steps of the job together; {} when no step asks a model."""
    edit = json.loads((folder / "job.json").read_text(encoding="utf-8")).get("edit")
    if edit is None or edit["tool"]["name"] == "scripted":
        return {}
    return {name: edit["limits"][name] * len(edit["steps"]) for name in ("requests", "tokens", "cost_usd")}
