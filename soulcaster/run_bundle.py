"""The run bundle of a job, one file of all that was asked, said, tested and decided; and the list of jobs.

What an agent wrote is packed as text and never trusted; links are not followed; our own secrets are taken out.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
from pydantic import SecretStr

from soulcaster import __version__, job_folders
from soulcaster.db import activity, jobs, read, repositories
from soulcaster.errors import PermanentError
from soulcaster.fix_models import Job, JobDetail, Launch, Repository, Spent
from soulcaster.settings import Settings, list_secrets

_MOST_FILE_BYTES = 5_000_000
_LAUNCH_FILES = (
    "job.json", "report.json", "change.patch", "tests.patch", "source.patch", "start.patch", "events.jsonl", "log.txt",
    "launch/model.jsonl", "launch/container.log",
)  # fmt: skip


class _Told(NamedTuple):
    job: Job
    detail: JobDetail
    launches: list[Launch]
    log: list[dict[str, Any]]
    repositories: list[Repository]


def list_jobs(
    settings: Settings, project_id: str, *, cluster_id: str | None = None, is_open: bool = False, limit: int = 50
) -> list[Job]:
    """Jobs, newest first."""
    return read(
        settings.duckdb_path,
        lambda con: jobs.list_jobs(con, project_id, cluster_id=cluster_id, is_open=is_open, limit=limit),
        timeout_seconds=settings.lock_timeout_seconds,
    )


def list_spent(settings: Settings, project_id: str, *, days: int) -> list[Spent]:
    """What jobs used on each of the last days (UTC) that had any, newest first; today's with what runs now."""
    since = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=days - 1)
    return read(
        settings.duckdb_path,
        lambda con: jobs.list_spent(con, project_id, since=since),
        timeout_seconds=settings.lock_timeout_seconds,
    )


def write_bundle(
    settings: Settings, project_id: str, job_id: str, target: Path | None = None, *, has_source: bool = False
) -> Path:
    """One zip with all of a job: rows, what each launch was asked and said, patch, verdict, inputs by hash.

    The base tree is named by its hash alone, unless `has_source` puts it in: then `replay` needs nothing else, and who
    gets the file gets the code. Our own secrets are replaced by [secret] in all texts. Lies in the job's folder unless
    a target is given.

    Raises:
        PermanentError: there is no such job, or the file cannot be written.
    """
    told = _read(settings, project_id, job_id)
    folder = job_folders.path_of(settings, told.job.job_id)
    path = target or folder / "bundle.zip"
    secrets = list_secrets(settings, _repository_of(told).secret_variables)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
            for name, text in _texts(settings, told).items():
                bundle.writestr(name, _redact(text, secrets))
            source = job_folders.source_of(settings, told.job.job_id)
            if has_source and source.is_file():
                bundle.write(source, job_folders.SOURCE)
    except OSError as error:
        raise PermanentError(
            f"Writing the bundle {str(path)!r} failed: {error.strerror}; name another file."
        ) from error
    return path


def _repository_of(told: _Told) -> Repository:
    mine = [each for each in told.repositories if each.name.casefold() == told.job.repository.casefold()]
    return mine[0] if mine else Repository(name=told.job.repository)


def _read(settings: Settings, project_id: str, job_id: str) -> _Told:
    def query(con: duckdb.DuckDBPyConnection) -> _Told:
        job = jobs.get_job(con, project_id, job_id)
        return _Told(
            job,
            jobs.get_detail(con, project_id, job.job_id),
            jobs.list_launches(con, project_id, job.job_id),
            activity.list_activity(con, project_id, subject=job.job_id, limit=1000),
            repositories.list_repositories(con, project_id),
        )

    return read(settings.duckdb_path, query, timeout_seconds=settings.lock_timeout_seconds)


def _texts(settings: Settings, told: _Told) -> dict[str, str]:
    """Name to content of everything in the bundle."""
    job, detail = told.job, told.detail
    hashes: dict[str, str] = {}
    source = job_folders.source_of(settings, job.job_id)
    if source.is_file():
        with source.open("rb") as file:
            hashes[job_folders.SOURCE] = hashlib.file_digest(file, "sha256").hexdigest()
    texts = {
        "job.json": job.model_dump_json(indent=1),
        "detail.json": detail.model_dump_json(indent=1),
        "launches.json": json.dumps([each.model_dump(mode="json") for each in told.launches], indent=1),
        "activity.json": json.dumps(told.log, default=str, indent=1),
        "change.patch": job_folders.read_kept_patch(settings, job.job_id, detail.patch_attempt),
        "repository.json": _repository_of(told).model_dump_json(indent=1, exclude_defaults=True),
        "made-with.json": json.dumps(_made_with(job, detail), indent=1),
    }
    for launch in told.launches:
        for name in _LAUNCH_FILES:
            path = job_folders.folder_of(settings, launch) / name
            if path.is_file() and not path.is_symlink():
                with path.open("rb") as file:
                    content = file.read(_MOST_FILE_BYTES)
                hashes[f"{launch.folder_name}/{name}"] = hashlib.sha256(content).hexdigest()
                texts[f"{launch.folder_name}/{name}"] = content.decode("utf-8", "replace")
    return {name: text.encode("utf-8", "replace").decode() for name, text in texts.items()} | {
        "hashes.json": json.dumps(hashes, indent=1, sort_keys=True)
    }


def _made_with(job: Job, detail: JobDetail) -> dict[str, Any]:
    return {
        "soulcaster": __version__,
        "tool": detail.tool_version,
        "model": job.model,
        "launcher": job.launcher,
        "sandbox": job.sandbox,
        "prompts": detail.prompt_hashes,
        "base_commit": job.base_commit,
    }


def _redact(text: str, secrets: list[SecretStr]) -> str:
    for secret in secrets:
        value = secret.get_secret_value()
        for spelling in {value, json.dumps(value)[1:-1]}:
            if spelling:
                text = text.replace(spelling, "[secret]")
    return text
