"""Pictures of every page, light and dark, wide and narrow: `python tests/app/screenshots.py OUT_DIR [--home HOME]`.

Without `--home` the store is made from the bundled sample by the real steps.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser

sys.path.insert(0, str(Path(__file__).resolve().parent))

from browser import chromium, running_app, settle
from seeding import PROJECT, seed_sample

from soulcaster.db import cluster_screens, read
from soulcaster.draw import draw
from soulcaster.settings import Settings

PAGES = {
    "overview": "/",
    "clusters": "/clusters",
    "cluster": "/cluster?id={cluster_id}",
    "map": "/map",
    "feedback": "/feedback",
    "quarantine": "/feedback?view=Quarantine",
    "runs": "/runs",
    "settings": "/settings",
}
_WIDTHS = (1440, 900)
_SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


def main() -> None:
    """Write `<page>-<width>-<scheme>.png` for all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--home", type=Path, help="a store that is already there")
    parser.add_argument("--only", nargs="*", default=list(PAGES), choices=list(PAGES), help="these pages only")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        home = arguments.home
        if home is None:
            home = Path(folder) / "home"
            seed_sample(Settings(_env_file=None, home=home))
            draw(Settings(_env_file=None, home=home), PROJECT)
        cluster_id = _largest_cluster(Settings(_env_file=None, home=home))
        with running_app(home, Path(folder) / "app.log") as url, chromium() as browser:
            for name in arguments.only:
                take(browser, url + PAGES[name].format(cluster_id=cluster_id), arguments.out, name)


def take(browser: Browser, url: str, out: Path, name: str) -> None:
    """Pictures of one page in both widths and both schemes, as tall as the page is (at most 2,400 pixels)."""
    for scheme in _SCHEMES:
        for width in _WIDTHS:
            context = browser.new_context(viewport={"width": width, "height": 1000}, color_scheme=scheme)
            page = context.new_page()
            page.goto(url)
            settle(page)
            for _ in range(2):  # a taller window lets tables and charts draw, which may need more room
                inner = page.evaluate("document.querySelector('[data-testid=stMainBlockContainer]').scrollHeight")
                page.set_viewport_size({"width": width, "height": min(2_400, max(700, int(inner) + 20))})
                page.wait_for_timeout(900)
            page.screenshot(path=out / f"{name}-{width}-{scheme}.png")
            context.close()


def _largest_cluster(settings: Settings) -> str:
    filters = cluster_screens.ClusterFilters()
    frame, _ = read(settings.duckdb_path, lambda con: cluster_screens.list_clusters(con, PROJECT, filters, limit=1))
    return str(frame["cluster_id"][0]) if frame.height else ""


if __name__ == "__main__":
    main()
