"""Lines of a CI log: those that lead to the error, within bounds, whatever the log is made of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soulcaster.publisher.ci_logs import LONGEST_LOG, pick


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["a", "##[error]b", "c"], "a\n##[error]b\nc"),
        (["\ufeff2026-01-01T00:00:00.0000000Z a", "2026-01-01T00:00:00.0Z \x1b]8;;https://x\x07b\x1b[0;1m"], "a\nb"),
        (["token ghp_" + "a" * 36], "token [secret]"),
        ([], ""),
        (["##[group]x", "##[endgroup]", "##[warning]y"], "##[warning]y"),
    ],
    ids=["error", "colours and times", "secret", "empty", "furniture"],
)
def test_what_is_told_of_a_log(lines: list[str], told: str):
    """No colours, times, folds or secrets."""
    assert told == pick(lines)


@given(st.lists(st.text(max_size=3000), max_size=200))
def test_any_log_stays_within_its_bounds(lines: list[str]):
    """And never raises."""
    assert len(pick(lines)) <= LONGEST_LOG
