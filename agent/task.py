"""`agent task`: what a container in a cloud starts. Fetches the job folder, runs its entry, hands the results back.

The one address it is given (SOULCASTER_AGENT_TICKET) leads to the ticket, which holds one presigned address a file.
Neither is to be had by what the job runs: the entry gets an environment of its own, and this process lets nobody of
its user look into it. Results are handed over while it runs, the report last, and sealed once at the end.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from agent import EXIT_BAD_JOB, EXIT_INTERRUPTED, EXIT_PLACE, schemas
from agent.bridge import read_counts
from agent.job import say
from agent.processes import adopt_orphans, end_tree
from agent.transfer import MOST_OUTPUT_BYTES, MOST_TICKET_BYTES, TransferError, fetch, fetch_file, put, read_output

BACKSTOP_SECONDS = 15.0
STOP_SECONDS = 60.0
_GATEWAY_SECONDS = 60.0
_TICK_SECONDS = 0.1
_PR_SET_DUMPABLE = 4
_KEPT = ("PATH", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "SOULCASTER_AGENT_TOOLS", "SOULCASTER_AGENT_SANDBOX")


def run(_words: list[str]) -> int:
    """Do the job that the ticket names; the entry's exit code, or one of ours."""
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)  # the addresses are in our memory and first environment
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    folder = Path(os.environ.get("SOULCASTER_AGENT_FOLDER", "/job"))
    adopt_orphans()
    try:
        ticket = _fetch_ticket(os.environ.pop("SOULCASTER_AGENT_TICKET", ""))
        for name, wanted in ticket["inputs"].items():
            fetch_file(name, wanted, folder / name)
        if ticket["gateway"]:
            _wait_for_gateway(ticket["gateway"], stopped)
    except schemas.SchemaError as error:
        say(f"task: {error}")
        return EXIT_BAD_JOB
    except TransferError as error:
        say(f"task: {error}")
        return EXIT_PLACE
    handed: dict[str, str] = {}
    exit_code, reason = _run_entry(folder, ticket, stopped, handed)
    try:
        _hand_over(folder, ticket, handed)
        _seal(folder, ticket, exit_code, reason)
    except TransferError as error:
        say(f"task: {error}")
        return EXIT_PLACE
    return exit_code


def _fetch_ticket(url: str) -> dict[str, Any]:
    try:
        ticket = json.loads(fetch("the ticket", url, MOST_TICKET_BYTES))
    except (ValueError, RecursionError):
        raise schemas.SchemaError("the ticket is no JSON.") from None
    schemas.check(ticket, schemas.load("ticket"), "ticket")
    checked: dict[str, Any] = ticket
    return checked


def _wait_for_gateway(url: str, stopped: threading.Event) -> None:
    """The gateway is a container beside us and may start later."""
    deadline = time.monotonic() + _GATEWAY_SECONDS
    while read_counts(url) is None:
        if stopped.wait(_TICK_SECONDS) or time.monotonic() > deadline:
            raise TransferError("The model gateway beside the agent gave no answer.")


def _run_entry(
    folder: Path, ticket: dict[str, Any], stopped: threading.Event, handed: dict[str, str]
) -> tuple[int, str]:
    """Run the entry to its end, handing over what is new from time to time; exit code and why it was ended."""
    process = subprocess.Popen(
        [sys.executable, "-s", "-P", "-m", "agent", ticket["mode"], str(folder), "--watch-stdin"],
        stdin=subprocess.PIPE, cwd=folder, env=_environment(ticket), start_new_session=True,
    )  # fmt: skip
    assert process.stdin  # noqa: S101  a pipe, asked for above; tells the type checker
    deadline = time.monotonic() + ticket["deadline_seconds"] + BACKSTOP_SECONDS
    told_at, cause = time.monotonic(), ""
    while process.poll() is None and not cause:
        if stopped.wait(_TICK_SECONDS):
            cause = "was asked to stop"
        elif time.monotonic() > deadline:
            cause = "did not end at its deadline"
        elif time.monotonic() - told_at > ticket["progress_seconds"]:
            _hand_over_quietly(folder, ticket, handed)
            told_at = time.monotonic()
    process.stdin.close()  # tells the entry to save what there is and end
    try:
        process.wait(timeout=STOP_SECONDS if cause else 0.1)
    except subprocess.TimeoutExpired:
        cause += ", and not within the time to save either"
    end_tree(process, grace_seconds=0.0)
    code = process.returncode
    return (code if code >= 0 else 128 - code), cause


def _environment(ticket: dict[str, Any]) -> dict[str, str]:
    """All that the entry sees of ours; nothing of what the cloud puts into a container's environment."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {"LANG": "C.UTF-8"} | kept | ({"SOULCASTER_AGENT_GATEWAY": ticket["gateway"]} if ticket["gateway"] else {})


def _hand_over_quietly(folder: Path, ticket: dict[str, Any], handed: dict[str, str]) -> None:
    try:
        _hand_over(folder, ticket, handed)
    except TransferError as error:
        say(f"task: {error} It is tried again.")


def _hand_over(folder: Path, ticket: dict[str, Any], handed: dict[str, str]) -> None:
    """Store every result that is new; the report is read first and stored last, so that it never runs ahead."""
    report = read_output(folder / "report.json", MOST_OUTPUT_BYTES["report.json"])
    for name, most in MOST_OUTPUT_BYTES.items():
        content = report if name == "report.json" else read_output(folder / name, most)
        digest = "" if content is None else hashlib.sha256(content).hexdigest()
        if content is not None and handed.get(name) != digest:
            put(name, ticket["outputs"][name], content)
            handed[name] = digest


def _seal(folder: Path, ticket: dict[str, Any], exit_code: int, reason: str) -> None:
    """Say which results are whole. The first seal stands: whoever comes later changes nothing."""
    outputs = {}
    for name, most in MOST_OUTPUT_BYTES.items():
        content = read_output(folder / name, most)
        if content is not None:
            outputs[name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        elif os.path.lexists(folder / name):
            reason = "; ".join(part for part in (reason, f"{name} was no plain file within its bounds") if part)
    if exit_code == EXIT_INTERRUPTED and not reason:
        reason = "was interrupted"
    seal = {"schema_version": 1, "exit_code": exit_code, "reason": reason[:1000], "outputs": outputs}
    schemas.check(seal, schemas.load("ended"), "seal")
    put("the seal", ticket["ended"], json.dumps(seal).encode(), is_first_only=True)
