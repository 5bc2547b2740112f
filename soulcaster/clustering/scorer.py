"""How probable it is that two texts tell of the same problem: a sum of one curve a feature.

A generalised additive model, monotone where the sign is known. Being a sum, it tells what each signal gave
(`contributions`), and a signal that is missing is left out of it. The base rate differs tenfold between trackers:
`correct_base_rate` finds it from the unlabelled pairs themselves. What the time between two texts says comes last
(`weigh_time`): it is the one signal that does not lie in the texts.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import resources
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from soulcaster.clustering.features import FEATURES
from soulcaster.clustering.sharing import share

_ASSET = "scorer.npz"
_MOST_ROUNDS = 200
_RAREST, _HIGHEST_RATE = 20.0, 0.5
"""The rate is at least the trained one over the first: where hardly any pair is right the estimate falls to zero."""
_CHUNK_PAIRS, _CHUNK_ODDS = 32_768, 131_072
_GRID_CELLS, _NARROWEST = 2_048, np.float32(1e-6)
"""Cells in which the pieces of a curve are looked up, and the least width of all together."""

_SAME_MOMENT_DAYS = 0.02
"""Half an hour: what lies closer together than that is equally close."""

_MOST_NEWTON_STEPS, _LONGEST_STEP, _LAST_STEP = 50, 1.0, 1e-6

_STRETCH, _MOST_SHIFT = 2.0, 3.0
"""The estimate moves half as far from the trained rate as the true one on sets the scorer never saw (docs/grouping.md,
"The base rate"), so its move in log-odds is doubled; nothing moves further than the second."""


class Scorer(NamedTuple):
    """Weights of one fitted scorer."""

    version: str
    knots: npt.NDArray[np.float32]
    """(features, k), ascending, filled up with infinity: where each curve bends."""
    steps: npt.NDArray[np.float32]
    """(features, k): log-odds at each knot, mean 0 over the training pairs; straight lines between them."""
    intercept: float
    base_rate: float
    """Share of same-problem pairs among the training pairs; the log-odds are right for this rate."""
    time_knots: npt.NDArray[np.float32]
    """(k,), ascending: what `scale_days` makes of the days between two texts."""
    time_steps: npt.NDArray[np.float32]
    """(k,), falling: log-odds that the time gives beside all features."""


@cache
def load_scorer() -> Scorer:
    """The scorer that comes with the package. How it was fitted: assets/README.md."""
    with resources.as_file(resources.files("soulcaster.clustering") / "assets" / _ASSET) as path, np.load(path) as data:
        return Scorer(
            version=str(data["version"]),
            knots=data["knots"],
            steps=data["steps"],
            intercept=float(data["intercept"]),
            base_rate=float(data["base_rate"]),
            time_knots=data["time_knots"],
            time_steps=data["time_steps"],
        )


class _Curve(NamedTuple):
    """One curve, laid out so that the piece a value lies on is found by counting, not by bisection."""

    origin: np.float32
    scale: np.float32
    """Cells of the grid a unit."""
    before: npt.NDArray[np.int64]
    """(cells,) how many knots lie in earlier cells,"""
    most: int
    """and in one cell at most."""
    knots: npt.NDArray[np.float32]
    """(k + 1,), infinity at last."""
    start: npt.NDArray[np.float64]
    """(k + 1,) where each piece begins: the first and the last are level,"""
    height: npt.NDArray[np.float64]
    """(k + 1,) log-odds there,"""
    slope: npt.NDArray[np.float64]
    """(k + 1,) and how they go on."""


def _lay_out(knots: npt.NDArray[np.float32], steps: npt.NDArray[np.float32]) -> _Curve:
    """The curve through `knots`, float32 (k,), filled up with infinity, and `steps`, float32 (k,)."""
    x = knots[np.isfinite(knots)]
    y = steps[: len(x)].astype(np.float64)
    scale = np.float32(_GRID_CELLS - 1) / np.maximum(x[-1] - x[0], _NARROWEST)
    cell = ((x - x[0]) * scale).astype(np.int64)
    start = x.astype(np.float64)
    return _Curve(
        x[0], scale, np.searchsorted(cell, np.arange(_GRID_CELLS)), int(np.bincount(cell).max()),
        np.append(x, np.float32(np.inf)), np.append(start[0], start), np.append(y[0], y),
        np.concatenate([[0.0], np.diff(y) / np.diff(start), [0.0]]),
    )  # fmt: skip


def _follow(curve: _Curve, column: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Log-odds at each value, float32 (m,), 0 where it is missing: `np.interp` to the last bit, in a fifth of the time.

    Values and knots are put on the grid by the same sums, so what lies in an earlier cell is lower.
    """
    cell = (column - curve.origin) * curve.scale
    np.fmax(cell, 0, out=cell)
    np.minimum(cell, _GRID_CELLS - 1, out=cell)
    piece = curve.before.take(cell.astype(np.int64))
    for _ in range(curve.most):
        piece += column >= curve.knots.take(piece)
    given = column - curve.start.take(piece)
    given *= curve.slope.take(piece)
    given += curve.height.take(piece)
    given[np.isnan(column)] = 0.0
    return given.astype(np.float32)


def contributions(scorer: Scorer, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Log-odds that each feature gives, float32 (m, features); 0 where it is missing.

    Args:
        scorer: the weights.
        values: float32 (m, features), in the order of `FEATURES`.
    """
    curves = map(_lay_out, scorer.knots, scorer.steps)
    return np.stack([_follow(curve, values[:, position]) for position, curve in enumerate(curves)], axis=1)


def log_odds(scorer: Scorer, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Log-odds of the same problem, float64 (m,), at the training base rate."""
    result = np.zeros(len(values), dtype=np.float64)
    curves = [_lay_out(*line) for line in zip(scorer.knots, scorer.steps, strict=True)]

    def add_up(start: int) -> None:
        part = slice(start, start + _CHUNK_PAIRS)
        for position, curve in enumerate(curves):
            result[part] += _follow(curve, values[part, position])

    share(add_up, range(0, len(values), _CHUNK_PAIRS))
    return np.round(result + scorer.intercept, 6)


def correct_base_rate(scorer: Scorer, odds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Probabilities, float64 (m,), for the base rate of these pairs, which is estimated from them.

    Expectation maximisation on the rate alone. Source: Saerens, Latinne, Decaestecker 2002.
    """
    if len(odds) == 0:
        return odds
    rate = scorer.base_rate
    trained = np.log(rate / (1 - rate))
    against, probability = np.empty(len(odds)), np.empty(len(odds))
    _by_chunk(lambda part: np.exp(-odds[part], out=against[part]), len(odds))

    def move(shift: float) -> None:
        """Set the probabilities, with all odds moved by `shift`."""
        factor = np.exp(-shift)
        _by_chunk(lambda part: np.divide(1, 1 + factor * against[part], out=probability[part]), len(odds))

    for _ in range(_MOST_ROUNDS):
        move(np.log(rate / (1 - rate)) - trained)
        estimate = float(np.clip(probability.mean(), scorer.base_rate / _RAREST, _HIGHEST_RATE))
        if abs(estimate - rate) < 1e-4 * rate:
            break
        rate = estimate
    move(np.clip(_STRETCH * (np.log(rate / (1 - rate)) - trained), -_MOST_SHIFT, _MOST_SHIFT))
    return np.round(probability, 9)


def _by_chunk(work: Callable[[slice], object], n: int) -> None:
    """Do `work` on all of n values."""
    share(work, [slice(start, start + _CHUNK_ODDS) for start in range(0, n, _CHUNK_ODDS)])


def scale_days(days_apart: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Days between two texts on a scale where twice as long is always as far, float64 (m,)."""
    scaled: npt.NDArray[np.float64] = np.log10(days_apart.astype(np.float64) + _SAME_MOMENT_DAYS)
    return scaled


def weigh_time(
    scorer: Scorer, probability: npt.NDArray[np.float64], days_apart: npt.NDArray[np.float32]
) -> npt.NDArray[np.float64]:
    """`probability`, float64 (m,), changed by how long after each other the texts came; NaN days change nothing.

    Time says which pairs are the same problem, not how many are: where the curve would expect more of them than were
    expected before, as in the feedback of one week, in which all are close, it is lowered until it does not.
    """
    known = np.flatnonzero(~np.isnan(days_apart) & (probability > 0) & (probability < 1))
    if len(known) == 0:
        return probability
    before = probability[known]
    given = np.interp(scale_days(days_apart[known]), scorer.time_knots, scorer.time_steps)
    odds = np.log(before / (1 - before)) + given
    missing, _ = missing_odds(odds, before, np.ones(len(odds)))
    changed = probability.copy()
    changed[known] = np.round(1 / (1 + np.exp(-odds - min(missing, 0.0))), 9)
    return changed


def missing_odds(
    odds: npt.NDArray[np.float64],
    wanted: npt.NDArray[np.float64] | npt.NDArray[np.bool_],
    weight: npt.NDArray[np.float64],
) -> tuple[float, float]:
    """Log-odds to add to all of `odds`, so that they expect as many same pairs as `wanted` has, and how sure that is.

    All are (m,), float64; `wanted` holds probabilities or truths. Newton's method.
    """
    missing, information = 0.0, 0.0
    for _ in range(_MOST_NEWTON_STEPS):
        expected = 1 / (1 + np.exp(-odds - missing))
        information = float((weight * expected * (1 - expected)).sum())
        step = float((weight * (wanted - expected)).sum()) / information
        missing += float(np.clip(step, -_LONGEST_STEP, _LONGEST_STEP))
        if abs(step) < _LAST_STEP:
            break
    return missing, information


def top_reasons(scorer: Scorer, values: npt.NDArray[np.float32], limit: int = 3) -> list[list[tuple[str, float]]]:
    """For every pair the features that speak loudest, name and log-odds, loudest first."""
    names = list(FEATURES)
    given = contributions(scorer, values)
    order = np.argsort(-np.abs(given), axis=1, kind="stable")[:, :limit]
    return [[(names[at], float(row[at])) for at in best] for row, best in zip(given, order, strict=True)]
