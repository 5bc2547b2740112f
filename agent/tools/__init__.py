"""The coding tools: how each is called without a screen, and what its lines of output mean.

Each adapter is two functions: `call` builds the command, `read_event` reads one line. Time, budget, ending and
redaction are not theirs. No adapter is told a key: tools get a placeholder, which the gateway replaces.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

PLACEHOLDER_KEY = "soulcaster-placeholder"

OWN_FILES = frozenset(
    {
        ".kilo", ".kilocode", ".kilocoderules", ".kilocodemodes", ".opencode", ".clinerules", ".roo", ".roorules",
        ".roomodes", ".gemini", ".agents", ".claude", "kilo.json", "kilo.jsonc", "opencode.json", "opencode.jsonc",
        "agents.md", "claude.md", "gemini.md", "context.md",
    }
)  # fmt: skip
"""What tools read of a repository by themselves, in lower case: taken out of the tree before one starts.

Switches are not enough: Kilo 7.7.7 puts `.kilo/rules` into its prompt with its project configuration switched off.
"""


class ToolMissingError(Exception):
    """The tool is not installed; the message names it and what to run."""


@dataclass(frozen=True)
class Step:
    """What one model run is asked: its name, whole prompt, and whether it may edit."""

    name: str
    prompt: str
    may_edit: bool


@dataclass(frozen=True)
class Place:
    """Where a tool runs: installed tools, the tree, a folder of its own to write in, the gateway's address."""

    tools: Path
    tree: Path
    scratch: Path
    gateway_url: str


@dataclass(frozen=True)
class Call:
    """A command with what it needs beside the common environment."""

    argv: list[str]
    env: dict[str, str] = field(default_factory=dict)
    stdin: bytes = b""


@dataclass(frozen=True)
class Event:
    """One thing a tool did. `kind` tool: it used one of its tools; text: it spoke; error: it met one."""

    kind: Literal["tool", "text", "error", "other"]
    text: str = ""
    tokens: int = 0
    cost_usd: float = 0.0
    is_piece: bool = False


@dataclass(frozen=True)
class Adapter:
    """A tool: where its version stands, how it is called, how its lines are read."""

    package: str
    call: Callable[[dict[str, Any], Step, Place], Call]
    read_event: Callable[[dict[str, Any]], Event | None]


def get_adapter(name: str) -> Adapter:
    """The adapter of that name: kilo, gemini-cli or scripted."""
    from agent.tools import gemini_cli, kilo, scripted

    adapters = {
        "kilo": Adapter("@kilocode/cli", kilo.call, kilo.read_event),
        "gemini-cli": Adapter("@google/gemini-cli", gemini_cli.call, gemini_cli.read_event),
        "scripted": Adapter("", scripted.call, scripted.read_event),
    }
    return adapters[name]


def find_version(adapter: Adapter, tools: Path) -> str:
    """Version of the installed tool.

    Raises:
        ToolMissingError: it is not there.
    """
    if not adapter.package:
        return "1"
    path = tools / "node_modules" / adapter.package / "package.json"
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["version"])
    except (OSError, ValueError, KeyError) as error:
        raise ToolMissingError(
            f"The coding tool {adapter.package} is not installed in {tools}; run infra/install-tools.sh."
        ) from error
