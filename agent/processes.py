"""Starts programs and ends them with everything they started, also what moved to a session of its own. Linux.

A process that calls `adopt_orphans` becomes the parent of every descendant that loses its own, so none gets out of
sight by forking twice. Where /proc is missing only the process group is ended.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

GRACE_SECONDS = 10.0
MOST_OUTPUT_BYTES = 50_000_000
MOST_LINE_BYTES = 1_000_000
_TICK_SECONDS = 0.1
_SWEEP_SECONDS = 60.0
_PR_SET_CHILD_SUBREAPER = 36
_EXTRA_PROCESSES = 2048
_MOST_FILE_BYTES = 2_000_000_000


@dataclass
class Ending:
    """How a program ended. `stopped_for` is empty when it ended by itself."""

    exit_code: int | None
    seconds: float
    stopped_for: str = ""
    detail: str = ""
    tail: bytes = b""


@dataclass
class Watch:
    """What may stop a running program. `check` is asked often: (kind, sentence) when it has to end, else None."""

    wall_seconds: float
    idle_seconds: float | None = None
    check: Callable[[], tuple[str, str] | None] = lambda: None
    on_line: Callable[[bytes], None] = lambda _line: None
    most_output_bytes: int = MOST_OUTPUT_BYTES
    grace_seconds: float = GRACE_SECONDS
    tail_bytes: int = 64_000
    last_event_at: float = field(default_factory=time.monotonic)
    n_output_bytes: int = 0

    def note_event(self) -> None:
        """There was progress: idle time starts again."""
        self.last_event_at = time.monotonic()


def adopt_orphans() -> None:
    """Make this process the parent of every descendant whose own parent ends. Source: prctl(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) was refused")


def limit_resources() -> None:
    """Bound how many processes, how large files and no core dumps, for this process and all it starts."""
    running = sum(1 for _ in Path("/proc").glob("[0-9]*/task/[0-9]*"))
    wanted = ((resource.RLIMIT_NPROC, running + _EXTRA_PROCESSES), (resource.RLIMIT_FSIZE, _MOST_FILE_BYTES))
    for kind, most in (*wanted, (resource.RLIMIT_CORE, 0)):
        _, hard = resource.getrlimit(kind)
        bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (bound, bound))


def run_watched(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], watch: Watch, stdin: bytes = b"") -> Ending:
    """Run to its end or until the watch stops it; afterwards nothing that it started is left.

    Standard output goes to `watch.on_line` line by line, both streams to the tail.

    Raises:
        FileNotFoundError: there is no such program.
    """
    started = time.monotonic()
    process = subprocess.Popen(
        list(argv), cwd=cwd, env=dict(env), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    assert process.stdin  # noqa: S101  these three are pipes, asked for above; tells the type checker
    assert process.stdout  # noqa: S101
    assert process.stderr  # noqa: S101
    watch.note_event()
    tail = _Tail(watch.tail_bytes)
    readers = [
        threading.Thread(target=_read, args=(process.stdout, watch, tail, True), daemon=True),
        threading.Thread(target=_read, args=(process.stderr, watch, tail, False), daemon=True),
        threading.Thread(target=_feed, args=(process.stdin, stdin), daemon=True),
    ]
    for reader in readers:
        reader.start()
    stopped = None
    while process.poll() is None and stopped is None:
        stopped = _reason_to_stop(watch, started)
        _reap_adopted(process.pid)
        time.sleep(_TICK_SECONDS)
    end_tree(process, grace_seconds=watch.grace_seconds if stopped else 0.0)
    for reader in readers:
        reader.join(timeout=2.0)
    kind, detail = stopped or ("", "")
    return Ending(process.returncode, time.monotonic() - started, kind, detail, tail.read())


def _reason_to_stop(watch: Watch, started: float) -> tuple[str, str] | None:
    now = time.monotonic()
    if now - started > watch.wall_seconds:
        return "wall", f"ran longer than {watch.wall_seconds:.0f} s"
    if watch.idle_seconds is not None and now - watch.last_event_at > watch.idle_seconds:
        return "idle", f"gave no sign of life for {watch.idle_seconds:.0f} s"
    if watch.n_output_bytes > watch.most_output_bytes:
        return "output", f"wrote more than {watch.most_output_bytes} bytes"
    return watch.check()


def end_tree(
    process: subprocess.Popen[bytes], *, grace_seconds: float = GRACE_SECONDS, keep: frozenset[int] = frozenset()
) -> None:
    """End the program, its group and everything below this process but `keep`: asked first, after the grace not."""
    if grace_seconds > 0 and process.poll() is None:
        members = {process.pid} | _descendants(process.pid)
        _signal_group(process.pid, signal.SIGTERM)
        for member in members:
            _signal(member, signal.SIGTERM)
        deadline = time.monotonic() + grace_seconds
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(_TICK_SECONDS)
    if process.poll() is None:
        _signal_group(process.pid, signal.SIGKILL)
    end_descendants(keep | {process.pid} if process.poll() is not None else keep, unreaped=process.pid)
    process.wait()


def end_descendants(keep: frozenset[int] = frozenset(), *, unreaped: int = 0) -> None:
    """End everything below this process but `keep` and what is below those; their zombies are taken away.

    All are stopped before the first is ended, so that a fork bomb cannot outrun the sweep.
    """
    deadline = time.monotonic() + _SWEEP_SECONDS
    while time.monotonic() < deadline:
        stopped: set[int] = set()
        while (left := _descendants(os.getpid(), keep) - stopped) and time.monotonic() < deadline:
            for member in left:
                _signal(member, signal.SIGSTOP)
            stopped |= left
        for member in stopped:
            _signal(member, signal.SIGKILL)
        _reap(keep | {unreaped})
        if not stopped:
            return
    raise OSError(f"processes below {os.getpid()} could not be ended within {_SWEEP_SECONDS:.0f} s")


def _reap_adopted(own: int) -> None:
    """Take the exit codes of orphans while `own` still runs, or a swarm of them fills the table of processes."""
    while (found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
        if found.si_pid == own:
            return
        os.waitpid(found.si_pid, os.WNOHANG)


def _reap(keep: frozenset[int]) -> None:
    """Take the exit codes of adopted orphans: they would stay as zombies, which still count as processes."""
    for child in _children(os.getpid()) - keep:
        try:
            os.waitpid(child, os.WNOHANG)
        except ChildProcessError:
            continue  # its own starter took it meanwhile


def _descendants(root: int, keep: frozenset[int] = frozenset()) -> set[int]:
    """Ids of the live processes below `root`; zombies, `keep` and what is below `keep` left out."""
    found: set[int] = set()
    waiting = [root]
    while waiting:
        for child in _children(waiting.pop()) - keep - found:
            stat = read_stat(child)
            if stat is not None and stat[0] not in "ZX":
                found.add(child)
                waiting.append(child)
    return found


def _children(process_id: int) -> set[int]:
    """Ids of the children of all threads of a process, zombies among them. Source: proc(5), needs no look at others."""
    found: set[int] = set()
    try:
        for task in os.scandir(f"/proc/{process_id}/task"):
            found.update(map(int, (Path(task.path) / "children").read_bytes().split()))
    except OSError:
        return found  # it ended meanwhile
    return found


def read_stat(process_id: int) -> tuple[str, int, int] | None:
    """State letter, parent and start time (clock ticks since boot) of a process; None when there is none."""
    try:
        text = Path(f"/proc/{process_id}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    words = text.rpartition(")")[2].split()  # the name before it may hold anything
    return words[0], int(words[1]), int(words[19])


def _signal(process_id: int, number: signal.Signals) -> None:
    try:
        os.kill(process_id, number)
    except (ProcessLookupError, PermissionError):
        return  # ended by itself, or never ours


def _signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return  # ended by itself, or never ours


class _Tail:
    """The last bytes of what several threads wrote."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._data = bytearray()
        self._lock = threading.Lock()

    def add(self, piece: bytes) -> None:
        with self._lock:
            self._data += piece
            if len(self._data) > 2 * self._most:
                del self._data[: -self._most]

    def read(self) -> bytes:
        with self._lock:
            return bytes(self._data[-self._most :])


def _read(stream: IO[bytes], watch: Watch, tail: _Tail, is_lines: bool) -> None:
    """Take what comes until the end; a line without an end is handed on in pieces, and nothing is kept over the cap."""
    with stream:
        while line := stream.readline(MOST_LINE_BYTES):
            watch.n_output_bytes += len(line)
            if watch.n_output_bytes > watch.most_output_bytes:
                continue  # read on, so that the program can end; the watch stops it
            tail.add(line)
            if is_lines:
                watch.on_line(line)


def _feed(stream: IO[bytes], data: bytes) -> None:
    try:
        with stream:
            stream.write(data)
    except BrokenPipeError:
        return  # it does not want to read
