"""Verdicts on patches, from reports as the agent writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soulcaster.errors import PermanentError
from soulcaster.fixing.proof import judge

OLD = {"t::old": "passed", "t::other": "passed"}
RED = {**OLD, "t::new": "failed"}
GREEN = {**OLD, "t::new": "passed"}


def run(tests=None, exit_code=None, status="done"):
    """One run; its exit code follows from its tests unless given."""
    code = (
        exit_code if exit_code is not None else int(any(each in ("failed", "error") for each in (tests or {}).values()))
    )
    return {"status": status, "exit_code": code, "seconds": 1.0, "tests": tests, "tail": ""}


def report(**runs):
    """A verify report with these runs."""
    return {
        "schema_version": 1,
        "job_id": "j",
        "attempt": 2,
        "mode": "verify",
        "status": "done",
        "reason": "",
        "sandbox": "bwrap",
        "started_at": "2026-01-01T00:00:00Z",
        "changed_at": "2026-01-01T00:00:00Z",
        "runs": runs,
    }


def verdict(*, has_tests=True, has_source=True, expects_names=True, **runs):
    """The verdict on honest runs with these replaced."""
    honest = {
        "baseline": run(OLD),
        "new_tests_on_base": run(RED),
        "full_patch": run(GREEN),
        "old_tests_on_patch": run(OLD),
    }
    given_runs = {name: each for name, each in {**honest, **runs}.items() if each is not None}
    return judge(report(**given_runs), has_tests=has_tests, has_source=has_source, expects_names=expects_names)


def test_new_tests_that_fail_before_and_pass_after_prove_a_fix():
    """All three rows hold, and the new test is named."""
    proof = verdict()

    assert ("proved", ["t::new"]) == (proof.verdict, proof.new_tests)
    assert ["baseline", "new_tests_on_base", "full_patch", "old_tests_on_patch"] == [row.run for row in proof.rows]
    assert [None, True, True, True] == [row.holds for row in proof.rows]
    assert (2, 1) == (proof.rows[1].n_passed, proof.rows[1].n_failed)


def test_a_changed_test_that_fails_before_and_passes_after_proves_it_too():
    """Under its old name."""
    proof = verdict(new_tests_on_base=run({**OLD, "t::old": "failed"}), full_patch=run(OLD))
    assert ("proved", ["t::old"]) == (proof.verdict, proof.new_tests)


def test_a_new_test_that_passes_without_the_fix_shows_nothing():
    """The vacuous test: pass, pass, pass."""
    proof = verdict(new_tests_on_base=run(GREEN))
    assert "unverified" == proof.verdict
    assert "pass without the change" in proof.reason


@pytest.mark.parametrize("before", [{**OLD, "t::new": "error"}, {**OLD, "collect": "error"}, OLD])
def test_a_new_test_that_breaks_rather_than_fails_shows_nothing(before):
    """An import error is no assertion."""
    proof = verdict(new_tests_on_base=run(before, exit_code=1))
    assert "unverified" == proof.verdict
    assert "break" in proof.reason


def test_without_a_new_test_the_old_ones_must_hold():
    """regression_safe, and said so."""
    proof = verdict(has_tests=False, new_tests_on_base=None, full_patch=run(OLD))
    assert "regression_safe" == proof.verdict
    assert "no new test" in proof.reason


@pytest.mark.parametrize(
    "after",
    [
        {**OLD, "t::old": "failed"},
        {**OLD, "t::old": "error"},
        {**OLD, "t::old": "skipped"},
        {"t::other": "passed"},
        {**OLD, "module": "error"},
    ],
)
def test_an_original_test_that_no_longer_passes_rejects_the_patch(after):
    """Red, skipped, gone, or hidden behind a module that no longer loads."""
    proof = verdict(old_tests_on_patch=run(after))
    assert "rejected" == proof.verdict
    assert proof.rows[-1].holds is False


def test_a_new_test_that_fails_with_the_fix_rejects_it():
    """The fix does not fix."""
    assert "rejected" == verdict(full_patch=run(RED)).verdict
    assert "rejected" == verdict(full_patch=run({**GREEN, "t::other": "failed"})).verdict


def test_what_was_red_before_is_not_held_against_the_patch():
    """A base with failing tests can still be mended."""
    red = {"t::known": "failed"}
    proof = verdict(
        baseline=run({**OLD, **red}),
        baseline_again=run({**OLD, **red}),
        new_tests_on_base=run({**RED, **red}),
        full_patch=run({**GREEN, **red}),
        old_tests_on_patch=run({**OLD, **red}),
    )
    assert "proved" == proof.verdict


def test_tests_that_come_and_go_on_the_base_prove_and_break_nothing():
    """Two runs of the base tell which; the table names them."""
    proof = verdict(
        baseline=run({**OLD, "t::moody": "failed"}),
        baseline_again=run({**OLD, "t::moody": "passed"}),
        new_tests_on_base=run({**OLD, "t::moody": "failed"}),
        full_patch=run({**OLD, "t::moody": "passed"}),
        old_tests_on_patch=run({**OLD, "t::moody": "failed"}),
    )
    assert "unverified" == proof.verdict
    assert "t::moody" in proof.rows[0].detail


def test_a_patch_of_tests_alone_mends_nothing():
    """However green."""
    assert "rejected" == verdict(has_source=False).verdict


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"baseline": None}, "unverified"),
        ({"old_tests_on_patch": None}, "unverified"),
        ({"baseline": run(None)}, "unverified"),
        ({"full_patch": run({})}, "unverified"),
        ({"baseline": run(OLD, status="setup_failed")}, "unverified"),
        ({"baseline": run(OLD, status="timeout")}, "unverified"),
        ({"full_patch": run(None, status="interrupted")}, "unverified"),
        ({"full_patch": run(None, status="setup_failed")}, "unverified"),
        ({"full_patch": run(None, status="timeout")}, "rejected"),
        ({"full_patch": run(None, status="patch_does_not_apply")}, "rejected"),
    ],
)
def test_runs_that_are_missing_or_did_not_finish_prove_nothing(changes, expected):
    """What the base cannot do is not the patch's fault; what only the patch cannot do is."""
    proof = verdict(**changes)
    assert expected == proof.verdict
    assert proof.reason


def test_an_exit_code_that_contradicts_the_names_does_not_hold():
    """Names may be forged or cut; the process's own word counts too."""
    assert "rejected" == verdict(old_tests_on_patch=run(OLD, exit_code=2)).verdict
    assert "rejected" == verdict(full_patch=run(GREEN, exit_code=1)).verdict


def codes(baseline=0, new=1, full=0, old=0, **rest):
    """Runs that name no tests."""
    return {
        "baseline": run(None, baseline),
        "new_tests_on_base": run(None, new),
        "full_patch": run(None, full),
        "old_tests_on_patch": run(None, old),
        **rest,
    }


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        (codes(), "regression_safe"),
        (codes(new=0), "unverified"),
        (codes(baseline=1), "unverified"),
        (codes(baseline_again=run(None, 1)), "unverified"),
        (codes(full=1), "rejected"),
        (codes(old=1), "rejected"),
    ],
)
def test_exit_codes_alone_never_prove(runs, expected):
    """An error cannot be told from an assertion."""
    assert expected == verdict(expects_names=False, **runs).verdict


OUTCOMES = st.sampled_from(["passed", "failed", "error", "skipped"])
RUNS = st.none() | st.builds(
    run,
    st.none() | st.dictionaries(st.sampled_from("abcdef"), OUTCOMES),
    st.integers(0, 5),
    st.sampled_from(["done", "done", "done", "timeout", "setup_failed"]),
)


@given(RUNS, RUNS, RUNS, RUNS, RUNS, st.booleans())
def test_no_mixture_of_runs_is_proved_unless_a_test_failed_before_and_passes_after(a, b, c, d, again, has_tests):
    """Whatever the report claims, the verdict follows from its own names."""
    proof = verdict(
        has_tests=has_tests, baseline=a, new_tests_on_base=b, full_patch=c, old_tests_on_patch=d, baseline_again=again
    )
    if proof.verdict == "proved":
        assert any(outcome == "failed" and c["tests"].get(name) == "passed" for name, outcome in b["tests"].items())
    if proof.verdict in ("proved", "regression_safe"):
        moody = again["tests"] if again and again["status"] == "done" and again["tests"] else a["tests"]
        for name, outcome in a["tests"].items():
            if outcome == "passed" == moody.get(name):
                assert "passed" == d["tests"].get(name)


@pytest.mark.parametrize(
    "claim", [{}, {"schema_version": 2}, {**report(), "runs": {"x": {"status": "odd"}}}, {**report(), "runs": 7}]
)
def test_what_is_no_report_is_refused(claim):
    """With the field that is wrong."""
    with pytest.raises(PermanentError, match="agreed schema"):
        judge(claim, has_tests=True, has_source=True)
