"""The HTTP API over a drawn store, in one process, and tokens of every role."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from browser import free_port
from fastapi.testclient import TestClient
from seeding import PROJECT, seed_drawn

from app.api import make_api
from soulcaster.access import add_token
from soulcaster.actors import ROLES
from soulcaster.settings import Settings


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings over a store with 240 drawn items in 30 clusters; Prefect is away."""
    for name in list(os.environ):
        if name.startswith(("SOULCASTER_", "PREFECT_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOULCASTER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SOULCASTER_PREFECT_PORT", str(free_port()))
    settings = Settings(_env_file=None)
    seed_drawn(settings.duckdb_path, n_items=240, n_clusters=30)
    return settings


@pytest.fixture
def tokens(home: Settings) -> dict[str, str]:
    """A token of the drawn project for every role."""
    return {role: add_token(home, PROJECT, f"{role} of tests", role, actor="tests")[1] for role in ROLES}


@pytest.fixture
def api(home: Settings) -> Iterator[TestClient]:
    """A client of the API; errors of the server come back as answers."""
    with TestClient(make_api(home), raise_server_exceptions=False) as client:
        yield client
