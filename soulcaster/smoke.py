"""One real thing, once: what no test can try is tried on the owner's own accounts, said beforehand and cleaned up.

Each subject does the smallest whole way: a sandboxed run, an edit by the real model, a task on Fargate, a draft pull
request. The store is only read.
"""

from __future__ import annotations

import io
import json
import secrets
import socket
import tarfile
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel

from soulcaster import job_folders, launching
from soulcaster.db import read, repositories
from soulcaster.errors import PermanentError, SoulcasterError
from soulcaster.fix_models import Launch, Launcher, LaunchRequest, LaunchState, Repository
from soulcaster.fixing.reports import Report, read_report
from soulcaster.launchers.local import LocalLauncher
from soulcaster.settings import Settings

if TYPE_CHECKING:
    from soulcaster.publisher.pull_request import PullRequestDraft

Subject = Literal["sandbox", "model", "ecs", "github"]

_DEADLINE_SECONDS = 600
_WAIT_SECONDS = 1500.0
_REQUESTS, _TOKENS, _COST_USD = 15, 300_000, 0.50
_FILE = "sums.py"
_WRONG, _RIGHT = "def add(a, b):\n    return a - b\n", "def add(a, b):\n    return a + b\n"
_PROMPT = (
    f"The function add() in {_FILE} subtracts its numbers. Make it add them: change that one operator in {_FILE}, run "
    "nothing, touch no other file. Then answer with the word done."
)

# Runs inside: exit code 0 when it can reach nothing of the machine.
_LOOK_AROUND = """
import os, socket, sys
reached = []
try:
    socket.create_connection(("127.0.0.1", int(sys.argv[1])), 2).close()
    reached.append("a port of this machine")
except OSError:
    pass
for path in (sys.argv[2], "/etc/shadow"):
    try:
        open(path).read()
        reached.append("a file outside")
    except OSError:
        pass
if os.getuid() == 0:
    reached.append("root")
print("reached:", ", ".join(reached) or "nothing")
sys.exit(1 if reached else 0)
"""


class Check(BaseModel):
    """One thing that was tried."""

    name: str
    is_ok: bool
    told: str


Checks = Generator[Check, None, None]


def describe(settings: Settings, subject: Subject, repository: str | None = None) -> str:
    """What the smoke test will touch, what it may cost, and what is left afterwards.

    Raises:
        PermanentError: what is needed to begin is not configured.
    """
    if subject == "sandbox":
        return (
            "Runs two small jobs in the sandbox of this machine, in a temporary folder. Costs nothing, leaves nothing."
        )
    if subject == "model":
        where = "a task on Fargate" if settings.launcher == "ecs" else "this machine"
        return (
            f"Lets {settings.agent_tool} on {where} mend one line of a file made for it, with {settings.agent_model} "
            f"at {settings.agent_model_url}: at most {_REQUESTS} requests and {_TOKENS:,} tokens, ended at "
            f"{_COST_USD:.2f} USD where the tool knows prices. Leaves nothing."
        )
    if subject == "ecs":
        launching.make_launcher(settings.model_copy(update={"launcher": "ecs"}))
        return (
            f"Starts one task of {settings.ecs_task_definition!r} in cluster {settings.ecs_cluster!r} for a few "
            "minutes (a fraction of a cent each, by AWS's list price of 2 vCPU and 8 GB), with a job folder below "
            f"s3://{settings.ecs_bucket}/{settings.ecs_prefix}/ that is deleted afterwards. No model is asked. The "
            "task's log stays in CloudWatch."
        )
    return (
        f"Pushes one branch soulcaster/smoke-… with a new text file to {_named(settings, repository).name!r}, opens a "
        "draft pull request from it, closes it and deletes the branch. Costs nothing; the closed pull request stays "
        "visible, and your CI may run once."
    )


def run_smoke(
    settings: Settings,
    subject: Subject,
    *,
    repository: str | None = None,
    launcher: Launcher | None = None,
    on_check: Callable[[Check], None] = lambda _check: None,
) -> list[Check]:
    """What was tried, in order; it ends at the first thing that did not work, after cleaning up.

    Args:
        settings: place, tool, model.
        subject: what is tried.
        repository: for github, one of the project's.
        launcher: for model and ecs; the one of the settings when not given.
        on_check: is told each check when it has ended.

    Raises:
        PermanentError: what is needed to begin is not configured.
    """
    if subject == "github":
        steps = _try_github(settings, repository)
    elif subject == "sandbox":
        steps = _try_sandbox(settings)
    else:
        steps = {"model": _try_model, "ecs": _try_ecs}[subject](settings, launcher)
    found: list[Check] = []

    def note(check: Check) -> None:
        found.append(check)
        on_check(check)

    try:
        for check in steps:
            note(check)
            if not check.is_ok:
                break
    except SoulcasterError as error:
        if isinstance(error, PermanentError) and not found:
            raise
        note(Check(name=subject, is_ok=False, told=str(error)))
    try:
        steps.close()
    except SoulcasterError as error:
        note(Check(name="cleaning up", is_ok=False, told=str(error)))
    return found


def _try_sandbox(settings: Settings) -> Checks:
    launcher = LocalLauncher(model_url="", model_key=None, sandbox=settings.agent_sandbox)
    sandbox, why = launcher.find_sandbox()
    yield Check(
        name="probe",
        is_ok=sandbox == "bwrap",
        told="bubblewrap works here"
        if sandbox == "bwrap"
        else f"nothing would hold the agent: {why}; install bubblewrap",
    )
    with _scratch() as scratch:
        launch, folder = _edit_folder(_scripted(settings, scratch), scratch)
        state = _run(launcher, launch, folder)
        yield _judge_edit("edit", launch, folder, state, expected="bwrap")
        outside = scratch / "outside.txt"
        outside.write_text("ours")
        with closing(socket.create_server(("127.0.0.1", 0))) as listener:
            words = ["python3", "-c", _LOOK_AROUND, str(listener.getsockname()[1]), str(outside)]
            launch, folder = _verify_folder(scratch, words)
            state = _run(launcher, launch, folder)
        report = _read(launch, folder)
        run = report.runs.get("baseline") if report else None
        tail = run.tail.strip().splitlines()[-1:] if run else []
        told = f"what runs inside {tail[0]}" if tail else f"no result came back ({state.reason})"
        yield Check(name="look around", is_ok=run is not None and run.exit_code == 0, told=told)


def _try_model(settings: Settings, launcher: Launcher | None) -> Checks:
    if settings.agent_tool == "scripted":
        raise PermanentError("Trying the model needs a tool that asks one: set SOULCASTER_AGENT_TOOL=kilo.")
    launching.check_ready(settings)
    launcher = launcher or launching.make_launcher(settings)
    with _scratch() as scratch:
        launch, folder = _edit_folder(settings, scratch)
        try:
            state = _run(launcher, launch, folder)
        finally:
            _clean_up(launcher, launch, folder)
        yield _judge_edit("edit", launch, folder, state)
        report = _read(launch, folder)
        step = report.steps[-1] if report and report.steps else None
        counts = f"{step.requests} requests, {step.tokens:,} tokens, {step.cost_usd:.4f} USD" if step else "nothing"
        yield Check(name="counts", is_ok=step is not None and step.tokens > 0, told=f"the gateway counted {counts}")


def _try_ecs(settings: Settings, launcher: Launcher | None) -> Checks:
    settings = settings.model_copy(update={"launcher": "ecs"})
    launcher = launcher or launching.make_launcher(settings)
    findings = [
        each for each in launching.examine_place(settings.model_copy(update={"agent_tool": "kilo"})) if each[0] != "ok"
    ]
    yield Check(
        name="place",
        is_ok=not findings,
        told="; ".join(told for _, told in findings) or "cluster, task definition and bucket are as they should be",
    )
    with _scratch() as scratch:
        launch, folder = _edit_folder(_scripted(settings, scratch), scratch)
        began = time.monotonic()
        try:
            state = _run(launcher, launch, folder)
        finally:
            _clean_up(launcher, launch, folder)
        yield _judge_edit("task", launch, folder, state, expected="container")
        seconds = time.monotonic() - began
        yield Check(name="time", is_ok=True, told=f"it took {seconds:.0f} s to the result; its files in S3 are deleted")


def _try_github(settings: Settings, name: str | None) -> Checks:
    from soulcaster.publisher.checkout import fetch_base
    from soulcaster.publisher.credentials import for_repository
    from soulcaster.publisher.pull_request import publish
    from soulcaster.publisher.withdrawal import withdraw

    repository = _named(settings, name)
    credentials = for_repository(repository, timeout_seconds=settings.source_timeout_seconds)
    yield Check(name="sign-in", is_ok=True, told=f"the token for {repository.name} is there")
    with _scratch() as cache:
        commit = fetch_base(repository, credentials, cache)
        yield Check(name="read", is_ok=True, told=f"branch {repository.base_branch} is at {commit[:12]}")
        draft = _smoke_draft(repository, commit)
        published = publish(draft, credentials, cache)
        try:
            yield Check(name="draft", is_ok=published.action == "created", told=f"{published.action}: {published.url}")
            again = publish(draft.model_copy(update={"known_head": published.head}), credentials, cache)
            is_same = (again.number, again.action) == (published.number, "unchanged")
            yield Check(name="again", is_ok=is_same, told=f"a second try finds it: {again.action} #{again.number}")
        finally:
            withdraw(repository, draft.branch, published.head, credentials, cache)
        yield Check(name="cleaning up", is_ok=True, told="the pull request is closed, its branch is deleted")


def _smoke_draft(repository: Repository, commit: str) -> PullRequestDraft:
    from soulcaster.publisher.pull_request import PullRequestDraft

    mark = secrets.token_hex(4)
    prefix = f"{repository.path_prefix.strip('/')}/" if repository.path_prefix.strip("/") else ""
    path, line = f"{prefix}soulcaster-smoke-{mark}.txt", "Soulcaster tried once whether it can open a pull request."
    patch = f"diff --git a/{path} b/{path}\nnew file mode 100644\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+{line}\n"
    return PullRequestDraft(
        repository=repository,
        branch=f"soulcaster/smoke-{mark}",
        base_commit=commit,
        patch=patch,
        title="Soulcaster smoke test, please ignore",
        body=f"{line} This pull request is closed and its branch deleted at once.",
        commit_message="Soulcaster smoke test",
        trailers={"Soulcaster-Job": f"smoke-{mark}"},
        committed_at=datetime.now(UTC),
    )


def _named(settings: Settings, name: str | None) -> Repository:
    if name is None:
        raise PermanentError(
            "Trying GitHub needs a repository: name one of `soulcaster repo list` with --repo OWNER/NAME."
        )
    return read(
        settings.duckdb_path,
        lambda con: repositories.get_repository(con, settings.project, name),
        timeout_seconds=settings.lock_timeout_seconds,
    )


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder that a sandbox may reach into, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="soulcaster-smoke-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def _scripted(settings: Settings, scratch: Path) -> Settings:
    """The same with an agent that mends the file by itself."""
    path = scratch / "script.json"
    path.write_text(json.dumps({"fix": {"files": {_FILE: _RIGHT}, "answer": "done"}}))
    return settings.model_copy(update={"agent_tool": "scripted", "agent_script": path})


def _edit_folder(settings: Settings, scratch: Path) -> tuple[Launch, Path]:
    launch = _launch("edit")
    folder = _source_folder(scratch, launch)
    bounded = settings.model_copy(
        update={"agent_requests": _REQUESTS, "agent_tokens": _TOKENS, "agent_cost_usd": _COST_USD}
    )
    prompts = {"fix": _PROMPT}
    job_folders.write_edit(
        bounded, folder, launch, prompts, command={}, n_tokens_left=_TOKENS, cost_left=_COST_USD
    )  # fmt: skip
    return launch, folder


def _verify_folder(scratch: Path, test: list[str]) -> tuple[Launch, Path]:
    launch = _launch("verify")
    folder = _source_folder(scratch, launch)
    command = {"setup": [], "test": test, "results": "exit_code", "directory": "", "timeout_seconds": 60}
    job_folders.write_verify(folder, launch, command, {})
    return launch, folder


def _launch(purpose: Literal["edit", "verify"]) -> Launch:
    mark = secrets.token_hex(6)
    return Launch(
        job_id=f"smoke-{mark}", attempt=1, purpose=purpose, token=f"smoke-{mark}",
        deadline_seconds=_DEADLINE_SECONDS, created_at=datetime.now(UTC),
    )  # fmt: skip


def _source_folder(scratch: Path, launch: Launch) -> Path:
    folder = scratch / launch.token
    folder.mkdir(mode=0o755)
    with tarfile.open(folder / job_folders.SOURCE, "w:gz") as tar:
        member = tarfile.TarInfo(_FILE)
        member.size, member.mode = len(_WRONG), 0o644
        tar.addfile(member, io.BytesIO(_WRONG.encode()))
    return folder


def _run(launcher: Launcher, launch: Launch, folder: Path) -> LaunchState:
    """Launch and stay; whatever happens it has ended afterwards."""
    request = LaunchRequest(
        token=launch.token, mode=launch.mode, folder=folder, deadline_seconds=launch.deadline_seconds
    )
    handle = launcher.launch(request)
    try:
        deadline = time.monotonic() + _WAIT_SECONDS
        while (state := launcher.poll(handle)).state == "running" and time.monotonic() < deadline:
            time.sleep(0.5)
        return state
    finally:
        launcher.stop(handle)


def _clean_up(launcher: Launcher, launch: Launch, folder: Path) -> None:
    from soulcaster.launchers.ecs import EcsLauncher

    if isinstance(launcher, EcsLauncher):
        launcher.delete_objects(launch.token, folder)


def _read(launch: Launch, folder: Path) -> Report | None:
    return read_report(folder / "report.json", job_id=launch.job_id, attempt=1, mode=launch.mode)


def _judge_edit(name: str, launch: Launch, folder: Path, state: LaunchState, *, expected: str = "") -> Check:
    report = _read(launch, folder)
    if report is None or report.status != "done":
        claimed = f"{report.status}: {report.reason}" if report else "no report"
        told = f"the run ended with exit code {state.exit_code} and {claimed}; {state.reason or 'no reason known'}"
        return Check(name=name, is_ok=False, told=told)
    patch = (folder / "change.patch").read_text(encoding="utf-8", errors="replace")
    is_right = "+    return a + b" in patch and patch.count("diff --git") == 1
    told = f"{report.tool.name} {report.tool.version}, held by {report.sandbox}, mended the line"
    if not is_right:
        told = f"the patch is not the one line that was asked for: {patch[:300]!r}"
    elif expected and report.sandbox != expected:
        return Check(name=name, is_ok=False, told=f"expected to be held by {expected}, got {report.sandbox}")
    return Check(name=name, is_ok=is_right, told=told)
