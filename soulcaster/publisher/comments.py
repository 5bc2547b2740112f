"""One comment on an issue, found before it is written and edited in place, and what such comments say.

A comment is ours when our account wrote it and it carries the mark of its key; a stranger's copy of the mark is not.
"""

from __future__ import annotations

import hashlib

from github import GithubException
from github.Repository import Repository as RemoteRepository

from soulcaster.errors import PermanentError
from soulcaster.fix_models import Job, QueuedComment, Revision
from soulcaster.publisher.api import Credentials, connect, find_login
from soulcaster.publisher.body import plain
from soulcaster.publisher.pull_request import asking

_GONE = (404, 410)


def opened_text(number: int) -> str:
    """For an issue whose fix waits for review."""
    return (
        f"Draft pull request #{number} proposes a fix for the problem reported here. It was made by Soulcaster from "
        "feedback of several people and waits for review."
    )


def merged_text(number: int, release: str = "") -> str:
    """For an issue whose fix was merged."""
    where = f" and is in release `{release}`" if release else " and comes with the next release"
    return (
        f"The fix of the problem reported here was merged with #{number}{where}. If you still see it afterwards, "
        "please say so here."
    )


def closed_text(number: int) -> str:
    """For an issue whose proposed fix was turned down."""
    return f"Pull request #{number} proposed a fix for the problem reported here; it was closed without being merged."


def round_text(job: Job, revision: Revision, most_rounds: int) -> str:
    """For the pull request: what a round read, what it changed or why not, and what comes next."""
    read = [f"the failing check <code>{plain(check.name, 60)}</code>" for check in revision.checks]
    authors = sorted({remark.author for remark in revision.remarks})
    n_remarks = len(revision.remarks)
    if n_remarks:
        said_by = ", ".join(plain(author, 60) for author in authors[:5])
        read.append(f"{n_remarks} remark{'' if n_remarks == 1 else 's'} by {said_by}")
    if job.status == "pr_open":
        done = "The branch was updated; the description above says what changed and what the test runs showed."
    else:
        done = f"The branch stays as it is. {plain(job.reason, 400)}"
    is_last = job.round >= most_rounds
    after = "This was the last round: what comes back now is left to people." if is_last else ""
    return f"Round {job.round} of {most_rounds} read {', '.join(read)}. {done} {after}".strip()


def rounds_used_text(most_rounds: int) -> str:
    """For the pull request: something came back after the last round."""
    return f"The {most_rounds} rounds are used up. Soulcaster leaves this pull request to people from here."


def open_repository(name: str, credentials: Credentials) -> tuple[RemoteRepository, str]:
    """The repository and the account that writes, for `post`.

    Raises:
        PermanentError, TransientError: GitHub refused, or is away.
    """
    client = connect(credentials)
    with asking(f"repository {name!r}"):
        return client.get_repo(name), find_login(client, credentials)


def post(remote: RemoteRepository, login: str, comment: QueuedComment) -> int:
    """Id of the comment, which now says what it should; repeated calls change nothing more.

    Raises:
        PermanentError: the issue is locked or gone, the comment was deleted by somebody, or the token may not.
        TransientError: GitHub is away or wants to be left alone; says until when.
    """
    mark = f"<!-- soulcaster:comment {hashlib.sha256(comment.key.encode()).hexdigest()[:16]} -->"
    body = f"{mark}\n{comment.body}"
    what = f"the comment on issue {comment.issue_number} of {comment.repository!r}"
    with asking(what):
        issue = remote.get_issue(comment.issue_number)
        if comment.comment_id is None:
            known = (
                one
                for one in issue.get_comments()
                if mark in (one.body or "") and one.user is not None and one.user.login.casefold() == login.casefold()
            )
            found = next(known, None)
            if found is None:
                return issue.create_comment(body).id
        else:
            try:
                found = issue.get_comment(comment.comment_id)
                present = found.body
            except GithubException as error:
                if error.status not in _GONE:
                    raise
                raise PermanentError(f"Editing {what} was given up: somebody deleted it, so it stays away.") from error
        present = (found.body or "").replace("\r\n", "\n")
        if present != body:
            found.edit(body)
        return found.id
