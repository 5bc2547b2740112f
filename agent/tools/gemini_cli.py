"""Gemini CLI (`gemini -p … --approval-mode yolo -o stream-json`), with a settings file of ours in a home of its own.

Source: behaviour of @google/gemini-cli 0.61.0. A base URL without the auth type in the settings ends it with 41.
"""

from __future__ import annotations

import json
from typing import Any

from agent.tools import PLACEHOLDER_KEY, Call, Event, Place, Step

_MOST_TURNS = 200
_NEVER = ("web_fetch", "google_web_search", "save_memory")
_NO_EDIT = ("write_file", "replace", "run_shell_command")
_NO_GIT_WRITES = tuple(f"run_shell_command(git {verb})" for verb in ("add", "commit", "push", "remote", "config"))


def call(tool: dict[str, Any], step: Step, place: Place) -> Call:
    """The command; the prompt goes by standard input."""
    home = place.scratch / "gemini"
    (home / ".gemini").mkdir(parents=True, exist_ok=True)
    settings = {
        "security": {"auth": {"selectedType": "gemini-api-key"}, "folderTrust": {"enabled": False}},
        "model": {"name": tool["model"], "maxSessionTurns": _MOST_TURNS},
        "tools": {"exclude": [*_NEVER, *(_NO_GIT_WRITES if step.may_edit else _NO_EDIT)]},
        "mcp": {"allowed": ["none"]},
        "mcpServers": {},
        "general": {"enableAutoUpdate": False, "disableAutoUpdate": True, "checkpointing": {"enabled": False}},
        "privacy": {"usageStatisticsEnabled": False},
        "telemetry": {"enabled": False},
        "context": {"fileName": ["SOULCASTER-NONE.md"]},
        "hooksConfig": {"enabled": False},
    }
    (home / ".gemini" / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    env = {
        "GEMINI_API_KEY": PLACEHOLDER_KEY,
        "GOOGLE_GEMINI_BASE_URL": place.gateway_url,
        "GEMINI_CLI_HOME": str(home),
        "GEMINI_CLI_NO_RELAUNCH": "1",
    }
    program = str(place.tools / "node_modules" / ".bin" / "gemini")
    argv = [program, "-m", tool["model"], "--approval-mode", "yolo", "--skip-trust", "-o", "stream-json"]
    return Call([*argv, "--extensions", "none", "-p", ""], env, step.prompt.encode())


def read_event(line: dict[str, Any]) -> Event | None:
    """What a line says: message (in pieces), tool_use, tool_result, error, result (tokens)."""
    kind = line.get("type")
    if kind == "message":
        if line.get("role") != "assistant":
            return Event("other", "message")
        return Event("text", str(line.get("content", "")), is_piece=bool(line.get("delta")))
    if kind == "tool_use":
        return Event("tool", f"{line.get('tool_name')}: {json.dumps(line.get('parameters'))}")
    if kind == "error":
        return Event("error", str(line.get("message", ""))[:2000])
    if kind == "result":
        stats = line.get("stats")
        total = stats.get("total_tokens") if isinstance(stats, dict) else 0
        return Event("other", f"result {line.get('status')}", tokens=total if isinstance(total, int) else 0)
    return None if kind is None else Event("other", str(kind))
