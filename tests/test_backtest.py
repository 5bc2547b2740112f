"""History replayed: only what had been said is known, delays count from the first report, the store is left alone."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import grouping_store as made
import numpy as np
import pytest
from typer.testing import CliRunner

from soulcaster.backtest import backtest, load_labels
from soulcaster.cli import app
from soulcaster.errors import PermanentError

START = datetime(2024, 5, 1, tzinfo=UTC)
DAYS = {"print": (-3, -2, 4), "login": (1, 5, 6), "theme": (2, 2, 2)}


@pytest.fixture
def store(settings, monkeypatch):
    """Three topics whose reports came on the days above."""
    monkeypatch.setenv("SOULCASTER_PROJECT", made.PROJECT)
    monkeypatch.setenv("SOULCASTER_EMBEDDER", "static")
    own = settings.model_copy(update={"embedder": "static"})
    rows, vectors = [], []
    for number, (topic, days) in enumerate(DAYS.items()):
        for place, day in enumerate(days):
            at = START + timedelta(days=day, hours=1)
            rows.append(made.row(f"{topic}-{place}", f"{topic} broken {place}", f"{topic} case {place}", created_at=at))
            vectors.append(np.eye(40)[number] + 0.1 * np.eye(40)[20 + place])
    made.add_items(own, rows)
    made.add_vectors(own, [str(row["content_hash"]) for row in rows], np.array(vectors))
    return own


def test_each_step_knows_only_what_had_been_said(store):
    """Items and clusters grow with the days, the end is the newest item, and ids that were shown stay."""
    result = backtest(store, made.PROJECT, start=START)

    assert [2, 2, 3, 6, 6, 7, 8, 9] == [step.n_items for step in result.steps]
    assert [1, 1, 1, 2, 2, 2, 3, 3] == [step.n_clusters for step in result.steps]
    assert [None, *[1.0] * 7] == [step.ids_kept for step in result.steps]
    assert START + timedelta(days=7) == result.steps[-1].at


def test_the_delay_runs_from_the_first_report_to_the_step_that_shows_the_cluster(store):
    """The cluster that was there at the start does not count; the slow one was seen at its second report."""
    result = backtest(store, made.PROJECT, start=START)

    delays = {each.n_when_shown: round(each.delay_days * 24) for each in result.detections}
    assert {3: 23, 2: 24 * 4 + 23} == delays
    assert result.median_delay_days == pytest.approx((23 + 24 * 4 + 23) / 48)


def test_labels_measure_every_step(store, tmp_path):
    """Quality is against the labelled items known by then; rows without a label are no truth."""
    path = tmp_path / "labels.csv"
    rows = [f"{topic}-{place},{topic}" for topic in DAYS for place in range(3)]
    path.write_text("\n".join(["external_id,label", *rows, "print-2,"]))
    labels = load_labels(path, "external_id", "label")
    assert 9 == len(labels)

    result = backtest(store, made.PROJECT, start=START, every=timedelta(days=7), labels=labels)

    assert [1.0, 1.0] == [step.quality.pair_f1 for step in result.steps if step.quality]


def test_labels_of_other_items_are_refused(store):
    """Ids of another column would give figures of zero; the sentence shows both kinds."""
    with pytest.raises(PermanentError, match=r"'row 1'.*'.+-.'.*--id-column"):
        backtest(store, made.PROJECT, start=START, labels={"row 1": "print"})


def test_the_store_is_left_as_it_was(store):
    """No run, no cluster, no activity is written."""
    backtest(store, made.PROJECT, start=START, every=timedelta(days=4))

    counts = made.query(store, "SELECT (SELECT count(*) FROM runs), (SELECT count(*) FROM activity)")
    assert [(0, 0)] == counts


@pytest.mark.parametrize(
    ("start", "end", "every", "told"),
    [
        (START - timedelta(days=30), None, timedelta(days=1), "nothing said before"),
        (START, START - timedelta(days=1), timedelta(days=1), "an end after the start"),
        (START, None, timedelta(seconds=1), "longer steps"),
    ],
)
def test_times_that_make_no_sense_are_refused(store, start, end, every, told):
    """Before the first item, backwards, or for ever."""
    with pytest.raises(PermanentError, match=told):
        backtest(store, made.PROJECT, start=start, end=end, every=every)


@pytest.mark.usefixtures("store")
def test_the_command_prints_a_row_a_step_and_the_delay():
    """As a table for people, as one JSON object for scripts."""
    words = ["backtest", "--from", "2024-05-01", "--every", "1w"]

    told = CliRunner().invoke(app, words)
    data = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)

    assert 0 == told.exit_code, told.output
    assert "2 clusters began since" in told.stdout
    assert [2, 9] == [step["n_items"] for step in data["steps"]]
    assert 2 == CliRunner().invoke(app, [*words[:-1], "often"]).exit_code
