"""`agent edit` with the tool `scripted`: what it hands back, whatever ends it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from job_folders import make_edit, read_report
from waiting import wait_for_text

ROOT = Path(__file__).resolve().parents[2]
FILES: dict[str, str | bytes] = {"pkg/sums.py": "def add(a, b):\n    return a - b\n", "README.md": "sums\n"}
FIXED = "def add(a, b):\n    return a + b\n"
DIAGNOSIS = json.dumps({"fixability": "fixable", "cause": "minus in place of plus", "files": ["pkg/sums.py"]})


def start_edit(folder: Path, **env: str) -> subprocess.Popen[bytes]:
    """The entry as its own process."""
    return subprocess.Popen(
        [sys.executable, "-m", "agent", "edit", str(folder)],
        cwd="/",
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **env},
        stderr=subprocess.PIPE,
    )


def run_edit(folder: Path, **env: str) -> int:
    """Exit code of the entry."""
    process = start_edit(folder, **env)
    process.communicate(timeout=100)
    return process.returncode


def apply(folder: Path, target: Path) -> None:
    """The patch of the folder on a fresh copy of its source, by plain git."""
    target.mkdir()
    subprocess.run(["tar", "xzf", folder / "source.tar.gz", "-C", target], check=True)
    subprocess.run(["git", "init", "-q", "."], cwd=target, check=True)
    subprocess.run(["git", "apply", folder / "change.patch"], cwd=target, check=True)


def test_a_tool_does_not_see_its_own_files_of_the_repository_and_they_stay(tmp_path: Path):
    """Rules and configuration for tools are not in the tree at any step, and the patch deletes none of them."""
    orders = dict.fromkeys(
        ("AGENTS.md", ".kilo/rules/x.md", "pkg/claude.md", "kilo.json", ".gemini/settings.json"), "x"
    )
    script = {"diagnose": {"answer": DIAGNOSIS}, "fix": {"files": {"pkg/sums.py": FIXED}}}
    setup = ["sh", "-c", "find . -type f > seen.txt"]
    folder = make_edit(tmp_path / "job", {**FILES, **orders}, script, setup=setup)

    assert 0 == run_edit(folder)

    report = read_report(folder)
    assert ("done", ["pkg/sums.py"]) == (report["status"], report["files_changed"])
    log = (folder / "log.txt").read_text()
    assert "the tool does not see .gemini, .kilo, AGENTS.md, kilo.json, pkg/claude.md" in log
    apply(folder, tmp_path / "again")
    assert (tmp_path / "again" / ".kilo" / "rules" / "x.md").is_file()


def test_an_edit_becomes_a_patch_that_applies_to_the_source(tmp_path: Path):
    """Changed and new files are in the patch; the report tells what was done."""
    script = {"fix": {"files": {"pkg/sums.py": FIXED, "tests/test_sums.py": "x = 1\n"}, "answer": "plus it is"}}
    folder = make_edit(tmp_path / "job", FILES, script)

    assert 0 == run_edit(folder)
    report = read_report(folder)

    assert ("done", "none") == (report["status"], report["sandbox"])
    assert ["pkg/sums.py", "tests/test_sums.py"] == report["files_changed"]
    assert "plus it is" == report["steps"][0]["answer"]
    assert {"name": "scripted", "version": "1", "model": "none"} == report["tool"]
    apply(folder, tmp_path / "fresh")
    assert FIXED == (tmp_path / "fresh/pkg/sums.py").read_text()
    assert not (folder / "work").exists()


def test_events_and_log_say_what_happened(tmp_path: Path):
    """events.jsonl has a line for each thing the tool did."""
    folder = make_edit(tmp_path / "job", FILES, {"fix": {"files": {"a.txt": "a\n"}, "answer": "done it"}})
    run_edit(folder)

    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]

    assert [("fix", "tool"), ("fix", "text")] == [(event["step"], event["kind"]) for event in events]
    assert "[fix] done" in (folder / "log.txt").read_text()


def test_nothing_edited_is_no_change_and_no_failure(tmp_path: Path):
    """A tool that ends well and touches nothing gives an empty patch and says so."""
    folder = make_edit(tmp_path / "job", FILES, {"fix": {"answer": "I see no fault"}})

    assert 0 == run_edit(folder)

    assert "no_change" == read_report(folder)["status"]
    assert b"" == (folder / "change.patch").read_bytes()


def test_what_a_test_run_leaves_behind_is_not_in_the_patch(tmp_path: Path):
    """Caches, ignored files and a nested .git are left out, also where the repository does not ignore them."""
    leftovers = {
        "pkg/__pycache__/sums.pyc": "x", "node_modules/a/index.js": "x", "build/out.txt": "x", "pkg/.git/config": "x",
    }  # fmt: skip
    files = {**FILES, ".gitignore": "build/\n"}
    folder = make_edit(tmp_path / "job", files, {"fix": {"files": {**leftovers, "pkg/sums.py": FIXED}}})
    run_edit(folder)

    assert ["pkg/sums.py"] == read_report(folder)["files_changed"]


def test_files_that_the_source_had_are_compared_even_where_their_name_is_that_of_a_leftover(tmp_path: Path):
    """A repository that keeps `venv/` or an ignored file in its history gets changes of them into the patch."""
    files = {**FILES, "venv/keep.txt": "1\n", "build/out.txt": "1\n", ".gitignore": "build/\n"}
    folder = make_edit(tmp_path / "job", files, {"fix": {"files": {"build/out.txt": "2\n"}}})
    run_edit(folder)

    assert ["build/out.txt"] == read_report(folder)["files_changed"]


def test_attributes_of_the_repository_change_no_byte_of_the_patch(tmp_path: Path):
    """Line ends and filters of .gitattributes do not touch what is compared: the patch applies to the very bytes."""
    files: dict[str, str | bytes] = {
        ".gitattributes": "* text=auto eol=lf filter=evil\n*.txt working-tree-encoding=UTF-16\n",
        "dos.py": b"a = 1\r\nb = 2\r\n",
        "note.txt": "plain\n",
    }
    folder = make_edit(tmp_path / "job", files, {"fix": {"files": {"new.py": "c = 3\n"}}})
    run_edit(folder)

    assert ["new.py"] == read_report(folder)["files_changed"]


def test_a_git_folder_made_into_a_trap_runs_nothing(tmp_path: Path):
    """fsmonitor, hooks and filters that the agent writes into the tree's .git are never read by us."""
    trap = f"touch {tmp_path}/sprung"
    config = (
        f'[core]\n\tfsmonitor = "{trap}"\n\thooksPath = hooks\n[filter "x"]\n\tclean = "{trap}"\n'
        f'[diff]\n\texternal = "{trap}"\n'
    )
    script = {"fix": {"files": {".git/config": config, ".gitattributes": "* filter=x diff=x\n", "pkg/sums.py": FIXED}}}
    folder = make_edit(tmp_path / "job", FILES, script)

    assert 0 == run_edit(folder)

    assert [".gitattributes", "pkg/sums.py"] == read_report(folder)["files_changed"]
    assert not (tmp_path / "sprung").exists()


def test_wall_time_ends_a_step_and_keeps_what_was_edited(tmp_path: Path):
    """A tool that never ends is ended; its edits are the patch."""
    script = {"fix": {"files": {"pkg/sums.py": FIXED}, "sleep_seconds": 600}}
    folder = make_edit(tmp_path / "job", FILES, script, limits={"wall_seconds": 2})

    assert 0 == run_edit(folder)

    report = read_report(folder)
    assert ("limit", "limit") == (report["status"], report["steps"][0]["status"])
    assert "longer than 2 s" in report["reason"]
    assert ["pkg/sums.py"] == report["files_changed"]


def test_silence_ends_a_step(tmp_path: Path):
    """No event for the idle time is no progress."""
    folder = make_edit(tmp_path / "job", FILES, {"fix": {"sleep_seconds": 600}}, limits={"idle_seconds": 1})

    assert 0 == run_edit(folder)

    assert "no sign of life for 1 s" in read_report(folder)["reason"]


def test_deadline_of_the_launch_ends_it_with_its_own_code(tmp_path: Path):
    """124 tells the deadline of the whole launch from the limit of a step."""
    script = {"fix": {"files": {"pkg/sums.py": FIXED}, "sleep_seconds": 600}}
    folder = make_edit(tmp_path / "job", FILES, script, deadline_seconds=3)

    assert 124 == run_edit(folder)

    assert "limit" == read_report(folder)["status"]
    assert b"return a + b" in (folder / "change.patch").read_bytes()


def test_a_signal_interrupts_and_keeps_what_was_edited(tmp_path: Path):
    """SIGTERM ends the tool, saves the patch, says `interrupted`, ends with 143."""
    script = {"fix": {"files": {"pkg/sums.py": FIXED}, "sleep_seconds": 600}}
    folder = make_edit(tmp_path / "job", FILES, script)
    process = start_edit(folder)
    wait_for_text(folder / "events.jsonl", "wrote")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)

    assert 143 == process.returncode
    assert "interrupted" == read_report(folder)["status"]
    assert b"return a + b" in (folder / "change.patch").read_bytes()


def test_a_tool_that_fails_is_said_and_its_edits_are_kept(tmp_path: Path):
    """Exit code of the tool, status and patch are all there."""
    folder = make_edit(tmp_path / "job", FILES, {"fix": {"files": {"a.py": "1\n"}, "exit_code": 7}})

    assert 0 == run_edit(folder)

    report = read_report(folder)
    assert ("failed", 7) == (report["status"], report["steps"][0]["exit_code"])
    assert ["a.py"] == report["files_changed"]


def test_a_diagnosis_reaches_the_next_prompt_and_the_report(tmp_path: Path):
    """The JSON at the end of the answer is the diagnosis; edits of a step that may only read are put back."""
    script = {
        "diagnose": {"answer": f"I looked around.\n```json\n{DIAGNOSIS}\n```\n", "files": {"pkg/sums.py": "broken\n"}},
        "fix": {"files": {"pkg/sums.py": FIXED}},
    }
    folder = make_edit(tmp_path / "job", FILES, script, steps=("diagnose", "fix"))

    assert 0 == run_edit(folder)

    report = read_report(folder)
    assert "done" == report["status"]
    assert "minus in place of plus" == report["diagnosis"]["cause"]
    assert "+    return a + b" in (folder / "change.patch").read_text()
    assert "-broken" not in (folder / "change.patch").read_text()


@pytest.mark.parametrize("fixability", ["needs_more_context", "not_actionable"])
def test_not_fixable_ends_the_launch_before_the_fix(tmp_path: Path, fixability: str):
    """A diagnosis that says so is a good answer: no second step, no patch."""
    answer = json.dumps({"fixability": fixability, "cause": "a wish"})
    script = {"diagnose": {"answer": answer}, "fix": {"files": {"a.py": "1\n"}}}
    folder = make_edit(tmp_path / "job", FILES, script, steps=("diagnose", "fix"))

    assert 0 == run_edit(folder)

    report = read_report(folder)
    assert "not_fixable" == report["status"]
    assert ["diagnose"] == [step["name"] for step in report["steps"]]
    assert b"" == (folder / "change.patch").read_bytes()


def test_a_diagnosis_without_its_object_fails_the_launch(tmp_path: Path):
    """Prose is no diagnosis; nothing is guessed from it."""
    folder = make_edit(tmp_path / "job", FILES, {"diagnose": {"answer": "hm"}}, steps=("diagnose", "fix"))

    assert 0 == run_edit(folder)

    assert "failed" == read_report(folder)["status"]


def test_a_repair_starts_from_the_earlier_patch(tmp_path: Path):
    """start.patch is in the tree before the first step and part of what comes back."""
    folder = make_edit(tmp_path / "first", FILES, {"fix": {"files": {"pkg/sums.py": FIXED}}})
    run_edit(folder)
    answer = json.dumps({"fixes_cause": True, "unrelated": False, "suspicious": False, "comment": "fine"})
    script = {"repair": {"files": {"more.py": "1\n"}}, "review": {"answer": answer}}
    second = make_edit(tmp_path / "second", FILES, script, steps=("repair", "review"), starts_from_patch=True)
    (second / "start.patch").write_bytes((folder / "change.patch").read_bytes())

    assert 0 == run_edit(second)

    report = read_report(second)
    assert ["more.py", "pkg/sums.py"] == report["files_changed"]
    assert report["review"]["fixes_cause"] is True


def test_a_bad_job_starts_nothing(tmp_path: Path):
    """A job that is not by its schema ends with 20 and without a report."""
    folder = make_edit(tmp_path / "job", FILES)
    job = json.loads((folder / "job.json").read_text())
    del job["edit"]["limits"]
    (folder / "job.json").write_text(json.dumps(job))

    assert 20 == run_edit(folder)
    assert not (folder / "report.json").exists()


def test_a_missing_tool_is_named(tmp_path: Path):
    """21, and the report says what to install."""
    folder = make_edit(tmp_path / "job", FILES, tool={"name": "kilo", "model": "gemini-2.5-flash"})

    assert 21 == run_edit(folder, SOULCASTER_AGENT_TOOLS=str(tmp_path))
    assert "@kilocode/cli" in read_report(folder)["reason"]


def test_an_archive_that_leaves_the_folder_is_refused(tmp_path: Path):
    """A member `../x` fails the launch and writes nothing outside."""
    folder = make_edit(tmp_path / "job", {"../outside.txt": "x"})

    assert 0 == run_edit(folder)

    assert "failed" == read_report(folder)["status"]
    assert not list(tmp_path.rglob("outside.txt"))


SETUP = ["sh", "-c", "mkdir deps && echo 'plus = 1' > deps/lib.py && echo cached > $HOME/cache && echo x >> README.md"]


def test_what_set_up_leaves_is_there_for_the_tool_and_not_in_the_patch(tmp_path: Path):
    """Installed files stay out of the patch; a repair after it has both its start and the set-up's files."""
    patch = "--- a/deps/lib.py\n+++ b/deps/lib.py\n@@ -1 +1 @@\n-plus = 1\n+plus = 2\n"
    script = {"fix": {"files": {"pkg/sums.py": FIXED}}, "repair": {"patch": patch, "files": {"more.py": "1\n"}}}
    folder = make_edit(tmp_path / "first", FILES, script, setup=SETUP)
    second = make_edit(tmp_path / "second", FILES, script, steps=("repair",), setup=SETUP, starts_from_patch=True)

    assert 0 == run_edit(folder)
    (second / "start.patch").write_bytes((folder / "change.patch").read_bytes())
    assert 0 == run_edit(second)

    assert ["pkg/sums.py"] == read_report(folder)["files_changed"]
    assert ["deps/lib.py", "more.py", "pkg/sums.py"] == read_report(second)["files_changed"]


def test_a_set_up_that_fails_ends_the_launch_before_a_model_is_asked(tmp_path: Path):
    """Its output is in the report."""
    folder = make_edit(tmp_path / "job", FILES, setup=["sh", "-c", "echo no such package; exit 3"])

    assert 0 == run_edit(folder)

    report = read_report(folder)
    assert ("failed", "the set-up command ended with exit code 3") == (report["status"], report["reason"])
    assert "no such package" in report["log_tail"]
    assert "steps" not in report


def test_a_set_up_over_the_deadline_is_stopped(tmp_path: Path):
    """124, as everywhere."""
    folder = make_edit(tmp_path / "job", FILES, setup=["sleep", "60"], deadline_seconds=1)

    assert 124 == run_edit(folder)

    assert "limit" == read_report(folder)["status"]
