"""infra/install.sh says in one sentence what the machine lacks, and does nothing when all is there."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ("sh", "dirname", "cat", "cksum", "rm")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The files that the script reads, and a folder `bin` with the few tools it calls but no Python."""
    (tmp_path / "infra").mkdir()
    (tmp_path / "bin").mkdir()
    shutil.copy2(ROOT / "infra" / "install.sh", tmp_path / "infra" / "install.sh")
    for name in ("requirements.lock", "requirements-dev.lock", "pyproject.toml"):
        shutil.copy2(ROOT / name, tmp_path / name)
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found, tool
        (tmp_path / "bin" / tool).symlink_to(found)
    return tmp_path


def run_install(checkout: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """The script's end, with nothing on the PATH but the folder `bin`."""
    command = [checkout / "infra" / "install.sh"]
    return subprocess.run(
        command, env={"PATH": str(checkout / "bin"), **env}, capture_output=True, text=True, check=False, timeout=60
    )


def add_python(checkout: Path, name: str, script: str) -> None:
    """A program of that name on the PATH; '-c CODE' arrives as $2."""
    path = checkout / "bin" / name
    path.write_text(f'#!/bin/sh\n[ "$1" = --version ] && {{ echo "Python 3.9.2"; exit 0; }}\n{script}\n')
    path.chmod(0o755)


def test_machine_without_a_fitting_python_is_told_which_one(checkout: Path):
    """Neither no Python nor an old one starts an install; the sentence names what was found and what to do."""
    absent = run_install(checkout)
    add_python(checkout, "python3", "exit 1")
    old = run_install(checkout)
    for said, found in ((absent, "no python3 at all"), (old, "Python 3.9.2")):
        assert said.returncode == 1
        assert found in said.stderr
        assert "3.11" in said.stderr
        assert len(said.stderr.strip().splitlines()) == 1
    assert not (checkout / ".venv").exists()


def test_python_without_venv_names_the_package_to_install(checkout: Path):
    """Debian's Python lacks ensurepip until python3-venv is installed: said before a broken .venv is left behind."""
    add_python(checkout, "python3", 'case "$2" in *ensurepip*) exit 1;; *) exit 0;; esac')
    said = run_install(checkout)
    assert said.returncode == 1
    assert "apt install python3-venv" in said.stderr
    assert not (checkout / ".venv").exists()


def test_finished_install_is_left_alone_and_a_changed_lock_is_not(checkout: Path):
    """With the stamp of these very files nothing runs; after a change of the lock the install begins again."""
    python = checkout / ".venv" / "bin"
    python.mkdir(parents=True)
    add_python(checkout, "fake", "exit 0")
    for name in ("python", "soulcaster", "uv"):
        shutil.copy2(checkout / "bin" / "fake", python / name)
    assert run_install(checkout).returncode == 0
    stamp = checkout / ".venv" / ".installed-requirements.lock"
    written = stamp.stat().st_mtime_ns

    begun = time.monotonic()
    again = run_install(checkout)
    assert (again.returncode, again.stderr) == (0, "")
    assert time.monotonic() - begun < 2
    assert stamp.stat().st_mtime_ns == written

    with (checkout / "requirements.lock").open("a") as file:
        file.write("# changed\n")
    assert "Installing" in run_install(checkout).stderr
    assert stamp.stat().st_mtime_ns != written


def test_interrupted_install_leaves_no_stamp_and_is_done_again(checkout: Path):
    """A failing installer ends with its exit code and without a stamp; the next run tries again."""
    folder = checkout / ".venv" / "bin"
    folder.mkdir(parents=True)
    add_python(checkout, "fake", "exit 0")
    for name in ("python", "soulcaster"):
        shutil.copy2(checkout / "bin" / "fake", folder / name)
    add_python(checkout, "uv", "exit 7")
    (checkout / "bin" / "uv").rename(folder / "uv")
    (checkout / ".venv" / ".installed-requirements.lock").write_text("of an older lock")
    assert run_install(checkout).returncode == 7
    assert not (checkout / ".venv" / ".installed-requirements.lock").exists()
    assert "Installing" in run_install(checkout).stderr
