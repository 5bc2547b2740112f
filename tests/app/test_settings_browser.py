"""Adding and changing sources and repositories in their dialogs, in a real Chromium over a real store."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from browser import chromium, chromium_path, running_app, settle
from playwright.sync_api import Page, expect
from seeding import PROJECT

from soulcaster import pull, repositories
from soulcaster.db import migrate
from soulcaster.settings import Settings

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(chromium_path() is None, reason="there is no Chromium on this machine"),
]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """An empty store of this module's own."""
    made = Settings(_env_file=None, home=tmp_path_factory.mktemp("settings"))
    migrate(made.duckdb_path)
    return made


@pytest.fixture(scope="module")
def url(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app over it; Prefect is away."""
    with running_app(settings.home, tmp_path_factory.mktemp("log") / "app.log") as address:
        yield address


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """One tab."""
    with chromium() as browser:
        yield browser.new_page(viewport={"width": 1440, "height": 1200})


def fill(page: Page, label: str, text: str) -> None:
    """Type into a field of the open dialog and leave it; the app has taken it over when it rests."""
    field = page.get_by_role("dialog").get_by_label(label, exact=True)
    expect(field).to_have_count(1)  # while the dialog is drawn anew the former field of that name is still there
    field.fill(text)
    field.press("Tab")
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")


def save(page: Page, name: str) -> None:
    """Press the dialog's button of that name."""
    button = page.get_by_role("dialog").get_by_role("button", name=name, exact=True)
    expect(button).to_be_enabled()
    button.click()


def test_a_source_is_added_changed_and_removed(page, url, settings):
    """A pasted token is refused and not kept; with a variable's name the source is there, then other, then gone."""
    page.goto(f"{url}/settings")
    settle(page)
    page.get_by_role("button", name="Add a source").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Where from", exact=True).wait_for()
    dialog.get_by_label("Where from", exact=True).click()
    page.get_by_role("option", name="Github").click()
    dialog.get_by_label("Labels", exact=True).wait_for()
    fill(page, "Name", "acme/notes")
    fill(page, "Labels", "bug, crash ")
    fill(page, "Token variable", "ghp_secret-value")
    save(page, "Add")
    dialog.get_by_text("expected the name of an environment variable").wait_for()
    assert [] == pull.list_sources(settings, PROJECT)
    fill(page, "Token variable", "ACME_TOKEN")
    save(page, "Add")
    page.get_by_text("ACME_TOKEN is not set").first.wait_for()

    [source] = pull.list_sources(settings, PROJECT)
    assert ("github:acme/notes", ["bug", "crash"], "ACME_TOKEN") == (
        source.source_id,
        source.options.labels,
        source.options.token_variable,
    )

    page.get_by_role("button", name="Change").click()
    dialog.get_by_label("Labels", exact=True).wait_for()
    fill(page, "Labels", "bug")
    save(page, "Save")
    page.get_by_text("labels: bug", exact=True).wait_for()
    assert ["bug"] == pull.list_sources(settings, PROJECT)[0].options.labels

    page.get_by_role("button", name="Remove").click()
    save(page, "Remove")
    page.get_by_text("No source is configured yet").wait_for()
    assert [] == pull.list_sources(settings, PROJECT)


def test_a_repository_is_added_and_nobody_overwrites_another_unseen(page, url, settings):
    """Commands are split into words, routes read line by line; what somebody else changed meanwhile stays."""
    page.goto(f"{url}/settings?part=Repositories")
    settle(page)
    page.get_by_role("button", name="Add a repository").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Owner/name").wait_for()
    fill(page, "Owner/name", "acme/notes")
    fill(page, "Test with", "pytest -q 'tests/a b'")
    fill(page, "Clusters that belong here: SOURCE:CHANNEL, one a line", "github:acme/notes\nreddit:notesapp")
    save(page, "Save")
    page.get_by_text("clusters from: github:acme/notes, reddit:notesapp").wait_for()

    [made] = repositories.list_repositories(settings, PROJECT)
    assert ("plan", ["pytest", "-q", "tests/a b"], 2) == (made.mode, made.test, len(made.routes))

    page.get_by_role("button", name="Change").click()
    dialog.get_by_label("Base branch", exact=True).wait_for()
    repositories.change_repository(settings, PROJECT, "acme/notes", {"mode": "off"}, actor="bob")
    fill(page, "Base branch", "develop")
    save(page, "Save")
    dialog.get_by_text("somebody changed it meanwhile").wait_for()
    kept = repositories.get_repository(settings, PROJECT, "acme/notes")
    assert ("off", "main") == (kept.mode, kept.base_branch)
