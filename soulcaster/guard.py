"""Ends what a supervisor started, when the supervisor itself can no longer do it. Standard library only.

Runs as its own small process with a pipe from the supervisor: the pipe closes when the supervisor dies, however it
dies. Everything the supervisor starts carries a mark in its environment and hands it down, so exactly these processes
are found, also flow runs that sit in sessions of their own. Finding them needs /proc: elsewhere the guard does nothing.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

MARK_VARIABLE = "SOULCASTER_UP_MARK"
_POLL_SECONDS = 0.1


def list_marked(mark: str) -> list[int]:
    """Ids of our own user's live processes that carry the mark, without this one."""
    wanted = f"{MARK_VARIABLE}={mark}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            is_marked = wanted in (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue  # ended meanwhile, or somebody else's
        if is_marked and int(entry.name) != os.getpid():
            found.append(int(entry.name))
    return sorted(found)


def end_marked(mark: str, grace_seconds: float) -> None:
    """Ask every marked process to end; after the grace, end what is left without asking."""
    _signal_marked(mark, signal.SIGTERM)
    deadline = time.monotonic() + grace_seconds
    while list_marked(mark) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    deadline = time.monotonic() + grace_seconds
    while list_marked(mark) and time.monotonic() < deadline:
        _signal_marked(mark, signal.SIGKILL)
        time.sleep(_POLL_SECONDS)


def _signal_marked(mark: str, number: signal.Signals) -> None:
    for process_id in list_marked(mark):
        try:
            os.kill(process_id, number)
        except ProcessLookupError:
            continue  # it ended by itself


if __name__ == "__main__":
    sys.stdin.read()
    end_marked(sys.argv[1], grace_seconds=float(sys.argv[2]))
