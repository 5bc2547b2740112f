"""The app in a real Chromium: what only a browser can show."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from browser import chromium, chromium_path, is_loopback, running_app, settle
from playwright.sync_api import Browser, Page
from seeding import PROJECT, seed_drawn

from soulcaster.db import cluster_screens, read, write
from soulcaster.settings import Settings

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium_path() is None, reason="there is no Chromium on this machine"),
]

PATHS = [
    *(
        "/",
        "/clusters",
        "/cluster?id={cluster_id}",
        "/map",
        "/feedback",
        "/feedback?view=Quarantine",
        "/fixes",
        "/runs",
    ),
    *("/settings", "/settings?part=Repositories", "/settings?part=Models", "/settings?part=Limits"),
]
NASTY = [
    "<script>window.pwned = 1</script>",
    "<img src='https://evil.test/a.png' onerror='window.pwned = 1'>",
    "<style>body { display: none }</style>",
    "<a href='https://evil.test/login'>Sign in</a> <button onclick='window.pwned = 1'>Approve all</button>",
    "[Approve](https://evil.test/approve) ![](https://evil.test/b.png)",
    "https://evil.test/auto www.evil.test someone@evil.test",
    "# Heading **bold** `code` ~~gone~~ | a | b |",
    ":red[red] :blue-badge[Approved] :material/verified: :smile: -> <- $\\frac{a}{b}$ &lt;b&gt;",
    "<iframe src='https://evil.test'></iframe><form action='https://evil.test'><input></form>",
    "<div style='position:fixed;inset:0'>over everything</div> --- * * *",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests of this file."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose largest clusters carry hostile titles, summaries, terms and items."""
    made = tmp_path_factory.mktemp("browser")
    path = Settings(_env_file=None, home=made).duckdb_path
    seed_drawn(path, n_items=420, n_clusters=40)
    frame, _ = read(
        path, lambda con: cluster_screens.list_clusters(con, PROJECT, cluster_screens.ClusterFilters(), limit=40)
    )

    def poison(con: object) -> None:
        for cluster_id, text in zip(frame["cluster_id"], NASTY, strict=False):
            con.execute(
                "UPDATE clusters SET title = ?, summary = ?, terms = [?, 'word'] WHERE cluster_id = CAST(? AS UUID)",
                [text, text, text, cluster_id],
            )
            con.execute(
                "UPDATE items SET title = ?, body = ?, author = ?, channel = ?, url = 'javascript:window.pwned=1' "
                "WHERE item_id IN (SELECT item_id FROM memberships WHERE cluster_id = CAST(? AS UUID) AND is_exemplar)",
                [text, text, text, text, cluster_id],
            )
        con.execute("UPDATE themes SET title = ? WHERE label = 0", [NASTY[0]])

    write(path, poison)
    return made


@pytest.fixture(scope="module")
def url(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the app over that store; Prefect is away."""
    with running_app(home, tmp_path_factory.mktemp("log") / "app.log") as address:
        yield address


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A fresh page in a wide window."""
    context = browser.new_context(viewport={"width": 1440, "height": 1000}, accept_downloads=True)
    yield context.new_page()
    context.close()


def clusters_of(home: Path) -> list[str]:
    """Ids of the clusters, largest first: the hostile ones lead."""
    frame, _ = read(
        Settings(_env_file=None, home=home).duckdb_path,
        lambda con: cluster_screens.list_clusters(con, PROJECT, cluster_screens.ClusterFilters(), limit=40),
    )
    return frame["cluster_id"].to_list()


def click_first_row(page: Page) -> None:
    """Click into the first row of the page's first table; its cells are painted, not elements."""
    box = page.locator("[data-testid=stDataFrame]").first.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 60, box["y"] + 37 + 19)


@dataclass
class Walk:
    """What was seen on a walk through all pages: what they asked for, and which are wider than a narrow window."""

    asked: list[str] = field(default_factory=list)
    wide: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def walk(browser, url, home) -> Walk:
    """Every page in the light and wide, and in the dark and 900 pixels wide."""
    seen = Walk()
    for scheme, width in (("light", 1440), ("dark", 900)):
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 1000})
        page = context.new_page()
        page.on("request", lambda request: seen.asked.append(request.url))
        for path in PATHS:
            page.goto(url + path.format(cluster_id=clusters_of(home)[0]))
            settle(page)
            if not page.locator("[data-testid=stMain]").evaluate("main => main.scrollWidth <= main.clientWidth"):
                seen.wide.append(f"{path} at {width}")
        context.close()
    return seen


@pytest.mark.slow
def test_no_page_asks_anything_of_the_internet(walk):
    """Every request of every page stays on this machine, in the light and in the dark."""
    assert walk.asked
    assert [] == [each for each in walk.asked if not is_loopback(each)]


@pytest.mark.slow
def test_pages_fit_a_narrow_window(walk):
    """At 900 pixels nothing but tables scrolls sideways."""
    assert [] == walk.wide


@pytest.mark.slow
def test_hostile_feedback_stays_text_on_its_cluster_page(page, url, home):
    """No script runs, nothing is loaded, styled, linked or made a button; the reader sees what was written."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for cluster_id, text in zip(clusters_of(home), NASTY, strict=False):
        page.goto(f"{url}/cluster?id={cluster_id}")
        settle(page)
        main = page.locator("[data-testid=stMainBlockContainer]")

        assert page.evaluate("window.pwned") is None
        assert [] == [each for each in asked if not is_loopback(each)]
        assert text == main.locator("h1").inner_text().replace("\u2060", "")
        assert text in [each.replace("\u2060", "") for each in main.locator("[data-testid=stText]").all_inner_texts()]
        assert [] == [
            href
            for href in main.locator("a").evaluate_all("links => links.map(link => link.href)")
            if not is_loopback(href)
        ]
        alive = (
            ":is(h1, strong, [data-testid=stCaptionContainer], .stMarkdownBadge) :is(a, em, code, del, [style*=color])"
        )
        assert 0 == main.locator(alive).count(), text
        assert 0 == main.locator("img, script, iframe, form:not(.vega-bindings), .stMarkdown table, .katex").count(), (
            text
        )
        badges = [each.replace("\u2060", "") for each in main.locator(".stMarkdownBadge").all_inner_texts()]
        assert text in badges, badges
        assert 0 == main.get_by_role("button", name="Approve all").count()
        assert main.is_visible()


@pytest.mark.slow
def test_hostile_feedback_stays_text_in_the_lists(page, url):
    """The overview, the list of clusters and a whole item show it as text."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for path in ("/", "/clusters", "/feedback?q=evil.test"):
        page.goto(url + path)
        settle(page)
        if path.startswith("/feedback"):
            click_first_row(page)
            page.get_by_text("The whole item").wait_for()

        assert page.evaluate("window.pwned") is None
        assert [] == [each for each in asked if not is_loopback(each)]
        assert 0 == page.locator("[data-testid=stMain] a[href*='evil.test'], [data-testid=stMain] img").count()


@pytest.mark.slow
def test_a_click_on_a_row_opens_the_cluster_and_back_keeps_the_filters(page, url):
    """The way there and back, as analysts walk it all day."""
    page.goto(f"{url}/clusters?q=crashes&source=Reddit")
    settle(page)
    found = page.get_by_text("click a row to open it").inner_text()

    click_first_row(page)
    page.wait_for_url(re.compile(r"/cluster\?id="))
    page.get_by_text("Typical feedback").wait_for()
    page.go_back()
    page.get_by_text("click a row to open it").wait_for()
    page.wait_for_url(re.compile(r"q=crashes"))

    settle(page)
    assert found == page.get_by_text("click a row to open it").inner_text()


@pytest.mark.slow
def test_filters_go_into_the_address_and_the_export_holds_what_is_seen(page, url, tmp_path):
    """What a person filters is in the link they send and in the file they save; formulas are disarmed."""
    page.goto(f"{url}/clusters")
    settle(page)
    page.get_by_role("searchbox", name="Search").fill("calendar")
    page.get_by_role("searchbox", name="Search").press("Enter")
    page.wait_for_url(re.compile(r"q=calendar"))
    settle(page)

    with page.expect_download() as waiting:
        page.get_by_role("button", name="Export CSV").click()
    waiting.value.save_as(tmp_path / "clusters.csv")

    lines = (tmp_path / "clusters.csv").read_text().splitlines()
    found = int(page.get_by_text("click a row to open it").inner_text().split()[0])
    assert found == len(lines) - 1
    assert lines[0].startswith("cluster_id,title,theme")
