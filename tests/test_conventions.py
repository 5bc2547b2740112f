"""The house rules that a machine can check."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("soulcaster", "flows", "tasks", "app", "agent")
FORBIDDEN_NAMES = {
    "utils", "helpers", "common", "misc", "base", "core", "manager", "service", "handler", "processor", "data", "info",
}  # fmt: skip
MOST_LINES, MOST_FUNCTION_LINES = 400, 50


def _sources() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def test_files_are_small_enough_to_read_at_one_sitting():
    """No module of the product has more than 400 lines."""
    long = {
        str(path.relative_to(ROOT)): n for path in _sources() if (n := len(path.read_text().splitlines())) > MOST_LINES
    }

    assert {} == long


def test_functions_fit_a_screen():
    """No function of the product is longer than a screen."""
    long = {
        f"{path.relative_to(ROOT)}:{node.name}": node.end_lineno - node.lineno + 1
        for path in _sources()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno - node.lineno + 1 > MOST_FUNCTION_LINES
    }

    assert {} == long


def test_no_module_has_a_name_that_says_nothing():
    """A room without a name collects rubbish."""
    assert [] == [str(path) for path in _sources() if path.stem in FORBIDDEN_NAMES]


def test_no_flow_or_screen_shadows_something_importable():
    """Prefect and Streamlit load files under their bare stem; `flows/duckdb.py` would hide the library."""
    code = "import importlib.util, sys; print([n for n in sys.argv[1:] if importlib.util.find_spec(n)])"
    stems = [
        path.stem for folder in ("flows", "app") for path in (ROOT / folder).rglob("*.py") if path.stem != "__init__"
    ]
    found = subprocess.run(
        [sys.executable, "-P", "-c", code, *stems], capture_output=True, text=True, check=True, cwd="/"
    ).stdout.strip()

    assert "[]" == found


def test_tests_fake_the_wire_and_never_our_own_code():
    """No mock library, and no monkeypatching of our own names."""
    pattern = re.compile(
        r"unittest\.mock|MagicMock|monkeypatch\.setattr\(\s*[\"']?(soulcaster|tasks|flows|app|agent)\b"
    )
    here = Path(__file__).name
    guilty = [
        path.name for path in (ROOT / "tests").rglob("*.py") if path.name != here and pattern.search(path.read_text())
    ]

    assert [] == guilty


def test_every_test_says_in_one_line_what_it_shows():
    """A test without a docstring is a riddle."""
    silent = [
        f"{path.relative_to(ROOT)}:{node.name}"
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and not ast.get_docstring(node)
    ]

    assert [] == silent


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_the_lock_has_a_hash_for_everything_and_names_no_registry(lock):
    """Any installer reads it, wherever it fetches from."""
    text = (ROOT / lock).read_text()
    entries = [block for block in re.split(r"\n(?=\S)", text) if "==" in block]

    assert "://" not in text
    assert len(entries) > 100
    assert [] == [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry]


def test_the_lock_satisfies_what_the_project_asks_for():
    """A dependency added to pyproject.toml without a new lock fails here, not on a stranger's machine."""
    import tomllib

    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for extra, lock in (([], "requirements.lock"), (project["optional-dependencies"]["dev"], "requirements-dev.lock")):
        locked = {
            match[1].lower().replace("_", "-"): match[2]
            for match in re.finditer(r"^([A-Za-z0-9_.-]+)==([^\s;]+)", (ROOT / lock).read_text(), re.MULTILINE)
        }
        for text in [*project["dependencies"], *extra]:
            wanted = Requirement(text)
            name = wanted.name.lower().replace("_", "-")
            assert name in locked, f"{name} is missing from {lock}"
            assert wanted.specifier.contains(locked[name], prereleases=True), f"{lock}: {name} {locked[name]}"


def test_imports_go_one_way():
    """The layers of pyproject.toml hold: flows, tasks, domain; inside the domain cli, steps, parts, leaves."""
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert 0 == done.returncode, done.stdout[-3000:] + done.stderr[-1000:]


def test_help_needs_nothing_heavy():
    """`soulcaster --help` answers at once because no number cruncher is loaded for it."""
    code = (
        "import sys; from soulcaster.cli import app; from typer.testing import CliRunner;"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0;"
        "heavy = ('polars', 'duckdb', 'numpy', 'lancedb', 'onnxruntime', 'sklearn', 'prefect', 'httpx');"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)

    assert "[]" == done.stdout.strip()
