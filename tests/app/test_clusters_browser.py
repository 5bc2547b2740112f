"""Deciding about several clusters and keeping views of the list, in a real Chromium over a real store."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from browser import chromium, chromium_path, running_app, settle
from playwright.sync_api import Page, expect
from seeding import PROJECT, seed_drawn

from soulcaster.db import cluster_screens, read
from soulcaster.db.views import list_views
from soulcaster.settings import Settings

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(chromium_path() is None, reason="there is no Chromium on this machine"),
]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A drawn store of this module's own."""
    made = Settings(_env_file=None, home=tmp_path_factory.mktemp("clusters"))
    seed_drawn(made.duckdb_path, n_items=200, n_clusters=12)
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


def statuses(settings: Settings) -> dict[str, str]:
    """Status by cluster on show, most urgent first."""
    frame, _ = read(
        settings.duckdb_path,
        lambda con: cluster_screens.list_clusters(
            con, PROJECT, cluster_screens.ClusterFilters(), sort="priority", limit=20
        ),
    )
    return dict(frame.select("cluster_id", "status").iter_rows())


def test_ticked_clusters_get_a_status_together_and_one_undo_takes_it_back(page, url, settings):
    """Two ticks, one dialog, one button back; everything is as it was."""
    before = statuses(settings)
    page.goto(f"{url}/clusters")
    settle(page)
    page.get_by_text("Choose several").click()
    page.get_by_text("Tick the clusters you mean").wait_for()
    settle(page)
    box = page.get_by_test_id("stDataFrame").first.bounding_box()
    assert box is not None
    for row, ticked in ((0, "1 cluster ticked"), (1, "2 clusters ticked")):
        top = page.get_by_test_id("stDataFrame").first.bounding_box()["y"]
        page.mouse.click(box["x"] + 16, top + 37 + 38 * row + 19)
        page.get_by_text(ticked).wait_for()
    page.get_by_role("button", name="Status", exact=True).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("ignored", exact=True).click()
    save = dialog.get_by_role("button", name="Save")
    expect(save).to_be_enabled()
    save.click()
    page.get_by_text("2 clusters became ignored").wait_for()

    after = statuses(settings)
    assert ["ignored", "ignored"] == [after[each] for each in list(before)[:2]]
    page.get_by_role("button", name="Undo").click()
    page.get_by_text("Taken back").first.wait_for()
    assert before == statuses(settings)


def test_a_view_is_saved_offered_and_brings_its_filters_back(page, url, settings):
    """Name the filters, leave, pick the name: the same list."""
    page.goto(f"{url}/clusters?q=login&source=Reddit")
    settle(page)
    page.get_by_role("button", name="Views").click()
    name = page.get_by_label("Save what is filtered now as")
    name.fill("Logins on Reddit")
    name.press("Enter")
    save = page.locator(".st-key-view-save button")
    expect(save).to_be_enabled()
    settle(page)
    save.click()
    page.get_by_role("button", name="Logins on Reddit").wait_for()

    [view] = read(settings.duckdb_path, lambda con: list_views(con, PROJECT))
    assert ("Logins on Reddit", ["login"], ["Reddit"]) == (view.name, view.filters["q"], view.filters["source"])

    page.goto(f"{url}/clusters")
    settle(page)
    page.get_by_role("button", name="Views").click()
    page.get_by_role("button", name="Logins on Reddit").click()
    page.wait_for_url(re.compile(r"q=login"))
    expect(page.get_by_role("searchbox", name="Search")).to_have_value("login")


def test_the_third_cluster_is_opened_with_the_keyboard_alone(page, url, settings):
    """Tab to the switch and the table, arrows and Shift+Space to tick, Tab to the link: no mouse."""
    page.goto(f"{url}/clusters")
    settle(page)
    press_until(page, "Tab", "document.activeElement.getAttribute('aria-label') === 'Choose several'")
    page.keyboard.press("Space")
    page.get_by_text("Tick the clusters you mean").wait_for()
    settle(page)
    press_until(page, "Tab", "document.activeElement.tagName === 'CANVAS'")
    for key in ("ArrowDown", "ArrowDown", "Shift+Space"):
        page.keyboard.press(key)
    page.get_by_text("1 cluster ticked").wait_for()
    settle(page)
    press_until(page, "Shift+Tab", "document.activeElement.innerText.includes('Open it')")
    page.keyboard.press("Enter")
    page.get_by_text("Typical feedback").wait_for()

    assert page.url.endswith(f"/cluster?id={list(statuses(settings))[2]}")


def press_until(page: Page, key: str, condition: str) -> None:
    """Press the key until the condition holds in the page."""
    for _ in range(60):
        page.keyboard.press(key)
        if page.evaluate(condition):
            return
    raise AssertionError(f"{key} never led to {condition}")
