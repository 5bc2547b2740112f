"""Launches the agent on this machine, in a bubblewrap sandbox when that works here.

What is started outlives the caller: a supervisor in a session of its own holds a lock in the job folder while it lives.
The folder is the only memory, so any process finds a launch again by its handle, and the same token never starts two.
"""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Literal

from pydantic import SecretStr

from soulcaster.errors import PermanentError, TransientError
from soulcaster.fix_models import LaunchRequest, LaunchState

SandboxChoice = Literal["auto", "none", "require"]
_START_SECONDS = 60.0
_STOP_SECONDS = 60.0
_POLL_SECONDS = 0.1


class LocalLauncher:
    """A `Launcher` over processes of this machine.

    Args:
        model_url: root of the Gemini service, or base (with its version) of an OpenAI-compatible one.
        model_key: goes to the gateway process by a pipe, and nowhere else.
        sandbox: auto = bubblewrap when a probe says it works, else none; require = refuse in place of none.
        tools: folder of the installed coding tools; that of the checkout when not given.
    """

    name = "local"

    def __init__(
        self,
        *,
        model_url: str,
        model_key: SecretStr | None,
        sandbox: SandboxChoice = "auto",
        tools: Path | None = None,
    ) -> None:
        self._model_url = model_url
        self._model_key = model_key
        self._choice = sandbox
        self._tools = tools or _code_root() / ".tools"
        self._found: tuple[Literal["bwrap", "none"], str] | None = None

    @property
    def tools(self) -> Path:
        """Folder of the installed coding tools."""
        return self._tools

    def find_sandbox(self) -> tuple[Literal["bwrap", "none"], str]:
        """What will hold a launch, and why when it is nothing; probed once per launcher.

        Raises:
            PermanentError: a sandbox is required and does not work here.
        """
        found = self._found or (_probe() if self._choice != "none" else ("none", "switched off"))
        self._found = found
        if self._choice == "require" and found[0] == "none":
            raise PermanentError(
                f"Launching the agent was refused: a sandbox is required and does not work here ({found[1]}); "
                "install bubblewrap, or allow sandbox 'none' where you trust what is fixed."
            )
        return found

    def launch(self, request: LaunchRequest) -> str:
        """Start, or find what this token started in this folder; see `Launcher`."""
        folder = request.folder.resolve()
        handle = f"{request.token}:{folder}"
        state = _read_state(folder)
        if state is None:
            sandbox, _ = self.find_sandbox()
            self._start(request, folder, sandbox)
            state = _wait_for_state(folder)
        if state is None or state["token"] != request.token:
            raise PermanentError(
                f"Launching in {str(folder)!r} was refused: the folder belongs to another launch; make a new one."
            )
        return handle

    def poll(self, handle: str) -> LaunchState:
        """State now; see `Launcher`."""
        token, folder = _read_handle(handle)
        state = _read_state(folder)
        if state is None or state["token"] != token:
            return LaunchState(state="missing")
        if state["state"] == "running" and not _is_held(folder):
            # It may have ended between the two looks; if not, its supervisor died, and the folder is to be sealed.
            self._close_dead(folder, token)
            state = _read_state(folder) or state
        if state["state"] == "running":
            return LaunchState(state="running")
        return LaunchState(
            state="ended",
            exit_code=state["exit_code"],
            reason=state["reason"],
            is_infrastructure=state["is_infrastructure"],
        )

    def stop(self, handle: str, *, wait_seconds: float | None = None) -> None:
        """End it and everything it started; see `Launcher`. Comes back when it has ended.

        Raises:
            TransientError: it has not ended in time.
        """
        token, folder = _read_handle(handle)
        state = _read_state(folder)
        if state is None or state["token"] != token or not _is_held(folder):
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            _signal_exactly(state["pid"], state["started"], number)
            deadline = time.monotonic() + (_STOP_SECONDS if wait_seconds is None else wait_seconds)
            while _is_held(folder) and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)
            if not _is_held(folder):
                return
            if wait_seconds is not None:
                break  # it may still be saving its work
        raise TransientError(f"Stopping the launch in {str(folder)!r} has not ended it yet; try again.")

    def _start(self, request: LaunchRequest, folder: Path, sandbox: str) -> None:
        if not (folder / "job.json").is_file():
            raise PermanentError(f"Launching in {str(folder)!r} failed: there is no job.json; write it first.")
        wanted = {
            "folder": str(folder),
            "token": request.token,
            "mode": request.mode,
            "deadline_seconds": request.deadline_seconds,
            "sandbox": sandbox,
            "model_url": self._model_url,
            "model_key": self._model_key.get_secret_value() if self._model_key else "",
            "tools": str(self._tools.resolve()),
        }
        _run_agent(["supervise"], json.dumps(wanted), folder)

    def _close_dead(self, folder: Path, token: str) -> None:
        mode = json.loads((folder / "job.json").read_text(encoding="utf-8"))["mode"]
        wanted = {"folder": str(folder), "token": token, "mode": mode, "deadline_seconds": 1, "sandbox": "none"}
        _run_agent(["supervise"], json.dumps(wanted | {"model_url": "", "model_key": "", "tools": "/"}), folder)


def _run_agent(words: list[str], text: str, folder: Path) -> None:
    """Hand a request to a supervisor and return once it has said that it holds the folder, or that another does."""
    command = [sys.executable, "-s", "-P", "-m", "agent", *words]
    try:
        done = subprocess.run(
            command, input=text.encode(), capture_output=True, check=False, timeout=_START_SECONDS, cwd="/",
            env=_environment(), start_new_session=True,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TransientError(f"Starting the agent in {str(folder)!r} gave no answer: {error}; try again.") from error
    if done.stdout.strip() not in {b"started", b"known"}:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["nothing was said"]
        raise TransientError(f"Starting the agent in {str(folder)!r} failed: {said[0][:300]}; try again.")


def _probe() -> tuple[Literal["bwrap", "none"], str]:
    with tempfile.TemporaryDirectory(prefix="soulcaster-") as folder:
        done = subprocess.run(
            [sys.executable, "-s", "-P", "-m", "agent", "probe", folder],
            capture_output=True, check=False, cwd="/", env=_environment(), timeout=_START_SECONDS,
        )  # fmt: skip
    if done.returncode == 0:
        return "bwrap", ""
    return "none", done.stdout.decode("utf-8", "replace").strip() or "the probe failed"


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "PYTHONPATH": str(_code_root())}


def _code_root() -> Path:
    """The folder that holds the package `agent`, which is started and never imported."""
    spec = importlib.util.find_spec("agent")
    if spec is None or spec.origin is None:
        raise PermanentError("The package 'agent' is not installed beside soulcaster; install the whole project.")
    return Path(spec.origin).resolve().parents[1]


def _read_handle(handle: str) -> tuple[str, Path]:
    token, _, folder = handle.partition(":")
    return token, Path(folder)


def _read_state(folder: Path) -> dict[str, Any] | None:
    """What the supervisor wrote last; None when the folder was never launched, or is gone."""
    try:
        state: dict[str, Any] = json.loads((folder / "launch" / "state.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return state


def _wait_for_state(folder: Path) -> dict[str, Any] | None:
    """As `_read_state`, with a moment for another supervisor that was quicker to take the folder."""
    deadline = time.monotonic() + _START_SECONDS
    while (state := _read_state(folder)) is None and _is_held(folder) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    return state or _read_state(folder)


def _is_held(folder: Path) -> bool:
    """Whether a living supervisor holds the folder's lock."""
    try:
        descriptor = os.open(folder / "launch" / "lock", os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _signal_exactly(process_id: int, started: int, number: signal.Signals) -> None:
    """Signal the process only if it is still the one that was started then; ids are used again."""
    try:
        descriptor = os.pidfd_open(process_id)
    except ProcessLookupError:
        return
    try:
        text = Path(f"/proc/{process_id}/stat").read_text(encoding="utf-8", errors="replace")
        if int(text.rpartition(")")[2].split()[19]) == started:
            signal.pidfd_send_signal(descriptor, number)
    except (FileNotFoundError, ProcessLookupError):
        return  # it has ended meanwhile
    finally:
        os.close(descriptor)
