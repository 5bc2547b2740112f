"""The map: without a browser whether it says the right things, in Chromium whether it can be used."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import chromium, chromium_path, is_loopback, running_app, settle
from playwright.sync_api import Browser, Page
from seeding import PROJECT, seed_drawn, seed_map
from streamlit.testing.v1 import AppTest

from soulcaster.db import migrate, read, write
from soulcaster.export_map import load_map
from soulcaster.settings import Settings

NASTY = "<img src='https://evil.test/a.png' onerror='window.pwned = 1'> **bold** [x](https://evil.test)"
in_browser = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(chromium_path() is None, reason="there is no Chromium on this machine"),
]


def store(home: Path) -> Path:
    """The store's file of a home."""
    return Settings(_env_file=None, home=home).duckdb_path


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a map whose largest cluster and first theme carry hostile titles."""
    made = tmp_path_factory.mktemp("map")
    seed_drawn(store(made), n_items=420, n_clusters=40)
    seed_map(store(made))
    plot, _ = read(store(made), lambda con: load_map(con, PROJECT))

    def poison(con):
        con.execute("UPDATE clusters SET title = ? WHERE cluster_id = ?::UUID", [NASTY, plot["clusters"]["id"][0]])
        con.execute("UPDATE themes SET title = ? WHERE theme_id = ?::UUID", [NASTY, plot["themes"][0]["id"]])

    write(store(made), poison)
    return made


def said(at: AppTest) -> str:
    """All text of a page outside of tables and charts."""
    return "\n".join(str(each.value) for kind in (at.markdown, at.caption, at.info, at.subheader) for each in kind)


def told_to_the_map(at: AppTest) -> dict[str, object]:
    """The data that the component gets."""
    [component] = at.get("bidi_component")
    return json.loads(component.proto.json)


def test_the_map_gets_every_cluster_with_its_place(open_page, home):
    """Circles, themes, four colourings; and a small chart for every theme."""
    at = open_page(home, "map")

    plot = told_to_the_map(at)
    assert not at.exception
    assert 40 == len(plot["clusters"]["id"]) == len(plot["clusters"]["x"])
    assert ["Theme", "Source", "Age", "Status"] == [mode["name"] for mode in plot["modes"]]
    assert len(plot["themes"]) == len(at.get("vega_lite_chart"))
    assert {"PNG", "HTML"} == {each.proto.label for each in at.get("download_button")}
    assert "the clusters are listed here" in said(at)


def test_a_search_names_the_clusters_that_it_found(open_page, home):
    """The map learns their ids, the reader their number."""
    at = open_page(home, "map", q="crashes")

    hits = told_to_the_map(at)["hits"]
    assert 0 < len(hits) < 40
    assert f"{len(hits)} clusters with these words" in said(at)


def test_without_clusters_the_page_says_what_to_do(open_page, tmp_path):
    """An empty store is a state like any other."""
    migrate(store(tmp_path))

    at = open_page(tmp_path, "map")

    assert not at.exception
    assert "after the first `recluster`" in said(at)


def test_clusters_without_a_map_can_be_drawn(open_page, drawn_home):
    """A store from before there were maps: a button, and the command for a house without Prefect."""
    at = open_page(drawn_home, "map")

    assert not at.exception
    assert "Not on a map yet" in said(at)
    assert ["Draw the map"] == [each.label for each in at.button]
    assert "soulcaster map" in at.code[0].value


@pytest.fixture(scope="module")
def url(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the app over that store."""
    with running_app(home, tmp_path_factory.mktemp("log") / "app.log") as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests of this file."""
    with chromium() as started:
        yield started


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A fresh page in a wide window."""
    context = browser.new_context(viewport={"width": 1440, "height": 1000}, accept_downloads=True)
    yield context.new_page()
    context.close()


def place_of(page: Page, number: int) -> tuple[float, float]:
    """Where a cluster's middle lies on the screen, by its row in the map's data."""
    x, y = page.evaluate(
        """number => {
            const hosts = [...document.querySelectorAll('*')].map((each) => each.shadowRoot).filter(Boolean);
            const host = hosts.map((root) => root.querySelector('.map-root')).find(Boolean);
            const box = host.querySelector('canvas').getBoundingClientRect();
            const view = host.mapView;
            const [x, y] = view.toScreen(view.data.clusters.x[number], view.data.clusters.y[number]);
            return [box.left + x, box.top + y];
        }""",
        number,
    )
    return x, y


def open_map(page: Page, url: str) -> list[str]:
    """The map on the screen; what it asks of the network from then on."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{url}/map")
    settle(page)
    page.locator(".map-stage canvas").wait_for()
    page.wait_for_timeout(500)
    return asked


class TestInBrowser:
    """Needs Chromium."""

    pytestmark = in_browser

    def test_hovering_a_hostile_cluster_shows_its_title_as_text(self, page, url):
        """Nothing in it runs, loads, or becomes markup; numbers and theme stand beside it."""
        asked = open_map(page, url)

        page.mouse.move(*place_of(page, 0))

        tip = page.locator(".map-tip")
        tip.wait_for()
        assert NASTY in tip.inner_text()
        assert "items (" in tip.inner_text()
        assert 0 == tip.locator("img, a, strong").count()
        assert NASTY in page.locator(".map-tree").inner_text()
        assert page.evaluate("window.pwned") is None
        assert [] == [each for each in asked if not is_loopback(each)]

    def test_a_region_is_listed_below_and_a_row_opens_the_cluster(self, page, url):
        """Drag a box over everything: all clusters are listed, most urgent first; a click leads to one."""
        open_map(page, url)
        box = page.locator(".map-stage canvas").bounding_box()
        page.get_by_role("button", name="Drag a box").click()

        page.mouse.move(box["x"] + 3, box["y"] + 3)
        page.mouse.down()
        page.mouse.move(box["x"] + 300, box["y"] + 300)
        page.mouse.move(box["x"] + box["width"] - 3, box["y"] + box["height"] - 3)
        page.mouse.up()

        page.get_by_text("Picked: 40 clusters").wait_for()
        table = page.locator("[data-testid=stDataFrame]").first
        table.scroll_into_view_if_needed()
        page.wait_for_timeout(800)
        row = table.bounding_box()
        page.mouse.click(row["x"] + 60, row["y"] + 37 + 19)
        page.wait_for_url("**/cluster?id=*")

    def test_looking_closely_shows_the_items_and_the_view_stays(self, page, url):
        """A cluster chosen in the tree is gone to; its items appear as dots that say their text on hover."""
        open_map(page, url)
        page.locator(".map-tree summary").nth(1).click()
        leaf = page.locator(".map-tree .map-leaf").first
        title = leaf.inner_text().rsplit(" ", 1)[0]
        leaf.click()
        page.get_by_text("Picked: 1 cluster").wait_for()
        page.wait_for_timeout(2_500)

        x, y = page.evaluate(
            """() => {
                const hosts = [...document.querySelectorAll('*')].map((each) => each.shadowRoot).filter(Boolean);
                const view = hosts.map((root) => root.querySelector('.map-root')).find(Boolean).mapView;
                const { clusters: c, dots } = view.data;
                const id = [...view.picked][0];
                const [at, dot] = [view.place.get(id), dots.cluster.indexOf(id)];
                const box = view.canvas.getBoundingClientRect();
                const [x, y] = view.toScreen(c.x[at] + dots.x[dot] * c.r[at], c.y[at] + dots.y[dot] * c.r[at]);
                return [box.left + x, box.top + y];
            }"""
        )
        page.mouse.move(x, y)

        tip = page.locator(".map-tip")
        tip.wait_for()
        assert f"in: {title}" in tip.inner_text()

    def test_the_exported_page_works_without_a_network(self, page, url, tmp_path):
        """The downloaded file draws the same map from disk, asks nothing, and runs nothing of what people wrote."""
        open_map(page, url)
        with page.expect_download() as download:
            page.get_by_role("button", name="HTML").click()
        file = tmp_path / "map.html"
        download.value.save_as(file)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))

        page.goto(file.as_uri())
        page.locator(".map-legend button").first.wait_for()

        assert 40 == page.evaluate("document.querySelector('.map-root').mapView.visible.length")
        assert NASTY in page.locator(".map-tree").inner_text()
        assert page.evaluate("window.pwned") is None
        assert [file.as_uri()] == asked
