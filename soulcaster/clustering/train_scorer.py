"""Fits the scorer on labelled reports: `python -m soulcaster.clustering.train_scorer DATA_DIR` writes its weights.

DATA_DIR holds one folder a set with `data.parquet` (columns title, body, label; created_at or id). Each set stands
there four ways or more: whole and thinned to mostly lone reports (real trackers lie between), with and without bodies
(so that a short text is no sign of a duplicate). All are weighted to one base rate: the scorer learns what tells pairs
apart within a set, never which set has many. The curve of time is fitted last, beside all others, so that without times
nothing changes. Only numeric weights are written, no text. The same data give the same bytes.
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
from sklearn.isotonic import IsotonicRegression
from threadpoolctl import threadpool_limits

from soulcaster.clustering.features import FEATURES, measure_pairs
from soulcaster.clustering.neighborhood import find_neighborhood
from soulcaster.clustering.scorer import Scorer, log_odds, missing_odds, scale_days
from soulcaster.text import embedding_text

DUPLICATE_SETS = ("labelled_dup_openoffice", "labelled_dup_firefox", "labelled_dup_seamonkey")
_VERSION = "pair-scorer-3"
_BASE_RATE = 0.015
"""Share of same-problem pairs among candidates that every set is weighted to; corpora lie on both sides of it."""
_THINNED = ((0, 0.92), (1, 0.6))
"""Seed and share of the groups of which one report alone is kept."""

_IDS_A_DAY = {"labelled_dup_firefox": 200.0}
"""Of a set without times, whose ids are Bugzilla's running number: how many of them a day. Source: the SeaMonkey set,
from the same Bugzilla, has both; 176 a day from 2020 to 2025, and it was busier before."""

_TIME_BINS = 14

_N_BINS = 48
_ROUNDS = 200

Embed = Callable[[list[str]], npt.NDArray[np.float32]]


class LabelledSet(NamedTuple):
    """Texts with their vectors and true groups."""

    name: str
    matrix: npt.NDArray[np.float32]
    titles: list[str]
    bodies: list[str]
    truth: npt.NDArray[np.int64]
    """(n,) every lone report a group of its own."""
    days: npt.NDArray[np.float64]
    """(n,) when each came, in days since whenever; NaN unknown."""

    def only(self, rows: npt.NDArray[np.int64]) -> LabelledSet:
        """The same set, reduced to these rows."""
        titles, bodies = [self.titles[row] for row in rows], [self.bodies[row] for row in rows]
        return LabelledSet(self.name, self.matrix[rows], titles, bodies, self.truth[rows], self.days[rows])


class TrainingPairs(NamedTuple):
    """Measured candidate pairs of one set."""

    name: str
    values: npt.NDArray[np.float32]
    is_same: npt.NDArray[np.bool_]
    days_apart: npt.NDArray[np.float32]


def read_set(folder: Path, embed: Embed) -> LabelledSet:
    """A labelled set with its vectors, one row a text, in the order of the file."""
    frame = pl.read_parquet(folder / "data.parquet")
    titles, bodies = frame["title"].fill_null("").to_list(), frame["body"].fill_null("").to_list()
    truth = frame["label"].rank("dense").cast(pl.Int64).to_numpy()
    return _embedded(folder.name, titles, bodies, truth, _days(folder.name, frame), embed)


def without_bodies(labelled: LabelledSet, embed: Embed) -> LabelledSet:
    """The same reports as if people had written a title only."""
    bodies = [""] * len(labelled.bodies)
    return _embedded(labelled.name, labelled.titles, bodies, labelled.truth, labelled.days, embed)


def training_pairs(labelled: LabelledSet) -> list[TrainingPairs]:
    """The pairs a set contributes: those of itself, and of thinned copies where most reports have a duplicate."""
    copies = [labelled]
    if len(np.unique(labelled.truth)) < 0.8 * len(labelled.truth):
        copies += [labelled.only(_thin(labelled.truth, seed, share)) for seed, share in _THINNED]
    return [_measured(copy) for copy in copies]


def fit(sets: list[TrainingPairs], version: str) -> Scorer:
    """A scorer from measured pairs. Every set weighs by the root of its same-problem pairs, none drowns the others.

    Within a set same-problem pairs are `_BASE_RATE` of the weight. Without that the curves learn the sets' rates: where
    intents were the only short texts, "short" spoke for the same problem.

    Args:
        sets: pairs of each set, with one same-problem pair at least.
        version: written into the scorer.
    """
    values = np.concatenate([pairs.values for pairs in sets])
    same = np.concatenate([pairs.is_same for pairs in sets])
    weight = np.concatenate([_weights(pairs.is_same) for pairs in sets])
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
    with threadpool_limits(1):  # its threads wait by spinning: beside other work two take minutes for seconds
        model.fit(codes, same, sample_weight=weight / weight.mean())
    scorer = _tabulate(model, values, codes, edges, version)
    days_apart = np.concatenate([pairs.days_apart for pairs in sets])
    knots, steps = _fit_time(days_apart, log_odds(scorer, values), same, weight)
    return scorer._replace(time_knots=knots, time_steps=steps)


def save(scorer: Scorer, path: Path) -> None:
    """Write the weights as npz."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **scorer._asdict())


def _days(name: str, frame: pl.DataFrame) -> npt.NDArray[np.float64]:
    """When each row was written."""
    if name in _IDS_A_DAY:
        return (frame["id"].cast(pl.Int64) / _IDS_A_DAY[name]).to_numpy()
    written = frame["created_at"].str.to_datetime(time_zone="UTC").dt.epoch("s") / 86_400
    return written.fill_null(float("nan")).to_numpy()


def _embedded(
    name: str,
    titles: list[str],
    bodies: list[str],
    truth: npt.NDArray[np.int64],
    days: npt.NDArray[np.float64],
    embed: Embed,
) -> LabelledSet:
    matrix = embed([embedding_text(title, body) for title, body in zip(titles, bodies, strict=True)])
    return LabelledSet(name, matrix, titles, bodies, truth, days)


def _measured(labelled: LabelledSet) -> TrainingPairs:
    pairs = measure_pairs(find_neighborhood(labelled.matrix), labelled.titles, labelled.bodies, labelled.days)
    is_same = labelled.truth[pairs.left] == labelled.truth[pairs.right]
    return TrainingPairs(labelled.name, pairs.values, is_same, pairs.days_apart)


def _weights(is_same: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Weight of every pair of a set, float64 (m,)."""
    n_same = int(is_same.sum())
    of_same = 1 / np.sqrt(n_same)
    of_others = of_same * n_same / (len(is_same) - n_same) * (1 - _BASE_RATE) / _BASE_RATE
    weights: npt.NDArray[np.float64] = np.where(is_same, of_same, of_others)
    return weights


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


def _tabulate(
    model: HistGradientBoostingClassifier,
    values: npt.NDArray[np.float32],
    codes: npt.NDArray[np.float32],
    edges: list[npt.NDArray[np.float32]],
    version: str,
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
    flat = np.zeros(1, dtype=np.float32)
    return Scorer(version, knots, steps, intercept, _BASE_RATE, time_knots=flat, time_steps=flat)


def _fit_time(
    days_apart: npt.NDArray[np.float32],
    odds: npt.NDArray[np.float64],
    is_same: npt.NDArray[np.bool_],
    weight: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Knots and steps of the curve of time: what has to be added to `odds` in each stretch of time, never rising."""
    known = ~np.isnan(days_apart)
    scaled, odds, is_same, weight = scale_days(days_apart[known]), odds[known], is_same[known], weight[known]
    if len(set(scaled[is_same].tolist())) <= 1:
        return np.zeros(1, dtype=np.float32), np.zeros(1, dtype=np.float32)
    edges = np.unique(np.quantile(scaled[is_same], np.linspace(0, 1, _TIME_BINS + 1)[1:-1]))
    stretch = np.searchsorted(edges, scaled, side="right")
    filled = [part for part in (stretch == number for number in range(len(edges) + 1)) if is_same[part].any()]
    found = [missing_odds(odds[part], is_same[part], weight[part]) for part in filled]
    middle = np.array([scaled[part].mean() for part in filled])
    steps = IsotonicRegression(increasing=False).fit_transform(
        middle, [missing for missing, _ in found], sample_weight=[information for _, information in found]
    )
    return middle.astype(np.float32), steps.astype(np.float32)


def main() -> None:
    """Fit on all sets and write the package's weights."""
    from soulcaster.embedders.minilm import MiniLMEmbedder

    parser = argparse.ArgumentParser(description="Fit the same-problem scorer.")
    parser.add_argument("data_dir", type=Path, help="folder of labelled sets")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "assets" / "scorer.npz")
    asked = parser.parse_args()
    embed = MiniLMEmbedder().embed
    pairs = []
    for name in DUPLICATE_SETS:
        if not (asked.data_dir / name / "data.parquet").exists():
            sys.exit(f"Training needs {asked.data_dir / name / 'data.parquet'}, which is absent.")
        whole = read_set(asked.data_dir / name, embed)
        pairs += training_pairs(whole) + training_pairs(without_bodies(whole, embed))
    scorer = fit(pairs, _VERSION)
    save(scorer, asked.out)
    sys.stdout.write(f"{asked.out}: {sum(len(copy.values) for copy in pairs):,} pairs of {len(pairs)} copies of sets\n")


if __name__ == "__main__":
    main()
