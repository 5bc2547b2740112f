"""Tests that a patch deletes, skips or robs of their assertions, and source that behaves otherwise under test. Pure.

What the patterns miss, the run of the original tests on the patched source finds (`proof`): they are no proof of
good faith, they save a run and name the line.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from soulcaster.fix_models import Finding
from soulcaster.fixing.patches import FileChange
from soulcaster.fixing.paths import is_test_path

_DEFINITIONS = (
    re.compile(r"^\s*(?:async\s+)?def\s+(test\w*)\s*\("),
    re.compile(r"^\s*class\s+(Test\w*|\w+Tests?)\b"),
    re.compile(r"^\s*(?:it|test|describe)(?:\.each\([^)]*\))?\s*\(\s*[\"'`](.+?)[\"'`]\s*,"),
    re.compile(r"^func\s+(Test\w+|Example\w*|Fuzz\w+)\s*\("),
    re.compile(r"^\s*(?:#\[(?:\w+::)?(test)\b.*\]|@(?:Parameterized)?(Test)\b)"),
)
_SKIPS = re.compile(
    r"@?pytest\.mark\.(?:skip|skipif|xfail)|pytest\.(?:skip|xfail|importorskip|exit)\s*\(|@(?:unittest\.)?(?:skip|expectedFailure)\w*"
    r"|\bself\.skipTest\s*\(|\b(?:unittest\.)?SkipTest\b|__test__\s*=\s*False|\bcollect_ignore|\bpytestmark\b"
    r"|\b(?:it|test|describe|context|suite)\.(?:skip|todo|only|failing|fixme)\b|\b(?:xit|xdescribe|xtest|xspecify|fit|fdescribe)\s*\("
    r"|\bt\.Skip(?:Now|f)?\s*\(|\btesting\.Short\s*\(|#\[ignore|#\[should_panic|@(?:Disabled|Ignore)\b"
    r"|\bassume(?:True|False|That|ptions)\b|@(?:Disabled|Enabled)(?:If|On)\w+"
)
_ASSERTS = re.compile(
    r"\bassert\w*[!\s(.]|\.assert\w*\s*\(|\bexpect\s*\(|\bexpect!|\.should\b|\bt\.(?:Error|Fatal|Fail)\w*\s*\(|\brequire\.\w+\s*\("
    r"|\bpytest\.(?:raises|warns|fail)\b|\braise\s+AssertionError"
)
_EMPTY_ASSERTS = re.compile(
    r"\bassert\s+(?:True|1|not\s+False|\d+\s*==\s*\d+|\"[^\"]*\"|'[^']*')\s*(?:,|$|#)|\bassertTrue\s*\(\s*[Tt]rue\s*[,)]"
    r"|expect\s*\(\s*true\s*\)\s*\.\s*to(?:Be|Equal)\s*\(\s*true\s*\)|assert!\s*\(\s*true\s*\)|\bor\s+True\b|\|\|\s*true\b"
)
_TEST_DETECTION = re.compile(
    r"PYTEST_CURRENT_TEST|PYTEST_VERSION|[\"'](?:pytest|unittest|_pytest)[\"']\s+(?:not\s+)?in\s+sys\.modules|JEST_WORKER_ID|VITEST_WORKER_ID"
    r"|NODE_ENV[\"'\])]*\s*[!=]==?\s*[\"']test|\btesting\.Testing\s*\(\)|\bcfg!\s*\(\s*test\s*\)|\bRUNNING_TESTS?\b"
)


def find_weakened_tests(files: Sequence[FileChange]) -> list[Finding]:
    """Reasons against what the patch does to tests, one a file and rule."""
    found: list[Finding] = []
    defined_anew = Counter(name for file in files if file.kind != "deleted" for name in _definitions(file.added))
    for file in files:
        was_test = is_test_path(file.old_path)
        if was_test and (file.kind == "deleted" or not is_test_path(file.path)):
            found.append(_finding("test-deleted", file, f"the test file {file.old_path!r} is taken away"))
            continue
        lost = _lost(file, defined_anew)
        if lost:
            found.append(_finding("test-deleted", file, f"{len(lost)} of its tests are gone, first {lost[0][:80]!r}"))
        skipped = _appearing(file, _SKIPS)
        if skipped and (was_test or is_test_path(file.path) or _is_rust(file)):
            found.append(_finding("test-skipped", file, f"tests are skipped by {skipped[0].strip()[:80]!r}"))
        if file.kind != "created" and (was_test or _is_rust(file)):
            n_before, n_after = _n_asserts(file.removed), _n_asserts(file.added)
            if n_after < n_before:
                detail = f"{n_before} lines with assertions leave, {n_after} come"
                found.append(_finding("test-weakened", file, detail))
        if not is_test_path(file.path):
            known = _appearing(file, _TEST_DETECTION)
            if known:
                detail = f"the code asks whether it is under test: {known[0].strip()[:80]!r}"
                found.append(_finding("test-detected", file, detail))
    return found


def _finding(rule: str, file: FileChange, detail: str) -> Finding:
    return Finding(rule=rule, path=file.path, detail=detail)


def _is_rust(file: FileChange) -> bool:
    """Rust keeps unit tests beside the code."""
    return file.path.endswith(".rs")


def _definitions(lines: Sequence[str]) -> list[str]:
    found = []
    for line in lines:
        for pattern in _DEFINITIONS:
            if match := pattern.search(line):
                found.append(next(group for group in match.groups() if group))
                break
    return found


def _lost(file: FileChange, defined_anew: Counter[str]) -> list[str]:
    """Tests that go and do not come back under their name anywhere in the patch."""
    if not (is_test_path(file.old_path) or _is_rust(file)):
        return []
    gone = Counter(_definitions(file.removed))
    return sorted((gone - defined_anew).elements())


def _appearing(file: FileChange, pattern: re.Pattern[str]) -> list[str]:
    """Lines that match and were not there before in the same file, so that moved code is no news."""
    gone = Counter(line.strip() for line in file.removed)
    fresh = []
    for line in file.added:
        if pattern.search(line):
            if gone[line.strip()] > 0:
                gone[line.strip()] -= 1
            else:
                fresh.append(line)
    return fresh


def _n_asserts(lines: Sequence[str]) -> int:
    return sum(1 for line in lines if _ASSERTS.search(line + " ") and not _EMPTY_ASSERTS.search(line))
