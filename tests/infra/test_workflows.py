"""The workflows of GitHub Actions, which never ran: their schema, what is unsafe in them, and what they refer to."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".github" / "workflows"
FILES = sorted(FOLDER.glob("*.yml"))
BIN = ROOT / ".venv" / "bin"


def jobs() -> list[tuple[str, dict[str, Any]]]:
    """Workflow and body of every job."""
    return [(path.stem, job) for path in FILES for job in yaml.safe_load(path.read_text())["jobs"].values()]


def test_they_are_workflows():
    """GitHub's schema takes them."""
    command = [BIN / "check-jsonschema", "--builtin-schema", "vendor.github-workflows", *FILES]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert 0 == done.returncode, done.stdout
    assert {"images", "plan", "tests"} == {path.stem for path in FILES}


def test_nothing_in_them_is_known_to_be_unsafe():
    """Zizmor finds no injection, no loose permission, no kept credentials, no action by tag."""
    done = subprocess.run(
        [BIN / "zizmor", "--offline", "--no-progress", "--format", "json", FOLDER],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert [] == json.loads(done.stdout)
    assert 0 == done.returncode, done.stderr


def test_actions_are_pinned_and_rights_are_named():
    """Every action by a whole commit; no workflow has rights by default; an identity only where AWS is asked."""
    for path in FILES:
        workflow = yaml.safe_load(path.read_text())
        assert {} == workflow["permissions"], path
    for name, job in jobs():
        used = [step["uses"] for step in job["steps"] if "uses" in step]
        assert [] == [each for each in used if not re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", each)]
        assert ("id-token" in job["permissions"]) == (name in {"images", "plan"})
        assert set(job["permissions"].values()) <= {"read", "write"}
        assert "read" == job["permissions"]["contents"]


def test_every_script_is_one():
    """Bash reads every step, and no expression is pasted into one."""
    for name, job in jobs():
        for step in job["steps"]:
            script = step.get("run", "")
            assert "${{" not in script, name
            done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
            assert 0 == done.returncode, (name, done.stderr)


def test_what_they_name_is_there():
    """Recipes, scripts and folders exist, and the setting-up page tells every variable that they read."""
    text = "".join(path.read_text() for path in FILES)
    page = (ROOT / "docs" / "deploy.md").read_text()
    recipes = {
        each["recipe"] for _, job in jobs() for each in job.get("strategy", {}).get("matrix", {}).get("include", [])
    }

    assert {"agent/Containerfile", "infra/containers/app.Containerfile"} == recipes
    assert all((ROOT / recipe).is_file() for recipe in recipes)
    assert set(re.findall(r"\bvars\.(\w+)", text)) <= set(re.findall(r"`(\w+)`", page))
