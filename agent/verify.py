"""`agent verify FOLDER`: run the tests on up to four trees and tell what came out; judging is done elsewhere.

Where a sandbox can cut the network this runs twice: `--stage setup` with it, `--stage test` without; what is left of
the first stage is the prepared trees. Without a stage both parts run one after the other.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent import EXIT_BAD_JOB, EXIT_DEADLINE, EXIT_DONE, EXIT_INTERRUPTED
from agent.job import Clock, JobError, child_environment, read_job, say, start_clock
from agent.journal import Journal
from agent.junit import JUnitError, read_results
from agent.network import NetworkError, cut_network
from agent.processes import Ending, Watch, adopt_orphans, limit_resources, run_watched
from agent.report import MOST_LOG, MOST_TAIL, Report, cut_head, write_whole
from agent.tree import TreeError, apply_patch, remove, unpack

# Which patch makes which tree; the first has none.
TREES = (
    ("baseline", ""),
    ("new_tests_on_base", "tests.patch"),
    ("full_patch", "change.patch"),
    ("old_tests_on_patch", "source.patch"),
)
_STATE = "stage.json"


@dataclass
class Launch:
    """Everything one verify launch works with."""

    folder: Path
    work: Path
    job: dict[str, Any]
    report: Report
    clock: Clock
    journal: Journal

    @property
    def verify(self) -> dict[str, Any]:
        """The part of the job for this entry."""
        part: dict[str, Any] = self.job["verify"]
        return part


def run(words: list[str]) -> int:
    """Do the job of the folder; the exit codes are those of the package."""
    folder = Path(words[0]).resolve()
    stage = words[words.index("--stage") + 1] if "--stage" in words else ""
    os.umask(0o022)
    try:
        job = read_job(folder, "verify")
    except JobError as error:
        say(str(error))
        return EXIT_BAD_JOB
    work = folder / "work"
    state = _read_state(work) if stage == "test" else {}
    clock = start_clock(job["deadline_seconds"] - state.get("seconds", 0), is_stdin_watched="--watch-stdin" in words)
    started = time.monotonic()
    adopt_orphans()
    limit_resources()
    report = Report(folder, job, os.environ.get("SOULCASTER_AGENT_SANDBOX", "none"))
    if "started_at" in state:
        report.document["started_at"] = state["started_at"]
    launch = Launch(folder, work, job, report, clock, Journal(folder, is_kept=stage == "test"))
    ended: dict[str, Any] = state.get("runs", {})
    report.document["runs"] = ended
    report.write()
    try:
        if stage != "test":
            _set_up(launch, ended)
        if stage == "setup" and clock.check() is None:
            kept = {"seconds": time.monotonic() - started, "started_at": report.document["started_at"], "runs": ended}
            write_whole(work / _STATE, json.dumps(kept).encode())
            return EXIT_DONE
        _leave_network(launch)
        return _test(launch, ended)
    except (TreeError, NetworkError) as error:
        report.write("failed", str(error))
        return EXIT_DONE
    finally:
        if stage != "setup":
            remove(work)


def _leave_network(launch: Launch) -> None:
    """Bubblewrap has given us a network of nothing but loopback; any other place is cut off by ourselves, for good."""
    is_own = launch.report.document["sandbox"] == "bwrap"
    if not is_own:
        cut_network()
    launch.report.document["network"] = "own" if is_own else "none"


def _read_state(work: Path) -> dict[str, Any]:
    state: dict[str, Any] = json.loads((work / _STATE).read_text(encoding="utf-8"))
    return state


def _set_up(launch: Launch, ended: dict[str, Any]) -> None:
    """Make every tree that is wanted and run the set-up command in it; what fails is written down as its run."""
    remove(launch.work)
    launch.work.mkdir()
    for name, patch_name in TREES:
        patch = launch.folder / patch_name
        if patch_name and not (patch.is_file() and patch.stat().st_size):
            continue
        tree = launch.work / name
        unpack(launch.folder / "source.tar.gz", tree)
        if patch_name:
            try:
                apply_patch(tree, patch)
            except TreeError as error:
                ended[name] = {"status": "patch_does_not_apply", "seconds": 0, "tail": cut_head(str(error), MOST_TAIL)}
                continue
        setup = launch.verify["setup"]
        if not setup:
            continue
        ending = _run_command(launch, name, setup)
        if ending.exit_code != 0 or ending.stopped_for:
            ended[name] = _entry(ending, None) | {"status": _status(ending, "setup_failed")}
        launch.report.write()


def _test(launch: Launch, ended: dict[str, Any]) -> int:
    for name, _ in TREES:
        if name in ended or not (launch.work / name).is_dir():
            continue
        ended[name] = _test_tree(launch, name, name)
        launch.report.write()
        if name == "baseline" and _is_red(ended[name]):
            ended["baseline_again"] = _test_tree(launch, name, "baseline_again")
            launch.report.write()
    stop = launch.clock.check()
    launch.report.document["log_tail"] = cut_head(launch.journal.tail(MOST_LOG), MOST_LOG)
    if stop is None:
        launch.report.write("done", "all runs ended")
        return EXIT_DONE
    if stop[0] == "interrupted":
        launch.report.write("interrupted", stop[1])
        return EXIT_INTERRUPTED
    launch.report.write("limit", stop[1])
    return EXIT_DEADLINE


def _is_red(run_entry: dict[str, Any]) -> bool:
    return bool(run_entry["status"] == "done" and run_entry["exit_code"] != 0)


def _test_tree(launch: Launch, tree: str, name: str) -> dict[str, Any]:
    """The tests once on one tree."""
    results = launch.work / f"results-{name}" / "results.xml"
    shutil.rmtree(results.parent, ignore_errors=True)
    results.parent.mkdir()
    command = [word.replace("{results}", str(results)) for word in launch.verify["test"]]
    ending = _run_command(launch, tree, command)
    tests = None
    if launch.verify.get("results", "exit_code") == "junit":
        try:
            tests = read_results(results)
        except JUnitError as error:
            launch.journal.log(f"[{name}] {error}")
    launch.journal.log(f"[{name}] {' '.join(command)} ended with {ending.exit_code}")
    return _entry(ending, tests)


def _run_command(launch: Launch, tree: str, command: list[str]) -> Ending:
    """One command in a tree, with an environment of ours; afterwards nothing that it started is left."""
    top = launch.work / tree
    folder = (top / launch.verify.get("directory", "")).resolve()
    if not folder.is_relative_to(top) or not folder.is_dir():
        raise TreeError(f"The folder {launch.verify.get('directory')!r} for the commands is not in the source.")
    stop = launch.clock.check()
    if stop is not None:
        return Ending(None, 0.0, *stop)
    watch = Watch(launch.verify["timeout_seconds"], check=launch.clock.check)
    env = child_environment(launch.work, tree)
    try:
        return run_watched(command, cwd=folder, env=env, watch=watch)
    except OSError as error:
        return Ending(127, 0.0, tail=f"{command[0]}: {error.strerror}".encode())


def _entry(ending: Ending, tests: dict[str, str] | None) -> dict[str, Any]:
    tail = ending.tail.decode("utf-8", "replace")
    if ending.stopped_for:
        tail += f"\n[{ending.stopped_for}: {ending.detail}]"
    return {
        "status": _status(ending, "done"),
        "exit_code": ending.exit_code,
        "seconds": round(ending.seconds, 2),
        "tests": tests,
        "tail": cut_head(tail, MOST_TAIL),
    }


def _status(ending: Ending, otherwise: str) -> str:
    if ending.stopped_for in {"interrupted", "deadline"}:
        return "interrupted"
    return "timeout" if ending.stopped_for else otherwise
