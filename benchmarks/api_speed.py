"""Milliseconds of the HTTP API's reads over a drawn store, in one process, one request after another:

    python benchmarks/api_speed.py --items 100000 --clusters 3000

Each path is asked `--repetitions` times after one that does not count; lists go on page by page.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "app")]

PATHS = {
    "clusters": "/v1/clusters",
    "clusters with words": "/v1/clusters?q=login",
    "items": "/v1/items",
    "items with words": "/v1/items?q=login",
    "items of a cluster": "/v1/items?cluster_id={cluster}",
    "one cluster": "/v1/clusters/{cluster}",
    "themes": "/v1/themes",
    "runs": "/v1/runs",
    "stats": "/v1/stats",
}


def main() -> None:
    """Print median and p95 of every path."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--clusters", type=int, default=3_000)
    parser.add_argument("--repetitions", type=int, default=40)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SOULCASTER_HOME"] = folder
        _measure(Path(folder), asked)


def _measure(home: Path, asked: argparse.Namespace) -> None:
    from fastapi.testclient import TestClient
    from seeding import PROJECT, seed_drawn

    from app.api import make_api
    from soulcaster.access import add_token
    from soulcaster.settings import Settings

    settings = Settings(_env_file=None, home=home, api_requests_per_minute=100_000)
    clusters = seed_drawn(settings.duckdb_path, n_items=asked.items, n_clusters=asked.clusters)
    _, token = add_token(settings, PROJECT, "benchmark", "viewer", actor="benchmark")
    print(f"{asked.items:,} items, {asked.clusters:,} clusters; milliseconds of {asked.repetitions} requests")
    with TestClient(make_api(settings), headers={"Authorization": f"Bearer {token}"}) as client:
        for name, path in PATHS.items():
            spent, cursor = [], None
            for _ in range(asked.repetitions + 1):
                params = {"cursor": cursor} if cursor else {}
                url = path.format(cluster=clusters[0])
                begun = time.perf_counter()
                answer = client.get(url, params=params) if params and "?" not in url else client.get(url)
                spent.append((time.perf_counter() - begun) * 1000)
                cursor = answer.raise_for_status().json().get("next_cursor")
            ordered = sorted(spent[1:])
            p95 = ordered[min(len(ordered) - 1, round(0.95 * len(ordered)))]
            print(f"  {name:22} median {statistics.median(ordered):7.0f}   p95 {p95:7.0f}")


if __name__ == "__main__":
    main()
