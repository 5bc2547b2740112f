"""Training of the scorer: the same data the same weights, and nothing learned about which set has many duplicates."""

from __future__ import annotations

import numpy as np
import pytest

from soulcaster.clustering import train_scorer
from soulcaster.clustering.scorer import log_odds
from soulcaster.clustering.train_scorer import LabelledSet, fit, save, training_pairs, without_bodies

WORDS = [f"word{n}" for n in range(300)]
N_AXES = 24


def embed(texts: list[str]) -> np.ndarray:
    """Each text the sum of its words' fixed directions."""
    directions = np.random.default_rng(7).normal(size=(len(WORDS), N_AXES))
    known = dict(zip(WORDS, directions, strict=True))
    matrix = np.array([sum(known[word] for word in text.split()) for text in texts], dtype=np.float32)
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


def made_set(name: str, n_groups: int, per_group: int, seed: int = 0) -> LabelledSet:
    """Groups of reports within a month that share six of their eight title words, and say a few words more."""
    rng = np.random.default_rng(seed)
    titles, bodies, truth, days = [], [], [], []
    for group in range(n_groups):
        core, begun = rng.choice(WORDS, 6, replace=False), 2000 * rng.random()
        for _ in range(per_group if group % 2 else 1):
            titles.append(" ".join([*core, *rng.choice(WORDS, 2)]))
            bodies.append(" ".join(rng.choice(WORDS, 6)))
            truth.append(group)
            days.append(begun + 30 * rng.random())
    matrix = embed([f"{title} {body}" for title, body in zip(titles, bodies, strict=True)])
    return LabelledSet(name, matrix, titles, bodies, np.array(truth), np.array(days))


def test_the_same_reports_give_the_same_file(tmp_path):
    """Two fits from the beginning write the same bytes."""
    for name in ("first.npz", "second.npz"):
        whole = made_set("made", 120, 3)
        pairs = training_pairs(whole) + training_pairs(without_bodies(whole, embed))
        save(fit(pairs, "made"), tmp_path / name)

    assert (tmp_path / "first.npz").read_bytes() == (tmp_path / "second.npz").read_bytes()


def test_how_many_duplicates_a_set_has_is_not_learned():
    """A set of short texts with many duplicates beside a set of long ones with few: short speaks for nothing."""
    many, few = made_set("many", 120, 6), made_set("few", 240, 2, seed=1)
    many = many._replace(bodies=[""] * len(many.titles))
    scorer = fit(training_pairs(many) + training_pairs(few), "made")
    position = list(train_scorer.FEATURES).index("length")
    steps = scorer.steps[position][np.isfinite(scorer.knots[position])]

    assert np.ptp(steps) < 1.0


def test_pairs_that_were_learned_are_told_apart():
    """On reports of another draw same-problem pairs come out far above the others."""
    judged = training_pairs(made_set("other", 120, 3, seed=2))[0]

    odds = log_odds(fit(training_pairs(made_set("made", 120, 3)), "made"), judged.values)

    assert odds[judged.is_same].mean() > odds[~judged.is_same].mean() + 2


def test_the_curve_of_time_falls_and_changes_no_other():
    """What came within a month speaks for one problem, years against it; without times the rest is fitted alike."""
    timed = made_set("made", 120, 3)
    untimed = timed._replace(days=np.full(len(timed.days), np.nan))
    scorer, without = (fit(training_pairs(each), "made") for each in (timed, untimed))

    assert (np.diff(scorer.time_steps) <= 0).all()
    assert scorer.time_steps[0] > 1 > -1 > scorer.time_steps[-1]
    assert without.time_steps.tolist() == [0.0]
    assert np.array_equal(scorer.steps, without.steps)


@pytest.mark.parametrize("n_same", [1, 40])
def test_every_set_weighs_by_the_root_of_its_duplicates(n_same):
    """Same-problem pairs have the fixed share of a set's weight, however many there are."""
    is_same = np.arange(1000) < n_same
    weights = train_scorer._weights(is_same)

    assert weights[is_same].sum() == pytest.approx(np.sqrt(n_same))
    assert weights[is_same].sum() / weights.sum() == pytest.approx(0.015)
