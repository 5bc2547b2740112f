"""The code of a repository at its base branch, as a commit in the cache and as an archive for the agent.

Files come from git's objects byte for byte: no checkout, so no filter, no line-end change, no export-ignore. What a
plain tree cannot hold safely (submodules, links that lead outside, odd paths) is left out and named.
"""

from __future__ import annotations

import gzip
import io
import os
import re
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from soulcaster.errors import PermanentError
from soulcaster.fix_models import Repository
from soulcaster.publisher import git
from soulcaster.publisher.api import Credentials

_COMMIT = re.compile(r"[0-9a-f]{40}")
_MOST_BYTES = 1 << 30
"""Of files in one archive: what a sandbox is still quick with."""
FETCH = ["fetch", "--quiet", "--depth=1", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--"]
_LINK, _SUBMODULE, _EXECUTABLE = "120000", "160000", "100755"


class LeftOut(NamedTuple):
    """An entry of the tree that the archive does not hold."""

    path: str
    reason: str


class _Entry(NamedTuple):
    mode: str
    sha: str
    path: str


def fetch_base(repository: Repository, credentials: Credentials, cache: Path) -> str:
    """Commit that the base branch is at now; its files are in the cache afterwards.

    Raises:
        PermanentError: the branch is missing, or the token may not read.
        TransientError: the remote is away, or another process holds the cache.
    """
    with git.locked(cache, repository) as held:
        branch = repository.base_branch
        mine = f"refs/soulcaster/base/{branch}"
        git.run(
            held,
            [*FETCH, held.clone_url, f"+refs/heads/{branch}:{mine}"],
            what=f"fetching branch {branch!r}",
            credentials=credentials,
        )
        said = git.run(held, ["rev-parse", "--verify", f"{mine}^{{commit}}"], what="reading the branch")
        commit = said.decode().strip()
        keep(held, commit)
        return commit


def keep(held: git.Cache, commit: str) -> None:
    """Hold a commit of the base for as long as the cache lives: a shallow one loses its edge once unreachable."""
    git.run(held, ["update-ref", f"refs/soulcaster/kept/{commit}", commit], what="keeping a commit")


def fetch_commit(held: git.Cache, credentials: Credentials | None, commit: str) -> None:
    """Make sure that the cache holds a commit; it is asked for by its name when the cache was cleared.

    Raises:
        PermanentError: it is no commit's name, or the remote does not have it any more.
        TransientError: the remote is away.
    """
    if not _COMMIT.fullmatch(commit):
        raise PermanentError(f"Reading a commit of {held.name!r}: expected 40 hexadecimal digits, got {commit[:60]!r}.")
    if git.attempt(held, ["cat-file", "-e", f"{commit}^{{commit}}"], what="looking for a commit").code == 0:
        return
    if credentials is None:
        raise PermanentError(
            f"Reading commit {commit} of {held.name!r}: the cache does not have it; fetch the base anew."
        )
    git.run(held, [*FETCH, held.clone_url, commit], what=f"fetching commit {commit}", credentials=credentials)
    keep(held, commit)


def make_source(repository: Repository, commit: str, cache: Path, target: Path) -> list[LeftOut]:
    """Write the tree of a commit as a `.tar.gz` without `.git`; the same commit gives the same bytes.

    Returns what was left out, in the order of the tree.

    Raises:
        PermanentError: the cache does not have the commit, or its files are larger than an archive may be.
        TransientError: another process holds the cache.
    """
    with git.locked(cache, repository) as held:
        fetch_commit(held, None, commit)
        stamp = int(git.run(held, ["show", "-s", "--format=%ct", commit], what="reading a commit"))
        entries = list(_list_entries(held, commit))
        draft = target.with_name(f"{target.name}.{os.getpid()}.part")
        try:
            with draft.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed:
                left_out = _write(held, entries, packed, stamp)
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)
    return left_out


def _list_entries(held: git.Cache, commit: str) -> Iterator[_Entry]:
    listing = git.run(held, ["ls-tree", "-r", "-z", "--full-tree", commit], what="listing a tree")
    for line in listing.split(b"\0")[:-1]:
        head, _, path = line.partition(b"\t")
        mode, _, sha = head.decode().split(" ")
        yield _Entry(mode, sha, os.fsdecode(path))


def _write(held: git.Cache, entries: list[_Entry], packed: gzip.GzipFile, stamp: int) -> list[LeftOut]:
    left_out: list[LeftOut] = []
    n_bytes = 0
    with (
        git.start(held, ["cat-file", "--batch"]) as reader,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as archive,
    ):
        for entry in entries:
            reason = find_objection(entry.path) or ("submodule" if entry.mode == _SUBMODULE else "")
            blob = b"" if reason else _read_blob(reader, entry.sha)
            if entry.mode == _LINK and not reason:
                reason = find_link_objection(entry.path, os.fsdecode(blob))
            if reason:
                left_out.append(LeftOut(entry.path, reason))
                continue
            n_bytes += len(blob)
            if n_bytes > _MOST_BYTES:
                raise PermanentError(
                    f"Packing {held.name!r} was given up: expected files of at most 1 GiB together, got more."
                )
            archive.addfile(_describe(entry, blob, stamp), None if entry.mode == _LINK else io.BytesIO(blob))
    return left_out


def _describe(entry: _Entry, blob: bytes, stamp: int) -> tarfile.TarInfo:
    described = tarfile.TarInfo(entry.path)
    described.mtime = stamp
    if entry.mode == _LINK:
        described.type, described.linkname = tarfile.SYMTYPE, os.fsdecode(blob)
    else:
        described.size, described.mode = len(blob), 0o755 if entry.mode == _EXECUTABLE else 0o644
    return described


def _read_blob(reader: subprocess.Popen[bytes], sha: str) -> bytes:
    assert reader.stdin is not None  # noqa: S101  pipes were asked for; tells the type checker
    assert reader.stdout is not None  # noqa: S101  as above
    reader.stdin.write(sha.encode() + b"\n")
    reader.stdin.flush()
    head = reader.stdout.readline().split()
    if len(head) != 3 or head[1] != b"blob":  # noqa: PLR2004  name, kind, size
        raise PermanentError(
            f"Reading object {sha} failed: expected a file, got {head[1:2]!r}; clear the cache folder."
        )
    return reader.stdout.read(int(head[2]) + 1)[:-1]


def find_objection(path: str) -> str:
    """Why a path of a tree may not be written to a disk; '' when it may."""
    parts = path.split("/")
    if path.startswith("/") or any(part in ("", ".", "..") for part in parts):
        return "path leads outside"
    if any(part.lower().rstrip(". ") in (".git", "git~1") for part in parts):
        return "path inside .git"
    if any(ord(letter) < ord(" ") for letter in path) or "\\" in path:
        return "path with control characters or backslashes"
    return ""


def find_link_objection(path: str, target: str) -> str:
    """Why a symbolic link of a tree may not be written to a disk; '' when it cannot leave the tree.

    `..` may stand only at the beginning, and not so often that it leaves: then no chain of links can climb out.
    """
    parts = [part for part in target.split("/") if part not in ("", ".")]
    n_up = next((i for i, part in enumerate(parts) if part != ".."), len(parts))
    if target.startswith("/") or not target or n_up > path.count("/") or ".." in parts[n_up:]:
        return "link leads outside"
    return find_objection("/".join(parts[n_up:])) if parts[n_up:] else ""
