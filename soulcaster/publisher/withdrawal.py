"""Takes back a pull request of ours with its branch, as long as nobody else wrote to it."""

from __future__ import annotations

from pathlib import Path

from soulcaster.errors import PermanentError
from soulcaster.fix_models import Repository
from soulcaster.publisher import git
from soulcaster.publisher.api import Credentials, connect
from soulcaster.publisher.commit import find_head
from soulcaster.publisher.pull_request import BRANCH, asking, find_pull


def withdraw(repository: Repository, branch: str, head: str, credentials: Credentials, cache: Path) -> None:
    """Close the branch's pull request and delete the branch, which has to be at the commit `head`; gone is fine.

    Raises:
        PermanentError: the branch is not ours, somebody pushed to it, or the token may not.
        TransientError: GitHub or the cache is busy; the same call may be made again.
    """
    if not BRANCH.fullmatch(branch):
        raise PermanentError(f"Withdrawing was refused: expected a branch below soulcaster/, got {branch[:120]!r}.")
    with asking(f"the pull request of branch {branch!r}"):
        pull = find_pull(connect(credentials).get_repo(repository.name), branch)
        if pull is not None and pull.state == "open":
            pull.edit(state="closed")
    with git.locked(cache, repository) as held:
        present = find_head(held, credentials, branch)
        if present is None:
            return
        if present != head:
            raise PermanentError(
                f"Deleting branch {branch!r} was refused: expected commit {head[:12]}, got {present[:12]}; somebody "
                "pushed to it, look at it before you delete it."
            )
        lease = f"--force-with-lease=refs/heads/{branch}:{head}"
        words = ["push", "--quiet", "--no-verify", lease, "--", held.clone_url, f":refs/heads/{branch}"]
        git.run(held, words, what=f"deleting branch {branch!r}", credentials=credentials)
