"""`agent verify`: which trees are run, what is told of each, and what hostile results do."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from job_folders import make_verify, read_report

from agent.junit import JUnitError, parse_results
from soulcaster.fix_models import LaunchRequest
from soulcaster.launchers.local import LocalLauncher

ROOT = Path(__file__).resolve().parents[2]
# A test runner of a few lines that writes JUnit XML, so that no library has to be there.
RUNNER = """
import glob, os, runpy, sys
rows, red = [], False
for path in sorted(glob.glob("test_*.py")):
    sys.path.insert(0, ".")
    try:
        runpy.run_path(path)
        rows.append(f'<testcase classname="{path[:-3]}" name="all"/>')
    except AssertionError as error:
        red = True
        rows.append(f'<testcase classname="{path[:-3]}" name="all"><failure>{error}</failure></testcase>')
    except Exception as error:
        red = True
        rows.append(f'<testcase classname="{path[:-3]}" name="all"><error>{type(error).__name__}</error></testcase>')
open(sys.argv[1], "w").write("<testsuites><testsuite>" + "".join(rows) + "</testsuite></testsuites>")
sys.exit(red)
"""
FILES: dict[str, str | bytes] = {
    "run.py": RUNNER,
    "sums.py": "def add(a, b):\n    return a - b\n",
    "test_old.py": "import sums\nassert sums.add(2, 0) == 2\n",
}
TESTS = """\
diff --git a/test_new.py b/test_new.py
new file mode 100644
--- /dev/null
+++ b/test_new.py
@@ -0,0 +1,2 @@
+import sums
+assert sums.add(2, 3) == 5, "plus"
"""
SOURCE = """\
diff --git a/sums.py b/sums.py
--- a/sums.py
+++ b/sums.py
@@ -1,2 +1,2 @@
 def add(a, b):
-    return a - b
+    return a + b
"""
PATCHES: dict[str, str | bytes] = {"tests": TESTS, "source": SOURCE, "change": SOURCE + TESTS}
TEST = ["python3", "run.py", "{results}"]


def run_verify(folder: Path) -> int:
    """Exit code of the entry."""
    done = subprocess.run(
        [sys.executable, "-m", "agent", "verify", str(folder)],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}, check=False, timeout=120, capture_output=True,
    )  # fmt: skip
    return done.returncode


def launch_verify(folder: Path) -> None:
    """The same in the sandbox of this machine."""
    launcher = LocalLauncher(model_url="", model_key=None, sandbox="auto")
    if launcher.find_sandbox()[0] == "none":
        pytest.skip(f"no sandbox on this machine: {launcher.find_sandbox()[1]}")
    handle = launcher.launch(LaunchRequest(token="t-1", mode="verify", folder=folder, deadline_seconds=100))
    deadline = time.monotonic() + 100
    while launcher.poll(handle).state == "running" and time.monotonic() < deadline:
        time.sleep(0.1)


def test_an_honest_patch_fails_passes_passes(tmp_path: Path):
    """New tests are red on the base and green with the patch; old ones stay green."""
    folder = make_verify(tmp_path / "job", FILES, TEST, patches=PATCHES, results="junit")

    assert 0 == run_verify(folder)

    report = read_report(folder)
    assert "done" == report["status"]
    assert {
        "baseline": {"test_old::all": "passed"},
        "new_tests_on_base": {"test_new::all": "failed", "test_old::all": "passed"},
        "full_patch": {"test_new::all": "passed", "test_old::all": "passed"},
        "old_tests_on_patch": {"test_old::all": "passed"},
    } == {name: entry["tests"] for name, entry in report["runs"].items()}
    assert [0, 1, 0, 0] == [entry["exit_code"] for entry in report["runs"].values()]
    assert not (folder / "work").exists()


def test_a_run_without_its_patch_is_left_out(tmp_path: Path):
    """No new test: no tree for it; an empty patch file is none."""
    folder = make_verify(tmp_path / "job", FILES, TEST, patches={"tests": "", "source": SOURCE, "change": SOURCE})
    run_verify(folder)

    runs = read_report(folder)["runs"]

    assert ["baseline", "full_patch", "old_tests_on_patch"] == list(runs)
    assert {None} == {entry["tests"] for entry in runs.values()}


def test_a_patch_that_does_not_apply_is_said(tmp_path: Path):
    """Its run is not done by halves; the others are."""
    patches: dict[str, str | bytes] = {**PATCHES, "change": SOURCE.replace("a - b", "a * b")}
    folder = make_verify(tmp_path / "job", FILES, TEST, patches=patches)
    run_verify(folder)

    runs = read_report(folder)["runs"]

    assert "patch_does_not_apply" == runs["full_patch"]["status"]
    assert "sums.py" in runs["full_patch"]["tail"]
    assert "done" == runs["old_tests_on_patch"]["status"]


@pytest.mark.parametrize("name", ["../outside.txt", "link/inside.txt"])
def test_a_patch_cannot_write_outside_its_tree(tmp_path: Path, name: str):
    """Neither by its path nor through a link that the same patch makes."""
    link = "diff --git a/link b/link\nnew file mode 120000\n--- /dev/null\n+++ b/link\n@@ -0,0 +1 @@\n+/tmp\n\\ No newline at end of file\n"  # noqa: E501  a patch
    new = f"diff --git a/{name} b/{name}\nnew file mode 100644\n--- /dev/null\n+++ b/{name}\n@@ -0,0 +1 @@\n+x\n"
    folder = make_verify(tmp_path / "job", FILES, TEST, patches={"change": link + new})
    run_verify(folder)

    assert "patch_does_not_apply" == read_report(folder)["runs"]["full_patch"]["status"]
    assert not Path("/tmp/inside.txt").exists()  # noqa: S108  what the patch aims at
    assert not list(tmp_path.rglob("outside.txt"))


def test_a_red_baseline_is_run_twice(tmp_path: Path):
    """What fails once and passes once is flaky, and both runs are told."""
    flaky = (
        "import os\nmark = os.environ['HOME'] + '/seen'\nseen = os.path.exists(mark)\nopen(mark, 'w')\nassert seen\n"
    )
    folder = make_verify(tmp_path / "job", {**FILES, "test_flaky.py": flaky}, TEST, results="junit")
    run_verify(folder)

    runs = read_report(folder)["runs"]

    assert ["baseline", "baseline_again"] == list(runs)
    assert ("failed", "passed") == tuple(entry["tests"]["test_flaky::all"] for entry in runs.values())


def test_a_run_that_takes_too_long_is_a_timeout(tmp_path: Path):
    """And what it said until then is kept."""
    test = ["sh", "-c", "echo so far; sleep 60"]
    folder = make_verify(tmp_path / "job", FILES, test, timeout_seconds=1)
    run_verify(folder)

    entry = read_report(folder)["runs"]["baseline"]

    assert "timeout" == entry["status"]
    assert "so far" in entry["tail"]


def test_a_set_up_that_fails_is_not_a_failing_test(tmp_path: Path):
    """Nothing is run where nothing could be prepared."""
    folder = make_verify(tmp_path / "job", FILES, TEST, setup=["sh", "-c", "echo no such package; exit 3"])
    run_verify(folder)

    entry = read_report(folder)["runs"]["baseline"]

    assert ("setup_failed", 3) == (entry["status"], entry["exit_code"])
    assert "no such package" in entry["tail"]


def test_a_missing_program_is_127(tmp_path: Path):
    """As a shell says it."""
    folder = make_verify(tmp_path / "job", FILES, ["no-such-program-here"])
    run_verify(folder)

    assert 127 == read_report(folder)["runs"]["baseline"]["exit_code"]


def test_the_deadline_leaves_the_remaining_runs_out(tmp_path: Path):
    """124, and what was run is told."""
    folder = make_verify(tmp_path / "job", FILES, ["sleep", "60"], patches=PATCHES, deadline_seconds=2)

    assert 124 == run_verify(folder)

    report = read_report(folder)
    assert "limit" == report["status"]
    assert {"interrupted"} == {entry["status"] for entry in report["runs"].values()}


def test_in_the_sandbox_set_up_has_the_network_and_tests_have_not(tmp_path: Path):
    """What set-up prepared is there when the tests run; the machine's interfaces are not, its own loopback is."""
    setup = ["sh", "-c", "cat /proc/net/dev > seen.txt"]
    probe = (
        "import socket\n"
        "assert 'lo:' in open('seen.txt').read()\n"
        "server = socket.create_server(('127.0.0.1', 0)); socket.create_connection(server.getsockname()).close()\n"
        "names = [line.split(':')[0].strip() for line in open('/proc/net/dev').readlines()[2:]]\n"
        "assert names == ['lo'], names\n"
    )
    folder = make_verify(tmp_path / "job", {"check.py": probe}, ["python3", "check.py"], setup=setup)
    launch_verify(folder)
    report = read_report(folder)

    assert ("bwrap", "own") == (report["sandbox"], report["network"])
    assert ("done", 0) == (report["runs"]["baseline"]["status"], report["runs"]["baseline"]["exit_code"]), report


def test_without_a_sandbox_too_set_up_has_the_network_and_tests_have_not(tmp_path: Path):
    """As on Fargate: a server is reached while dependencies are fetched, and by no test, whatever it starts."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        reach = f"import socket; socket.create_connection({server.getsockname()!r}).close()"
        probe = (
            "import socket, subprocess, sys\nsocket.socketpair()\n"
            f"done = subprocess.run([sys.executable, '-c', {reach!r}], stderr=subprocess.PIPE, text=True)\n"
            "assert 'PermissionError' in done.stderr, done.stderr\nsys.exit(7)\n"
        )
        files: dict[str, str | bytes] = {"check.py": probe}
        setup = [sys.executable, "-c", f"{reach}; open('seen.txt', 'w')"]
        folder = make_verify(tmp_path / "job", files, [sys.executable, "check.py"], setup=setup)
        run_verify(folder)

        report = read_report(folder)
        assert ("done", 7) == (report["runs"]["baseline"]["status"], report["runs"]["baseline"]["exit_code"]), report
        assert ("none", "none") == (report["sandbox"], report["network"])
        server.setblocking(False)
        server.accept()[0].close()  # of the set-up
        with pytest.raises(BlockingIOError):
            server.accept()


def test_a_flood_of_output_stays_small(tmp_path: Path):
    """A run that writes without end is stopped, and the report keeps the end of it."""
    test = ["sh", "-c", "yes 0123456789012345678901234567890123456789"]
    folder = make_verify(tmp_path / "job", FILES, test)
    run_verify(folder)

    assert "timeout" == read_report(folder)["runs"]["baseline"]["status"]
    assert (folder / "report.json").stat().st_size < 200_000


ENTITIES = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><testsuite><testcase name="&b;"/></testsuite>'


@pytest.mark.parametrize(
    "text",
    [
        ENTITIES.encode(), ENTITIES.encode("utf-16"), b"", b"<testsuite>", b"no xml at all",
        b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><testsuite/>',
        b"<t>" + b"".join(b'<testcase name="%d"/>' % n for n in range(20_001)) + b"</t>",
    ],
    ids=["entities", "entities in UTF-16", "empty", "open", "text", "external", "too many"],
)  # fmt: skip
def test_hostile_results_are_no_results(text: bytes):
    """No document type, no half file, no flood of names."""
    with pytest.raises(JUnitError):
        parse_results(text)


def test_a_name_that_comes_twice_has_its_worst_outcome():
    """A parametrised test that failed once has failed."""
    case = '<testcase classname="a" name="b">{}</testcase>'
    text = "<s>" + "".join(case.format(inner) for inner in ("", "<skipped/>", "<failure/>", "")) + "</s>"

    assert {"a::b": "failed"} == parse_results(text.encode())


@given(st.binary(max_size=300))
def test_any_bytes_give_results_or_an_error_of_ours(data: bytes):
    """The parser never ends the entry."""
    try:
        parse_results(data)
    except JUnitError:
        return
