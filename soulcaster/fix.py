"""A fix from start to end: started by somebody, moved one step at a time by whoever calls, ended also after a crash.

`advance` is all that moves a job; the waiting flow, the command line and the scheduled `reconcile` call it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Literal, get_args

import duckdb

from soulcaster import fix_case, job_folders
from soulcaster.actors import require
from soulcaster.db import jobs, read, repositories, write
from soulcaster.errors import PermanentError, SoulcasterError, TransientError
from soulcaster.fix_case import Move
from soulcaster.fix_models import FINAL_STATUSES, Job, JobDetail, Launch, Launcher, LaunchRequest, Repository, Switch
from soulcaster.fix_moves import due_move
from soulcaster.fix_start import draft_job
from soulcaster.fixing.brief import LONGEST_PLAN
from soulcaster.launching import check_ready, examine_place, make_launcher
from soulcaster.settings import Settings, read_secret
from soulcaster.traces import traced

logger = logging.getLogger(__name__)

_MOST_MOVES = 60
"""A job makes a dozen moves; more in one go is a circle."""

POLL_SECONDS = 2.0
_CANCEL_WAIT_SECONDS = 20.0
_STOP_SECONDS = 3.0
"""So long a person who cancels waits for the agent's end; a task on Fargate takes up to two minutes."""


def examine(settings: Settings) -> Iterator[tuple[str, Literal["ok", "warn", "fail"], str]]:
    """(subject, state, message) on everything fixes need, for `doctor`; asks no forge and no model."""

    def query(con: duckdb.DuckDBPyConnection) -> tuple[list[Repository], list[str]]:
        if not repositories.has_repositories(con):
            return [], []
        switches: tuple[Switch, ...] = get_args(Switch)
        off = [why for name in switches if (why := repositories.find_switch_off(con, name))]
        return repositories.list_repositories(con, settings.project), off

    known, off = read(settings.duckdb_path, query, timeout_seconds=settings.lock_timeout_seconds)
    if not known:
        yield (
            "fixes",
            "ok",
            "no repository is configured: fixes are off; `soulcaster repo add OWNER/NAME` turns them on.",
        )
        return
    yield from (("fixes", state, told) for state, told in examine_place(settings))
    for why in off:
        yield "fixes", "warn", f"{why}."
    for repository in known:
        state, told = _sign_in(repository)
        yield "fixes", state, f"{repository.name}, mode {repository.mode}: {told}"


def _sign_in(repository: Repository) -> tuple[Literal["ok", "warn"], str]:
    variable = repository.app_key_variable or repository.token_variable
    otherwise: Literal["ok", "warn"] = "ok" if repository.mode == "off" else "warn"
    if not variable:
        return otherwise, "it names neither a token nor a GitHub App; see `soulcaster repo add --help`."
    try:
        read_secret(variable)
    except PermanentError as error:
        return otherwise, str(error)
    return "ok", f"signs in with {variable}."


def start(
    settings: Settings,
    project_id: str,
    cluster_id: str,
    *,
    actor: str,
    repository: str | None = None,
    dry_run: bool = False,
    approved: bool = False,
    plan: str = "",
) -> Job:
    """A new job, as a row: nothing runs before somebody advances it.

    Args:
        settings: tool and key are checked first.
        project_id: whose cluster it is.
        cluster_id: or its beginning.
        actor: who wants it.
        repository: a person's choice; routed when not given.
        dry_run: stop before publishing.
        approved: the actor is a person who says yes to an edit on this evidence, and to all of it being quoted.
        plan: what the agent is told to do, at most `LONGEST_PLAN` characters; empty to leave it to the diagnosis.

    Raises:
        PermanentError: not ready, no such cluster, no repository, or a job for both is under way.
    """
    require(actor, project_id, "fix", f"Starting a fix of cluster {cluster_id!r}")
    check_ready(settings)
    if len(plan) > LONGEST_PLAN:
        raise PermanentError(
            f"Starting a fix of cluster {cluster_id!r} expected a plan of at most {LONGEST_PLAN} characters, "
            f"got {len(plan)}; shorten it."
        )
    job, detail = draft_job(
        settings, project_id, cluster_id, actor=actor, repository=repository, dry_run=dry_run, approved=approved,
        plan=plan.strip(),
    )  # fmt: skip
    write(
        settings.duckdb_path,
        lambda con: jobs.add_job(con, job, detail),
        timeout_seconds=settings.lock_timeout_seconds,
    )
    return job


def approve(settings: Settings, project_id: str, job_id: str, *, actor: str, reason: str = "") -> Job:
    """Let a waiting job go on; who did so is in the activity log.

    Raises:
        PermanentError: it does not wait for a person.
    """
    require(actor, project_id, "fix", f"Approving job {job_id!r}")

    def store(con: duckdb.DuckDBPyConnection) -> Job | None:
        job = jobs.get_job(con, project_id, job_id)
        if job.status != "waiting":
            raise PermanentError(f"Approving job {job.job_id!r} expected one that waits, got {job.status}.")
        detail = jobs.get_detail(con, project_id, job.job_id).model_copy(update={"approved_by": actor})
        said = f"Approved by {actor}{': ' + reason if reason else ''}."
        now = datetime.now(UTC)
        return jobs.update_job(con, job, actor=actor, now=now, detail=detail, status="queued", reason=said[:1000])

    approved = write(settings.duckdb_path, store, timeout_seconds=settings.lock_timeout_seconds)
    assert approved is not None  # noqa: S101  read and written in one transaction
    return approved


@traced("advance fix")
def advance(settings: Settings, project_id: str, job_id: str, launcher: Launcher, *, actor: str = "reconcile") -> Job:
    """The job after the one move that is due; unchanged when it waits, or when somebody else is moving it.

    Raises:
        TransientError: forge, store or launcher is away; the same call may be made again.
    """
    job = _get(settings, project_id, job_id)
    if job.status in FINAL_STATUSES or job.status == "waiting":
        return job
    with fix_case.held(settings, job.job_id) as is_mine:
        if not is_mine:
            return job
        job = _get(settings, project_id, job.job_id)
        if job.status in FINAL_STATUSES:
            return job
        detail = JobDetail()
        try:
            case = fix_case.load(settings, project_id, job.job_id, launcher, actor=actor)
            detail = case.detail
            if case.repository.mode == "off":
                move: Move | None = Move("cancelled", f"Repository {job.repository!r} was switched off.")
            else:
                move = due_move(case)
        except PermanentError as error:
            move = Move("failed", str(error))
        if move is None:
            return job
        return fix_case.apply(settings, job, move, actor=actor, detail=detail) or _get(settings, project_id, job.job_id)


def advance_until_rest(
    settings: Settings,
    project_id: str,
    job_id: str,
    launcher: Launcher,
    *,
    actor: str = "reconcile",
    on_change: Callable[[Job], None] | None = None,
) -> Job:
    """The job after all moves that are due now: it is final then, or waits for an agent, a person or a budget."""
    job = _get(settings, project_id, job_id)
    for _ in range(_MOST_MOVES):
        moved = advance(settings, project_id, job.job_id, launcher, actor=actor)
        if moved == job:
            return job
        if on_change is not None:
            on_change(moved)
        job = moved
    return job


def follow_job(
    settings: Settings,
    project_id: str,
    job_id: str,
    launcher: Launcher,
    *,
    actor: str,
    on_change: Callable[[Job], None] | None = None,
    poll_seconds: float = POLL_SECONDS,
) -> Job:
    """Stay with the job until it ends, or waits for a person, a switch or a budget."""
    while True:
        job = advance_until_rest(settings, project_id, job_id, launcher, actor=actor, on_change=on_change)
        if job.status in FINAL_STATUSES or job.status == "waiting" or job.reason.startswith("It waits:"):
            return job
        time.sleep(poll_seconds)


def reconcile(settings: Settings, project_id: str, launcher: Launcher, *, actor: str = "reconcile") -> list[Job]:
    """Bring every job that has not ended as far as it goes now; then what they are. One that fails stops no other.

    Agents of jobs that ended otherwise (cancelled while nobody could stop them) are stopped too.
    """
    open_jobs = read(
        settings.duckdb_path,
        lambda con: jobs.list_jobs(con, project_id, is_open=True),
        timeout_seconds=settings.lock_timeout_seconds,
    )
    found = []
    for job in reversed(open_jobs):
        try:
            found.append(advance_until_rest(settings, project_id, job.job_id, launcher, actor=actor))
        except TransientError as error:
            logger.warning("Job %s waits: %s", job.job_id, error)
            found.append(_get(settings, project_id, job.job_id))
    _stop_leftovers(settings, project_id, launcher)
    return found


def cancel(
    settings: Settings, project_id: str, job_id: str, *, actor: str, launcher: Launcher | None = None, reason: str = ""
) -> Job:
    """End a job; its agent is told to end, and `reconcile` sees to it. What was published stays.

    Whoever moves the job just now finds it ended; only while it is being published that is waited for.

    Raises:
        PermanentError: it has ended already.
        TransientError: it is being published for longer than that takes.
    """
    require(actor, project_id, "fix", f"Cancelling job {job_id!r}")
    deadline = time.monotonic() + _CANCEL_WAIT_SECONDS
    full_id = _get(settings, project_id, job_id).job_id
    while True:
        with fix_case.held(settings, full_id) as is_mine:
            job = _cancel(settings, project_id, full_id, actor, reason, is_mine=is_mine)
            if job is not None and is_mine:
                _stop_leftovers(settings, project_id, launcher or make_launcher(settings), wait_seconds=_STOP_SECONDS)
        if job is not None:
            return job
        if time.monotonic() > deadline:
            raise TransientError(f"Cancelling job {full_id!r}: it is just being published; try again.")
        time.sleep(0.1)


def _cancel(settings: Settings, project_id: str, job_id: str, actor: str, reason: str, *, is_mine: bool) -> Job | None:
    """The ended job; None when somebody else was faster, or is publishing it."""
    job = _get(settings, project_id, job_id)
    if job.status in FINAL_STATUSES:
        raise PermanentError(f"Cancelling job {job.job_id!r} expected one under way, got {job.status}.")
    if job.status == "publishing" and not is_mine:
        return None
    detail = read(
        settings.duckdb_path,
        lambda con: jobs.get_detail(con, project_id, job_id),
        timeout_seconds=settings.lock_timeout_seconds,
    )
    move = Move("cancelled", f"Cancelled by {actor}{': ' + reason if reason else ''}.")
    return fix_case.apply(settings, job, move, actor=actor, detail=detail)


def _stop_leftovers(
    settings: Settings, project_id: str, launcher: Launcher, *, wait_seconds: float | None = None
) -> None:
    """End agents that work for jobs which have ended; one that does not in time is told again by the next caller."""
    left = read(
        settings.duckdb_path,
        lambda con: jobs.list_leftover_launches(con, project_id),
        timeout_seconds=settings.lock_timeout_seconds,
    )
    for launch in left:
        try:
            told = _stop(settings, launch, launcher, wait_seconds)
        except SoulcasterError as error:
            logger.warning("Stopping launch %s of job %s: %s", launch.attempt, launch.job_id, error)
            continue
        _note_launch(settings, project_id, told)


def _note_launch(settings: Settings, project_id: str, launch: Launch) -> None:
    write(
        settings.duckdb_path,
        lambda con: jobs.update_launch(con, project_id, launch),
        timeout_seconds=settings.lock_timeout_seconds,
    )


def _stop(settings: Settings, launch: Launch, launcher: Launcher, wait_seconds: float | None) -> Launch:
    """A launch without a handle may have been started: its token finds it, so that it can be ended."""
    handle = launch.handle
    folder = job_folders.folder_of(settings, launch)
    if handle is None and (folder / "job.json").is_file():
        request = LaunchRequest(
            token=launch.token, mode=launch.mode, folder=folder, deadline_seconds=launch.deadline_seconds
        )
        handle = launcher.launch(request)
    if handle is not None:
        launcher.stop(handle, wait_seconds=wait_seconds)
    return launch.model_copy(update={"handle": handle, "ended_at": datetime.now(UTC), "outcome": "stopped by us"})


def _get(settings: Settings, project_id: str, job_id: str) -> Job:
    return read(
        settings.duckdb_path,
        lambda con: jobs.get_job(con, project_id, job_id),
        timeout_seconds=settings.lock_timeout_seconds,
    )
