"""Waiting for what another process or thread does: a test polls what it asserts, with a bound that is a failure."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path


def wait_until(is_reached: Callable[[], object], what: str, *, seconds: float = 120) -> None:
    """Return when the condition holds; fail the test after `seconds`, which is meant to be long."""
    deadline = time.monotonic() + seconds
    while not is_reached():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.05)


def wait_for_text(path: Path, text: str, *, meanwhile: Callable[[], object] = lambda: None) -> None:
    """Return when the file is there and holds the text; `meanwhile` is called before each look."""
    wait_until(lambda: (meanwhile(), path.exists() and text in path.read_text())[1], f"{text!r} in {path}")
