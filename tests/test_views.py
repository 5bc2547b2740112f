"""Saved views and projects: kept, replaced, forgotten, logged."""

from __future__ import annotations

import pytest

from soulcaster import views
from soulcaster.access import list_people
from soulcaster.actors import Actor
from soulcaster.db import migrate, read
from soulcaster.db.activity import list_activity
from soulcaster.db.screens import list_projects
from soulcaster.db.views import list_views
from soulcaster.errors import PermanentError


@pytest.fixture(autouse=True)
def _store(settings):
    """An empty store."""
    migrate(settings.duckdb_path)


def names(settings, project="default"):
    """Names of the saved views of a project."""
    return [(view.name, view.filters) for view in read(settings.duckdb_path, lambda con: list_views(con, project))]


def test_a_view_is_kept_for_its_project_replaced_by_name_and_forgotten(settings):
    """Empty filters are left out; another project does not see it; each step is in the log."""
    views.save_view(settings, "default", " mine ", {"q": ["crash"], "source": ["Reddit", "GitHub"], "owner": []}, actor="ann")  # fmt: skip  # noqa: E501  one call
    assert [("mine", {"q": ["crash"], "source": ["Reddit", "GitHub"]})] == names(settings)
    assert [] == names(settings, "other")

    views.save_view(settings, "default", "mine", {"q": ["sync"]}, actor="ann")
    assert [("mine", {"q": ["sync"]})] == names(settings)

    views.remove_view(settings, "default", "mine", actor="bob")
    assert [] == names(settings)
    log = read(settings.duckdb_path, lambda con: list_activity(con, "default"))
    assert [("bob", "view-remove"), ("ann", "view-save"), ("ann", "view-save")] == [
        (row["actor"], row["action"]) for row in log
    ]


def test_nobody_overwrites_the_view_of_somebody_else(settings):
    """Other filters under a name that somebody has are refused and say whose it is; the same filters are no harm."""
    views.save_view(settings, "default", "mine", {"q": ["crash"]}, actor="ann")
    views.save_view(settings, "default", "mine", {"q": ["crash"]}, actor="bob")

    with pytest.raises(PermanentError, match="'bob' saved other filters under that name"):
        views.save_view(settings, "default", "mine", {"q": ["sync"]}, actor="ann")

    assert [("mine", {"q": ["crash"]})] == names(settings)


@pytest.mark.parametrize(
    ("name", "filters"), [("", {"q": ["x"]}), ("n" * 61, {"q": ["x"]}), ("a\x00b", {"q": ["x"]}), ("mine", {"q": []})]
)
def test_a_view_without_name_or_filters_is_refused(settings, name, filters):
    """A sentence says what was expected, and nothing is kept."""
    with pytest.raises(PermanentError, match="expected"):
        views.save_view(settings, "default", name, filters, actor="ann")
    assert [] == names(settings)


def test_forgetting_a_view_that_is_not_there_is_a_sentence(settings):
    """Somebody else may have been first."""
    with pytest.raises(PermanentError, match="none of that name"):
        views.remove_view(settings, "default", "gone", actor="ann")


def test_who_adds_a_project_after_signing_in_is_its_admin(settings):
    """Else nobody could enter it; on this machine no role is needed."""
    ann = Actor("ann@example.test", role="admin", project_id="default", how="sign-in")

    views.add_project(settings, "default", "Atlas", actor=ann)
    views.add_project(settings, "default", "Borealis", actor="root")

    assert ["Atlas", "Borealis"] == read(settings.duckdb_path, list_projects)
    assert [("ann@example.test", "admin")] == [(each.subject, each.role) for each in list_people(settings, "Atlas")]
    assert [] == list_people(settings, "Borealis")
