"""What one more percent of items changes of what people know; and whether order or a second look changes anything.

    python benchmarks/grouping_stability.py DATA_DIR [--titles 20000] [--draws 5]

DATA_DIR holds the recorded sets of duplicates and the titles; vectors (MiniLM) are kept in benchmarks/out.
"Not held" is the same grouping without knowing what was one cluster before; "or new" counts noise that joined a new
item as well: somebody told of the same problem. "True" is the share of noise that moved beside a declared duplicate.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import polars as pl

from soulcaster.clustering.grouping import group_items
from soulcaster.clustering.holding import NEW
from soulcaster.clustering.matching import match_clusters
from soulcaster.clustering.train_scorer import DUPLICATE_SETS, read_set

sys.path[:0] = [str(Path(__file__).resolve().parent.parent)]

from benchmarks.grouping_quality import embed_cached  # noqa: E402  found by the line above
from benchmarks.recluster_speed import read_titles  # noqa: E402  found by the same line

_NEW_SHARE = 0.01


def group(
    matrix: np.ndarray, texts: pl.DataFrame, previous: np.ndarray | None = None, order: np.ndarray | None = None
) -> np.ndarray:
    """Labels of one item a text, in the order of the texts, whatever order the items come in."""
    order = np.arange(len(matrix)) if order is None else order
    titles, bodies, days = texts["title"].to_list(), texts["body"].to_list(), texts["days"].to_numpy()
    found = group_items(
        matrix, order, titles=titles, bodies=bodies, days=days, min_similarity=0.5, previous=previous
    ).labels  # fmt: skip
    labels = np.empty_like(found)
    labels[order] = found
    return labels


def kept(known: np.ndarray, before: np.ndarray, labels: np.ndarray) -> tuple[float, float, float]:
    """Share of the clustered items that keep their cluster's id; of the noise that stays noise, or joins a new item."""
    after = labels[known]
    heirs, _ = match_clusters(after, before, int(after.max()) + 1, int(before.max()) + 1)
    named = np.append(heirs, -1)[after]
    inside = before >= 0
    stays = after[~inside] < 0
    joins = np.isin(after[~inside], np.delete(labels, known))
    return float((named[inside] == before[inside]).mean()), float(stays.mean()), float((stays | joins).mean())


def true_share(known: np.ndarray, before: np.ndarray, labels: np.ndarray, truth: np.ndarray) -> float:
    """Of the noise that moved, the share that is now beside a text of the same true group; NaN when none moved."""
    noise = known[before < 0]
    moved = noise[labels[noise] >= 0]
    beside = np.unique(np.stack([labels, truth]), axis=1, return_inverse=True, return_counts=True)
    return float((beside[2][beside[1].ravel()][moved] > 1).mean()) if len(moved) else float("nan")


def same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two labellings are the same partition with the same noise."""
    pairs = np.unique(np.stack([one, other]), axis=1)
    return bool(((one < 0) == (other < 0)).all() and pairs.shape[1] == len(np.unique(one)) == len(np.unique(other)))


def show(name: str, matrix: np.ndarray, texts: pl.DataFrame, draws: int) -> None:
    """One line of the table: means over some draws of the new percent."""
    n = len(matrix)
    rows = []
    for seed in range(draws):
        turn = np.random.default_rng(seed).permutation(n)
        known = np.sort(turn[round(n * _NEW_SHARE) :])
        shown = np.full(n, NEW)
        shown[known] = before = group(matrix[known], texts[known])
        held, free = group(matrix, texts, shown), group(matrix, texts)
        truth = true_share(known, before, held, texts["truth"].to_numpy())
        rows.append((*kept(known, before, free), *kept(known, before, held), truth))
    again, shuffled = group(matrix, texts, held), group(matrix, texts, order=turn)
    means = " ".join(f"{value:9.2%}" for value in np.nanmean(rows, axis=0))
    print(f"{name:36} {n:7,} {means}   {same(held, again)!s:>6} {same(free, shuffled)!s:>8}", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--titles", type=int, default=20_000, help="titles to group; 0 leaves them out")
    parser.add_argument("--draws", type=int, default=5, help="times that another percent is the new one")
    asked = parser.parse_args()
    columns = f"{'ids':>9} {'noise':>9} {'or new':>9}"
    print(f"{'':36} {'':7} {'not held':>29} {'held':>39}")
    print(f"{'texts':36} {'':7} {columns} {columns} {'true':>9}   {'again':>6} {'shuffled':>8}")
    for name in DUPLICATE_SETS:
        given = read_set(asked.data_dir / name, embed_cached(name))
        texts = pl.DataFrame({"title": given.titles, "body": given.bodies, "truth": given.truth})
        show(name, given.matrix, texts.with_columns(days=float("nan")), asked.draws)
        show(f"{name}, with times", given.matrix, texts.with_columns(days=given.days), asked.draws)
    if asked.titles:
        frame = read_titles(asked.data_dir, asked.titles)
        matrix = embed_cached("titles_minilm")(frame["text"].to_list())
        texts = frame.select(title="text", body=pl.lit(""), days=float("nan")).with_row_index("truth")
        show("titles", matrix, texts, 1)


if __name__ == "__main__":
    main()
