"""Kilo CLI (`kilo run --auto --format json`), an opencode fork. Its whole configuration is in one variable, no file.

Source: behaviour of @kilocode/cli 7.7.7. It ends with 0 whatever it did, so the edit is judged by the files.
"""

from __future__ import annotations

import json
from typing import Any

from agent.tools import PLACEHOLDER_KEY, Call, Event, Place, Step

_SWITCHES = (
    "DISABLE_PROJECT_CONFIG",  # a kilo.json of the target repository could name commands that run at start
    "DISABLE_MODELS_FETCH", "DISABLE_AUTOUPDATE", "DISABLE_SESSION_INGEST", "DISABLE_SHARE", "DISABLE_DEFAULT_PLUGINS",
    "DISABLE_EXTERNAL_SKILLS", "DISABLE_CLAUDE_CODE", "DISABLE_LSP_DOWNLOAD", "DISABLE_CODEBASE_INDEXING", "NO_DAEMON",
)  # fmt: skip
_NEVER = (
    "webfetch", "websearch", "codesearch", "background_process", "schedule_wakeup", "task", "skill", "question",
    "kilo_local_recall", "board_post", "board_read",
)  # fmt: skip
_NO_GIT_WRITES = {f"git {verb}*": "deny" for verb in ("add", "commit", "push", "remote", "config", "stash", "reset")}


def call(tool: dict[str, Any], step: Step, place: Place) -> Call:
    """The command; the prompt goes by standard input, where neither its length nor `ps` matters."""
    provider, model = _provider(tool, place.gateway_url)
    permission: dict[str, Any] = dict.fromkeys(_NEVER, "deny")
    permission |= {"bash": {"*": "allow", **_NO_GIT_WRITES}} if step.may_edit else {"edit": "deny", "bash": "deny"}
    config = {
        **provider,
        "share": "disabled",
        "autoupdate": False,
        "snapshot": False,
        "mcp": {},
        "plugin": [],
        "permission": permission,
        "experimental": {"continue_loop_on_deny": True},
    }
    env = {f"KILO_{switch}": "1" for switch in _SWITCHES}
    env |= {"KILO_TELEMETRY_LEVEL": "off", "KILO_CONFIG_CONTENT": json.dumps(config)}
    argv = [str(place.tools / "node_modules" / ".bin" / "kilo"), "run", "--auto", "--format", "json", "-m", model]
    return Call(argv, env, step.prompt.encode())


def _provider(tool: dict[str, Any], gateway_url: str) -> tuple[dict[str, Any], str]:
    name = tool["model"]
    if tool.get("protocol", "gemini") == "gemini":
        options = {"baseURL": f"{gateway_url}/v1beta", "apiKey": PLACEHOLDER_KEY}
        return {"provider": {"google": {"options": options}}, "enabled_providers": ["google"]}, f"google/{name}"
    local = {
        "npm": "@ai-sdk/openai-compatible",
        "options": {"baseURL": f"{gateway_url}/v1", "apiKey": PLACEHOLDER_KEY, "includeUsage": True},
        "models": {name: {"limit": {"context": 128_000, "output": 16_000}, "tool_call": True}},
    }
    return {"provider": {"gateway": local}, "enabled_providers": ["gateway"]}, f"gateway/{name}"


def read_event(line: dict[str, Any]) -> Event | None:
    """What a line says: tool_use, text, step_finish (tokens and cost), error."""
    part = line.get("part")
    part = part if isinstance(part, dict) else {}
    kind = line.get("type")
    if kind == "tool_use":
        found = part.get("state")
        state = found if isinstance(found, dict) else {}
        return Event("tool", f"{part.get('tool')}: {state.get('status')} {json.dumps(state.get('input'))}")
    if kind == "text":
        return Event("text", str(part.get("text", "")))
    if kind == "step_finish":
        tokens = part.get("tokens")
        total = tokens.get("total") if isinstance(tokens, dict) else 0
        cost = part.get("cost")
        return Event(
            "other",
            "step finished",
            tokens=total if isinstance(total, int) else 0,
            cost_usd=float(cost) if isinstance(cost, int | float) else 0.0,
        )
    if kind == "error":
        return Event("error", json.dumps(line.get("error"))[:2000])
    return None if kind is None else Event("other", str(kind))
