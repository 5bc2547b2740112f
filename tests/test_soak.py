"""The soak itself runs, and its checks find what they look for; how long and how rough is for who runs it by hand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_a_short_calm_soak_keeps_every_promise():
    """Everything at once for a few seconds, nothing happens to anybody: every check is made and kept."""
    done = subprocess.run(
        [sys.executable, "benchmarks/soak.py", "--seconds", "5", "--calm"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip

    assert (0, "") == (done.returncode, done.stderr), done.stdout
    assert 15 == done.stdout.count("kept  ")
