"""Stores for the screens, and the app over one of them without a browser."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from browser import ROOT, free_port
from seeding import seed_drawn
from streamlit.testing.v1 import AppTest

from soulcaster.settings import Settings

OpenPage = Callable[..., AppTest]


@pytest.fixture(scope="session")
def drawn_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with 420 drawn items in 40 clusters and two runs. Tests read it; those that write make their own."""
    home = tmp_path_factory.mktemp("drawn")
    seed_drawn(Settings(_env_file=None, home=home).duckdb_path, n_items=420, n_clusters=40)
    return home


@pytest.fixture
def open_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> OpenPage:
    """Run the app over a home and open one of its pages; Prefect is away unless the test says where it is."""
    for name in list(os.environ):
        if name.startswith(("SOULCASTER_", "PREFECT_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)  # no .env of the checkout

    def opened(home: Path, page: str = "overview", /, **parameters: str) -> AppTest:
        monkeypatch.setenv("SOULCASTER_HOME", str(home))
        monkeypatch.setenv("SOULCASTER_PREFECT_PORT", str(free_port()))
        at = AppTest.from_file(ROOT / "app" / "main.py", default_timeout=30)
        at.run()
        for name, value in parameters.items():
            at.query_params[name] = value
        return at.switch_page(f"screens/{page}.py").run() if page != "overview" or parameters else at

    return opened
