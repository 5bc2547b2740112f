"""Follow our pull requests: merged is fixed, closed is back with the reason, reported again is regressed, what came
back on an open one begins a round.

What is read is stored in one transaction; comments wait in the outbox and are posted afterwards, each once.
"""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import groupby

from duckdb import DuckDBPyConnection
from github.Repository import Repository as RemoteRepository

from soulcaster import revise
from soulcaster.db import comments as outbox
from soulcaster.db import follow as store
from soulcaster.db import jobs, read, repositories, triage, write
from soulcaster.errors import PermanentError
from soulcaster.fix_models import FollowReport, Job, QueuedComment, Regression, Repository
from soulcaster.publisher import comments
from soulcaster.publisher.credentials import for_repository
from soulcaster.publisher.watch import SeenPullRequest, read_pulls
from soulcaster.settings import Settings

ACTOR = "flow follow"
_MOST_ISSUES = 10
_MOST_COMMENTS_A_RUN = 30
_MOST_JOBS, _MOST_QUEUED = 1000, 100_000
_UNDER_WAY = ("new", "triaged", "regressed", "fixing", "pr_open")
"""Statuses that a merge ends; what people decided otherwise stays."""


def list_followed(settings: Settings, project_id: str) -> list[str]:
    """Names of the project's repositories that have a pull request of ours, or a comment that waits."""

    def find(con: DuckDBPyConnection) -> list[str]:
        names = {job.repository.casefold() for job in _followed(con, project_id)}
        names |= {one.repository.casefold() for one in outbox.list_comments(con, project_id, state="waiting")}
        known = repositories.list_repositories(con, project_id)
        return [each.name for each in known if each.name.casefold() in names and each.mode != "off"]

    return read(settings.duckdb_path, find, timeout_seconds=settings.lock_timeout_seconds)


def follow(
    settings: Settings,
    project_id: str,
    repository: str,
    *,
    actor: str = ACTOR,
    seconds_between_writes: float = 1.0,
) -> FollowReport:
    """Read the state of our pull requests in one repository, store what changed, begin rounds, post what waits.

    Raises:
        PermanentError: no such repository, or GitHub refuses the token.
        TransientError: GitHub or the store is away or busy; what was stored counts, the rest comes with the next run.
    """

    def load(con: DuckDBPyConnection) -> tuple[Repository, list[Job], str]:
        found = repositories.get_repository(con, project_id, repository)
        followed = _followed(con, project_id, found.name)
        return found, followed, repositories.find_switch_off(con, "publishing")

    wanted, followed, switched_off = read(settings.duckdb_path, load, timeout_seconds=settings.lock_timeout_seconds)
    credentials = for_repository(
        wanted,
        purpose="follow",
        timeout_seconds=settings.source_timeout_seconds,
        seconds_between_writes=seconds_between_writes,
    )
    remote, login = comments.open_repository(wanted.name, credentials)
    seen = read_pulls(remote, {job.pr_number for job in followed if job.pr_number is not None})

    def store_seen(con: DuckDBPyConnection) -> FollowReport:
        return _store(con, settings, project_id, wanted.name, seen, actor=actor, now=datetime.now(UTC))

    report = write(settings.duckdb_path, store_seen, timeout_seconds=settings.lock_timeout_seconds)
    if not switched_off:
        revise.begin_rounds(settings, project_id, wanted, remote, login, seen, report, actor=actor)
        _post_waiting(settings, project_id, remote, login, report)
    return report


def note_regressions(settings: Settings, project_id: str, *, actor: str = ACTOR) -> list[Regression]:
    """Clusters that were fixed and are reported again, now marked as regressed, with the reports that say so."""

    def mark(con: DuckDBPyConnection) -> list[Regression]:
        rows = store.list_returned(con, project_id)
        return [
            found
            for _, group in groupby(rows, key=lambda row: row.cluster_id)
            if (found := _mark_regressed(con, project_id, list(group), actor))
        ]

    return write(settings.duckdb_path, mark, timeout_seconds=settings.lock_timeout_seconds)


def _followed(con: DuckDBPyConnection, project_id: str, repository: str | None = None) -> list[Job]:
    """Jobs whose pull request is not merged as far as we know; a closed one may be opened again."""
    found = jobs.list_jobs(con, project_id, repository=repository, statuses=("pr_open",), limit=_MOST_JOBS)
    return [job for job in found if job.pr_number is not None and job.pr_state != "merged"]


def _store(
    con: DuckDBPyConnection,
    settings: Settings,
    project_id: str,
    repository: str,
    seen: list[SeenPullRequest],
    *,
    actor: str,
    now: datetime,
) -> FollowReport:
    report = FollowReport(repository=repository)
    newest = _newest(con, project_id, repository)
    by_number: dict[int, list[Job]] = {}
    for job in _followed(con, project_id, repository):
        by_number.setdefault(job.pr_number or 0, []).append(job)
    for pull in seen:
        if pull.number not in by_number:
            continue
        speaker, *older = by_number[pull.number]
        if pull.state == "open":
            report.n_open += 1
            report.failing += [pull.url] if pull.ci == "failing" else []
            revise.queue_answers(con, settings, project_id, repository, pull, now)
        else:
            revise.end_rounds(con, project_id, repository, pull, actor=actor, now=now)
        _note(con, project_id, speaker, pull, actor, now)
        for job in (speaker, *older):
            if pull.state != job.pr_state:
                jobs.update_job(con, job, actor=actor, now=now, pr_state=pull.state, merged_at=pull.merged_at)
        if pull.state != speaker.pr_state:
            _move(con, project_id, speaker, pull, report, actor)
        if speaker.job_id in newest:
            _queue(con, project_id, speaker, pull, now)
    return report


def _newest(con: DuckDBPyConnection, project_id: str, repository: str) -> set[str]:
    """Ids of the last job with a pull request of each cluster: it alone speaks to the issues."""
    found = jobs.list_jobs(con, project_id, repository=repository, statuses=("pr_open",), limit=_MOST_JOBS)
    return set({job.cluster_id: job.job_id for job in reversed(found)}.values())


def _note(con: DuckDBPyConnection, project_id: str, job: Job, pull: SeenPullRequest, actor: str, now: datetime) -> None:
    detail = {
        "cluster_id": job.cluster_id, "pr": pull.url, "state": pull.state, "is_draft": pull.is_draft, "ci": pull.ci,
        "failing": pull.failing, "reviews": pull.reviews,
        "is_ours": pull.head in ("", job.head_commit or ""),
    }  # fmt: skip
    said = [f"pull request #{pull.number} is {pull.state}"]
    if pull.state == "open":
        said += [
            f"CI {pull.ci}",
            *(f"{login} {what.lower().replace('_', ' ')}" for login, what in pull.reviews.items()),
        ]
        said += [] if detail["is_ours"] else ["somebody pushed to its branch"]
    store.note_seen(con, project_id, job.job_id, actor=actor, reason=", ".join(said), detail=detail, at=now)


def _move(
    con: DuckDBPyConnection, project_id: str, job: Job, pull: SeenPullRequest, report: FollowReport, actor: str
) -> None:
    """What the new state of a pull request means for its cluster."""
    detail = {"job_id": job.job_id, "pr": pull.url}
    seen: tuple[str, ...] = ("new",)
    status, reason = "pr_open", f"pull request #{pull.number} was opened again"
    if pull.state == "merged":
        report.merged.append(pull.url)
        seen, status, reason = _UNDER_WAY, "fixed", f"pull request #{pull.number} was merged"
        detail["fixed_at"] = pull.merged_at.isoformat() if pull.merged_at else ""
    elif pull.state == "closed":
        report.closed.append(pull.url)
        seen, status, reason = (
            ("pr_open", "fixing"),
            "new",
            f"pull request #{pull.number} was closed without being merged",
        )
    elif job.pr_state == "closed":
        report.reopened.append(pull.url)
    else:
        return
    triage.change_status(
        con,
        project_id,
        job.cluster_id,
        status,
        seen=seen,
        actor=actor,
        reason=reason,
        detail=detail,
        at=datetime.now(UTC),
    )


def _queue(con: DuckDBPyConnection, project_id: str, job: Job, pull: SeenPullRequest, now: datetime) -> None:
    """Put into the outbox what member issues of this repository should hear; a closed one only corrects what stands."""
    stem = f"{job.cluster_id}:{job.repository.casefold()}#"
    told = {
        one.issue_number
        for one in outbox.list_comments(con, project_id, limit=_MOST_QUEUED)
        if one.key.startswith(stem)
    }
    members = store.list_issues(con, project_id, job.cluster_id, job.repository, limit=_MOST_ISSUES)
    numbers = sorted(told) + [number for number in members if number not in told]
    if pull.state == "closed":
        numbers = sorted(told)
    texts = {"open": comments.opened_text, "merged": comments.merged_text, "closed": comments.closed_text}
    for number in numbers[:_MOST_ISSUES]:
        comment = QueuedComment(
            key=f"{stem}{number}",
            repository=job.repository,
            issue_number=number,
            body=texts[pull.state](pull.number),
            queued_at=now,
        )
        outbox.queue_comment(con, project_id, comment)


def _post_waiting(
    settings: Settings, project_id: str, remote: RemoteRepository, login: str, report: FollowReport
) -> None:
    """Post the comments that wait for this repository; each is recorded before the next is sent."""
    waiting = read(
        settings.duckdb_path,
        lambda con: outbox.list_comments(con, project_id, state="waiting", limit=_MOST_QUEUED),
        timeout_seconds=settings.lock_timeout_seconds,
    )
    mine = [one for one in waiting if one.repository.casefold() == report.repository.casefold()]
    for comment in mine[:_MOST_COMMENTS_A_RUN]:
        try:
            comment_id = comments.post(remote, login, comment)
        except PermanentError as error:
            report.refused.append(str(error))
            _record(settings, project_id, comment, None, str(error))
        else:
            report.n_comments += 1
            _record(settings, project_id, comment, comment_id, "")


def _record(settings: Settings, project_id: str, comment: QueuedComment, comment_id: int | None, message: str) -> None:
    def mark(con: DuckDBPyConnection) -> None:
        if comment_id is None:
            outbox.mark_failed(con, project_id, comment.key, message)
        else:
            outbox.mark_posted(con, project_id, comment, comment_id, now=datetime.now(UTC))

    write(settings.duckdb_path, mark, timeout_seconds=settings.lock_timeout_seconds)


def _mark_regressed(
    con: DuckDBPyConnection, project_id: str, rows: list[store.Returned], actor: str
) -> Regression | None:
    first = rows[0]
    names = [f"{row.source} {row.external_id}" for row in rows]
    more = f" and {len(rows) - 5} more" if len(rows) > 5 else ""  # noqa: PLR2004  as many as a sentence holds
    found = Regression(
        cluster_id=first.cluster_id,
        fixed_at=first.fixed_at,
        item_ids=[row.item_id for row in rows],
        external_ids=[row.external_id for row in rows],
    )
    is_moved = triage.change_status(
        con,
        project_id,
        first.cluster_id,
        "regressed",
        seen=("fixed",),
        actor=actor,
        reason=f"reported again after the fix of {first.fixed_at:%Y-%m-%d %H:%M} UTC: {', '.join(names[:5])}{more}",
        detail={"item_ids": found.item_ids[:50], "n_items": len(rows), "fixed_at": first.fixed_at.isoformat()},
        at=datetime.now(UTC),
    )
    return found if is_moved else None
