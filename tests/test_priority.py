"""The priority of clusters: what raises it, what lowers it, and when reports count as a burst."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from soulcaster.priority import BURST_CHANCE, BURST_FLOOR, FACTS, POINTS, SEVERITIES, explain, score

_QUIET = {
    "cluster_id": "a", "status": "new", "n_named": 10, "n_unnamed": 0, "n_events": 12, "n_open": 3, "severity_tier": 2,
    "is_severity_told": False, "trust_level": 0, "days_since": 10.0, "n_recent": 1, "n_past": 8,
    "n_recent_elsewhere": 50, "n_past_elsewhere": 400, "past_weeks": 8.0, "usual_rate": 1.0,
}  # fmt: skip


def scored(*changes: dict[str, object]) -> list[dict[str, object]]:
    """One scored row for each change of a quiet cluster."""
    rows = [{**_QUIET, "cluster_id": str(number), **change} for number, change in enumerate(changes)]
    return score(pl.DataFrame(rows, schema=FACTS)).to_dicts()


def test_the_weights_add_up_to_a_hundred():
    """A score is out of 100, whatever is tuned."""
    assert 100 == sum(POINTS.values())


@pytest.mark.parametrize(
    "more",
    [
        {"n_named": 11}, {"n_unnamed": 5}, {"n_events": 900}, {"severity_tier": 3}, {"trust_level": 2},
        {"days_since": 1.0}, {"n_recent": 4}, {"status": "regressed"},
    ],
)  # fmt: skip
def test_every_signal_raises_the_score(more):
    """More people, events, severity, trust, newness, growth or a failed fix: more urgent, all else equal."""
    plain, raised = scored({}, more)

    assert raised["priority"] > plain["priority"]


@pytest.mark.parametrize(
    "less", [{"status": "fixing"}, {"status": "pr_open"}, {"status": "fixed"}, {"status": "ignored"}, {"n_open": 0}]
)
def test_what_somebody_works_on_or_closed_is_less_urgent(less):
    """A problem in good hands makes room for one that nobody has."""
    plain, lowered = scored({}, less)

    assert lowered["priority"] < plain["priority"]


def test_the_score_is_the_sum_of_its_parts_and_every_part_has_a_sentence():
    """What is shown as parts adds up to what is shown as score."""
    [row] = scored({"severity_tier": 4, "n_recent": 3})
    parts = explain(row)

    assert list(POINTS) == [part.name for part in parts]
    assert row["priority"] == pytest.approx(sum(part.points for part in parts), abs=0.051)
    assert all(part.sentence.endswith(".") and part.points <= part.most for part in parts)
    assert SEVERITIES[4] in parts[1].sentence


def test_the_score_stays_between_0_and_100():
    """Neither everything at once nor nothing at all leaves the scale."""
    most = {
        "status": "regressed", "n_named": 10**6, "n_events": 10**9, "severity_tier": 4, "trust_level": 3,
        "days_since": 0.0, "n_recent": 900,
    }  # fmt: skip
    least = {"status": "fixed", "n_named": 0, "n_events": 0, "severity_tier": 0, "n_recent": 0, "days_since": 4000.0}
    high, low = scored(most, least)

    assert (100.0, 0.0) == (high["priority"], low["priority"])


def test_steady_clusters_raise_no_alarm_and_a_jump_does():
    """Three thousand steady clusters: hardly a false alarm; a week of tenfold reports is seen in every one."""
    rng = np.random.default_rng(3)
    rate = rng.gamma(1.0, 1.5, 3000)
    past, recent = rng.poisson(rate * 8), rng.poisson(rate)
    known = {"n_past_elsewhere": 30_000, "n_recent_elsewhere": 3_750, "usual_rate": 1.5}
    steady = scored(*({**known, "n_past": int(p), "n_recent": int(r)} for p, r in zip(past, recent, strict=True)))
    jumped = scored(*({**known, "n_past": int(p), "n_recent": int(10 * p / 8 + 10)} for p in past))

    assert sum(row["is_burst"] for row in steady) <= 1
    assert all(row["is_burst"] for row in jumped)


def test_a_handful_is_no_burst_however_quiet_the_past():
    """The floor holds where the arithmetic would already be sure."""
    few, enough = scored(
        {"n_past": 0, "usual_rate": 0.0, "n_recent": BURST_FLOOR - 1},
        {"n_past": 0, "usual_rate": 0.0, "n_recent": BURST_FLOOR + 1},
    )

    assert few["chance"] < BURST_CHANCE * 10
    assert (False, True) == (few["is_burst"], enough["is_burst"])


def test_growth_of_the_whole_project_is_no_burst():
    """A new source that brings twentyfold of everything is not twenty problems at once."""
    alone, together = scored({"n_recent": 20}, {"n_recent": 20, "n_recent_elsewhere": 1000})

    assert (True, False) == (alone["is_burst"], together["is_burst"])


def test_without_a_past_nothing_is_a_burst():
    """The first import of a project has nothing to compare with."""
    [row] = scored({"past_weeks": 0.0, "n_past": 0, "n_past_elsewhere": 0, "n_recent": 200, "n_recent_elsewhere": 0})

    assert not row["is_burst"]


def test_no_cluster_gives_an_empty_frame():
    """Before the first run there is nothing to score."""
    assert 0 == score(pl.DataFrame(schema=FACTS)).height
