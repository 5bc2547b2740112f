"""Reports are claims: read with limits."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soulcaster.errors import PermanentError
from soulcaster.fixing import reports

REPORT = {
    "schema_version": 1,
    "job_id": "j",
    "attempt": 1,
    "mode": "edit",
    "status": "done",
    "reason": "",
    "sandbox": "none",
    "started_at": "2026-01-01T00:00:00Z",
    "changed_at": "2026-01-01T00:00:00Z",
    "steps": [{"name": "fix", "status": "done", "seconds": 1, "tokens": 5, "requests": 2, "cost_usd": 0.25}],
    "diagnosis": {"fixability": "fixable", "cause": "off by one"},
    "review": {"fixes_cause": True, "unrelated": False, "suspicious": False},
}


def read(path, **changes):
    """The report of launch 1 of job j."""
    return reports.read_report(path, **{"job_id": "j", "attempt": 1, "mode": "edit", **changes})


def test_a_report_comes_back_with_its_parts(tmp_path):
    """Steps, diagnosis, review."""
    path = tmp_path / "report.json"
    assert read(path) is None
    path.write_text(json.dumps(REPORT))

    report = read(path)

    assert (5, "off by one", True) == (report.steps[0].tokens, report.diagnosis.cause, report.review.fixes_cause)
    assert report.is_final


def test_a_report_of_another_launch_is_refused(tmp_path):
    """A folder that was tampered with shows itself."""
    path = tmp_path / "report.json"
    path.write_text(json.dumps(REPORT))
    for changes in ({"job_id": "k"}, {"attempt": 2}, {"mode": "verify"}):
        with pytest.raises(PermanentError, match="another launch"):
            read(path, **changes)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        "[" * 100_000,
        json.dumps({**REPORT, "reason": "x" * 1001}),
        json.dumps({**REPORT, "status": "fine"}),
        json.dumps({**REPORT, "steps": [{"name": "fix", "status": "done", "tokens": -5}]}),
        json.dumps({**REPORT, "steps": [{"name": "fix", "status": "done", "cost_usd": float("inf")}]}),
    ],
)
def test_what_is_no_report_is_one_error_of_ours(tmp_path, text):
    """Cut files, deep nesting, negative and endless figures."""
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(PermanentError):
        read(path)


def test_a_link_in_place_of_the_report_is_not_followed(tmp_path):
    """It may point at a file of ours."""
    (tmp_path / "real.json").write_text(json.dumps(REPORT))
    (tmp_path / "report.json").symlink_to(tmp_path / "real.json")
    assert read(tmp_path / "report.json") is None


def test_a_report_beyond_all_measure_is_not_read(tmp_path):
    """The limit is ours, not the agent's."""
    path = tmp_path / "report.json"
    with path.open("wb") as file:
        file.truncate(reports.MOST_BYTES + 1)
    with pytest.raises(PermanentError, match="bytes"):
        read(path)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda leaf: st.lists(leaf) | st.dictionaries(st.text(), leaf),
    )
)
def test_any_json_is_a_report_or_an_error_of_ours(value):
    """No other exception leaves the parser."""
    try:
        reports.parse_report(json.dumps(value).encode(), job_id="j")
    except PermanentError:
        return
