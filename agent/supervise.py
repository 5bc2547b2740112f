"""`agent supervise`: the trusted process that holds one launch on this machine, from its start to its sealed folder.

It outlives the one who asked for it. While it lives it holds the lock `launch/lock` in the job folder, so whoever comes
later can tell a living launch from a dead one without trusting process ids. It starts the gateway outside the sandbox
and the entry inside, stops both at the backstop, takes away everything in the folder that is not an output, and writes
`launch/state.json` last. The folder `launch` is not visible inside the sandbox.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import math
import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from agent import EXIT_BAD_JOB, sandbox
from agent.bridge import read_counts
from agent.job import JobError, read_job
from agent.processes import adopt_orphans, end_descendants, end_tree, read_stat
from agent.report import cut_head, write_whole
from agent.tree import remove

BACKSTOP_SECONDS = 15.0
STOP_SECONDS = 30.0
_TICK_SECONDS = 0.1
_COUNT_SECONDS = 2.0
_GATEWAY_SECONDS = 20.0
_PR_SET_DUMPABLE = 4
_INPUTS = {
    "edit": ("job.json", "source.tar.gz", "start.patch"),
    "verify": ("job.json", "source.tar.gz", "change.patch", "tests.patch", "source.patch"),
}
_MOST_BYTES = {"report.json": 10_000_000, "change.patch": 6_000_000, "events.jsonl": 6_000_000, "log.txt": 6_000_000}


@dataclass
class Supervision:
    """One launch as its supervisor sees it."""

    folder: Path
    token: str
    mode: str
    deadline_seconds: float
    sandbox: str
    model_url: str
    model_key: str = field(repr=False)
    tools: Path
    stopped: threading.Event = field(default_factory=threading.Event)

    @property
    def private(self) -> Path:
        """Lock, state, counts and the entry's own output."""
        return self.folder / "launch"


def run(_words: list[str]) -> int:
    """Read the request from standard input, leave the caller behind, hold the launch.

    Says one line on standard output: `started`, or `known` when this folder's launch lives or has ended already.
    """
    wanted = json.loads(sys.stdin.buffer.read())
    this = Supervision(**{**wanted, "folder": Path(wanted["folder"]), "tools": Path(wanted["tools"])})
    if os.fork() > 0:
        return 0
    os.setsid()
    os.umask(0o022)
    this.private.mkdir(mode=0o700, exist_ok=True)
    lock = os.open(this.private / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _tell_caller("known", this)
        return 0
    adopt_orphans()
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)  # the key is in our memory: no debugger of the same user
    if (this.private / "state.json").exists():
        _close_dead(this)
        _tell_caller("known", this)
        return 0
    started = read_stat(os.getpid())
    running = {"token": this.token, "state": "running", "pid": os.getpid(), "started": started[2] if started else 0}
    _write_state(this, running)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: this.stopped.set())
    _tell_caller("started", this)
    exit_code, reason = _hold(this)
    problems = _seal(this)
    said = "; ".join(part for part in (reason, *problems) if part)
    _write_state(this, running | {"state": "ended", "exit_code": exit_code, "reason": said, "is_infrastructure": False})
    return 0


def _tell_caller(word: str, this: Supervision) -> None:
    """Answer the caller and let go of its pipes: from here on output goes to a file."""
    sys.stdout.write(word + "\n")
    sys.stdout.flush()
    output = os.open(this.private / "output.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)


def _close_dead(this: Supervision) -> None:
    """When an earlier supervisor of this folder died, what it held ends by itself: await that, seal, and say so."""
    state = json.loads((this.private / "state.json").read_text(encoding="utf-8"))
    if state["state"] == "running":
        _await_entry(this)
        _seal(this)
        reason = "the process that held the launch was killed, or the machine was restarted"
        ended = {"state": "ended", "exit_code": None, "reason": reason, "is_infrastructure": True}
        _write_state(this, state | ended)


def _await_entry(this: Supervision) -> None:
    """Wait for an entry whose supervisor died: it notices and saves its work; without a sandbox nothing ends it."""
    lock = _open_entry_lock(this)
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            time.sleep(_TICK_SECONDS)
    os.close(lock)


def _open_entry_lock(this: Supervision) -> int:
    return os.open(this.private / "entry.lock", os.O_RDONLY | os.O_CREAT, 0o600)


def _write_state(this: Supervision, state: dict[str, Any]) -> None:
    write_whole(this.private / "state.json", json.dumps(state).encode())


def _hold(this: Supervision) -> tuple[int | None, str]:
    """Run the launch to its end; exit code and reason."""
    try:
        job = read_job(this.folder, this.mode)
    except JobError as error:
        return EXIT_BAD_JOB, str(error)
    try:
        with _gateway(this, job) as socket:
            stages: list[list[str]] = [[]]
            if this.sandbox == "bwrap" and job[this.mode].get("setup"):
                stages = [["--stage", "setup"], ["--stage", "test" if this.mode == "verify" else "edit"]]
            for stage in stages:
                exit_code, reason = _run_entry(this, socket, stage)
                if exit_code != 0 or not (this.folder / "work" / "stage.json").is_file():
                    break
    except OSError as error:
        return None, f"starting the launch failed: {error}"
    return exit_code, reason


@contextmanager
def _gateway(this: Supervision, job: dict[str, Any]) -> Iterator[Path | None]:
    """The socket of a running gateway; None when the launch needs no model."""
    if this.mode != "edit" or not this.model_url:
        yield None
        return
    limits, n_steps = job["edit"]["limits"], len(job["edit"]["steps"])
    settings = {name: limits[name] * n_steps for name in ("requests", "tokens", "cost_usd")}
    exchanges = str(this.private / "model.jsonl")
    settings |= {"url": this.model_url, "key": this.model_key, "exchanges": exchanges}
    # Not below the job folder: the path of a socket has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="soulcaster-", dir="/tmp") as place:
        socket = Path(place) / "gateway.sock"
        with (this.private / "gateway.txt").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-s", "-P", "-m", "agent", "gateway", "--socket", str(socket)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=_environment(), cwd="/",
                start_new_session=True,
            )  # fmt: skip
        assert process.stdin  # noqa: S101  a pipe, asked for above; tells the type checker
        assert process.stdout  # noqa: S101
        try:
            process.stdin.write(json.dumps(settings).encode() + b"\n")
            process.stdin.flush()
            if process.stdout.readline().strip() != b"ready":
                raise OSError("the model gateway did not start, see launch/gateway.txt")
            yield socket
        finally:
            _note_counts(this, socket)
            process.stdin.close()
            try:
                process.wait(timeout=_GATEWAY_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()


def _note_counts(this: Supervision, socket: Path | None) -> None:
    """Keep the gateway's counts where the agent cannot reach them."""
    counts = read_counts(f"unix:{socket}") if socket else None
    if counts is not None:
        write_whole(this.private / "usage.json", json.dumps(asdict(counts)).encode())


def _run_entry(this: Supervision, socket: Path | None, stage: list[str]) -> tuple[int | None, str]:
    command, environment = _command(this, socket, stage)
    keep = _own_children()
    lock = _open_entry_lock(this)
    fcntl.flock(lock, fcntl.LOCK_EX)
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, cwd=this.folder, env=environment, start_new_session=True,
        pass_fds=() if this.sandbox == "bwrap" else (lock,),  # that one dies with us
    )  # fmt: skip  # output goes where ours goes
    os.close(lock)
    assert process.stdin  # noqa: S101  a pipe, asked for above; tells the type checker
    deadline = time.monotonic() + this.deadline_seconds + BACKSTOP_SECONDS
    counted_at, cause = 0.0, ""
    while process.poll() is None and not cause:
        if time.monotonic() - counted_at > _COUNT_SECONDS:
            _note_counts(this, socket)
            counted_at = time.monotonic()
        if this.stopped.is_set():
            cause = "was asked to stop"
        elif time.monotonic() > deadline:
            cause = "did not end at its deadline"
        time.sleep(_TICK_SECONDS)
    process.stdin.close()  # tells the entry to save what there is and end
    try:
        process.wait(timeout=STOP_SECONDS if cause else 0.1)
    except subprocess.TimeoutExpired:
        cause += ", and not within the time to save either"
    end_tree(process, grace_seconds=0.0, keep=keep)
    reason = cause
    if process.returncode != 0 and not cause:
        output = (this.private / "output.txt").read_bytes()[-2000:].decode("utf-8", "replace").strip()
        reason = f"the entry ended with {process.returncode}: {cut_head(output, 500)}"
    return process.returncode, reason


def _own_children() -> frozenset[int]:
    """Ids of the processes this one has started so far: the gateway."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        status = read_stat(int(entry.name))
        if status is not None and status[1] == os.getpid():
            found.add(int(entry.name))
    return frozenset(found)


def _command(this: Supervision, socket: Path | None, stage: list[str]) -> tuple[list[str], dict[str, str]]:
    """The entry's command and the environment of the process that is started: inside nothing but what is named here."""
    is_inside = this.sandbox == "bwrap"
    has_network = stage == ["--stage", "setup"]
    socket = None if has_network else socket  # with a way out of the machine there is none to the model
    environment = {
        "PATH": sandbox.program_path(),
        "LANG": "C.UTF-8",
        "PYTHONPATH": sandbox.CODE if is_inside else _code_root(),
        "PYTHONDONTWRITEBYTECODE": "1",
        "SOULCASTER_AGENT_SANDBOX": this.sandbox,
        "SOULCASTER_AGENT_TOOLS": sandbox.TOOLS if is_inside else str(this.tools),
    }
    if socket is not None:
        environment["SOULCASTER_AGENT_GATEWAY"] = f"unix:{sandbox.SOCKET if is_inside else socket}"
    folder = sandbox.FOLDER if is_inside else str(this.folder)
    entry = [sys.executable, "-s", "-P", "-m", "agent", this.mode, folder, "--watch-stdin", *stage]
    if not is_inside:
        return entry, environment
    inputs = tuple(name for name in _INPUTS[this.mode] if (this.folder / name).is_file())
    _hand_over(this, inputs)
    binding = sandbox.Binding(this.folder, this.private, this.tools, inputs, socket, has_network=has_network)
    return sandbox.wrap(binding, environment, entry), _environment()


def _hand_over(this: Supervision, inputs: tuple[str, ...]) -> None:
    """Where root started us: the folder belongs to the sandbox's user while it runs."""
    if os.geteuid() == 0:
        os.chown(this.folder, sandbox.UID, sandbox.UID)
        for name in inputs:
            os.chown(this.folder / name, sandbox.UID, sandbox.UID, follow_symlinks=False)


def _seal(this: Supervision) -> list[str]:
    """Leave inputs and outputs and nothing else in the folder; outputs are plain files within their bounds.

    The agent could have put anything there: links to files of ours, pipes that block a reader, a disk full.
    """
    end_descendants()
    if os.geteuid() == 0:
        os.chown(this.folder, 0, 0)
    problems = []
    for entry in os.scandir(this.folder):
        path = Path(entry.path)
        if path == this.private:
            continue
        status = path.lstat()
        is_input = entry.name in _INPUTS[this.mode]
        most = math.inf if is_input else _MOST_BYTES.get(entry.name, -1)
        if stat.S_ISREG(status.st_mode) and status.st_size <= most:
            _take_back(path)
            continue
        remove(path)
        if most >= 0:
            problems.append(f"{entry.name} was no plain file within its bounds and was taken away")
    return problems


def _take_back(path: Path) -> None:
    if os.geteuid() == 0:
        os.chown(path, 0, 0, follow_symlinks=False)
    path.chmod(0o644)


def _code_root() -> str:
    return str(Path(__file__).resolve().parents[1])


def _environment() -> dict[str, str]:
    """For what we start outside the sandbox."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "PYTHONPATH": _code_root()}
