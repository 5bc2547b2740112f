"""How urgent each cluster is: a score from 0 to 100 that is the sum of its parts, and whether reports burst in.

Frames and rows in, frames and sentences out; opens nothing. All weights are here. Why they are what they are, and what
they do not know, is told in docs/priority.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from scipy.special import betainc

POINTS: dict[str, float] = {
    "reach": 30.0,
    "severity": 25.0,
    "velocity": 15.0,
    "recency": 10.0,
    "trust": 5.0,
    "work": 15.0,
}
"""Most points of each part; together 100. Reach and severity are most of it: how many are hit, and how hard. Velocity
and recency tell which of two equally large problems is worth a look today. Trust only breaks ties: it must not let the
loud silence the many."""

WORK_POINTS: dict[str, float] = {"regressed": 15.0, "fixing": -20.0, "pr_open": -20.0, "fixed": -40.0, "ignored": -40.0}
"""What somebody already does about it; any other status counts 0. A fix that did not hold is the most certain problem
there is; one in work needs nobody else; a fixed one stays visible at the bottom until reports come back."""

CLOSED_POINTS = -20.0
"""When every report is closed, removed or deleted at its source and nobody of ours has touched the cluster."""

SEVERITIES = (
    "a wish or a question",
    "nothing that says how bad it is",
    "a failure",
    "a crash",
    "lost data or a hole",
)
"""What the severity tiers 0 to 4 of a report mean."""

TOLD_SEVERITIES = {"low": 0, "medium": 2, "high": 3, "critical": 4}
"""Tier of what a model that read typical reports says; it goes before what the words of all reports say."""

TRUSTS = ("anonymous", "member", "verified", "maintainer")

WINDOW_DAYS = 7
PAST_WEEKS = 8
MOST_PEOPLE = 1_000
"""People at which reach is full; the scale is logarithmic, so ten people are a third of it."""
MOST_EVENTS = 100_000
HALF_LIFE_DAYS = 30.0
"""Days without a new report that halve recency."""
FULL_RATIO = 8.0
"""Times its own past at which velocity is full; half of its past gives none."""

BURST_CHANCE = 1e-4
"""Chance below which a week counts as a burst: with 3,000 steady clusters, one false alarm in three weeks at most."""
BURST_FLOOR = 5
"""Fewest reports in the window; two or three people in one week are no burst, however quiet the past was."""
_FEWEST_PAST_WEEKS = 2.0
_LEAST_CHANCE = 1e-9
_LEAST_RATE = 0.2
"""Reports a week that any cluster is expected to have at least, so that silence is never a certainty."""

FACTS = pl.Schema({
    "cluster_id": pl.String, "status": pl.String, "n_named": pl.Int64, "n_unnamed": pl.Int64, "n_events": pl.Int64,
    "n_open": pl.Int64, "severity_tier": pl.Int64, "is_severity_told": pl.Boolean, "trust_level": pl.Int64,
    "days_since": pl.Float64, "n_recent": pl.Int64, "n_past": pl.Int64, "n_recent_elsewhere": pl.Int64,
    "n_past_elsewhere": pl.Int64, "past_weeks": pl.Float64, "usual_rate": pl.Float64,
})  # fmt: skip
"""What is known of each cluster. `n_recent` counts reports of the last `WINDOW_DAYS`, `n_past` those of the
`past_weeks` before it, a person once a week; `elsewhere` the same outside the cluster; `usual_rate` the mean reports a
week of all clusters."""


class Part(NamedTuple):
    """One part of a score, in one sentence."""

    name: str
    points: float
    most: float
    sentence: str


def score(facts: pl.DataFrame) -> pl.DataFrame:
    """`facts` with `expected`, `chance`, `is_burst`, `<part>_points` for every part, and `priority`, their sum.

    `expected` is the number of reports that the cluster's own past makes likely for the window, `chance` that of as
    many as came or more.
    """
    expected, chance = burst_chance(facts)
    people = (pl.col("n_named") + pl.col("n_unnamed")).cast(pl.Float64)
    reach = 0.7 * _log_share(people, MOST_PEOPLE) + 0.3 * _log_share(pl.col("n_events").cast(pl.Float64), MOST_EVENTS)
    ratio = (pl.col("n_recent") + 0.5) / (pl.col("expected") + 0.5)
    velocity = pl.when(pl.col("n_recent") > 0).then((ratio.log(2) + 1) / (np.log2(FULL_RATIO) + 1)).otherwise(0.0)
    shares = {
        "reach": reach,
        "severity": pl.col("severity_tier") / (len(SEVERITIES) - 1),
        "velocity": velocity.clip(0, 1),
        "recency": (pl.col("days_since") * (-np.log(2) / HALF_LIFE_DAYS)).exp().clip(0, 1),
        "trust": pl.col("trust_level") / (len(TRUSTS) - 1),
    }
    untouched = ~pl.col("status").is_in(list(WORK_POINTS)) & (pl.col("n_open") == 0)
    work = pl.col("status").replace_strict(WORK_POINTS, default=0.0, return_dtype=pl.Float64)
    points = {f"{name}_points": (share * POINTS[name]).round(1) for name, share in shares.items()}
    points["work_points"] = pl.when(untouched).then(CLOSED_POINTS).otherwise(work)
    with_chance = facts.with_columns(expected=pl.Series(expected), chance=pl.Series(chance))
    is_burst = (
        (pl.col("chance") < BURST_CHANCE)
        & (pl.col("n_recent") >= BURST_FLOOR)
        & (pl.col("past_weeks") >= _FEWEST_PAST_WEEKS)
    )
    return with_chance.with_columns(is_burst=is_burst, **points).with_columns(
        priority=pl.sum_horizontal(*points).clip(0, 100).round(1)
    )


def burst_chance(facts: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Expected reports in the window and the chance of as many as came or more, both float64 (n,).

    A cluster's weekly rate is uncertain: a Gamma prior worth one week at the usual rate, updated with its own weeks,
    makes the next week's count negative binomial. Where the rest of the project grew (a new source, an import), so does
    what is expected.

    Source: Gamma-Poisson posterior predictive, Gelman et al., Bayesian Data Analysis (3rd ed.), 2.6; that outbreak
    detection should use a negative binomial and the past of the same series: Noufaily et al. 2013, Stat. Med. 32(7).
    """
    column = {name: facts[name].to_numpy().astype(np.float64) for name in facts.columns if name not in _TEXTS}
    weeks = column["past_weeks"]
    shape = np.maximum(column["usual_rate"], _LEAST_RATE) + column["n_past"]
    elsewhere_a_week = column["n_past_elsewhere"] / np.maximum(weeks, 1.0)
    growth = np.maximum(1.0, (column["n_recent_elsewhere"] + 1.0) / (elsewhere_a_week + 1.0))
    expected = shape / (1.0 + weeks) * growth
    share = growth / (1.0 + weeks + growth)
    n = column["n_recent"]
    return expected, np.where(n > 0, betainc(np.maximum(n, 1.0), shape, share), 1.0)


def explain(row: Mapping[str, Any]) -> list[Part]:
    """Every part of one scored row, in the order of `POINTS`, with its sentence."""
    sentences = {
        "reach": _say_reach(row),
        "severity": _say_severity(row),
        "velocity": _say_velocity(row),
        "recency": f"The last report came {_days(row['days_since'])} the project's newest one.",
        "trust": f"Its most trusted voice is {_voice(TRUSTS[row['trust_level']])}.",
        "work": _say_work(row),
    }
    return [Part(name, row[f"{name}_points"], most, sentences[name]) for name, most in POINTS.items()]


_TEXTS = frozenset({"cluster_id", "status"})


def _log_share(count: pl.Expr, most: int) -> pl.Expr:
    share: pl.Expr = (count.log1p() / np.log1p(most)).clip(0, 1)
    return share


def _say_reach(row: Mapping[str, Any]) -> str:
    named, unnamed = row["n_named"], row["n_unnamed"]
    people = "1 person" if named + unnamed == 1 else f"{named + unnamed:,} people"
    by_name = f" ({named:,} by name, {unnamed:,} counted without one)" if named and unnamed else ""
    return f"{people}{by_name}, {row['n_events']:,} event{'' if row['n_events'] == 1 else 's'}."


def _say_severity(row: Mapping[str, Any]) -> str:
    tier = row["severity_tier"]
    if row["is_severity_told"]:
        return f"A model that read typical reports says: {SEVERITIES[tier]}."
    if tier == 1:
        return "Its reports do not say how bad it is."
    return f"A quarter or more of its reports tell of {SEVERITIES[tier]}."


def _say_velocity(row: Mapping[str, Any]) -> str:
    came = "1 report" if row["n_recent"] == 1 else f"{row['n_recent']:,} reports"
    past = f"{came} in the last {WINDOW_DAYS} days; its past made {row['expected']:.1f} likely"
    if not row["is_burst"]:
        return f"{past}."
    chance = "below 1 in a billion" if row["chance"] < _LEAST_CHANCE else f"{row['chance']:.1g}"
    return f"{past}: a burst, chance {chance}."


def _days(days: float) -> str:
    if days < 1:
        return "on the day of"
    return f"{days:.0f} day{'' if round(days) == 1 else 's'} before"


def _voice(trust: str) -> str:
    return "anonymous" if trust == "anonymous" else f"a {trust} user" if trust == "verified" else f"a {trust}"


def _say_work(row: Mapping[str, Any]) -> str:
    match row["status"]:
        case "regressed":
            return "It was fixed, and reports came back after the fix."
        case "fixing":
            return "A fix is being made."
        case "pr_open":
            return "A fix waits as a pull request."
        case "fixed":
            return "It is fixed, and nothing came back so far."
        case "ignored":
            return "Somebody decided to ignore it."
    return "Every report is closed at its source." if row["n_open"] == 0 else "Nobody works on it yet."
