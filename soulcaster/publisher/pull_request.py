"""One draft pull request for one branch: found before it is made, updated rather than doubled, people's work kept.

Run twice it changes nothing; killed anywhere and run again it ends with one branch and one pull request.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from github import GithubException
from github.PullRequest import PullRequest
from github.Repository import Repository as RemoteRepository
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from soulcaster.errors import PermanentError, SoulcasterError, TransientError
from soulcaster.fix_models import Repository
from soulcaster.publisher import git
from soulcaster.publisher.api import Credentials, connect, find_login, reason_of, translated
from soulcaster.publisher.body import merge_block, plain_line
from soulcaster.publisher.commit import find_own, make_commit, push

Action = Literal["created", "updated", "unchanged", "human_pushed", "closed_by_team", "merged"]
"""The last three: nothing was pushed; a person has the word."""

BRANCH = re.compile(r"soulcaster/[A-Za-z0-9](?:[A-Za-z0-9_-]|\.(?!\.|lock$|$)){0,100}")
HUMAN_PUSHED_MARK = "<!-- soulcaster:human-pushed -->"
_HUMAN_PUSHED = (
    f"{HUMAN_PUSHED_MARK}\nSomebody pushed to this branch, so Soulcaster leaves it alone from now on. A newer attempt "
    "was not pushed; delete the branch or close this pull request if you want it."
)
VERDICT_LABEL = "soulcaster:"
_INVALID, _FORBIDDEN, _MISSING = 422, 403, 404


class PullRequestDraft(BaseModel):
    """Everything a pull request is made from. The same draft gives the same commit."""

    model_config = ConfigDict(frozen=True)

    repository: Repository
    branch: str = Field(description="A pure function of cluster and brief, below soulcaster/.")
    base_commit: str
    patch: str
    title: str = Field(min_length=1, max_length=250)
    body: str = Field(description="What stands between our two markers; see `body.render`.")
    commit_message: str
    labels: list[str] = Field(default_factory=list)
    reviewers: list[str] = Field(default_factory=list, description="Logins, or organisation/team.")
    known_head: str | None = Field(None, description="Our last commit on the branch, as recorded; only it is replaced.")
    trailers: dict[str, str] = Field(default_factory=dict, description="Soulcaster-Job, Soulcaster-Cluster, ...")
    committed_at: AwareDatetime | None = Field(None, description="Date of the commit; the base's when empty.")


class PublishedPullRequest(BaseModel):
    """What became of a draft."""

    model_config = ConfigDict(frozen=True)

    number: int
    url: str
    head: str = Field(description="Commit that the branch is at.")
    action: Action
    notes: list[str] = Field(default_factory=list, description="What GitHub refused besides, e.g. a reviewer.")


def publish(
    draft: PullRequestDraft, credentials: Credentials, cache: Path, *, lock_timeout_seconds: float = 60.0
) -> PublishedPullRequest:
    """The pull request of the draft's branch, as the draft wants it, unless people have the word.

    Raises:
        PermanentError: the patch does not fit, the token may not, or a stranger's branch has our name.
        TransientError: GitHub or the cache is busy; the same call may be made again, `retry_at` says when.
    """
    if not BRANCH.fullmatch(draft.branch):
        raise PermanentError(
            f"Publishing was refused: expected a branch below soulcaster/, got {draft.branch[:120]!r}."
        )
    name = draft.repository.name
    with asking(f"pull requests of {name!r}"):
        remote = connect(credentials).get_repo(name)
        pull = find_pull(remote, draft.branch)
    if pull is not None and pull.state != "open":
        action: Action = "merged" if pull.merged_at else "closed_by_team"
        return PublishedPullRequest(number=pull.number, url=pull.html_url, head=pull.head.sha, action=action)
    with git.locked(cache, draft.repository, timeout_seconds=lock_timeout_seconds) as held:
        commit = commit_draft(held, draft, credentials)
        known = draft.known_head if pull is not None else find_own(held, credentials, draft.branch) or draft.known_head
        outcome = push(held, credentials, commit=commit, branch=draft.branch, known_head=known)
    if outcome == "foreign":
        return _step_back(draft, credentials, pull)
    with asking(f"the pull request of branch {draft.branch!r} of {name!r}"):
        action = "updated" if outcome == "pushed" else "unchanged"
        if pull is None:
            pull, action = _create(remote, draft)
        if action != "created" and _rewrite(pull, draft):
            action = "updated"
        labelled, notes = _label(pull, draft.labels)
        if labelled and action == "unchanged":
            action = "updated"
        notes += _ask_reviewers(pull, draft.reviewers)
    return PublishedPullRequest(number=pull.number, url=pull.html_url, head=commit, action=action, notes=notes)


@contextmanager
def asking(what: str) -> Iterator[None]:
    """Turn what PyGithub, requests and the wire raise into our two errors."""
    try:
        yield
    except SoulcasterError:
        raise
    except (GithubException, OSError, ValueError, RuntimeError) as error:
        raise translated(error, what) from error


def find_pull(remote: RemoteRepository, branch: str) -> PullRequest | None:
    """The pull request of a branch: the open one, else the newest."""
    owner = remote.full_name.split("/")[0]
    found = [pull for pull in remote.get_pulls(state="all", head=f"{owner}:{branch}") if pull.head.ref == branch]
    return max(found, key=lambda pull: (pull.state == "open", pull.number), default=None)


def commit_draft(held: git.Cache, draft: PullRequestDraft, credentials: Credentials) -> str:
    """Sha of the draft's commit in the cache; nothing is pushed. See `make_commit`."""
    return make_commit(
        held,
        credentials,
        base_commit=draft.base_commit,
        patch=draft.patch,
        message=draft.commit_message,
        trailers=draft.trailers,
        path_prefix=draft.repository.path_prefix,
        committed_at=draft.committed_at,
    )


def _create(remote: RemoteRepository, draft: PullRequestDraft) -> tuple[PullRequest, Action]:
    try:
        pull = remote.create_pull(
            base=draft.repository.base_branch,
            head=draft.branch,
            title=plain_line(draft.title, 250),
            body=merge_block("", draft.body),
            draft=True,
            maintainer_can_modify=True,
        )
    except GithubException as error:
        if error.status != _INVALID:
            raise
        found = find_pull(remote, draft.branch)
        if found is not None and found.state == "open":
            return found, "unchanged"  # somebody was faster, or our last try got through unheard
        if "head" in reason_of(error).split():
            raise TransientError(
                f"GitHub does not see branch {draft.branch!r} yet, which was just pushed; it is tried again."
            ) from error
        raise PermanentError(
            f"Opening a draft pull request in {draft.repository.name!r} was refused: {reason_of(error)!r}."
        ) from error
    return pull, "created"


def _rewrite(pull: PullRequest, draft: PullRequestDraft) -> bool:
    """Our block of the body as the draft has it; whether that was a change. Title and the rest belong to people."""
    present = (pull.body or "").replace("\r\n", "\n")
    wanted = merge_block(present, draft.body)
    if wanted == present:
        return False
    pull.edit(body=wanted)
    return True


def _label(pull: PullRequest, labels: list[str]) -> tuple[bool, list[str]]:
    """Whether labels were added or taken off, and what GitHub refused. Of `soulcaster:...` only wanted ones stay."""
    wanted = {label.casefold() for label in labels}
    present = {label.name.casefold(): label.name for label in pull.labels}
    missing = [label for label in labels if label.casefold() not in present]
    stale = [name for key, name in present.items() if key.startswith(VERDICT_LABEL) and key not in wanted]
    try:
        if missing:
            pull.add_to_labels(*missing)
        for name in stale:
            pull.remove_from_labels(name)
    except GithubException as error:
        if not _is_refusal(error):
            raise
        return False, [f"GitHub refused the labels {', '.join([*missing, *stale])}: {reason_of(error)}"]
    return bool(missing or stale), []


def _is_refusal(error: GithubException) -> bool:
    """Whether GitHub will not do this one thing; limits and faults of the server are something else."""
    return error.status in (_INVALID, _FORBIDDEN, _MISSING) and not isinstance(translated(error, ""), TransientError)


def _ask_reviewers(pull: PullRequest, reviewers: list[str]) -> list[str]:
    """Ask for reviews where nobody was asked and nobody reviewed yet; refusals as sentences.

    One at a time: GitHub refuses all for one stranger among them.
    """
    if not reviewers or pull.requested_reviewers or pull.requested_teams or next(iter(pull.get_reviews()), None):
        return []
    notes = []
    for reviewer in reviewers:
        _, _, team = reviewer.partition("/")
        try:
            if team:
                pull.create_review_request(team_reviewers=[team])
            else:
                pull.create_review_request(reviewers=[reviewer])
        except GithubException as error:
            if not _is_refusal(error):
                raise
            notes.append(f"GitHub refused {reviewer} as a reviewer: {reason_of(error)}")
    return notes


def _step_back(draft: PullRequestDraft, credentials: Credentials, pull: PullRequest | None) -> PublishedPullRequest:
    """Leave a branch that somebody else pushed to; say so once where people look."""
    if pull is None:
        raise PermanentError(
            f"Publishing to {draft.repository.name!r} was refused: branch {draft.branch!r} exists and its last "
            "commit is not ours; delete or rename it."
        )
    with asking(f"comments of pull request {pull.number} of {draft.repository.name!r}"):
        login = find_login(connect(credentials), credentials).casefold()
        is_said = any(
            HUMAN_PUSHED_MARK in (comment.body or "") and comment.user.login.casefold() == login
            for comment in pull.get_issue_comments()
        )
        if not is_said:
            pull.create_issue_comment(_HUMAN_PUSHED)
    return PublishedPullRequest(number=pull.number, url=pull.html_url, head=pull.head.sha, action="human_pushed")
