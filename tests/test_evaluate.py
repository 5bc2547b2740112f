"""Scoring the configuration on a labelled file."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from soulcaster.errors import PermanentError
from soulcaster.evaluate import evaluate
from soulcaster.settings import Settings
from soulcaster.sources.tabular import ColumnMap

TOPICS = {
    "export": "PDF export crashes with error {} when the report has {} images",
    "login": "I cannot log in, the password reset mail number {} never arrives after {} tries",
    "map": "The map stays grey offline, tile {} of {} is missing on my phone",
}


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """120 rows of three plain problems, and twelve that belong to none."""
    path = tmp_path / "labelled.csv"
    odd = ["quince jam recipe", "train to Lisbon", "my cat sleeps", "blue paint", "chess opening", "wet socks",
           "violin", "tax form 12", "moon phase", "old bicycle", "sourdough", "northern lights"]  # fmt: skip
    rows = [(f"{name}-{i}", text.format(i, i % 7), name) for i in range(40) for name, text in TOPICS.items()]
    rows += [(f"odd-{i}", text, "none") for i, text in enumerate(odd)]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("id", "text", "topic"), *rows])
    return path


def test_plain_problems_score_well_and_nothing_is_left_in_the_home(labelled, settings):
    """Three obvious groups come out nearly pure; the home's own store has no evaluation in it."""
    found = evaluate(
        settings.model_copy(update={"embedder": "static"}), labelled, ColumnMap(label="topic"), noise_label="none"
    )

    assert (132, 3) == (found.n_rows, found.n_labels)
    assert found.ours.pair_precision > 0.95
    assert found.truth_noise_kept > 0.5
    assert found.stability.ids_kept > 0.9
    assert found.baselines["greedy nearest >= 0.72"].n == 132
    assert {"soulcaster.duckdb", "lancedb"} == {
        path.name for path in settings.home.iterdir() if not path.name.endswith((".lock", ".gate", ".rescue"))
    }


def test_a_file_without_the_label_column_is_refused(labelled, settings):
    """The sentence names the columns there are."""
    with pytest.raises(PermanentError, match=r"'truth'.*topic"):
        evaluate(settings, labelled, ColumnMap(label="truth"))


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([], "got 0 rows and 0 labels"),
        ([("1", "It broke", "a")], "got 1 rows and 1 labels"),
        ([("1", "It broke", ""), ("2", "It crashed", " ")], "got 2 rows and 0 labels"),
    ],
)
def test_a_file_with_too_little_to_compare_is_refused(settings, tmp_path, rows, told):
    """A sentence with what was found, in place of figures that say nothing."""
    path = tmp_path / "small.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("id", "text", "topic"), *rows])

    with pytest.raises(PermanentError, match=told):
        evaluate(settings, path, ColumnMap(label="topic"))


def test_the_report_is_json_for_scripts(labelled, settings):
    """All figures survive the way through JSON."""
    settings = Settings(home=settings.home, embedder="static", _env_file=None)
    found = evaluate(settings, labelled, ColumnMap(label="topic"))

    assert found.ours.pair_f1 == json.loads(found.model_dump_json())["ours"]["pair_f1"]
