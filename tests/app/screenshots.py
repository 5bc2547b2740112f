"""Pictures of every page: `python tests/app/screenshots.py OUT_DIR [--home HOME] [--all]`.

One a page as the docs show them, `<page>.png`; with `--all` light and dark, wide and narrow. Without `--home` the store
is made from the bundled sample by the real steps, with a few fixes written beside it.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import duckdb
from playwright.sync_api import Browser

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from browser import chromium, running_app, settle
from seeding import PROJECT, seed_sample
from standins.prefect_worker import running_worker

from soulcaster.db import cluster_screens, jobs, read, repositories, write
from soulcaster.draw import draw
from soulcaster.fix_models import Job, JobDetail, Repository
from soulcaster.settings import Settings

PAGES = {
    "overview": "/",
    "clusters": "/clusters",
    "cluster": "/cluster?id={cluster_id}",
    "map": "/map",
    "fixes": "/fixes",
    "feedback": "/feedback",
    "quarantine": "/feedback?view=Quarantine",
    "runs": "/runs",
    "settings": "/settings",
}
_FIXES: list[dict[str, Any]] = [
    {"status": "waiting", "reason": "Only strangers speak for this cluster; somebody has to approve it."},
    {"status": "pr_open", "verdict": "proved", "pr_number": 7, "pr_url": "https://github.com/acme/notes/pull/7"},
    {"status": "no_change", "reason": "The cause lies in another service."},
]
_WORK = ("refresh", "ingest", "embed", "recluster", "summarize")
_WIDTHS = (1440, 900)
_SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


def main() -> None:
    """Write `<page>.png`, or with `--all` `<page>-<width>-<scheme>.png`, for all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--home", type=Path, help="a store that is already there")
    parser.add_argument("--all", action="store_true", help="light and dark, wide and narrow")
    parser.add_argument("--only", nargs="*", default=list(PAGES), choices=list(PAGES), help="these pages only")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        home = arguments.home
        if home is None:
            home = Path(folder) / "home"
            seed_sample(Settings(_env_file=None, home=home))
            draw(Settings(_env_file=None, home=home), PROJECT)
            write(Settings(_env_file=None, home=home).duckdb_path, _add_fixes)
        with running_worker(dict.fromkeys(_WORK, dict)) as worker:
            worker.start("refresh", {"params": {}})
            _take_all(home, Path(folder) / "app.log", worker.url, arguments)


def _take_all(home: Path, log: Path, prefect_url: str, arguments: argparse.Namespace) -> None:
    """Every page that was asked for, of the app over `home`."""
    cluster_id = _largest_cluster(Settings(_env_file=None, home=home))
    with running_app(home, log, PREFECT_API_URL=prefect_url) as url, chromium() as browser:
        for name in arguments.only:
            address = url + PAGES[name].format(cluster_id=cluster_id)
            if not arguments.all:
                take(browser, address, arguments.out / f"{name}.png", _WIDTHS[0], _SCHEMES[0])
                continue
            for scheme, width in itertools.product(_SCHEMES, _WIDTHS):
                take(browser, address, arguments.out / f"{name}-{width}-{scheme}.png", width, scheme)


def take(browser: Browser, url: str, path: Path, width: int, scheme: Literal["light", "dark"]) -> None:
    """A picture of one page, as tall as the page is (at most 2,400 pixels)."""
    context = browser.new_context(viewport={"width": width, "height": 1000}, color_scheme=scheme)
    page = context.new_page()
    page.goto(url)
    settle(page)
    for _ in range(2):  # a taller window lets tables and charts draw, which may need more room
        inner = page.evaluate("document.querySelector('[data-testid=stMainBlockContainer]').scrollHeight")
        page.set_viewport_size({"width": width, "height": min(2_400, max(700, int(inner) + 20))})
        page.wait_for_timeout(900)
    page.screenshot(path=path)
    context.close()


def _add_fixes(con: duckdb.DuckDBPyConnection) -> None:
    """A repository, and a job in each of three states."""
    at = datetime.now(UTC)
    repositories.save_repository(con, PROJECT, Repository(name="acme/notes", mode="draft"), actor="ann", now=at)
    frame, _ = cluster_screens.list_clusters(con, PROJECT, cluster_screens.ClusterFilters(), limit=len(_FIXES))
    for number, (cluster, changes) in enumerate(zip(frame["cluster_id"], _FIXES, strict=True)):
        job = Job(
            job_id=f"example-{number}", project_id=PROJECT, cluster_id=cluster, repository="acme/notes", actor="ann",
            status="queued", created_at=at - timedelta(hours=number), changed_at=at, cost_usd=0.17 * number,
            n_tokens=41_000 * number,
        )  # fmt: skip
        jobs.add_job(con, job, JobDetail())
        jobs.update_job(con, job, actor="flow", now=at, **changes)


def _largest_cluster(settings: Settings) -> str:
    filters = cluster_screens.ClusterFilters()
    frame, _ = read(settings.duckdb_path, lambda con: cluster_screens.list_clusters(con, PROJECT, filters, limit=1))
    return str(frame["cluster_id"][0]) if frame.height else ""


if __name__ == "__main__":
    main()
