"""The same-problem probability: what speaks for it, what is missing, and how its base rate is found."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from soulcaster.clustering.features import FEATURES, measure_pairs
from soulcaster.clustering.neighborhood import find_neighborhood
from soulcaster.clustering.problems import find_remote
from soulcaster.clustering.scorer import (
    contributions,
    correct_base_rate,
    load_scorer,
    log_odds,
    top_reasons,
    weigh_time,
)
from soulcaster.clustering.train_scorer import LabelledSet, fit, training_pairs
from soulcaster.clustering.whitening import whiten
from soulcaster.embedders.minilm import MiniLMEmbedder
from soulcaster.text import embedding_text


def log(probability: float) -> float:
    """Log-odds."""
    return float(np.log(probability / (1 - probability)))


@pytest.mark.parametrize(("name", "sign"), [(name, sign) for name, sign in FEATURES.items() if sign])
def test_more_of_a_signal_never_speaks_the_other_way(name, sign):
    """Every curve whose sign is known goes one way only."""
    scorer = load_scorer()
    position = list(FEATURES).index(name)
    steps = scorer.steps[position][np.isfinite(scorer.knots[position])]

    assert (sign * np.diff(steps) >= -1e-5).all()


def test_a_missing_signal_says_nothing():
    """Without texts the words' columns are empty and give no log-odds."""
    values = np.full((1, len(FEATURES)), np.nan, dtype=np.float32)

    assert (contributions(load_scorer(), values) == 0).all()
    assert load_scorer().intercept == pytest.approx(log_odds(load_scorer(), values)[0], abs=1e-5)


def test_curves_are_straight_lines_between_their_knots_to_the_last_bit():
    """What numpy interpolates, at knots, beside them, far outside and missing; knots may lie together or be one."""
    rng = np.random.default_rng(0)
    knots = np.full((len(FEATURES), 40), np.inf, dtype=np.float32)
    for line, many in zip(knots, rng.integers(1, 40, len(knots)), strict=True):
        drawn = np.unique(np.append(rng.normal(size=40), 1 + rng.random(40) * 1e-4).astype(np.float32))
        line[:many] = np.sort(rng.choice(drawn, many, replace=False))
    scorer = load_scorer()._replace(knots=knots, steps=rng.normal(size=knots.shape).astype(np.float32))
    at_knots = np.where(np.isfinite(knots), knots, 0.5).T
    values = np.concatenate([at_knots, np.nextafter(at_knots, np.float32(9)), np.nextafter(at_knots, np.float32(-9)),
                             rng.normal(size=(500, len(knots))), np.full((1, len(knots)), np.nan)])  # fmt: skip
    values = np.append(values, [[-1e6] * len(knots), [1e6] * len(knots)], axis=0).astype(np.float32)

    found = contributions(scorer, values)

    for position, (line, steps) in enumerate(zip(knots, scorer.steps, strict=True)):
        column, is_knot = values[:, position], np.isfinite(line)
        expected = np.interp(column, line[is_knot], steps[is_knot])
        assert np.array_equal(found[:, position], np.where(np.isnan(column), 0, expected).astype(np.float32))
    assert np.allclose(log_odds(scorer, values), found.sum(axis=1) + scorer.intercept, atol=1e-4)


def test_the_base_rate_follows_the_pairs():
    """Pairs that mostly look alike raise the rate, pairs that do not lower it, neither more than twentyfold."""
    scorer = load_scorer()
    high, low = (log(correct_base_rate(scorer, np.full(1000, odds))[0]) for odds in (4.0, -12.0))

    assert 4.0 < high <= 7.01
    assert -15.01 <= low < -12.0
    assert [] == correct_base_rate(scorer, np.empty(0)).tolist()


def test_texts_of_one_time_are_rather_of_one_problem():
    """Among years, the closer the likelier; what nobody knows the time of stays as it was."""
    days_apart = np.array([0.01, 3, 30, 300, 3000, np.nan], dtype=np.float32)
    before = np.append(np.full(6, 0.3), np.full(500, 0.001))

    after = weigh_time(load_scorer(), before, np.append(days_apart, np.full(500, 2000)).astype(np.float32))[:6]

    assert (np.diff(after[:5]) <= 0).all()
    assert after[1] > 0.5
    assert after[4] < 0.15
    assert after[5] == 0.3


def test_in_one_hour_time_says_nothing():
    """Where all texts are equally close, closeness makes no pair likelier, few or many."""
    before = np.linspace(0.001, 0.9, 200)

    after = weigh_time(load_scorer(), before, np.full(200, 0.04, dtype=np.float32))

    assert np.allclose(after, before)


def test_the_loudest_reasons_come_first():
    """What a person is shown: names with log-odds, largest first."""
    matrix = whiten(np.random.default_rng(0).normal(size=(40, 16)).astype(np.float32))
    pairs = measure_pairs(find_neighborhood(matrix), [f"Crash in {n % 4}" for n in range(40)], [""] * 40)

    reasons = top_reasons(load_scorer(), pairs.values, 3)[0]

    assert 3 == len(reasons)
    assert sorted((abs(given) for _, given in reasons), reverse=True) == [abs(given) for _, given in reasons]
    assert {name for name, _ in reasons} <= FEATURES.keys()


@pytest.mark.parametrize("n", [0, 1, 2, 30])
def test_degenerate_vectors_have_finite_features(n):
    """No text, one text, equal vectors, empty texts: no division by nothing."""
    matrix = np.ones((n, 4), dtype=np.float32) / 2
    around = find_neighborhood(matrix)

    pairs = measure_pairs(around, [""] * n, [""] * n)

    assert np.isfinite(pairs.values).all()
    assert not find_remote(around.similarities).any()


def test_titles_alone_are_measured_as_titles_beside_bodies_without_words():
    """Where no text has a body, the words of the whole stand for those of the title: the same columns."""
    rng = np.random.default_rng(0)
    around = find_neighborhood(whiten(rng.normal(size=(40, 8)).astype(np.float32)))
    titles = [" ".join(rng.choice(["save", "crash", "login", "slow", f"only{at}"], 3)) for at in range(40)]

    alone, beside = (measure_pairs(around, titles, [body] * 40).values for body in ("", "..."))

    told = [at for at, name in enumerate(FEATURES) if name != "length"]
    assert np.isfinite(alone).all()
    assert np.array_equal(alone[:, told], beside[:, told])


def test_a_text_that_is_like_nothing_is_remote():
    """Its neighbourhood is far thinner than is usual."""
    rng = np.random.default_rng(0)
    matrix = np.vstack([np.eye(9)[:1] + 0.1 * rng.normal(size=(40, 9)), np.eye(9)[1:2]]).astype(np.float32)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)

    assert [40] == np.flatnonzero(find_remote(find_neighborhood(matrix).similarities)).tolist()


@pytest.mark.shared_data
@pytest.mark.slow
def test_probabilities_hold_on_reports_the_scorer_never_saw(shared_data_dir):
    """Fitted on one half of the groups, judged on the other: what is called probable mostly is."""
    frame = pl.read_parquet(shared_data_dir / "labelled_dup_openoffice" / "data.parquet").head(1600)
    titles, bodies = frame["title"].to_list(), frame["body"].fill_null("").str.slice(0, 400).to_list()
    matrix = MiniLMEmbedder().embed([embedding_text(*text) for text in zip(titles, bodies, strict=True)])
    truth = frame["label"].rank("dense").cast(pl.Int64).to_numpy()
    whole = LabelledSet("half", matrix, titles, bodies, truth, np.full(len(truth), np.nan))
    first, second = (whole.only(np.flatnonzero(truth % 2 == half)) for half in (0, 1))

    scorer = fit(training_pairs(first), "half")
    judged = training_pairs(second)[0]
    probability = correct_base_rate(scorer, log_odds(scorer, judged.values))

    assert 0.5 < probability.sum() / judged.is_same.sum() < 2.0
    likely = probability >= 0.5
    assert judged.is_same[likely].mean() > 0.5
    assert judged.is_same[probability < 0.02].mean() < 0.02
