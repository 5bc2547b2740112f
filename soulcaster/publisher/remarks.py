"""What came back on an open pull request of ours: checks that failed, and what people who may write there remarked.

Reads only. Texts are handed on as they are: data from strangers to whoever quotes them. Only accounts of people with
write access count, by the forge's word and not by what a comment says of its author; bots and ourselves never do.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from github import GithubException
from github.CheckRun import CheckRun
from github.NamedUser import NamedUser
from github.Organization import Organization
from github.PullRequest import PullRequest
from github.Repository import Repository as RemoteRepository
from pydantic import AwareDatetime

from soulcaster.errors import TransientError
from soulcaster.fix_models import FailedCheck, Remark, RemarkKind
from soulcaster.publisher.api import translated
from soulcaster.publisher.ci_logs import ACTIONS, read_log
from soulcaster.publisher.pull_request import asking

COMMAND = "/soulcaster"
"""First word of a comment in the conversation that is meant for us; all other talk there is people's own."""

MOST_REMARKS, LONGEST_TEXT = 10, 2000
_MOST_READ = 300
_MOST_CHECKS, _MOST_ANNOTATIONS = 5, 10
_MAY_WRITE = frozenset({"admin", "maintain", "write"})
_ASKING = frozenset({"CHANGES_REQUESTED", "COMMENTED"})
_Account = NamedUser | Organization | None
_RED_STATES = ("failure", "error")
_RED = frozenset({"failure", "timed_out"})
"""What a change can be to blame for; a cancelled or stale check says nothing about it."""


def read_remarks(remote: RemoteRepository, number: int, login: str, *, known: set[str]) -> list[Remark]:
    """Remarks on the pull request that are not `known`, oldest first, at most `MOST_REMARKS`.

    Args:
        remote: the repository.
        number: of the pull request.
        login: our own account.
        known: keys of those that were taken up, or turned away, before.

    Raises:
        PermanentError, TransientError: GitHub refused, or is away.
    """
    found: list[Remark] = []
    may_write: dict[str, bool] = {}
    with asking(f"remarks on pull request {number} of {remote.full_name!r}"):
        for user, remark in _list_said(remote.get_pull(number)):
            if remark.key in known or not remark.text.strip() or not _is_person(user, login):
                continue
            if remark.author not in may_write:
                may_write[remark.author] = _may_write(remote, remark.author)
            if may_write[remark.author]:
                found.append(remark)
    return sorted(found, key=lambda each: each.said_at)[:MOST_REMARKS]


def read_failures(remote: RemoteRepository, commit: str, base_commit: str) -> list[FailedCheck]:
    """Checks that failed on our commit and not on its base: what was red before is not ours to mend.

    Empty too while a check is still running: a round begins when all have spoken.

    Raises:
        PermanentError, TransientError: GitHub refused, or is away.
    """
    with asking(f"checks of commit {commit[:12]} of {remote.full_name!r}"):
        runs = list(islice(remote.get_commit(commit).get_check_runs(), _MOST_READ))
        statuses = remote.get_commit(commit).get_combined_status().statuses
        is_running = any(run.status != "completed" for run in runs) or any(each.state == "pending" for each in statuses)
        if is_running:
            return []
        failed = {run.name: run for run in runs if run.conclusion in _RED}
        told = {each.context: each.description or "" for each in statuses if each.state in _RED_STATES}
        if not failed and not told:
            return []
        before = _failed_names(remote, base_commit)
        ours = {name: run for name, run in failed.items() if name not in before}
        checks = [
            FailedCheck(name=name[:200], text=_output(run), log=_log_of(remote, run))
            for name, run in sorted(ours.items())[:_MOST_CHECKS]
        ]
        checks += [FailedCheck(name=name[:200], text=text[:LONGEST_TEXT]) for name, text in told.items()
                   if name not in before and name not in failed]  # fmt: skip
    return sorted(checks, key=lambda check: check.name)[:_MOST_CHECKS]


def _failed_names(remote: RemoteRepository, commit: str) -> set[str]:
    target = remote.get_commit(commit)
    names = {run.name for run in islice(target.get_check_runs(), _MOST_READ) if run.conclusion in _RED}
    return names | {each.context for each in target.get_combined_status().statuses if each.state in _RED_STATES}


def _output(run: CheckRun) -> str:
    """Title, summary and annotations of a failed check."""
    parts = [run.output.title or "", run.output.summary or ""] if run.output else []
    if run.output and run.output.annotations_count:
        notes = islice(run.get_annotations(), _MOST_ANNOTATIONS)
        parts += [f"{note.path}:{note.start_line}: {note.message}" for note in notes]
    return "\n".join(part for part in parts if part)[:LONGEST_TEXT]


def _log_of(remote: RemoteRepository, run: CheckRun) -> str:
    """What its log says around the error, where GitHub Actions ran it: its number is that of the job there."""
    return read_log(remote, run.id) if run.app and run.app.slug == ACTIONS else ""


def _list_said(pull: PullRequest) -> Iterator[tuple[_Account, Remark]]:
    for review in islice(pull.get_reviews(), _MOST_READ):
        if review.state in _ASKING:
            yield review.user, _remark("review", review.id, review.user, review.body, review.submitted_at)
    for line in islice(pull.get_review_comments(), _MOST_READ):
        remark = _remark("line", line.id, line.user, line.body, line.created_at)
        yield line.user, remark.model_copy(update={"path": line.path or "", "line": line.line})
    for comment in islice(pull.get_issue_comments(), _MOST_READ):
        word, _, rest = (comment.body or "").strip().partition(" ")
        if word == COMMAND:
            yield comment.user, _remark("comment", comment.id, comment.user, rest, comment.created_at)


def _remark(kind: RemarkKind, number: int, user: _Account, text: str | None, at: AwareDatetime) -> Remark:
    author = user.login if user else "ghost"
    return Remark(key=f"{kind}:{number}", kind=kind, author=author, text=(text or "")[:LONGEST_TEXT], said_at=at)


def _is_person(user: _Account, login: str) -> bool:
    """Whether an account is a person's and not ours."""
    if user is None or user.type != "User" or user.login.endswith("[bot]"):
        return False
    return user.login.casefold() != login.casefold()


def _may_write(remote: RemoteRepository, login: str) -> bool:
    """Whether the forge says so; who may not be asked about is a stranger."""
    try:
        return remote.get_collaborator_permission(login) in _MAY_WRITE
    except GithubException as error:
        if error.status not in (403, 404) or isinstance(translated(error, "a permission"), TransientError):
            raise
        return False
