"""Configured repositories: two people who change one do not overwrite each other unseen."""

from __future__ import annotations

import pytest

from soulcaster import repositories
from soulcaster.db import migrate
from soulcaster.errors import PermanentError
from soulcaster.settings import Settings

PROJECT, NAME = "default", "acme/notes"


def test_two_people_who_configure_one_repository_are_told_of_each_other(settings: Settings):
    """A change of what is no longer so, and adding what somebody added meanwhile, are refused and change nothing."""
    migrate(settings.duckdb_path)
    first, is_new = repositories.change_repository(settings, PROJECT, NAME, {}, actor="ann", is_new=True)
    assert is_new

    with pytest.raises(PermanentError, match="somebody changed it meanwhile"):
        repositories.change_repository(settings, PROJECT, "Acme/Notes", {"mode": "draft"}, actor="bob", is_new=True)
    changed, _ = repositories.change_repository(settings, PROJECT, NAME, {"mode": "off"}, actor="ann", was=first)
    with pytest.raises(PermanentError, match="somebody changed it meanwhile"):
        repositories.change_repository(settings, PROJECT, NAME, {"base_branch": "next"}, actor="bob", was=first)
    repositories.remove_repository(settings, PROJECT, NAME, actor="ann")
    with pytest.raises(PermanentError, match="somebody changed it meanwhile"):
        repositories.change_repository(settings, PROJECT, NAME, {"mode": "draft"}, actor="bob", was=changed)

    assert [] == repositories.list_repositories(settings, PROJECT)
