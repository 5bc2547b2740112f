"""A patch as a commit on a known base, and that commit on our branch of the remote.

Made from objects in the bare cache: no working tree, so nothing of the repository is ever run or followed. The same
draft gives the same commit on any machine; that is how a run after a crash knows its own work.
"""

from __future__ import annotations

import re
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Literal

from soulcaster.errors import PermanentError, TransientError
from soulcaster.publisher import git
from soulcaster.publisher.api import Credentials
from soulcaster.publisher.body import plain_line
from soulcaster.publisher.checkout import FETCH, fetch_commit, find_objection

_FILE, _EXECUTABLE, _ABSENT = "100644", "100755", "000000"
_HARMLESS = frozenset({(_FILE, _FILE), (_ABSENT, _FILE), (_EXECUTABLE, _EXECUTABLE)})
_JOB_TRAILER = "Soulcaster-Job"
_TRAILER_NAME = re.compile(r"[A-Za-z][A-Za-z-]{0,40}")

PushOutcome = Literal["pushed", "same", "foreign"]


def make_commit(
    held: git.Cache,
    credentials: Credentials,
    *,
    base_commit: str,
    patch: str,
    message: str,
    trailers: dict[str, str],
    path_prefix: str,
    committed_at: datetime | None,
) -> str:
    """Sha of a commit whose only parent is the base and whose tree is the base with the patch.

    Args:
        held: the cache, which need not hold the base yet.
        credentials: for fetching the base, and the name the commit bears.
        base_commit: 40 hexadecimal digits.
        patch: unified diff with a/ and b/, applied without tolerance.
        message: title, blank line, text.
        trailers: last lines of the message, name to value.
        path_prefix: folder that the patch may not leave; '' for all.
        committed_at: date of the commit; the base's when None.

    Raises:
        PermanentError: the patch does not apply, changes nothing, or changes what no patch may.
        TransientError: the remote is away.
    """
    fetch_commit(held, credentials, base_commit)
    tree = _apply(held, base_commit, patch)
    _check_change(held, base_commit, tree, path_prefix)
    stamp = str(int(committed_at.timestamp())) if committed_at else _read(held, "%ct", base_commit)
    identity = _identity(credentials, stamp)
    words = ["commit-tree", tree, "-p", base_commit]
    said = git.run(held, words, what="writing the commit", stdin=_compose(message, trailers), more=identity)
    return said.decode().strip()


def push(held: git.Cache, credentials: Credentials, *, commit: str, branch: str, known_head: str | None) -> PushOutcome:
    """Set our branch on the remote to the commit, when what is there is nothing, the commit itself, or known as ours.

    Returns 'foreign', and pushes nothing, when somebody else's commit is there.

    Raises:
        PermanentError: the remote refuses: rights, a protected branch, a rule.
        TransientError: the remote is away, or the branch moved between looking and pushing.
    """
    head = find_head(held, credentials, branch)
    if head == commit:
        return "same"
    if head is not None and head != known_head:
        return "foreign"
    lease = f"--force-with-lease=refs/heads/{branch}:{head or ''}"
    done = git.attempt(
        held,
        ["push", "--quiet", "--no-verify", lease, "--", held.clone_url, f"{commit}:refs/heads/{branch}"],
        what=f"pushing {branch!r}",
        credentials=credentials,
    )
    if done.code == 0:
        return "pushed"
    if re.search(r"stale info|fetch first|non-fast-forward|cannot lock ref|reference already exists", done.complaint):
        raise TransientError(
            f"Pushing {branch!r} to {held.name!r} was stopped: somebody moved it meanwhile; it is looked at again."
        )
    raise git.refusal(held, done, f"pushing {branch!r}")


def find_head(held: git.Cache, credentials: Credentials, branch: str) -> str | None:
    """Commit that the remote's branch is at; None when there is no such branch."""
    said = git.run(
        held,
        ["ls-remote", "--quiet", "--refs", "--", held.clone_url, f"refs/heads/{branch}"],
        what=f"reading branch {branch!r}",
        credentials=credentials,
    )
    heads = [line.split("\t")[0] for line in said.decode().splitlines() if line.endswith(f"\trefs/heads/{branch}")]
    return heads[0] if heads else None


def find_own(held: git.Cache, credentials: Credentials, branch: str) -> str | None:
    """Head of a branch on the remote when we wrote it: our name as author and committer, and our trailer.

    For a branch without a pull request only, left by a run that was killed between the two: a person who amends
    becomes the committer.
    """
    head = find_head(held, credentials, branch)
    if head is None:
        return None
    git.run(held, [*FETCH, held.clone_url, head], what=f"fetching branch {branch!r}", credentials=credentials)
    said = _read(held, f"%ae%x00%ce%x00%(trailers:key={_JOB_TRAILER},valueonly)", head).split("\0")
    is_ours = said[:2] == [credentials.author_email] * 2 and bool(said[2].strip())
    return head if is_ours else None


def _read(held: git.Cache, form: str, commit: str) -> str:
    words = ["show", "-s", "--no-show-signature", f"--format={form}", commit]
    return git.run(held, words, what="reading a commit").decode(errors="replace").strip()


def _check_change(held: git.Cache, base: str, tree: str, path_prefix: str) -> None:
    """What git made of the patch, whatever others read in its text: plain files only, in their place."""
    listing = git.run(held, ["diff-tree", "-r", "-z", "--no-renames", base, tree], what="reading the change")
    fields = listing.decode(errors="surrogateescape").split("\0")[:-1]
    if not fields:
        raise PermanentError(f"Publishing to {held.name!r} was refused: the patch changes nothing.")
    prefix = f"{path_prefix.strip('/')}/" if path_prefix.strip("/") else ""
    for head, path in zip(fields[::2], fields[1::2], strict=True):
        before, after = head.lstrip(":").split(" ")[:2]
        reason = find_objection(path)
        if not path.startswith(prefix):
            reason = f"outside the folder {prefix!r}"
        elif after != _ABSENT and (before, after) not in _HARMLESS:
            reason = f"mode {before} becomes {after}"
        elif any(part.lower().startswith(".git") for part in path.split("/")):
            reason = "configuration of git or of the forge"
        if reason:
            raise PermanentError(f"Publishing to {held.name!r} was refused at {path[:200]!r}: {reason}.")


def _apply(held: git.Cache, base_commit: str, patch: str) -> str:
    """The tree that the patch makes of the base."""
    with tempfile.TemporaryDirectory(prefix="soulcaster-index-") as scratch:
        index = {"GIT_INDEX_FILE": str(Path(scratch) / "index")}
        git.run(held, ["read-tree", base_commit], what="reading the base", more=index)
        applied = git.attempt(
            held,
            ["apply", "--cached", "--whitespace=nowarn", "-"],
            what="applying the patch",
            stdin=patch.encode("utf-8", "surrogateescape"),
            more=index,
        )
        if applied.code:
            said = " ".join(applied.complaint.split())[:300]
            raise PermanentError(
                f"Applying the patch on commit {base_commit[:12]} of {held.name!r} failed: expected it to fit, "
                f"git says {said!r}; start the job anew."
            )
        return git.run(held, ["write-tree"], what="writing the tree", more=index).decode().strip()


def _identity(credentials: Credentials, stamp: str) -> dict[str, str]:
    """Variables that make us author and committer at a time (epoch seconds)."""
    person = {"NAME": credentials.author_name, "EMAIL": credentials.author_email, "DATE": f"{stamp} +0000"}
    return {f"GIT_{role}_{key}": text for role in ("AUTHOR", "COMMITTER") for key, text in person.items()}


def _compose(message: str, trailers: dict[str, str]) -> bytes:
    lines = [plain_line(line, 500) for line in message.strip().splitlines()[:200]] or ["Soulcaster"]
    named = [
        f"{name}: {' '.join(value.split())[:200]}" for name, value in trailers.items() if _TRAILER_NAME.fullmatch(name)
    ]
    return "\n".join([*lines, *([""] if named else []), *named]).encode() + b"\n"
