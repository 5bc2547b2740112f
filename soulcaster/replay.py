"""Do a job of a run bundle again on this machine, offline: edits from their recorded answers, policy, and the proof.

Nothing of the bundle is trusted: files are read with limits, the patch runs only where any patch runs. What the model
said is replayed by the tool `scripted`; that shows that patch and verdict follow from what is on record, not that a
model would say it again. A set-up command that fetches packages needs the network it needed the first time.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from soulcaster import job_folders
from soulcaster.errors import PermanentError
from soulcaster.fix_models import Job, JobDetail, Launch, Launcher, LaunchRequest, Proof, Repository
from soulcaster.fixing.patches import split
from soulcaster.fixing.policy import check
from soulcaster.fixing.proof import judge
from soulcaster.fixing.reports import Report, parse_report
from soulcaster.fixing.test_command import TestCommand
from soulcaster.launching import make_launcher
from soulcaster.settings import Settings

_MOST_TEXT_BYTES = 25_000_000
_MOST_SOURCE_BYTES = 2_000_000_000
_POLL_SECONDS = 0.2
_EDITS = ("edit", "revise", "repair")
_T = TypeVar("_T")


class ReplayPart(BaseModel):
    """One thing that came out then and now."""

    what: str
    recorded: str
    here: str

    @property
    def is_same(self) -> bool:
        """Whether both are the same."""
        return self.recorded == self.here


class ReplayReport(BaseModel):
    """How a job came out when it was done again."""

    job_id: str
    sandbox: str = ""
    parts: list[ReplayPart] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list, description="What was not done again, and why.")

    @property
    def is_same(self) -> bool:
        """Whether everything that was done again came out the same, and anything was."""
        return bool(self.parts) and all(part.is_same for part in self.parts)


@dataclass(frozen=True)
class _Recorded:
    """A bundle, read."""

    job: Job
    detail: JobDetail
    launches: list[Launch]
    repository: Repository
    patch: str
    texts: dict[str, str]


def replay(settings: Settings, bundle: Path, *, source: Path | None = None) -> ReplayReport:
    """What comes out when the bundle's job is done again, beside what came out then.

    Args:
        settings: which sandbox; store, model and forge are not touched.
        bundle: file that `write_bundle` wrote.
        source: archive of the base tree; else the bundle's own, else the one of the job's folder here.

    Raises:
        PermanentError: the file is no bundle, or the base tree is not to be had, or is another one.
    """
    told = _read(bundle)
    report = ReplayReport(job_id=told.job.job_id)
    with tempfile.TemporaryDirectory(prefix="soulcaster-replay-") as name:
        mine = settings.model_copy(
            update={
                "home": Path(name), "launcher": "local", "agent_tool": "scripted",
                "agent_script": Path(name) / "script.json",
                "agent_model_url": "", "gemini_api_key": None,
            }
        )  # fmt: skip
        target = job_folders.source_of(mine, told.job.job_id)
        target.parent.mkdir(parents=True)
        _fetch_source(settings, told, bundle, source, target)
        launcher = make_launcher(mine)
        for launch in told.launches:
            if launch.purpose in _EDITS:
                _replay_edit(mine, launcher, told, launch, report)
        _replay_policy(mine, told, report)
        _replay_proof(mine, launcher, told, report)
    return report


def _replay_edit(settings: Settings, launcher: Launcher, told: _Recorded, launch: Launch, report: ReplayReport) -> None:
    """The launch's steps from their recorded answers; the last writes the recorded patch, as a change of the base."""
    recorded = told.texts.get(f"{launch.folder_name}/change.patch", "")
    text = told.texts.get(f"{launch.folder_name}/report.json")
    if not recorded.strip() or text is None:
        report.notes.append(f"Launch {launch.attempt} ({launch.purpose}) left no patch; there is nothing to do again.")
        return
    steps = parse_report(text.encode(), job_id=told.job.job_id).steps
    script: dict[str, Any] = {step.name: {"answer": step.answer} for step in steps}
    script[steps[-1].name]["patch"] = recorded
    assert settings.agent_script is not None  # noqa: S101  set by `replay`
    settings.agent_script.write_text(json.dumps(script), encoding="utf-8")
    prompts: dict[str, str] = {step.name: "replayed" for step in steps}
    with job_folders.drafting(settings, launch) as draft:
        job_folders.write_edit(settings, draft, launch, prompts, command={}, n_tokens_left=1_000_000, cost_left=1.0)
    _run(settings, launcher, launch, report)
    here = job_folders.read_patch(settings, launch)
    what = f"patch of launch {launch.attempt} ({launch.purpose})"
    report.parts.append(ReplayPart(what=what, recorded=_hash(recorded), here=_hash(here)))


def _replay_policy(settings: Settings, told: _Recorded, report: ReplayReport) -> None:
    """Findings over the patch of record; those on our own secrets cannot be made without them."""
    if not told.patch.strip():
        report.notes.append("The job has no patch of record; policy has nothing to look at.")
        return
    paths = job_folders.list_base_paths(settings, told.job.job_id)
    found = check(told.patch, told.repository, [], known_paths=paths)
    recorded = sorted(each.rule for each in told.detail.findings if each.rule != "own-secret")
    here = sorted(each.rule for each in found)
    report.parts.append(
        ReplayPart(what="findings", recorded=", ".join(recorded) or "none", here=", ".join(here) or "none")
    )


def _replay_proof(settings: Settings, launcher: Launcher, told: _Recorded, report: ReplayReport) -> None:
    proof = told.detail.proof
    if proof is None or told.detail.test_command is None or not proof.rows:
        report.notes.append("The job has no test runs on record; no proof is done again.")
        return
    command = TestCommand.model_validate(told.detail.test_command)
    attempt = max((each.attempt for each in told.launches), default=0) + 1
    launch = Launch(
        job_id=told.job.job_id,
        attempt=attempt,
        purpose="verify",
        token=f"replay-{told.job.job_id}-{attempt}",
        deadline_seconds=job_folders.verify_deadline(command.timeout_seconds),
        created_at=told.job.created_at,
    )
    tests, source = split(told.patch)
    with job_folders.drafting(settings, launch) as draft:
        patches = {"change": told.patch, "tests": tests, "source": source}
        job_folders.write_verify(draft, launch, command.model_dump(), patches)
    outcome = _run(settings, launcher, launch, report)
    here = judge(
        outcome.model_dump(),
        has_tests=bool(tests),
        has_source=bool(source),
        expects_names=command.results == "junit",
        command=command.test,
    )
    report.parts.append(ReplayPart(what="verdict", recorded=proof.verdict, here=here.verdict))
    report.parts.append(ReplayPart(what="test runs", recorded=_hash_proof(proof), here=_hash_proof(here)))


def _run(settings: Settings, launcher: Launcher, launch: Launch, report: ReplayReport) -> Report:
    """The report of the launch, once it has ended.

    Raises:
        PermanentError: it ended without one.
    """
    request = LaunchRequest(
        token=f"replay-{launch.job_id}-{launch.attempt}"[:64],
        mode=launch.mode,
        folder=job_folders.folder_of(settings, launch),
        deadline_seconds=launch.deadline_seconds,
    )
    handle = launcher.launch(request)
    try:
        while (state := launcher.poll(handle)).state == "running":
            time.sleep(_POLL_SECONDS)
    finally:
        launcher.stop(handle)
    outcome = job_folders.read_outcome(settings, launch)
    if outcome is None or not outcome.is_final:
        raise PermanentError(
            f"Replaying launch {launch.attempt} of job {launch.job_id!r} ended without a report: {state.reason!r}."
        )
    report.sandbox = outcome.sandbox
    return outcome


def _fetch_source(settings: Settings, told: _Recorded, bundle: Path, given: Path | None, target: Path) -> None:
    """Put the base tree's archive in place, once it is the recorded one."""
    here = job_folders.source_of(settings, told.job.job_id)
    found = given if given is not None else here if here.is_file() else None
    with zipfile.ZipFile(bundle) as archive:
        if given is None and job_folders.SOURCE in archive.namelist():
            if archive.getinfo(job_folders.SOURCE).file_size > _MOST_SOURCE_BYTES:
                raise PermanentError(f"The base tree in {str(bundle)!r} is larger than any that we write.")
            archive.extract(job_folders.SOURCE, target.parent)
            found = target
    if found is None:
        raise PermanentError(
            f"Replaying {str(bundle)!r} needs the base tree, which is in neither the bundle nor the job's folder here; "
            "give it with --source, or write the bundle with --with-source."
        )
    try:
        content = found.read_bytes()
    except OSError as error:
        raise PermanentError(f"Reading the base tree {str(found)!r} failed: {error.strerror}; name another.") from error
    recorded = json.loads(told.texts.get("hashes.json", "{}")).get(job_folders.SOURCE)
    if hashlib.sha256(content).hexdigest() != recorded:
        raise PermanentError(f"The base tree {str(found)!r} is not the one on record: its hash is another.")
    target.write_bytes(content)


def _read(bundle: Path) -> _Recorded:
    with _opened(bundle) as archive:
        texts = {}
        for info in archive.infolist():
            if info.filename == job_folders.SOURCE:
                continue
            if info.file_size > _MOST_TEXT_BYTES:
                raise PermanentError(f"{info.filename[:80]!r} in {str(bundle)!r} is larger than anything we write.")
            texts[info.filename] = archive.read(info).decode("utf-8", "replace")

    def parse(kind: type[_T], name: str) -> _T:
        try:
            return TypeAdapter(kind).validate_json(texts[name])
        except (KeyError, ValidationError) as error:
            raise PermanentError(
                f"Reading {name!r} of {str(bundle)!r} expected what `soulcaster bundle` writes, got "
                f"{type(error).__name__}; write the bundle anew."
            ) from None

    return _Recorded(
        job=parse(Job, "job.json"),
        detail=parse(JobDetail, "detail.json"),
        launches=parse(list[Launch], "launches.json"),
        repository=parse(Repository, "repository.json"),
        patch=texts.get("change.patch", ""),
        texts=texts,
    )


@contextmanager
def _opened(bundle: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(bundle) as archive:
            yield archive
    except (OSError, zipfile.BadZipFile, NotImplementedError) as error:
        raise PermanentError(f"Reading the bundle {str(bundle)!r} failed: {error}; name another file.") from error


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _hash_proof(proof: Proof) -> str:
    """sha256 of what the runs showed: which held, how many passed and failed; no times and no wording."""
    rows = [[row.run, row.holds, row.n_passed, row.n_failed] for row in proof.rows]
    return _hash(json.dumps([proof.verdict, rows]))
