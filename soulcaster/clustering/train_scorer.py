"""Fits the scorer on labelled reports: `python -m soulcaster.clustering.train_scorer DATA_DIR` writes its weights.

DATA_DIR holds one folder a set with `data.parquet` (columns text, label, and title and body where there are any). Of
each set of duplicates, thinned copies with mostly lone reports stand beside it, and small draws of intent sets teach
short texts and larger groups: real trackers lie between those. Only numeric weights are written, no text.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
from sklearn.ensemble import HistGradientBoostingClassifier

from soulcaster.clustering.features import FEATURES, measure_pairs
from soulcaster.clustering.neighborhood import find_neighborhood
from soulcaster.clustering.scorer import Scorer
from soulcaster.text import embedding_text

DUPLICATE_SETS = ("labelled_dup_openoffice", "labelled_dup_firefox", "labelled_dup_seamonkey")
INTENT_SETS = ("labelled_banking77", "labelled_clinc150")
_NOT_A_GROUP = "oos"
_INTENT_WEIGHT = 0.5
_THINNED = ((0, 0.92), (1, 0.6))
"""Seed and share of the groups of which one report alone is kept."""

_N_BINS = 48
_ROUNDS = 200


class LabelledSet(NamedTuple):
    """Texts with their vectors and true groups."""

    name: str
    matrix: npt.NDArray[np.float32]
    titles: list[str]
    bodies: list[str]
    truth: npt.NDArray[np.int64]
    """(n,) every lone report a group of its own."""

    def only(self, rows: npt.NDArray[np.int64]) -> LabelledSet:
        """The same set, reduced to these rows."""
        titles, bodies = [self.titles[row] for row in rows], [self.bodies[row] for row in rows]
        return LabelledSet(self.name, self.matrix[rows], titles, bodies, self.truth[rows])


class TrainingPairs(NamedTuple):
    """Measured candidate pairs of one set."""

    name: str
    values: npt.NDArray[np.float32]
    is_same: npt.NDArray[np.bool_]
    weight: float


def read_set(folder: Path, embed: Callable[[list[str]], npt.NDArray[np.float32]]) -> LabelledSet:
    """A labelled set with its vectors, one row a text, in the order of the file; of an intent set a small draw."""
    frame = pl.read_parquet(folder / "data.parquet")
    label = frame["label"].cast(pl.String)
    alone = pl.Series([f"{_NOT_A_GROUP}-{row}" for row in range(frame.height)], dtype=pl.String)
    frame = frame.with_columns(truth=label.zip_with(label != _NOT_A_GROUP, alone).rank("dense").cast(pl.Int64))
    if folder.name in INTENT_SETS:
        frame = frame[_draw_small_groups(frame["truth"].to_numpy())]
    if "title" not in frame.columns:
        frame = frame.with_columns(title=pl.lit(""), body=pl.col("text"))
    titles, bodies = frame["title"].fill_null("").to_list(), frame["body"].fill_null("").to_list()
    matrix = embed([embedding_text(title, body) for title, body in zip(titles, bodies, strict=True)])
    return LabelledSet(folder.name, matrix, titles, bodies, frame["truth"].to_numpy())


def training_pairs(labelled: LabelledSet) -> list[TrainingPairs]:
    """The pairs a set contributes: itself and thinned copies, or for an intent set one small draw."""
    if labelled.name in INTENT_SETS:
        return [_measured(labelled, _INTENT_WEIGHT)]
    copies = [labelled]
    if len(np.unique(labelled.truth)) < 0.8 * len(labelled.truth):
        copies += [labelled.only(_thin(labelled.truth, seed, share)) for seed, share in _THINNED]
    return [_measured(copy, 1.0) for copy in copies]


def fit(sets: list[TrainingPairs], version: str) -> Scorer:
    """A scorer from measured pairs. Every set weighs by the root of its same-problem pairs, none drowns the others."""
    values = np.concatenate([pairs.values for pairs in sets])
    same = np.concatenate([pairs.is_same for pairs in sets])
    weight = np.concatenate(
        [np.full(len(pairs.is_same), pairs.weight / np.sqrt(max(1, pairs.is_same.sum()))) for pairs in sets]
    )
    quantiles = np.linspace(0, 1, _N_BINS + 1)[1:-1]
    tail = 1 - np.geomspace(0.1, 0.0005, 16)
    edges = [
        np.unique(np.quantile(column, np.concatenate([quantiles, tail]))).astype(np.float32) for column in values.T
    ]
    codes = np.stack(
        [np.searchsorted(edge, column, side="right") for edge, column in zip(edges, values.T, strict=True)], axis=1
    ).astype(np.float32)
    model = HistGradientBoostingClassifier(
        max_iter=_ROUNDS, learning_rate=0.08, max_leaf_nodes=8, l2_regularization=5.0, min_samples_leaf=80,
        monotonic_cst=list(FEATURES.values()), interaction_cst=[{position} for position in range(len(FEATURES))],
        early_stopping=False, random_state=0,
    )  # fmt: skip
    model.fit(codes, same, sample_weight=weight / weight.mean())
    return _tabulate(model, values, codes, edges, version, float(np.average(same, weights=weight)))


def save(scorer: Scorer, path: Path) -> None:
    """Write the weights as npz."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **scorer._asdict())


def _measured(labelled: LabelledSet, weight: float) -> TrainingPairs:
    pairs = measure_pairs(labelled.matrix, find_neighborhood(labelled.matrix), labelled.titles, labelled.bodies)
    return TrainingPairs(labelled.name, pairs.values, labelled.truth[pairs.left] == labelled.truth[pairs.right], weight)


def _thin(truth: npt.NDArray[np.int64], seed: int, share: float) -> npt.NDArray[np.int64]:
    """Rows of a copy in which about `share` of the groups have one report left."""
    rng = np.random.default_rng(seed)
    group = np.unique(truth, return_inverse=True)[1]
    is_thinned = rng.random(group.max() + 1) < share
    shuffled = rng.permutation(len(truth))
    kept = shuffled[np.unique(group[shuffled], return_index=True)[1]]
    is_kept = ~is_thinned[group]
    is_kept[kept] = True
    return np.flatnonzero(is_kept)


def _draw_small_groups(truth: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Rows of a draw with one to twelve texts a group and about a quarter of lone texts where the set has them."""
    rng = np.random.default_rng(5)
    groups, sizes = np.unique(truth, return_counts=True)
    drawn = [rng.permutation(np.flatnonzero(truth == group))[: rng.integers(1, 13)] for group in groups[sizes > 1]]
    alone = np.flatnonzero(np.isin(truth, groups[sizes == 1]))
    return np.sort(np.concatenate([*drawn, rng.permutation(alone)[:600]]))


def _tabulate(
    model: HistGradientBoostingClassifier,
    values: npt.NDArray[np.float32],
    codes: npt.NDArray[np.float32],
    edges: list[npt.NDArray[np.float32]],
    version: str,
    base_rate: float,
) -> Scorer:
    """The model as one table: without interactions it is a sum, so one feature at a time gives every step."""
    knots = np.full((len(edges), max(len(edge) for edge in edges) + 1), np.inf, dtype=np.float32)
    steps = np.zeros(knots.shape, dtype=np.float32)
    start = np.zeros((1, len(edges)), dtype=np.float32)
    at_start = float(model.decision_function(start)[0])
    intercept = at_start
    for position, edge in enumerate(edges):
        probe = np.repeat(start, len(edge) + 1, axis=0)
        probe[:, position] = np.arange(len(edge) + 1)
        found = model.decision_function(probe) - at_start
        code = codes[:, position].astype(np.int64)
        mean = float(found[code].mean())
        counts = np.bincount(code, minlength=len(found))
        filled = np.flatnonzero(counts)
        sums = np.bincount(code, values[:, position], minlength=len(found))
        knots[position, : len(filled)] = sums[filled] / counts[filled]
        steps[position, : len(filled)] = found[filled] - mean
        intercept += mean
    return Scorer(version, knots, steps, intercept, base_rate)


def main() -> None:
    """Fit on all sets and write the package's weights."""
    from soulcaster.embedders.minilm import MiniLMEmbedder

    parser = argparse.ArgumentParser(description="Fit the same-problem scorer.")
    parser.add_argument("data_dir", type=Path, help="folder of labelled sets")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "assets" / "scorer.npz")
    asked = parser.parse_args()
    embed = MiniLMEmbedder().embed
    pairs = []
    for name in DUPLICATE_SETS + INTENT_SETS:
        if not (asked.data_dir / name / "data.parquet").exists():
            sys.exit(f"Training needs {asked.data_dir / name / 'data.parquet'}, which is absent.")
        pairs += training_pairs(read_set(asked.data_dir / name, embed))
    scorer = fit(pairs, "pair-scorer-1")
    save(scorer, asked.out)
    sys.stdout.write(f"{asked.out}: {sum(len(copy.values) for copy in pairs):,} pairs of {len(pairs)} sets\n")


if __name__ == "__main__":
    main()
