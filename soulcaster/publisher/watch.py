"""What became of pull requests: open, merged, closed; what CI and reviewers say. Reads only.

One listing by our label tells the state of all; only open ones are looked at one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Literal

from github import GithubException
from github.CheckRun import CheckRun
from github.PullRequest import PullRequest
from github.Repository import Repository as RemoteRepository
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from soulcaster.errors import TransientError
from soulcaster.fix_models import PullRequestState
from soulcaster.publisher.api import translated
from soulcaster.publisher.pull_request import asking

LABEL = "soulcaster"
_MOST_LISTED = 500
_FAILED = frozenset({"failure", "timed_out", "cancelled", "action_required", "startup_failure", "stale"})
_STATUSES: dict[str, str | None] = {"success": "success", "pending": None}
_DECISIVE = frozenset({"APPROVED", "CHANGES_REQUESTED", "DISMISSED"})

CiState = Literal["none", "pending", "passing", "failing", "unknown"]
"""none: nobody checks; unknown: the token may not see it."""


class SeenPullRequest(BaseModel):
    """A pull request as the forge shows it now. The last five fields are read of open ones only."""

    model_config = ConfigDict(frozen=True)

    number: int
    state: PullRequestState
    url: str
    merged_at: AwareDatetime | None = None
    closed_at: AwareDatetime | None = None
    head: str = ""
    is_draft: bool = True
    ci: CiState = "none"
    failing: list[str] = Field(default_factory=list, description="Names of checks that failed.")
    reviews: dict[str, str] = Field(default_factory=dict, description="Login to what they last decided.")


def read_pulls(remote: RemoteRepository, numbers: set[int]) -> list[SeenPullRequest]:
    """State of these pull requests, by number; one that is gone is left out.

    Raises:
        PermanentError, TransientError: GitHub refused, or is away.
    """
    with asking(f"pull requests of {remote.full_name!r}"):
        listed = remote.get_issues(state="all", labels=[LABEL], sort="updated", direction="desc")
        seen: dict[int, SeenPullRequest] = {}
        missing = set(numbers)
        for issue in islice(listed, _MOST_LISTED):
            if not missing:
                break
            if issue.number in missing and issue.pull_request is not None:
                missing.discard(issue.number)
                merged_at = issue.pull_request.merged_at
                state: PullRequestState = "merged" if merged_at else "closed" if issue.state == "closed" else "open"
                seen[issue.number] = SeenPullRequest(
                    number=issue.number, state=state, url=issue.html_url, merged_at=merged_at, closed_at=issue.closed_at
                )
        for number in sorted(numbers):
            # Somebody may have taken the label off; an open one is looked at for CI and reviews.
            if number in missing or seen[number].state == "open":
                pull = _find_pull(remote, number)
                if pull is not None:
                    seen[number] = _look_at(remote, pull)
    return [seen[number] for number in sorted(seen)]


def _find_pull(remote: RemoteRepository, number: int) -> PullRequest | None:
    try:
        return remote.get_pull(number)
    except GithubException as error:
        if error.status in (404, 410):
            return None
        raise


def _look_at(remote: RemoteRepository, pull: PullRequest) -> SeenPullRequest:
    state: PullRequestState = "merged" if pull.merged_at else "closed" if pull.state == "closed" else "open"
    told = {
        "number": pull.number, "state": state, "url": pull.html_url, "merged_at": pull.merged_at,
        "closed_at": pull.closed_at, "head": pull.head.sha, "is_draft": pull.draft,
    }  # fmt: skip
    if state != "open":
        return SeenPullRequest.model_validate(told)
    ci, failing = _read_ci(remote, pull.head.sha)
    return SeenPullRequest.model_validate({**told, "ci": ci, "failing": failing, "reviews": _read_reviews(pull)})


def _read_ci(remote: RemoteRepository, commit: str) -> tuple[CiState, list[str]]:
    """State of check runs and commit statuses together, worst first, and the names of those that failed.

    A token may see one and not the other; what it sees counts, and when that is nothing the state is unknown.
    """
    target = remote.get_commit(commit)
    checks = _visible(lambda: [(run.name, _conclusion(run)) for run in target.get_check_runs()])
    told = _visible(
        lambda: [(o.context, _STATUSES.get(o.state, "failure")) for o in target.get_combined_status().statuses]
    )
    runs = [*(checks or []), *(told or [])]
    failing = sorted({name for name, conclusion in runs if conclusion in _FAILED})
    if failing:
        return "failing", failing[:20]
    if any(conclusion is None for _, conclusion in runs):
        return "pending", []
    if runs:
        return "passing", []
    return ("unknown" if checks is None or told is None else "none"), []


def _conclusion(run: CheckRun) -> str | None:
    """How a check ended; None while it runs."""
    return run.conclusion if run.status == "completed" else None


def _visible(ask: Callable[[], list[tuple[str, str | None]]]) -> list[tuple[str, str | None]] | None:
    """What was asked for; None when the token may not see it."""
    try:
        return ask()
    except GithubException as error:
        if error.status not in (403, 404) or isinstance(translated(error, "CI results"), TransientError):
            raise
        return None


def _read_reviews(pull: PullRequest) -> dict[str, str]:
    """What each reviewer decided last; a later remark takes nothing back."""
    decided: dict[str, str] = {}
    for review in pull.get_reviews():
        login = review.user.login if review.user else "ghost"
        if review.state in _DECISIVE or login not in decided:
            decided[login] = review.state
    return decided
