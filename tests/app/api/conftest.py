"""The HTTP API over a drawn store, in one process, and tokens of every role."""

from __future__ import annotations

import os
import shutil
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


@pytest.fixture(scope="session")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A home with 240 drawn items in 30 clusters, and a token of every role; copied, never used."""
    settings = Settings(_env_file=None, home=tmp_path_factory.mktemp("seeded"))
    seed_drawn(settings.duckdb_path, n_items=240, n_clusters=30)
    made = {role: add_token(settings, PROJECT, f"{role} of tests", role, actor="tests")[1] for role in ROLES}
    return settings.home, made


@pytest.fixture
def home(seeded: tuple[Path, dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings over a copy of the seeded home; Prefect is away."""
    for name in list(os.environ):
        if name.startswith(("SOULCASTER_", "PREFECT_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOULCASTER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SOULCASTER_PREFECT_PORT", str(free_port()))
    shutil.copytree(seeded[0], tmp_path / "home")
    return Settings(_env_file=None)


@pytest.fixture
def tokens(seeded: tuple[Path, dict[str, str]]) -> dict[str, str]:
    """A token of the drawn project for every role."""
    return seeded[1]


@pytest.fixture
def api(home: Settings) -> Iterator[TestClient]:
    """A client of the API; errors of the server come back as answers."""
    with TestClient(make_api(home), raise_server_exceptions=False) as client:
        yield client
