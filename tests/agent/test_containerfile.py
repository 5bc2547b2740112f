"""The container file says the same as infra/install-tools.sh and the sandbox, and its entry needs nothing but /job."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from job_folders import make_edit, read_report

from agent import sandbox

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "agent" / "Containerfile").read_text()
STEPS = (ROOT / "infra" / "containers" / "agent.sh").read_text()
LINES = [
    line for line in re.sub(r"\\\n\s*", "", TEXT).splitlines() if line.strip() and not line.lstrip().startswith("#")
]


def instruction(word: str) -> list[str]:
    """Arguments of every instruction of that name."""
    return [line.split(None, 1)[1] for line in LINES if line.split()[0] == word]


def environment() -> dict[str, str]:
    """What ENV sets."""
    return dict(pair.split("=", 1) for line in instruction("ENV") for pair in line.split())


def npm_words(text: str) -> set[str]:
    """The words of the npm call in a script."""
    found = re.search(r"npm (install|ci) --[^&)>\n\\]*", text)
    assert found
    return set(found[0].split())


def test_the_image_has_the_tools_of_the_lock():
    """Same package files, same way to install them: no install script, nothing newer than the lock."""
    script = (ROOT / "infra" / "install-tools.sh").read_text()

    assert npm_words(script) == npm_words(STEPS)
    assert "--ignore-scripts" in npm_words(STEPS)
    assert "RUN /tmp/agent.sh && rm /tmp/agent.sh" in LINES
    assert ["infra/tools/package.json", "infra/tools/package-lock.json", "/opt/tools/"] in [
        words.split() for words in instruction("COPY")
    ]


def test_the_tools_are_pinned_exactly():
    """package.json names one version each, the lock the same with a checksum and no address."""
    wanted = json.loads((ROOT / "infra" / "tools" / "package.json").read_text())["dependencies"]
    text = (ROOT / "infra" / "tools" / "package-lock.json").read_text()
    packages = json.loads(text)["packages"]

    assert {"@kilocode/cli": "7.7.7", "@google/gemini-cli": "0.61.0"} == wanted
    assert wanted == {name: packages[f"node_modules/{name}"]["version"] for name in wanted}
    assert [] == [name for name, package in packages.items() if name and not package.get("integrity")]
    assert "://" not in text


def test_the_base_is_named_by_digest_and_the_user_is_that_of_the_sandbox():
    """No base by tag alone; not root; the places are those the local sandbox has."""
    assert ["${BASE_IMAGE}"] == instruction("FROM")
    assert "*@sha256:*" in instruction("RUN")[0]
    assert [f"{sandbox.UID}:{sandbox.UID}"] == instruction("USER")
    assert sandbox.TOOLS == environment()["SOULCASTER_AGENT_TOOLS"]
    assert sandbox.FOLDER == environment()["SOULCASTER_AGENT_FOLDER"]
    assert sandbox.CODE == environment()["PYTHONPATH"]
    assert ['["/job"]'] == instruction("VOLUME")
    assert "python3" == json.loads(instruction("ENTRYPOINT")[0])[0], "an init would keep the ticket's address readable"
    assert [] == [line for line in LINES if re.search(r"(?i)secret|token|api_key|password", line)]


@pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap stands in for a read-only root")
def test_the_entry_runs_on_a_read_only_root_as_its_user(tmp_path: Path):
    """Nothing is written outside the job folder, and the report says `container`."""
    folder = make_edit(tmp_path / "job", {"a.py": "a = 1\n"}, {"fix": {"files": {"a.py": "a = 2\n"}}})
    entry = json.loads(instruction("ENTRYPOINT")[0])
    variables = environment() | {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}
    command = ["bwrap", "--unshare-user", "--uid", str(sandbox.UID), "--unshare-net", "--ro-bind", "/", "/"]
    command += ["--dev", "/dev", "--proc", "/proc", "--bind", str(folder), str(folder), "--clearenv"]
    for name, value in variables.items():
        command += ["--setenv", name, value]
    done = subprocess.run(
        [*command, "--", sys.executable, *entry[1:], "edit", str(folder)], capture_output=True, check=False, timeout=60
    )
    if b"bwrap:" in done.stderr:
        pytest.skip(f"no sandbox on this machine: {done.stderr.decode()}")

    assert 0 == done.returncode, done.stderr
    report = read_report(folder)
    assert ("done", "container", ["a.py"]) == (report["status"], report["sandbox"], report["files_changed"])
