"""Times are told as people say them, and exactly on hover or in a column beside them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from app.words import tell_exactly, time_columns

APP = Path(__file__).resolve().parents[2] / "app"


@pytest.mark.parametrize("path", sorted(APP.rglob("*.py")), ids=lambda path: str(path.relative_to(APP)))
def test_whoever_says_how_long_ago_also_says_when(path):
    """A file that draws a relative time draws as many exact ones, and tables have both from `time_columns`."""
    code = path.read_text()
    if path.name == "words.py":
        return

    assert 'format="distance"' not in code
    n_relative = len(re.findall(r"(?<!def )\bago\(", code))
    assert n_relative <= len(re.findall(r"\bexact\(", code))


def test_a_table_holds_a_time_twice():
    """The second column is the same moment, with a label of its own."""
    at = datetime.now(UTC) - timedelta(days=3)

    table = tell_exactly(pl.DataFrame({"begun_at": [at, None]}), "begun_at")

    assert ["begun_at", "begun_exactly"] == table.columns
    assert table["begun_at"].to_list() == table["begun_exactly"].to_list()
    assert {"begun_at", "begun_exactly"} == set(time_columns("begun_at", "Begun", 100))
