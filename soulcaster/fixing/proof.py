"""What test runs say about a patch. Pure; the runs are ours, made in a clean place, yet test code could forge them.

Four trees: the base as it is; A, the base with the new tests; B, the whole patch; C, the patched source with the
original tests. Source: agent.md §5.3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from soulcaster.fix_models import Proof, ProofRow, Verdict
from soulcaster.fixing.reports import Run, parse_report

_RED = ("failed", "error")
_MOST_NAMES = 50


class _Base(NamedTuple):
    """The untouched tree, known from one or two runs."""

    passed: frozenset[str]
    flaky: frozenset[str]
    names: frozenset[str]
    is_green: bool


def judge(
    report: Mapping[str, Any],
    *,
    has_tests: bool,
    has_source: bool,
    expects_names: bool = True,
    command: Sequence[str] = (),
) -> Proof:
    """The verdict on a patch.

    Args:
        report: the verify report as read from JSON.
        has_tests: the patch touches tests.
        has_source: the patch touches anything else.
        expects_names: the command writes JUnit XML; without names nothing can be `proved`.
        command: for the pull request.

    Raises:
        PermanentError: the report is not one.
    """
    runs = parse_report(dict(report), job_id=str(report.get("job_id", ""))[:64]).runs
    verdict, reason, rows, new_tests = _judge(runs, has_tests, has_source, expects_names)
    shown = [word for word in command if "{results}" not in word]  # where results go says nothing to a reader
    return Proof(verdict=verdict, reason=reason, rows=rows, command=shown, new_tests=new_tests[:_MOST_NAMES])


_Judged = tuple[Verdict, str, list[ProofRow], list[str]]


def _judge(runs: Mapping[str, Run], has_tests: bool, has_source: bool, expects_names: bool) -> _Judged:
    if not has_source:
        return "rejected", "The patch changes tests only, so it mends nothing.", [], []
    needed = ["baseline", *(["new_tests_on_base"] if has_tests else []), "full_patch", "old_tests_on_patch"]
    for name in needed:
        problem = _not_run(name, runs.get(name))
        if problem:
            verdict: Verdict = "rejected" if _is_refusal(name, runs.get(name)) else "unverified"
            return verdict, problem, _plain_rows(runs), []
    if not expects_names:
        return _judge_codes(runs, has_tests)
    if any(not runs[name].tests for name in needed):
        without = next(name for name in needed if not runs[name].tests)
        return "unverified", f"The run {without} named no tests, so nothing can be compared.", _plain_rows(runs), []
    return _judge_names(runs, has_tests)


def _not_run(name: str, run: Run | None) -> str:
    if run is None:
        return f"The run {name} is missing."
    return {
        "done": "",
        "patch_does_not_apply": f"The patch does not apply for the run {name}.",
        "setup_failed": f"Setting up for the run {name} failed.",
        "timeout": f"The run {name} took longer than allowed.",
        "interrupted": f"The run {name} was interrupted.",
    }[run.status]


def _is_refusal(name: str, run: Run | None) -> bool:
    """Whether it speaks against the patch rather than against the place: the base ran, the patched tree did not."""
    return run is not None and name != "baseline" and run.status in ("patch_does_not_apply", "timeout")


def _judge_names(runs: Mapping[str, Run], has_tests: bool) -> _Judged:
    base = _read_base(runs)
    full, old = runs["full_patch"], runs["old_tests_on_patch"]
    broken = _broken(old, base)
    after = _tests(full)
    red_after = sorted(name for name in _broken(full, base) if name in after or not has_tests)
    old_reason = _hold_reason(old, broken, base)
    rows = [
        _row("baseline", runs["baseline"], "as it is", holds=None, detail=_base_detail(base)),
        _row("full_patch", full, "nothing newly red", holds=not _hold_reason(full, red_after, base)),
        _row("old_tests_on_patch", old, "nothing newly red", holds=not old_reason, detail=_names(broken)),
    ]
    if old_reason:
        return "rejected", f"With the change, the original tests no longer hold: {old_reason}.", rows, []
    if not has_tests and rows[1].holds:
        return "regression_safe", "The original tests still pass; there is no new test that shows the fault.", rows, []
    if not has_tests:
        return "rejected", f"With the change, tests fail: {_hold_reason(full, red_after, base)}.", rows, []
    shown, new, row = _new_tests(runs, base)
    rows.insert(1, row)
    failing = sorted(name for name in new if after.get(name) in _RED)
    if failing or not rows[2].holds:
        why = _names(failing) or _hold_reason(full, red_after, base)
        return "rejected", f"With the whole change, tests fail: {why}.", rows, new
    verdict, reason = _weigh(shown, new, row)
    return verdict, reason, rows, new


def _weigh(shown: Sequence[str], new: Sequence[str], row: ProofRow) -> tuple[Verdict, str]:
    if shown:
        return "proved", f"{len(shown)} of {len(new)} new tests fail without the change, all pass with it."
    if new:
        return "unverified", row.detail + "."
    return "unverified", "The patch touches tests, yet no test is new or behaves otherwise."


def _new_tests(runs: Mapping[str, Run], base: _Base) -> tuple[list[str], list[str], ProofRow]:
    """(tests that show the fault, tests that are new or were changed, the row A)."""
    run = runs["new_tests_on_base"]
    before, after = _tests(run), _tests(runs["full_patch"])
    fresh = (set(before) | set(after)) - base.names
    turned = {name for name in base.passed - base.flaky if before.get(name) in _RED}
    new = sorted(name for name in (fresh | turned) if after.get(name, before.get(name)) != "skipped")
    shown = [name for name in new if before.get(name) == "failed" and after.get(name) == "passed"]
    broken = [name for name in new if before.get(name) == "error" or name not in before]
    if shown:
        detail = ""
    elif broken:
        detail = f"Without the change the new tests break ({_names(broken)}) rather than fail on an assertion"
    elif any(before.get(name) == "passed" for name in new):
        detail = "The new tests pass without the change too, so they show nothing"
    else:
        detail = "No new test fails without the change and passes with it"
    return shown, new, _row("new_tests_on_base", run, "fails by assertion", holds=bool(shown), detail=detail)


def _read_base(runs: Mapping[str, Run]) -> _Base:
    first = _tests(runs["baseline"])
    again = runs.get("baseline_again")
    second = _tests(again) if again is not None and again.status == "done" and again.tests else first
    flaky = frozenset(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))
    passed = frozenset(name for name, outcome in first.items() if outcome == "passed") - flaky
    is_green = runs["baseline"].exit_code == 0
    return _Base(passed=passed, flaky=flaky, names=frozenset(first) | frozenset(second), is_green=is_green)


def _broken(run: Run, base: _Base) -> list[str]:
    """Tests that passed on the base and do not any more (gone counts too), and red ones that it did not know."""
    found = _tests(run)
    lost = {name for name in base.passed if found.get(name) != "passed"}
    unknown = {name for name, outcome in found.items() if outcome in _RED and name not in base.names}
    return sorted(lost | unknown)


def _hold_reason(run: Run, broken: Sequence[str], base: _Base) -> str:
    if broken:
        return _names(broken)
    if base.is_green and run.exit_code != 0 and not any(each in _RED for each in _tests(run).values()):
        return f"the run ended with exit code {run.exit_code} though no test is named red"
    return ""


def _judge_codes(runs: Mapping[str, Run], has_tests: bool) -> _Judged:
    """By exit code alone: a red base shows nothing, and an error cannot be told from an assertion."""
    codes = {name: run.exit_code for name, run in runs.items()}
    is_flaky = "baseline_again" in codes and codes["baseline_again"] != codes["baseline"]
    rows = [
        _row("baseline", runs["baseline"], "exit code 0", holds=None),
        _row("full_patch", runs["full_patch"], "exit code 0", holds=codes["full_patch"] == 0),
        _row("old_tests_on_patch", runs["old_tests_on_patch"], "exit code 0", holds=codes["old_tests_on_patch"] == 0),
    ]
    if has_tests:
        row = _row("new_tests_on_base", runs["new_tests_on_base"], "exit code not 0", holds=None)
        rows.insert(1, row.model_copy(update={"detail": "by exit code, an error cannot be told from an assertion"}))
    if codes["baseline"] != 0 or is_flaky:
        why = "are sometimes red" if is_flaky else "fail"
        return "unverified", f"The tests {why} on the base already, and only their exit code is known.", rows, []
    for name in ("old_tests_on_patch", "full_patch"):
        if codes[name] != 0:
            return "rejected", f"With the change, tests fail (run {name}, exit code {codes[name]}).", rows, []
    if has_tests and codes["new_tests_on_base"] == 0:
        return "unverified", "The new tests pass without the change too, so they show nothing.", rows, []
    also = " New tests fail without the change; why cannot be told from an exit code." if has_tests else ""
    return "regression_safe", f"The original tests still pass, by exit code.{also}", rows, []


def _plain_rows(runs: Mapping[str, Run]) -> list[ProofRow]:
    names = ("baseline", "new_tests_on_base", "full_patch", "old_tests_on_patch")
    return [
        _row(name, runs[name], "", holds=None, detail="" if runs[name].status == "done" else _not_run(name, runs[name]))
        for name in names
        if name in runs
    ]


def _row(name: str, run: Run, expected: str, *, holds: bool | None, detail: str = "") -> ProofRow:
    outcomes = list(_tests(run).values())
    return ProofRow.model_validate(
        {
            "run": name,
            "expected": expected,
            "n_passed": outcomes.count("passed") if run.tests is not None else None,
            "n_failed": sum(each in _RED for each in outcomes) if run.tests is not None else None,
            "exit_code": run.exit_code,
            "holds": holds,
            "detail": detail,
        }
    )


def _base_detail(base: _Base) -> str:
    return f"sometimes red, not counted: {_names(sorted(base.flaky))}" if base.flaky else ""


def _tests(run: Run) -> dict[str, str]:
    return dict(run.tests or {})


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name[:120]) for name in names[:3])
    return shown + (f" and {len(names) - 3} more" if len(names) > 3 else "")  # noqa: PLR2004  three fit a line
