"""The tool `scripted`: does what job.json says in place of a model. For tests, drills and the demonstration.

It is a program of its own like the others, so time, ending and sandbox hold for it as for them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from agent.job import say
from agent.tools import Call, Event, Place, Step


def call(tool: dict[str, Any], step: Step, place: Place) -> Call:
    """The command; the step of the script goes by standard input. A step without a script does nothing."""
    script = tool.get("script", {}).get(step.name, {})
    root = str(Path(__file__).resolve().parents[2])
    argv = [sys.executable, "-s", "-P", "-m", "agent", "scripted"]
    return Call(argv, {"PYTHONPATH": root, "SOULCASTER_GATEWAY": place.gateway_url}, json.dumps(script).encode())


def read_event(line: dict[str, Any]) -> Event | None:
    """Its own lines have the fields of an event."""
    kind = line.get("kind")
    return Event(kind, str(line.get("text", ""))) if kind in {"tool", "text", "error"} else None


def run(_words: list[str]) -> int:
    """Write the files, apply the patch, wait, answer, end with the wanted code; all inside the current folder."""
    script = json.load(sys.stdin)
    tree = Path.cwd().resolve()
    for name, text in script.get("files", {}).items():
        path = (tree / name).resolve()
        if not path.is_relative_to(tree):
            say(f"scripted: {name!r} leaves the tree")
            return 1
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        _tell("tool", f"wrote {name}")
    if script.get("patch"):
        done = subprocess.run(
            ["git", "apply", "--whitespace=nowarn", "-"],
            input=script["patch"].encode(),
            capture_output=True,
            check=False,
        )
        if done.returncode != 0:
            say("scripted: the patch of the script does not apply: " + done.stderr.decode("utf-8", "replace"))
            return 1
        _tell("tool", "applied a patch")
    time.sleep(script.get("sleep_seconds", 0))
    if "answer" in script:
        _tell("text", script["answer"])
    return int(script.get("exit_code", 0))


def _tell(kind: str, text: str) -> None:
    print(json.dumps({"kind": kind, "text": text}), flush=True)  # noqa: T201  lines are how a tool speaks
