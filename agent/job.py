"""Reads job.json and what the entries share: folders of a launch, the environment of what they start, interruption."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent import schemas

MOST_JOB_BYTES = 20_000_000


class JobError(Exception):
    """job.json cannot be used; the message says why."""


def read_job(folder: Path, mode: str) -> dict[str, Any]:
    """The checked job.

    Raises:
        JobError: missing, too large, no JSON, not by the schema, or for another entry.
    """
    path = folder / "job.json"
    try:
        if path.stat().st_size > MOST_JOB_BYTES:
            raise JobError(f"job.json is larger than {MOST_JOB_BYTES} bytes.")
        job = json.loads(path.read_text(encoding="utf-8"))
        schemas.check(job, schemas.load("job"), "job")
    except (OSError, ValueError, RecursionError) as error:
        raise JobError(f"Reading job.json failed: {error}") from error
    if job["mode"] != mode:
        raise JobError(f"job.json is for mode {job['mode']!r}, this entry is {mode!r}.")
    checked: dict[str, Any] = job
    return checked


@dataclass
class Clock:
    """Why a launch has to end before it is done: its deadline, or somebody who asked."""

    deadline: float
    interrupted: threading.Event = field(default_factory=threading.Event)
    started_at: float = field(default_factory=time.monotonic)

    def seconds_since_start(self) -> float:
        """Seconds since this clock was made."""
        return time.monotonic() - self.started_at

    def check(self) -> tuple[str, str] | None:
        """For a watch: the reason to stop now, or None."""
        if self.interrupted.is_set():
            return "interrupted", "was asked to stop"
        if time.monotonic() > self.deadline:
            return "deadline", "the deadline of the launch has passed"
        return None


def start_clock(deadline_seconds: float, *, is_stdin_watched: bool) -> Clock:
    """A clock that SIGTERM and SIGINT interrupt, and the end of standard input when its other end is held by us.

    The one who started us holds that end: when it dies, however it dies, we stop too.
    """
    clock = Clock(time.monotonic() + deadline_seconds)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: clock.interrupted.set())
    if is_stdin_watched:
        threading.Thread(target=_wait_for_end, args=(sys.stdin.fileno(), clock), daemon=True).start()
    return clock


def _wait_for_end(descriptor: int, clock: Clock) -> None:
    while os.read(descriptor, 1024):
        pass
    clock.interrupted.set()


def child_environment(work: Path, name: str) -> dict[str, str]:
    """All that a program of ours sees of the environment: where programs are, and folders of its own to write in."""
    home, scratch = work / f"home-{name}", work / f"tmp-{name}"
    for folder in (home, scratch):
        folder.mkdir(parents=True, exist_ok=True)
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "TMPDIR": str(scratch),
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "TERM": "dumb",
        "CI": "1",
        "NO_COLOR": "1",
        "GIT_TERMINAL_PROMPT": "0",
    }


def say(text: str) -> None:
    """One line to standard error, where whoever started us keeps it."""
    sys.stderr.write(text.rstrip() + "\n")
    sys.stderr.flush()
