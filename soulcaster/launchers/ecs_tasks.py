"""What ECS tells of a task, and what the task said of itself, as one `LaunchState`. Source: agent.md §2.1 and §2.3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from soulcaster.fix_models import LaunchState
from soulcaster.launchers.s3_folder import Seal

AGENT = "agent"
GATEWAY = "gateway"

_PLACE_AT_FAULT = {"SpotInterruption", "TerminationNotice", "InfrastructureHealth"}
_EXIT_PLACE = 22
"""`agent task` says that its files, its gateway or the way back were out of reach."""
_EXIT_KILLED = 137


def judge_task(task: dict[str, Any] | None, seal: Seal | None, problems: Sequence[str], log_link: str) -> LaunchState:
    """The state of a task that has stopped, or that ECS has forgotten (None): then its seal alone tells.

    The exit code of ECS counts more than the one of the seal, which whoever ran in the container could have written.
    """
    if task is None and seal is None:
        why = "ECS does not know the task any more and it left no seal"
        return LaunchState(state="missing", reason=_join(why, *problems, _linked(log_link)))
    exit_code = _exit_code(task)
    if exit_code is None and seal is not None:
        exit_code = seal.exit_code
    if task is None:
        reason = _join("ECS has forgotten the task; its seal tells", seal.reason if seal else "", *problems)
        return LaunchState(state="ended", exit_code=exit_code, reason=reason)
    if exit_code == 0 and seal is not None:
        return LaunchState(state="ended", exit_code=0, reason=_join(seal.reason, *problems))
    stop_code, stopped = str(task.get("stopCode", "")), str(task.get("stoppedReason", ""))
    memory = "it ran out of memory, or was killed" if exit_code == _EXIT_KILLED else ""
    has_no_place = stop_code == "TaskFailedToStart" and "capacity" in stopped.lower()
    said = [stop_code, stopped, _container_reason(task), memory, seal.reason if seal else "", *problems]
    return LaunchState(
        state="ended",
        exit_code=exit_code,
        reason=_join(*said, _linked(log_link)),
        is_infrastructure=stop_code in _PLACE_AT_FAULT or exit_code == _EXIT_PLACE or has_no_place,
    )


def _exit_code(task: dict[str, Any] | None) -> int | None:
    code = _container(task).get("exitCode")
    return int(code) if isinstance(code, int) else None


def _container_reason(task: dict[str, Any]) -> str:
    return str(_container(task).get("reason", ""))


def _container(task: dict[str, Any] | None) -> dict[str, Any]:
    found: list[dict[str, Any]] = (task or {}).get("containers", [])
    return next((each for each in found if each.get("name") == AGENT), {})


def _linked(log_link: str) -> str:
    return f"log: {log_link}" if log_link else ""


def _join(*parts: str) -> str:
    return "; ".join(dict.fromkeys(part.strip().rstrip(".") for part in parts if part.strip()))[:1000]
