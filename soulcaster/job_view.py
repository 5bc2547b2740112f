"""What a person looks at of one job: its row, what it found out, each launch with its claim and log, its patch.

Reads only. Whatever lies in a launch's folder was written by an untrusted place: it is read with limits and never
followed through a link.
"""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
from pydantic import BaseModel, Field

from soulcaster import job_folders
from soulcaster.db import jobs, read
from soulcaster.errors import PermanentError
from soulcaster.fix_case import sum_usage
from soulcaster.fix_models import Job, JobDetail, Launch
from soulcaster.fixing.reports import Report, Usage
from soulcaster.settings import Settings

_MOST_LOG_BYTES = 64_000
_MOST_BRIEF_BYTES = 400_000


class LaunchView(BaseModel):
    """One start of the agent as it can be looked at now."""

    launch: Launch
    report: Report | None = Field(None, description="As the agent reports it; a claim.")
    usage: Usage = Field(default_factory=Usage, description="Of the model so far, while it runs too.")
    report_problem: str = Field("", description="Why the report could not be read, if so.")
    prompts: dict[str, str] = Field(default_factory=dict, description="Step name to the text the model was given.")
    log_tail: str = Field("", description="Of the agent's log, and of its container's when that alone was left.")
    log_link: str = Field("", description="Where the whole log is, when the agent runs elsewhere.")


class JobView(BaseModel):
    """One job with all that there is to look at."""

    job: Job = Field(description="With what its launches have used up to now.")
    detail: JobDetail
    launches: list[LaunchView]
    patch: str = Field("", description="The patch in question, as it was looked at; empty while there is none.")


def view_job(settings: Settings, project_id: str, job_id: str) -> JobView:
    """The job whose id is, or begins with, `job_id`.

    Raises:
        PermanentError: there is none, or more than one.
        TransientError: the store is busy.
    """

    def load(con: duckdb.DuckDBPyConnection) -> tuple[Job, JobDetail, list[Launch]]:
        job = jobs.get_job(con, project_id, job_id)
        return job, jobs.get_detail(con, project_id, job.job_id), jobs.list_launches(con, project_id, job.job_id)

    job, detail, launches = read(settings.duckdb_path, load, timeout_seconds=settings.lock_timeout_seconds)
    return JobView(
        job=job.model_copy(update=sum_usage(settings, launches)) if launches else job,
        detail=detail,
        launches=[_launch(settings, each) for each in launches],
        patch=job_folders.read_kept_patch(settings, job.job_id, detail.patch_attempt),
    )


def _launch(settings: Settings, launch: Launch) -> LaunchView:
    folder = job_folders.folder_of(settings, launch)
    report, problem = None, ""
    try:
        report = job_folders.read_outcome(settings, launch)
    except PermanentError as error:
        problem = str(error)
    return LaunchView(
        launch=launch,
        report=report,
        usage=job_folders.read_usage(settings, launch),
        report_problem=problem,
        prompts=_prompts(folder / "job.json"),
        log_tail=_tail(folder / "log.txt") + _tail(folder / "launch" / "container.log"),
        log_link=_link(folder / "launch" / "place.json"),
    )


def _prompts(path: Path) -> dict[str, str]:
    """The texts of job.json, which our side wrote; {} for a launch that has none."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size > _MOST_BRIEF_BYTES:
        return {}
    try:
        steps = json.loads(path.read_bytes()).get("edit", {}).get("steps", [])
        return {str(step["name"]): str(step["prompt"]) for step in steps}
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}  # half written, or swapped by the agent: what counts is in the store


def _tail(path: Path) -> str:
    if path.is_symlink() or not path.is_file():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _MOST_LOG_BYTES))
        return file.read(_MOST_LOG_BYTES).decode("utf-8", "replace")


def _link(path: Path) -> str:
    """As the launcher wrote it, where no agent reaches; '' when it wrote none."""
    return str(json.loads(path.read_text(encoding="utf-8")).get("log_link", "")) if path.is_file() else ""
