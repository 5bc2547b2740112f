"""How far clusters move on the map when one item in a hundred is new.

    python benchmarks/map_steadiness.py --n 40000

Texts are GitHub issue titles out of ../shared/data, vectors those of the embedder `static`. The two groupings are
matched as two runs are, and the second map is drawn on top of the first.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import polars as pl
from scipy.spatial.distance import cdist

from soulcaster.clustering import layout, matching
from soulcaster.clustering.exemplars import centroids
from soulcaster.clustering.grouping import group_items
from soulcaster.embedders.static import StaticEmbedder

TEXTS = Path(__file__).resolve().parents[2] / "shared" / "data" / "volume_github_issue_titles" / "data.parquet"
_NEAREST = 10


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=40_000, help="texts of the first grouping")
    n = parser.parse_args().n
    titles = pl.read_parquet(TEXTS)["text"].drop_nulls().unique(maintain_order=True).sample(n + n // 100, seed=1)
    matrix = StaticEmbedder().embed(titles.to_list())
    before, after = (_group(matrix[:k], titles.to_list()[:k]) for k in (n, len(titles)))
    first, sizes = centroids(matrix[:n], before), np.bincount(before[before >= 0])
    middles, _, seconds = _draw(first, sizes, np.full((len(sizes), 2), np.nan))
    second, grown = centroids(matrix, after), np.bincount(after[after >= 0])
    origin, _ = matching.match_clusters(after[:n], before, len(grown), len(sizes))
    previous = np.where(origin[:, None] >= 0, middles[origin], np.nan)
    again, radii, seconds_again = _draw(second, grown, previous)
    kept = origin >= 0
    moved = np.linalg.norm(again[kept] - previous[kept], axis=1) / np.ptp(middles, axis=0).max()
    print(f"clusters {len(sizes):,} then {len(grown):,}: {kept.sum():,} live on, {(~kept).sum():,} are new")
    print(f"seconds {seconds:.1f}, on top of it {seconds_again:.1f}")
    median, most_of_them = np.quantile(moved, [0.5, 0.9])
    print(f"moved, share of the width: median {median:.2%}, p90 {most_of_them:.2%}, most {moved.max():.2%}")
    print(
        f"most similar {_NEAREST} among the nearest {_NEAREST}: {_kept(first, middles):.0%}, {_kept(second, again):.0%}"
    )
    sums = radii[:, None] + radii
    np.fill_diagonal(sums, 0)
    print(f"circles that overlap: {int((cdist(again, again) < sums).sum() // 2)}")


def _group(matrix: np.ndarray, titles: list[str]) -> np.ndarray:
    rows = np.arange(len(matrix))
    return group_items(matrix, rows, titles=titles, bodies=[""] * len(titles), min_similarity=0.5).labels


def _draw(centers: np.ndarray, sizes: np.ndarray, previous: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    started = time.perf_counter()
    return *layout.place_clusters(centers, sizes, previous), time.perf_counter() - started


def _kept(centers: np.ndarray, middles: np.ndarray) -> float:
    """Share of each cluster's most similar ones that are among its nearest on the map."""
    alike, near = -centers @ centers.T, cdist(middles, middles)
    for distance in (alike, near):
        np.fill_diagonal(distance, np.inf)
    pairs = zip(alike.argsort(axis=1)[:, :_NEAREST], near.argsort(axis=1)[:, :_NEAREST], strict=True)
    return float(np.mean([len(set(a.tolist()) & set(b.tolist())) / _NEAREST for a, b in pairs]))


if __name__ == "__main__":
    main()
