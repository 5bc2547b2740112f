"""Retention: what is too old goes, by kind; what people and open pull requests need stays, however old."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta

import grouping_store as made
import pytest
from typer.testing import CliRunner

from soulcaster.cli import app
from soulcaster.db import llm, read, write
from soulcaster.db.jobs import add_job
from soulcaster.fix_models import Job, JobDetail
from soulcaster.retain import retain

NOW = datetime.now(UTC)
OLD, NEW = NOW - timedelta(days=400), NOW - timedelta(days=1)


def add_rows(con) -> None:
    """Of every kind a row that is old and one that is new; and old ones that must stay."""
    for at in (OLD, NEW):
        con.execute("INSERT INTO payloads VALUES (uuid(), $1, 'x'::BLOB, $2)", [made.PROJECT, at])
        llm.keep_answer(con, made.PROJECT, f"q{at}", "{}", now=at)
        for released in (None, at):
            con.execute(
                "INSERT INTO quarantine VALUES (uuid(), $1, 'reddit', NULL, 'l', 'spam', 'd', NULL, "
                "NULL, $2, $3, NULL)",
                [made.PROJECT, at, released],
            )
        for action in ("merge", "status", "pull-request"):
            con.execute(
                "INSERT INTO activity VALUES (uuid(), $1, $2, 'me', $3, 's', 'r', '{}')", [made.PROJECT, at, action]
            )


def add_jobs(settings) -> None:
    """An old one that failed, an old one at work, an old pull request that is open with the job it was made by."""
    rows = [("old", "c1", "failed", None, OLD), ("new", "c1", "failed", None, NEW),
            ("busy", "c2", "running", None, OLD), ("first", "c3", "no_change", None, OLD),
            ("open", "c3", "pr_open", "open", OLD), ("merged", "c4", "pr_open", "merged", OLD)]  # fmt: skip
    for job_id, cluster, status, pr_state, at in rows:
        job = Job(job_id=job_id, project_id=made.PROJECT, cluster_id=cluster, repository="o/r", status=status,
                  pr_state=pr_state, actor="me", created_at=at, changed_at=at)  # fmt: skip
        write(settings.duckdb_path, lambda con, job=job: add_job(con, job, JobDetail()))
        (settings.jobs_path / job_id / "1-edit").mkdir(parents=True)


@pytest.fixture
def full(settings):
    """A home with old and new of everything."""
    write(settings.duckdb_path, add_rows)
    add_jobs(settings)
    settings.logs_path.mkdir()
    for name, at in (("old.log", OLD), ("new.log", NEW)):
        (settings.logs_path / name).write_text("x")
        os.utime(settings.logs_path / name, (at.timestamp(), at.timestamp()))
    return settings.model_copy(update={"keep_activity_days": 30.0})


def left(settings) -> dict[str, object]:
    """Rows and files that are there."""
    tables = ("payloads", "llm_answers", "quarantine", "activity")
    rows = {name: read(settings.duckdb_path, lambda con, name=name: len(con.table(name).fetchall())) for name in tables}
    jobs = sorted(path.name for path in settings.jobs_path.iterdir())
    return {**rows, "jobs": jobs, "logs": [path.name for path in settings.logs_path.iterdir()]}


def test_what_is_too_old_goes_and_what_is_needed_stays(full):
    """Released rows, decisions about clusters, jobs at work and around an open pull request stay; twice is once."""
    report = retain(full, made.PROJECT)

    gone = {"payloads": 1, "quarantine": 1, "answers": 1, "activity": 6, "jobs": 2, "logs": 1}
    assert gone == report.model_dump(exclude={"is_dry_run"})
    jobs = ["busy", "first", "new", "open"]
    # of the log went one line of ours and one of each old job; the one about this pass came to it
    assert left(full) == {
        "payloads": 1, "llm_answers": 1, "quarantine": 3, "activity": 7, "jobs": jobs, "logs": ["new.log"]
    }  # fmt: skip
    assert set(retain(full, made.PROJECT).model_dump(exclude={"is_dry_run"}).values()) == {0}


def test_a_dry_run_counts_the_same_and_deletes_nothing(full):
    """Kinds that are kept for ever count nothing; another project's rows are not looked at."""
    before = left(full)

    report = retain(full, made.PROJECT, is_dry_run=True)

    assert before == left(full)
    assert retain(full, made.PROJECT).model_dump(exclude={"is_dry_run"}) == report.model_dump(exclude={"is_dry_run"})
    assert 0 == retain(full, "another").payloads
    assert 0 == retain(full.model_copy(update={"keep_payloads_days": 0.0}), made.PROJECT, is_dry_run=True).payloads


@pytest.mark.usefixtures("full")
def test_the_command_keeps_the_activity_log_for_ever_by_default():
    """`retain --dry-run --json` says what would go under the settings as they are."""
    told = CliRunner().invoke(app, ["retain", "--dry-run", "--project", made.PROJECT, "--json"])

    report = json.loads(told.stdout.splitlines()[-1])
    assert (True, 1, 0) == (report["is_dry_run"], report["payloads"], report["activity"])
