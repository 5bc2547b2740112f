"""A forge with one repository, and what the publisher needs to talk to it."""

from __future__ import annotations

from pathlib import Path

import pytest
from standins.forge import Forge, running_forge

from soulcaster.fix_models import Repository
from soulcaster.publisher.api import Credentials
from soulcaster.publisher.credentials import for_repository

NAME = "acme/notes"
FILES = {
    "notes.py": "def add(a, b):\n    return a - b\n",
    "tests/test_notes.py": "from notes import add\n\n\ndef test_zero():\n    assert add(1, 0) == 1\n",
    "README.md": "# Notes\n",
}


@pytest.fixture
def forge(tmp_path: Path):
    """A started forge with one repository."""
    with running_forge(tmp_path) as started:
        started.add_repository(NAME, FILES)
        yield started


@pytest.fixture
def repository(forge: Forge, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """Its configuration, with a personal token in a variable."""
    monkeypatch.setenv("NOTES_TOKEN", forge.token)
    return Repository(
        name=NAME, mode="draft", api_url=forge.url, clone_url=forge.clone_url(NAME), token_variable="NOTES_TOKEN"
    )


@pytest.fixture
def credentials(repository: Repository) -> Credentials:
    """The personal token, without the pauses that the real GitHub asks for."""
    return for_repository(repository, seconds_between_writes=0)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """An empty folder for copies of repositories."""
    return tmp_path / "repositories"
