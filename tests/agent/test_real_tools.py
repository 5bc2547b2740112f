"""The real coding tools, pinned, edit a real tree in the real sandbox; the model behind the gateway is a stand-in."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from job_folders import make_edit, make_verify, read_report
from pydantic import SecretStr

from soulcaster.drill.model_server import MODEL_KEY, ModelServer, Say, Script, Use, running_model, shell
from soulcaster.fix_models import LaunchRequest, LaunchState
from soulcaster.launchers.local import LocalLauncher

ROOT = Path(__file__).resolve().parents[2]
KILO = {"name": "kilo", "model": "gemini-2.5-flash", "protocol": "gemini"}
GEMINI_CLI = {"name": "gemini-cli", "model": "gemini-2.5-flash", "protocol": "gemini"}
TEST = "import sums\n\nassert sums.add(2, 3) == 5, 'sum'\n"
FILES: dict[str, str | bytes] = {
    "sums.py": "def add(a, b):\n    return a - b\n\n\ndef double(a):\n    return a + a\n",
    "check.py": "import sums\n\nassert sums.double(2) == 4, 'double'\n",
}
GITHUB_CANARY = "ghp_canaryCanaryCanaryCanary0123456789ab"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (ROOT / ".tools" / ".installed").exists(), reason="infra/install-tools.sh has not run"),
]


def edit_call(old: str, new: str, name: str = "sums.py") -> Use:
    """The model edits a file; tools differ in how they call that and its fields, so both sets are there."""
    path = f"/job/work/tree/{name}"
    kilo = {"filePath": path, "oldString": old, "newString": new}
    gemini = {"file_path": path, "old_string": old, "new_string": new, "instruction": "fix it"}
    return Use(kilo | gemini, ("edit", "replace"))


def launch_edit(
    folder: Path, script: Script, tool: dict[str, Any], files: dict[str, str | bytes] = FILES, **limits: Any
) -> tuple[LaunchState, ModelServer]:
    """Run an edit launch to its end in the sandbox of this machine."""
    with running_model(script) as model:
        url = model.url if tool["protocol"] == "gemini" else f"{model.url}/v1"
        launcher = LocalLauncher(model_url=url, model_key=SecretStr(MODEL_KEY), sandbox="auto")
        if launcher.find_sandbox()[0] == "none":
            pytest.skip(f"no sandbox on this machine: {launcher.find_sandbox()[1]}")
        prompts = {"fix": "add() subtracts; fix it"}
        make_edit(folder, files, tool=tool, prompts=prompts, limits={"wall_seconds": 200} | limits)
        return run(launcher, folder, "edit"), model


def run(launcher: LocalLauncher, folder: Path, mode: str) -> LaunchState:
    """Launch and wait."""
    request = LaunchRequest.model_validate(
        {"token": f"t-{mode}", "mode": mode, "folder": folder, "deadline_seconds": 280}
    )
    handle = launcher.launch(request)
    deadline = time.monotonic() + 290
    while (state := launcher.poll(handle)).state == "running" and time.monotonic() < deadline:
        time.sleep(0.2)
    return state


def all_bytes(folder: Path) -> bytes:
    """Everything that a launch left."""
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_kilo_fixes_reads_no_secret_and_obeys_no_configuration_of_the_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The edit is the patch; keys are nowhere to be found; its MCP commands never start; git is refused."""
    monkeypatch.setenv("SOULCASTER_GITHUB_TOKEN", GITHUB_CANARY)
    command = ["sh", "-c", "touch /job/work/tree/mcp-was-started; sleep 60"]
    config = json.dumps({"mcp": {"evil": {"type": "local", "command": command, "enabled": True}}})
    files = {**FILES, "kilo.json": config, "opencode.json": config, ".kilo/kilo.json": config}
    look = "env; cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr '\\0' '\\n'; ls -a / /job /job/launch /root /home; cat /job/launch/*"  # noqa: E501  one command
    script = [
        edit_call("return a - b", "return a + b"),
        shell(look),
        shell("git commit --allow-empty -m x"),
        Say("It subtracted; now it adds."),
    ]

    state, model = launch_edit(tmp_path / "job", script, KILO, files)
    report = read_report(tmp_path / "job")

    assert (0, "done", "bwrap") == (state.exit_code, report["status"], report["sandbox"]), report
    assert ["sums.py"] == report["files_changed"]
    assert "It subtracted; now it adds." == report["steps"][0]["answer"]
    assert {"name": "kilo", "version": "7.7.7", "model": "gemini-2.5-flash"} == report["tool"]
    told = [request for request in model.requests if request.tools]
    assert {MODEL_KEY} == {request.headers["x-goog-api-key"] for request in model.requests}
    assert "soulcaster-placeholder" in told[2].text  # what it saw of its environment was sent back to the model
    assert "KILO_DISABLE_PROJECT_CONFIG" in told[2].text
    for secret in (MODEL_KEY, GITHUB_CANARY):
        assert secret not in "".join(request.text for request in model.requests)
        assert secret.encode() not in all_bytes(tmp_path / "job")
    assert "webfetch" not in told[0].tools
    assert len(told) == report["steps"][0]["requests"]
    usage = json.loads((tmp_path / "job" / "launch" / "usage.json").read_text())
    assert (len(model.requests), 120 * len(model.requests)) == (usage["requests"], usage["tokens"])


def test_kilo_breaks_an_old_test_and_verify_sees_it(tmp_path: Path):
    """A patch that makes the new case right and an old one wrong: what was green on the base is red with it."""
    script = [
        edit_call("return a - b", "return a + b"),
        edit_call("return a + a", "return a * a * a"),
        Say("Both are fixed."),
    ]
    state, _ = launch_edit(tmp_path / "job", script, KILO)
    patch = (tmp_path / "job" / "change.patch").read_bytes()
    verify = make_verify(
        tmp_path / "verify", FILES, ["python3", "check.py"], patches={"change": patch, "source": patch}
    )
    run(LocalLauncher(model_url="", model_key=None, sandbox="auto"), verify, "verify")

    assert 0 == state.exit_code
    runs = read_report(verify)["runs"]
    assert (0, 1) == (runs["baseline"]["exit_code"], runs["old_tests_on_patch"]["exit_code"])
    assert "AssertionError: double" in runs["old_tests_on_patch"]["tail"]


def test_kilo_that_edits_nothing_is_no_change(tmp_path: Path):
    """It ends with 0 all the same, so the files are asked. Over the OpenAI protocol, where answers tell the cost."""
    tool = {"name": "kilo", "model": "stand-in-1", "protocol": "openai"}
    state, model = launch_edit(tmp_path / "job", [Say("I found nothing to fix.")], tool)
    report = read_report(tmp_path / "job")

    assert (0, "no_change") == (state.exit_code, report["status"]), report
    assert b"" == (tmp_path / "job" / "change.patch").read_bytes()
    assert {f"Bearer {MODEL_KEY}"} == {request.headers["authorization"] for request in model.requests}
    assert report["steps"][0]["tokens"] >= 120
    assert report["steps"][0]["cost_usd"] >= 0.001


def test_kilo_in_an_endless_loop_is_stopped_by_the_budget(tmp_path: Path):
    """A model that never stops calling tools: its own limits do not hold, ours do, and the edit so far is kept."""

    def loop(request: Any) -> Use:
        return edit_call("return a - b", "return a + b") if request.n_results == 0 else shell("true")

    state, model = launch_edit(tmp_path / "job", loop, KILO, requests=6)
    report = read_report(tmp_path / "job")

    assert (0, "limit") == (state.exit_code, report["status"]), report
    assert "requests" in report["reason"]
    assert len(model.requests) <= 6
    assert "+    return a + b" in (tmp_path / "job" / "change.patch").read_text()


def test_gemini_cli_fixes(tmp_path: Path):
    """The second adapter does the same job, without the key and without the repository's settings."""
    trap = {"mcpServers": {"evil": {"command": "sh", "args": ["-c", "touch /job/work/tree/mcp-was-started"]}}}
    files = {**FILES, ".gemini/settings.json": json.dumps(trap)}
    script = [edit_call("return a - b", "return a + b"), shell("env"), Say("Now it adds.")]

    state, model = launch_edit(tmp_path / "job", script, GEMINI_CLI, files)
    report = read_report(tmp_path / "job")

    assert (0, "done") == (state.exit_code, report["status"]), report
    assert ["sums.py"] == report["files_changed"]
    assert "Now it adds." == report["steps"][0]["answer"]
    assert "0.61.0" == report["tool"]["version"]
    assert MODEL_KEY not in "".join(request.text for request in model.requests)
    assert MODEL_KEY.encode() not in all_bytes(tmp_path / "job")
