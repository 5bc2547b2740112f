"""The processes one supervisor starts: each in its own process group with its own log, all ended together.

Owns starting, watching and ending; knows nothing of what the processes do.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from soulcaster import guard
from soulcaster.errors import PermanentError

GRACE_SECONDS = 8.0
_POLL_SECONDS = 0.1
_LAST_LINE_BYTES = 8192


@dataclass(frozen=True)
class Child:
    """One started process and where its output goes."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    started_at: float


@dataclass(frozen=True)
class Family:
    """All processes of one supervisor; they share a mark in the environment, by which they and theirs are found."""

    logs: Path
    folder: Path
    env: Mapping[str, str]
    mark: str
    children: list[Child] = field(default_factory=list)


@contextmanager
def family(logs: Path, folder: Path, env: Mapping[str, str]) -> Iterator[Family]:
    """A family whose members are ended when the block ends, and by the guard when this process is killed.

    Children run in `folder`, write to `logs/<name>.log` and see `env` beside what this process sees.
    """
    logs.mkdir(parents=True, exist_ok=True)
    mark = secrets.token_hex(8)
    command = [sys.executable, "-I", guard.__file__, mark, str(GRACE_SECONDS)]
    watcher = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    members = Family(logs, folder, {**os.environ, **env, guard.MARK_VARIABLE: mark}, mark)
    try:
        yield members
    finally:
        with _undisturbed():
            end(members)
            assert watcher.stdin is not None  # noqa: S101  made with a pipe above; tells the type checker
            watcher.stdin.close()
            watcher.wait()


def start(members: Family, name: str, command: Sequence[str]) -> Child:
    """The running child, out of reach of the terminal's Ctrl-C: the supervisor alone ends it."""
    log = members.logs / f"{name}.log"
    with log.open("ab") as out:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=members.folder,
            env=dict(members.env),
            start_new_session=True,
        )
    child = Child(name, process, log, time.monotonic())
    members.children.append(child)
    return child


def check_alive(members: Family) -> None:
    """Pass while all children run.

    Raises:
        PermanentError: one ended by itself; says which, how, its last line and where to read more.
    """
    for child in members.children:
        code = child.process.poll()
        if code is not None:
            how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
            raise PermanentError(
                f"The {child.name} {how} after {time.monotonic() - child.started_at:.0f} s: "
                f"{last_line(child.log)!r}; its log is {str(child.log)!r}. Everything else was ended too."
            )


def run_to_end(members: Family, name: str, command: Sequence[str], *, timeout_seconds: float) -> None:
    """Run a child that ends by itself, while the others are watched.

    Raises:
        PermanentError: it failed or took too long, or another child ended meanwhile.
    """
    child = start(members, name, command)
    members.children.remove(child)
    try:
        wait_until(lambda: child.process.poll() is not None, members, f"{name} to finish", timeout_seconds)
    finally:
        if child.process.poll() is None:
            _signal_group(child, signal.SIGKILL)
            child.process.wait()
    if child.process.returncode:
        raise PermanentError(
            f"The step {name!r} failed with exit code {child.process.returncode}: {last_line(child.log)!r}; "
            f"its log is {str(child.log)!r}."
        )


def wait_until(is_reached: Callable[[], bool], members: Family, what: str, timeout_seconds: float) -> None:
    """Return as soon as the condition holds, watching the children meanwhile.

    Raises:
        PermanentError: a child ended, or the condition did not hold within the time.
    """
    deadline = time.monotonic() + timeout_seconds
    while not is_reached():
        check_alive(members)
        if time.monotonic() > deadline:
            raise PermanentError(
                f"Waiting for {what} took longer than {timeout_seconds:.0f} s; see the logs in {str(members.logs)!r}."
            )
        time.sleep(_POLL_SECONDS)


def last_line(log: Path) -> str:
    """The last line in a log that says something; empty when there is none."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _LAST_LINE_BYTES))
        lines = [line.strip() for line in file.read().decode("utf-8", "replace").splitlines()]
    spoken = [line for line in lines if any(c.isalnum() for c in line)]
    return spoken[-1][:300] if spoken else ""


def end(members: Family) -> None:
    """End all children, the youngest first, then whatever they started and left behind; nothing else."""
    for child in reversed(members.children):
        _signal_group(child, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    while any(child.process.poll() is None for child in members.children) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    for child in members.children:
        if child.process.poll() is None:
            _signal_group(child, signal.SIGKILL)
            child.process.wait()
    guard.end_marked(members.mark, GRACE_SECONDS)


def _signal_group(child: Child, number: signal.Signals) -> None:
    if child.process.poll() is None:
        os.killpg(child.process.pid, number)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """A second Ctrl-C does not leave half of the children alive."""
    kept = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
