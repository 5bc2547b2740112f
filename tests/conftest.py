"""Fixtures every test may use: the recorded data beside the project, a settings object over a fresh folder."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest
from empty_store import make_empty_store

from soulcaster.settings import Settings

# A crowded machine is no failure, and a run that is red must be red again tomorrow.
hypothesis.settings.register_profile("house", deadline=None, derandomize=True)
hypothesis.settings.load_profile("house")

ROOT = Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that hold a slow test go first, so that no worker begins a long file when the other has ended."""
    long_files = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in long_files)


@pytest.fixture(scope="session")
def shared_data_dir() -> Path:
    """Folder of the recorded data beside the project; the test is skipped where it is absent."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the folder ../shared/data with recorded data is absent")
    return folder


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings over an empty home with a migrated store; nothing of the machine's environment leaks in."""
    for name in list(os.environ):
        if name.startswith("SOULCASTER_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SOULCASTER_HOME", str(tmp_path / "home"))
    made = Settings(_env_file=None)
    make_empty_store(made.duckdb_path)
    return made
