"""A launcher whose agent does at once what a plan says, over real job folders. Its memory is files, as with real ones.

What it reads and writes is checked against the agreed schemas, so that it cannot speak another language than the agent.
"""

from __future__ import annotations

import difflib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import jsonschema

from soulcaster.errors import TransientError
from soulcaster.fix_models import LaunchRequest, LaunchState

SCHEMAS = Path(__file__).resolve().parents[2] / "agent" / "schema"
AT = "2026-01-01T00:00:00+00:00"
OLD = {"t::one": "passed"}
HONEST_RUNS: dict[str, Any] = {
    "baseline": OLD,
    "new_tests_on_base": {**OLD, "t::first": "failed"},
    "full_patch": {**OLD, "t::first": "passed"},
    "old_tests_on_patch": OLD,
}


class PlannedLauncher:
    """Keys of the plan: a step's name, `verify`, or `launch 2` for the second launch of a job whatever it is.

    A step: files (text by path), patch, answer, status, reason, diagnosis, review, tokens, cost_usd.
    verify: runs (names to outcomes), or a queue of them.
    A launch: state (a `LaunchState` in place of the honest end), running (polls it runs for), no_report, report (fields
    to replace).
    """

    name = "planned"

    def __init__(self, folder: Path, plan: dict[str, Any]) -> None:
        self.folder = folder
        self.plan = plan
        (folder / "started").mkdir(parents=True, exist_ok=True)

    @property
    def started(self) -> list[str]:
        """Tokens of everything that was started, in order."""
        return [
            path.name for path in sorted((self.folder / "started").iterdir(), key=lambda each: each.stat().st_mtime_ns)
        ]

    @property
    def stopped(self) -> list[str]:
        """Tokens of everything that was stopped."""
        path = self.folder / "stopped"
        return path.read_text().split() if path.exists() else []

    def launch(self, request: LaunchRequest) -> str:
        """Start, once a token. What the agent leaves is whole before the start is on record: a caller may be killed."""
        mark = request.folder / ".launched"
        if not mark.exists():
            self._run(request)
            (self.folder / "started" / request.token).touch()
            mark.write_text(request.token)
        assert mark.read_text() == request.token
        return f"{request.token}:{request.folder}"

    def poll(self, handle: str) -> LaunchState:
        """Ended, unless the plan says otherwise."""
        token, _, folder = handle.partition(":")
        plan = self._plan_of(token)
        if plan.get("running", 0) > 0 and token not in self.stopped:
            plan["running"] -= 1
            return LaunchState(state="running")
        if "state" in plan:
            return LaunchState.model_validate(plan["state"])
        return LaunchState(state="ended" if Path(folder).exists() else "missing", exit_code=0)

    def stop(self, handle: str, *, wait_seconds: float | None = None) -> None:
        """Note it; one that is planned to end slowly has not ended when a caller will not wait."""
        with (self.folder / "stopped").open("a") as file:
            file.write(handle.partition(":")[0] + "\n")
        if wait_seconds is not None and self._plan_of(handle.partition(":")[0]).get("ends_slowly"):
            raise TransientError("It was told to end and has not yet.")

    def _plan_of(self, token: str) -> dict[str, Any]:
        return self.plan.get(f"launch {token.rpartition('-')[2]}", {})

    def _run(self, request: LaunchRequest) -> None:
        job = json.loads((request.folder / "job.json").read_text())
        jsonschema.validate(job, json.loads((SCHEMAS / "job.json").read_text()))
        plan = self._plan_of(request.token)
        if plan.get("no_report"):
            return
        report = {
            **{key: job[key] for key in ("schema_version", "job_id", "attempt", "mode")},
            "status": "done", "reason": "", "sandbox": "none", "started_at": AT, "changed_at": AT,
        }  # fmt: skip
        part = self._edit(request.folder, job) if job["mode"] == "edit" else self._verify()
        report = {**report, **part, **plan.get("report", {})}
        jsonschema.validate(report, json.loads((SCHEMAS / "report.json").read_text()))
        (request.folder / "report.json").write_text(json.dumps(report))

    def _edit(self, folder: Path, job: dict[str, Any]) -> dict[str, Any]:
        report: dict[str, Any] = {"steps": [], "tool": {"name": "planned", "version": "1"}}
        patch = (folder / "start.patch").read_text() if (folder / "start.patch").exists() else ""
        for step in job["edit"]["steps"]:
            plan = self.plan.get(step["name"], {})
            spent = {"requests": 1, "tokens": plan.get("tokens", 10), "cost_usd": plan.get("cost_usd", 0.01)}
            answer = plan.get("answer", "")
            report["steps"].append({"name": step["name"], "status": "done", "seconds": 0.1, **spent, "answer": answer})
            for key in ("diagnosis", "review", "status", "reason"):
                if key in plan:
                    report[key] = plan[key]
            if "files" in plan:
                patch = make_patch(folder / "source.tar.gz", plan["files"])
            patch = plan.get("patch", patch)
            if report.get("status", "done") != "done":
                break
        if patch:
            (folder / "change.patch").write_text(patch)
        return report

    def _verify(self) -> dict[str, Any]:
        plan = self.plan.get("verify", {})
        todo = plan.get("queue")
        runs = todo.pop(0) if todo else plan.get("runs", HONEST_RUNS)
        red = ("failed", "error")
        return {
            "runs": {
                name: {
                    "status": "done", "seconds": 0.1, "tests": tests, "tail": f"tail of {name}",
                    "exit_code": int(any(each in red for each in tests.values())),
                }
                for name, tests in runs.items()
            }
        }  # fmt: skip


def make_patch(source: Path, files: dict[str, str]) -> str:
    """The patch that gives these files their text."""
    with tarfile.open(source) as tar:
        before = {
            member.name.removeprefix("./"): (tar.extractfile(member) or io.BytesIO()).read().decode()
            for member in tar.getmembers()
            if member.isfile()
        }
    patch = ""
    for path, text in files.items():
        old = before.get(path)
        lines = difflib.unified_diff(
            (old or "").splitlines(keepends=True), text.splitlines(keepends=True),
            f"a/{path}" if old is not None else "/dev/null", f"b/{path}",
        )  # fmt: skip
        head = f"diff --git a/{path} b/{path}\n" + ("new file mode 100644\n" if old is None else "")
        patch += head + "".join(lines)
    return patch
