"""Revision rounds: what came back on an open pull request of ours becomes a job that revises its change, or is left.

A round begins for checks that fail on our own commit and for remarks of people with write access, each answered once,
at most `fix_rounds` times a pull request. Where a person pushed, nothing begins. The words are data: looked through as
reports are, quoted in a fence, never followed.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

from duckdb import DuckDBPyConnection
from github.Repository import Repository as RemoteRepository
from pydantic import SecretStr

from soulcaster.db import comments as outbox
from soulcaster.db import jobs, read, write
from soulcaster.db import remarks as rows
from soulcaster.fix_models import (
    FINAL_STATUSES,
    FailedCheck,
    FollowReport,
    Job,
    QueuedComment,
    Remark,
    Repository,
    Revision,
)
from soulcaster.fixing.brief import find_orders
from soulcaster.fixing.secret_scan import holds_any
from soulcaster.publisher import comments
from soulcaster.publisher.remarks import read_failures, read_remarks
from soulcaster.publisher.watch import SeenPullRequest
from soulcaster.settings import Settings, list_secrets

_MOST_JOBS = 1000


class _CameBack(NamedTuple):
    pull: SeenPullRequest
    job: Job
    checks: list[FailedCheck]
    remarks: list[Remark]


def begin_rounds(
    settings: Settings,
    project_id: str,
    repository: Repository,
    remote: RemoteRepository,
    login: str,
    seen: Sequence[SeenPullRequest],
    report: FollowReport,
    *,
    actor: str,
) -> None:
    """Begin a round, as a row, for every open pull request on which something new came back; noted in the report.

    Raises:
        PermanentError, TransientError: GitHub refused, or is away; the rest comes with the next run.
    """
    if not settings.fix_rounds or repository.mode != "draft":
        return
    for pull in seen:
        if pull.state != "open":
            continue
        back = _look(settings, project_id, repository, remote, login, pull)
        if back is not None:
            store = partial(_take_up, settings=settings, project_id=project_id, back=back, report=report, actor=actor)
            write(settings.duckdb_path, store, timeout_seconds=settings.lock_timeout_seconds)


def queue_answers(
    con: DuckDBPyConnection, settings: Settings, project_id: str, repository: str, pull: SeenPullRequest, now: datetime
) -> None:
    """Put what ended rounds have to tell on the pull request into the outbox; a round tells once."""
    for job in _list_rounds(con, project_id, repository, pull.number):
        key = f"round:{job.job_id}"
        if job.status not in FINAL_STATUSES or outbox.has_comment(con, project_id, key):
            continue
        revision = jobs.get_detail(con, project_id, job.job_id).revision
        if revision is not None:
            text = comments.round_text(job, revision, max(settings.fix_rounds, job.round))
            _queue(con, project_id, repository, pull.number, key, text, now)


def end_rounds(
    con: DuckDBPyConnection, project_id: str, repository: str, pull: SeenPullRequest, *, actor: str, now: datetime
) -> None:
    """Cancel a round whose pull request people have merged or closed; `reconcile` stops its agent."""
    for job in _list_rounds(con, project_id, repository, pull.number):
        if job.status not in FINAL_STATUSES:
            reason = f"The pull request was {pull.state} meanwhile."
            jobs.update_job(con, job, actor=actor, now=now, status="cancelled", reason=reason)


def _look(
    settings: Settings,
    project_id: str,
    repository: Repository,
    remote: RemoteRepository,
    login: str,
    pull: SeenPullRequest,
) -> _CameBack | None:
    """What is new on a pull request whose branch is at our own last commit; None when there is nothing to answer."""

    def load(con: DuckDBPyConnection) -> tuple[list[Job], bool, set[str]]:
        known = rows.list_known(con, project_id, repository.name, pull.number)
        return *_find_standing(con, project_id, repository.name, pull), known

    standing, is_busy, known = read(settings.duckdb_path, load, timeout_seconds=settings.lock_timeout_seconds)
    if not standing or is_busy:
        return None
    checks: list[FailedCheck] = []
    if pull.ci == "failing" and f"checks:{pull.head}" not in known:
        failures = read_failures(remote, pull.head, standing[0].base_commit)
        checks = _cleaned(failures, list_secrets(settings, repository.secret_variables))
    remarks = read_remarks(remote, pull.number, login, known=known)
    return _CameBack(pull, standing[0], checks, remarks) if checks or remarks else None


def _take_up(
    con: DuckDBPyConnection,
    *,
    settings: Settings,
    project_id: str,
    back: _CameBack,
    report: FollowReport,
    actor: str,
) -> None:
    """Store the round and what it answers in one transaction; who comes second finds it taken."""
    pull, job, now = back.pull, back.job, datetime.now(UTC)
    standing, is_busy = _find_standing(con, project_id, job.repository, pull)
    if is_busy or [each.job_id for each in standing[:1]] != [job.job_id]:
        return
    known = rows.list_known(con, project_id, job.repository, pull.number)
    checks = [] if f"checks:{pull.head}" in known else back.checks
    remarks = [each for each in back.remarks if each.key not in known]
    orders = find_orders([each.text for each in remarks])
    turned_away = [each for position, each in enumerate(remarks) if position in orders]
    remarks = [each for each in remarks if each not in turned_away]
    for remark in turned_away:
        _note(con, project_id, job, remark.key, now, author=remark.author, reason="it looks like an injection or spam")
        report.left_to_people.append(f"{pull.url}: a remark by {remark.author} looks like an injection or spam.")
    if not checks and not remarks:
        return
    used = max((each.round for each in _list_rounds(con, project_id, job.repository, pull.number)), default=0)
    new = None if used >= settings.fix_rounds else _make_job(settings, job, used + 1, actor, now)
    if new is None:
        report.left_to_people.append(f"{pull.url}: something came back and the {used} rounds are used up.")
        text = comments.rounds_used_text(used)
        key = f"rounds-used:{job.repository.casefold()}!{pull.number}"
        _queue(con, project_id, job.repository, pull.number, key, text, now)
    else:
        before = jobs.get_detail(con, project_id, job.job_id)
        revision = Revision(of_job=job.job_id, patch_attempt=before.patch_attempt, checks=checks, remarks=remarks)
        anew: dict[str, object] = {
            "proof": None, "review": None, "findings": [], "is_repaired": False, "patch_attempt": 0,
            "cluster_status_before": "pr_open", "revision": revision,
        }  # fmt: skip
        jobs.add_job(con, new, before.model_copy(update=anew))
        report.rounds.append(f"{pull.url}: {new.reason}")
    taken, reason = (new.job_id, "") if new else (None, "the rounds are used up")
    for remark in remarks:
        _note(con, project_id, job, remark.key, now, author=remark.author, job_id=taken, reason=reason)
    if checks:
        _note(con, project_id, job, f"checks:{pull.head}", now, job_id=taken, reason=reason)


def _make_job(settings: Settings, job: Job, number: int, actor: str, now: datetime) -> Job:
    waits = settings.fix_approval == "always"
    reason = f"Round {number} of {settings.fix_rounds} over pull request #{job.pr_number}."
    kept = (
        "project_id", "cluster_id", "repository", "base_commit", "brief_hash", "branch", "trust", "pr_number", "pr_url",
    )  # fmt: skip
    return Job(
        job_id=uuid.uuid4().hex[:16],
        status="waiting" if waits else "queued",
        reason=f"{reason} Every fix waits for a person here." if waits else reason,
        attempt=0,
        round=number,
        actor=actor,
        created_at=now,
        changed_at=now,
        **job.model_dump(include=set(kept)),
    )


def _cleaned(checks: Sequence[FailedCheck], secrets: Sequence[SecretStr]) -> list[FailedCheck]:
    """Checks without what looks like an order, and without what holds a secret of ours: tests may print anything."""
    texts = [text for each in checks for text in (each.text, each.log)]
    orders = find_orders(texts)
    fine = ["" if i in orders or holds_any(text, secrets) else text for i, text in enumerate(texts)]
    return [
        FailedCheck(name=each.name, text=text, log=log)
        for each, text, log in zip(checks, fine[::2], fine[1::2], strict=True)
    ]


def _find_standing(
    con: DuckDBPyConnection, project_id: str, repository: str, pull: SeenPullRequest
) -> tuple[list[Job], bool]:
    """(the job whose commit the branch is at, if it is ours; whether a job of its cluster is under way there)."""
    found = jobs.list_jobs(con, project_id, repository=repository, statuses=("pr_open",), limit=_MOST_JOBS)
    standing = [each for each in found if each.pr_number == pull.number and each.head_commit == pull.head]
    cluster = standing[0].cluster_id if standing else ""
    busy = jobs.list_jobs(con, project_id, cluster_id=cluster, repository=repository, is_open=True)
    return standing, bool(busy)


def _list_rounds(con: DuckDBPyConnection, project_id: str, repository: str, number: int) -> list[Job]:
    found = jobs.list_jobs(con, project_id, repository=repository, limit=_MOST_JOBS)
    return [each for each in found if each.round and each.pr_number == number]


def _note(
    con: DuckDBPyConnection,
    project_id: str,
    job: Job,
    key: str,
    now: datetime,
    *,
    author: str = "",
    job_id: str | None = None,
    reason: str = "",
) -> None:
    number = job.pr_number or 0
    rows.add_remark(con, project_id, job.repository, number, key, author=author, job_id=job_id, reason=reason, now=now)


def _queue(
    con: DuckDBPyConnection, project_id: str, repository: str, number: int, key: str, text: str, now: datetime
) -> None:
    comment = QueuedComment(key=key, repository=repository, issue_number=number, body=text, queued_at=now)
    outbox.queue_comment(con, project_id, comment)
