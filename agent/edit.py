"""`agent edit FOLDER`: run the coding tool's steps on the source under a watch and hand back a patch and a report.

Where a sandbox can cut the network and there is something to set up, this runs twice: `--stage setup` with it, then
`--stage edit` without, on the prepared tree. Without a stage both parts run one after the other. Whatever ends it
(limit, deadline, SIGTERM, a crash of the tool), what was edited so far becomes change.patch.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent import EXIT_BAD_JOB, EXIT_DEADLINE, EXIT_DONE, EXIT_INTERRUPTED, EXIT_TOOL_MISSING, answers
from agent.bridge import Counts, open_bridge, read_counts
from agent.job import Clock, JobError, child_environment, read_job, say, start_clock
from agent.journal import Journal
from agent.processes import Ending, Watch, adopt_orphans, limit_resources, run_watched
from agent.report import MOST_ANSWER, MOST_FILES, MOST_LOG, MOST_PATH, MOST_REASON, Report, cut, cut_head, write_whole
from agent.tools import OWN_FILES, Adapter, Event, Place, Step, ToolMissingError, find_version, get_adapter
from agent.tree import Pristine, TreeError, apply_patch, copy_folder, hide, make_checkout, remove, unpack

_READ_ONLY = {"diagnose", "review"}
_COUNT_SECONDS = 1.0


@dataclass
class Launch:
    """Everything one edit launch works with."""

    folder: Path
    work: Path
    job: dict[str, Any]
    report: Report
    clock: Clock
    journal: Journal
    adapter: Adapter
    place: Place
    diagnosis: dict[str, Any] | None = None
    patch: bytes = b""

    @property
    def edit(self) -> dict[str, Any]:
        """The part of the job for this entry."""
        part: dict[str, Any] = self.job["edit"]
        return part


@dataclass
class Tally:
    """What one step used and said, from its events and from the gateway."""

    limits: dict[str, Any]
    gateway_url: str
    before: Counts
    spent: Counts = field(default_factory=Counts)
    event_tokens: int = 0
    event_cost_usd: float = 0.0
    answer: str = ""
    is_answer_open: bool = False
    asked_at: float = 0.0

    @property
    def tokens(self) -> int:
        """Tokens by the gateway or by the tool's own count, whichever is more."""
        return max(self.spent.tokens, self.event_tokens)

    @property
    def cost_usd(self) -> float:
        """Cost by the server's answers or by the tool's price table, whichever is more."""
        return round(max(self.spent.cost_usd, self.event_cost_usd), 6)

    def ask_gateway(self) -> bool:
        """Bring the counts up to date; whether they grew."""
        counts = read_counts(self.gateway_url) if self.gateway_url else None
        spent = counts.minus(self.before) if counts else self.spent
        has_grown = spent != self.spent
        self.spent = spent
        return has_grown

    def over_limit(self) -> tuple[str, str] | None:
        """Which budget of the step is used up."""
        for name, used in (("requests", self.spent.requests), ("tokens", self.tokens), ("cost_usd", self.cost_usd)):
            if used >= self.limits[name]:
                return name, f"used up its {name} ({used} of {self.limits[name]})"
        return None

    def take(self, event: Event) -> None:
        """Add one event of the tool."""
        self.event_tokens += event.tokens
        self.event_cost_usd += event.cost_usd
        if event.kind == "text":
            is_more = event.is_piece and self.is_answer_open
            self.answer = (self.answer + event.text if is_more else event.text)[-200_000:]
        self.is_answer_open = event.kind == "text" or (self.is_answer_open and event.kind == "other")


def run(words: list[str]) -> int:
    """Do the job of the folder; the exit codes are those of the package."""
    folder = Path(words[0]).resolve()
    stage = words[words.index("--stage") + 1] if "--stage" in words else ""
    os.umask(0o022)
    try:
        job = read_job(folder, "edit")
    except JobError as error:
        say(str(error))
        return EXIT_BAD_JOB
    spent = _read_stage(folder / "work") if stage == "edit" else 0.0
    clock = start_clock(job["deadline_seconds"] - spent, is_stdin_watched="--watch-stdin" in words)
    adopt_orphans()
    limit_resources()
    report = Report(folder, job, os.environ.get("SOULCASTER_AGENT_SANDBOX", "none"))
    tool = job["edit"]["tool"]
    report.document["tool"] = {"name": tool["name"], "model": tool["model"]}
    report.write()
    write_whole(folder / "change.patch", b"")
    work = folder / "work"
    is_prepared = False
    try:
        launch = _prepare(folder, work, job, report, clock, stage=stage)
        if stage != "edit":
            is_prepared = _set_up(launch)
        if stage == "setup" or not (is_prepared or stage == "edit"):
            return {"": EXIT_DONE, "deadline": EXIT_DEADLINE}.get((clock.check() or [""])[0], EXIT_INTERRUPTED)
        return _run_steps(launch)
    except ToolMissingError as error:
        report.write("failed", str(error))
        return EXIT_TOOL_MISSING
    except TreeError as error:
        report.write("failed", str(error))
        return EXIT_DONE
    finally:
        if not (stage == "setup" and is_prepared):
            remove(work)


def _prepare(folder: Path, work: Path, job: dict[str, Any], report: Report, clock: Clock, *, stage: str) -> Launch:
    if stage != "edit":
        remove(work)
        work.mkdir()
    tools = Path(os.environ.get("SOULCASTER_AGENT_TOOLS", "/opt/tools"))
    adapter = get_adapter(job["edit"]["tool"]["name"])
    report.document["tool"]["version"] = find_version(adapter, tools)
    gateway = os.environ.get("SOULCASTER_AGENT_GATEWAY", "")
    if not gateway and adapter.package and stage != "setup":
        raise ToolMissingError("There is no model gateway: SOULCASTER_AGENT_GATEWAY is not set.")
    url = open_bridge(gateway.removeprefix("unix:")) if gateway.startswith("unix:") else gateway
    place = Place(tools, work / "tree", work / "tool", url)
    return Launch(folder, work, job, report, clock, Journal(folder, is_kept=stage == "edit"), adapter, place)


def _set_up(launch: Launch) -> bool:
    """Make the tree and run the set-up command in it; False, and a failed report, when that did not end well."""
    hidden = _unpack(launch)
    if hidden:
        launch.journal.log("[source] the tool does not see " + ", ".join(hidden[:50]))
    command = launch.edit.get("setup", [])
    if command:
        folder = (launch.place.tree / launch.edit.get("directory", "")).resolve()
        if not folder.is_relative_to(launch.place.tree) or not folder.is_dir():
            raise TreeError(f"The folder {launch.edit.get('directory')!r} for the set-up is not in the source.")
        watch = Watch(launch.edit["limits"]["wall_seconds"], check=launch.clock.check)
        try:
            ending = run_watched(command, cwd=folder, env=child_environment(launch.work, "setup"), watch=watch)
        except OSError as error:
            ending = Ending(127, 0.0, tail=f"{command[0]}: {error.strerror}".encode())
        launch.journal.log("[setup] " + ending.tail.decode("utf-8", "replace"))
        if ending.exit_code != 0 or ending.stopped_for:
            status = {"interrupted": "interrupted", "deadline": "limit"}.get(ending.stopped_for, "failed")
            launch.report.document["log_tail"] = cut_head(launch.journal.tail(MOST_LOG), MOST_LOG)
            said = ending.detail or f"ended with exit code {ending.exit_code}"
            launch.report.write(status, f"the set-up command {said}")
            return False
        copy_folder(launch.place.tree, launch.work / "prepared")
    spent = launch.clock.seconds_since_start()
    write_whole(launch.work / "stage.json", json.dumps({"seconds": spent}).encode())
    return True


def _unpack(launch: Launch) -> list[str]:
    """Make the tree, without what a tool would take for orders or configuration of its own; what that was."""
    unpack(launch.folder / "source.tar.gz", launch.place.tree)
    return hide(launch.place.tree, OWN_FILES)


def _read_stage(work: Path) -> float:
    """Seconds that the set-up took of the launch's deadline."""
    return float(json.loads((work / "stage.json").read_text(encoding="utf-8"))["seconds"])


def _run_steps(launch: Launch) -> int:
    pristine = Pristine(launch.folder / "source.tar.gz", _made(launch.work / "pristine"), OWN_FILES)
    if (launch.work / "prepared").is_dir():
        pristine.accept(launch.work / "prepared")
    start = launch.folder / "start.patch"
    launch.patch = start.read_bytes() if launch.edit.get("starts_from_patch") else b""
    write_whole(launch.folder / "change.patch", launch.patch)
    _make_tree(launch)
    status, reason, code = "done", "all steps ended", EXIT_DONE
    for wanted in launch.edit["steps"]:
        ending, tally = _run_step(launch, wanted)
        trouble = _take_result(launch, wanted["name"], ending, tally)
        if wanted["name"] in _READ_ONLY:
            _restore_tree(launch, pristine)
        else:
            _save_patch(launch, pristine)
        launch.report.write()
        if trouble is not None:
            status, reason, code = trouble
            break
    if status == "done" and not launch.patch and {s["name"] for s in launch.edit["steps"]} - _READ_ONLY:
        status, reason = "no_change", "the tool ended and changed no file"
    launch.report.document["log_tail"] = cut_head(launch.journal.tail(MOST_LOG), MOST_LOG)
    launch.report.write(status, reason)
    return code


def _run_step(launch: Launch, wanted: dict[str, Any]) -> tuple[Ending, Tally]:
    name = wanted["name"]
    limits = launch.edit["limits"]
    url = launch.place.gateway_url
    tally = Tally(limits, url, (read_counts(url) if url else None) or Counts())
    prompt = wanted["prompt"].replace("{{diagnosis}}", json.dumps(launch.diagnosis, ensure_ascii=False, indent=1))
    call = launch.adapter.call(launch.edit["tool"], Step(name, prompt, name not in _READ_ONLY), launch.place)
    launch.place.scratch.mkdir(exist_ok=True)
    watch = Watch(limits["wall_seconds"], limits["idle_seconds"])

    def on_line(line: bytes) -> None:
        event = _parse(launch.adapter, line)
        if event is None:
            launch.journal.log(f"[{name}] " + line.decode("utf-8", "replace"))
            return
        watch.note_event()
        tally.take(event)
        launch.journal.event(name, event.kind, event.text, event.tokens, event.cost_usd)

    def check() -> tuple[str, str] | None:
        if time.monotonic() - tally.asked_at > _COUNT_SECONDS:
            tally.asked_at = time.monotonic()
            if tally.ask_gateway():
                watch.note_event()
        return launch.clock.check() or tally.over_limit()

    watch.on_line, watch.check = on_line, check
    if (launch.work / "home-setup").is_dir():  # caches of package managers; no step sees another step's home
        copy_folder(launch.work / "home-setup", launch.work / f"home-{name}")
    env = child_environment(launch.work, name) | call.env
    launch.journal.log(f"[{name}] started")
    try:
        ending = run_watched(call.argv, cwd=launch.place.tree, env=env, watch=watch, stdin=call.stdin)
    except FileNotFoundError as error:
        raise ToolMissingError(f"Starting the tool failed: {error}; run infra/install-tools.sh.") from error
    tally.ask_gateway()
    return ending, tally


def _parse(adapter: Adapter, line: bytes) -> Event | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return adapter.read_event(found) if isinstance(found, dict) else None


def _take_result(launch: Launch, name: str, ending: Ending, tally: Tally) -> tuple[str, str, int] | None:
    """Write the step into the report; status, reason and exit code when the launch ends with it."""
    status, detail = _judge(ending, tally)
    entry = {
        "name": name,
        "status": status,
        "reason": cut(detail, MOST_REASON),
        "seconds": round(ending.seconds, 2),
        "requests": tally.spent.requests,
        "tokens": tally.tokens,
        "cost_usd": tally.cost_usd,
        "exit_code": ending.exit_code,
        "answer": cut(tally.answer, MOST_ANSWER),
    }
    launch.report.document.setdefault("steps", []).append(entry)
    launch.journal.log(f"[{name}] {status}: {detail}\n" + ending.tail[-4000:].decode("utf-8", "replace"))
    if status != "done":
        codes = {"interrupted": EXIT_INTERRUPTED, "deadline": EXIT_DEADLINE}
        return status, f"step {name} {detail}", codes.get(ending.stopped_for, EXIT_DONE)
    return _take_answer(launch, name, tally.answer)


def _take_answer(launch: Launch, name: str, answer: str) -> tuple[str, str, int] | None:
    """Write a diagnosis or a review into the report; as `_take_result` when the launch ends with it."""
    if name == "diagnose":
        launch.diagnosis = launch.report.document["diagnosis"] = answers.read_diagnosis(answer)
        if launch.diagnosis is None:
            return "failed", "the diagnosis did not end with the JSON object it was asked for", EXIT_DONE
        if launch.diagnosis["fixability"] != "fixable":
            return "not_fixable", f"the diagnosis says {launch.diagnosis['fixability']}", EXIT_DONE
    if name == "review":
        review = launch.report.document["review"] = answers.read_review(answer)
        if review is None:
            return "failed", "the review did not end with the JSON object it was asked for", EXIT_DONE
    return None


def _judge(ending: Ending, tally: Tally) -> tuple[str, str]:
    if ending.stopped_for == "interrupted":
        return "interrupted", ending.detail
    if ending.stopped_for:
        return "limit", ending.detail
    if ending.exit_code == 0:
        return "done", "the tool ended"
    over = tally.over_limit()  # the gateway refused, the tool gave up before the watch saw it
    if over is not None:
        return "limit", over[1]
    return "failed", f"ended with exit code {ending.exit_code}"


def _make_tree(launch: Launch) -> None:
    if (launch.work / "prepared").is_dir():
        copy_folder(launch.work / "prepared", launch.place.tree)
    else:
        remove(launch.place.tree)
        _unpack(launch)
    if launch.patch:
        patch = launch.work / "current.patch"
        patch.write_bytes(launch.patch)
        apply_patch(launch.place.tree, patch)
    make_checkout(launch.place.tree, is_prepared=(launch.work / "prepared").is_dir())


def _save_patch(launch: Launch, pristine: Pristine) -> None:
    launch.patch, names = pristine.diff(launch.place.tree)
    write_whole(launch.folder / "change.patch", launch.patch)
    launch.report.document["files_changed"] = [cut(name, MOST_PATH) for name in names[:MOST_FILES]]


def _restore_tree(launch: Launch, pristine: Pristine) -> None:
    """A step that may only read leaves nothing behind, whatever it did."""
    patch, _ = pristine.diff(launch.place.tree)
    if patch != launch.patch:
        launch.journal.log("a step that may only read had changed files; they are put back")
        _make_tree(launch)


def _made(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
