"""Milliseconds until a reader sees data, in a real Chromium over a drawn store, one page after another:

    python benchmarks/screens_speed.py --items 100000 --clusters 3000

A page is opened by its link in an app that is open, as analysts do; the clock stops when what the page is for is drawn.
`cached`: nothing was written since the last visit; `after a commit`: something was, so every query runs again.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "app")]

import numpy as np  # noqa: E402  the path above comes first
from browser import chromium, running_app, settle  # noqa: E402  the path above comes first
from playwright.sync_api import Page  # noqa: E402  the path above comes first
from seeding import seed_drawn, seed_map  # noqa: E402  the path above comes first

from soulcaster import vector_index  # noqa: E402  the path above comes first
from soulcaster.db import read, write  # noqa: E402  the path above comes first
from soulcaster.db.embedding import list_content_hashes  # noqa: E402  the path above comes first
from soulcaster.embedders import make_embedder  # noqa: E402  the path above comes first
from soulcaster.settings import Settings  # noqa: E402  the path above comes first

PAGES = {
    "Overview": "Top clusters",
    "Clusters": "click a row to open it",
    "Map": "Pick a circle",
    "Fixes": "Emergency switches",
    "Feedback": "Everything that came in.",
    "Runs": "Compare two groupings",
    "Settings": "Add a source",
}
"""Name of the link, and words that stand on the page only when its data is there."""

WORDS = ["login", "calendar", "backup", "widget", "export", "billing", "reminder", "search"]
_IS_DRAWN = """() => {
    const found = [...document.querySelectorAll("*")].map((each) => each.shadowRoot).filter(Boolean)
        .concat(document).map((root) => root.querySelector(".map-root canvas, canvas[aria-label^='Map of']"))
        .find(Boolean);
    if (!found || !found.width) return false;
    const pixels = found.getContext("2d").getImageData(0, 0, found.width, found.height).data;
    for (let at = 3; at < pixels.length; at += 4 * 97) if (pixels[at]) return true;
    return false;
}"""
_IS_NARROWED = """([words, before]) => {
    const said = [...document.querySelectorAll("[data-testid=stCaptionContainer]")].map((each) => each.innerText)
        .find((text) => text.includes(words));
    return said !== before && document.querySelector("[data-testid=stApp]").dataset.testScriptState
        === "notRunning";
}"""
MOST_PAGE_MS, MOST_FILTER_MS = 1_000, 300


def main() -> None:
    """Print p50 and p95 of every page and of two filters beside what is aimed at."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--clusters", type=int, default=3_000)
    parser.add_argument("--repetitions", type=int, default=20)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(_env_file=None, home=Path(folder))
        path = settings.duckdb_path
        seed_drawn(path, n_items=asked.items, n_clusters=asked.clusters)
        seed_map(path)
        _seed_vectors(settings)
        print(f"{asked.items:,} items, {asked.clusters:,} clusters, {asked.repetitions} visits")
        print(f"{'':36}{'p50 ms':>8}{'p95 ms':>8}{'aim':>8}")
        with running_app(Path(folder), Path(folder) / "app.log") as url, chromium() as browser:
            page = browser.new_page(viewport={"width": 1440, "height": 1000})
            page.goto(url)
            settle(page)
            _pages(page, path, asked.repetitions)
            _one_cluster(page, asked.repetitions)
            _map(page, path, asked.repetitions)
            _filters(page, asked.repetitions)


def _seed_vectors(settings: Settings) -> None:
    """A drawn vector for each text, indexed as `embed` does: a search looks among as many as there would be."""
    embedder = make_embedder(settings)
    hashes = read(settings.duckdb_path, lambda con: list_content_hashes(con, None))
    matrix = np.random.default_rng(7).normal(size=(len(hashes), embedder.dim)).astype(np.float32)
    table = vector_index.open_index(settings.lancedb_path, embedder.model_id, embedder.dim)
    vector_index.upsert(table, hashes, matrix)
    vector_index.build_index(table)


def _pages(page: Page, path: Path, repetitions: int) -> None:
    for is_touched in (False, True):
        taken: dict[str, list[float]] = {name: [] for name in PAGES}
        for visit in range(repetitions + 1):
            for name in PAGES:
                if is_touched:
                    _commit(path)
                seconds = _open(page, name)
                if visit:  # the first visit loads code
                    taken[name].append(seconds)
        for name, seconds in taken.items():
            _say(f"{name}, {'after a commit' if is_touched else 'cached'}", seconds, MOST_PAGE_MS)


def _one_cluster(page: Page, repetitions: int) -> None:
    taken = []
    for _ in range(repetitions):
        _open(page, "Clusters")
        settle(page)
        box = page.get_by_test_id("stDataFrame").first.bounding_box()
        assert box is not None
        left, top = box["x"] + 60, box["y"] + 37 + 19
        taken.append(_timed(page, lambda left=left, top=top: page.mouse.click(left, top), "Typical feedback"))
    _say("A cluster, by its row", taken, MOST_PAGE_MS)


def _map(page: Page, path: Path, repetitions: int) -> None:
    """Until circles are on the canvas, which comes after the words that the page's own figure waits for."""
    for is_touched in (False, True):
        taken = []
        for _ in range(repetitions):
            _open(page, "Overview")
            if is_touched:
                _commit(path)
            link = page.get_by_test_id("stSidebarNav").get_by_role("link", name="Map", exact=False).first
            begun = time.perf_counter()
            link.click()
            page.wait_for_function(_IS_DRAWN, polling=10)
            taken.append(time.perf_counter() - begun)
            settle(page)
        _say(f"Map, circles drawn, {'after a commit' if is_touched else 'cached'}", taken, MOST_PAGE_MS)


def _commit(path: Path) -> None:
    write(path, lambda con: con.execute("UPDATE runs SET seconds = seconds + 0.01"))


def _filters(page: Page, repetitions: int) -> None:
    _open(page, "Clusters")
    settle(page)
    search = page.get_by_role("searchbox", name="Search")
    words, bursts = [], []
    for number in range(repetitions + 1):
        search.fill(f"{WORDS[number % len(WORDS)]} crashes")
        seconds = _until_narrowed(page, lambda: search.press("Enter"))
        if number:  # the first search loads the model
            words.append(seconds)
        search.fill("")
        search.press("Enter")
        settle(page)
        bursts.append(_until_narrowed(page, page.get_by_text("Bursts", exact=True).click))
        page.get_by_text("Bursts", exact=True).click()
        settle(page)
    _say("Filter: words", words, MOST_FILTER_MS)
    _say("Filter: bursts", bursts, MOST_FILTER_MS)


def _open(page: Page, name: str) -> float:
    link = page.get_by_test_id("stSidebarNav").get_by_role("link", name=name, exact=False).first
    seconds = _timed(page, link.click, PAGES[name])
    settle(page)
    return seconds


def _timed(page: Page, do: Callable[[], object], words: str) -> float:
    begun = time.perf_counter()
    do()
    page.get_by_test_id("stMain").get_by_text(words).first.wait_for()
    return time.perf_counter() - begun


def _until_narrowed(page: Page, do: Callable[[], object]) -> float:
    """Seconds until the line above the list counts other clusters and the script has run to its end."""
    line = page.get_by_test_id("stMain").get_by_text(PAGES["Clusters"]).first
    before = line.inner_text()
    begun = time.perf_counter()
    do()
    page.wait_for_function(_IS_NARROWED, arg=[PAGES["Clusters"], before], polling=5)
    return time.perf_counter() - begun


def _say(name: str, seconds: list[float], aim_ms: int) -> None:
    half, most = np.percentile(np.array(seconds) * 1_000, [50, 95])
    print(f"{name:36}{half:8.0f}{most:8.0f}{aim_ms:8}", flush=True)


if __name__ == "__main__":
    main()
