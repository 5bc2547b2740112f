"""A patch as data: its files, their modes, the lines that come and go; and its split into tests and source.

Git itself says which paths a patch touches and how many lines it adds, for git is what applies it later; a library
says which lines. Where the two disagree, or a header is not one that git writes, the patch is refused as unreadable.
"""

from __future__ import annotations

import re
import subprocess
from typing import Literal, NamedTuple

from unidiff.errors import UnidiffParseError
from unidiff.patch import PatchSet

from soulcaster.errors import PermanentError
from soulcaster.fixing.paths import is_test_path

FileKind = Literal["created", "deleted", "modified", "renamed"]
SYMLINK_MODE, SUBMODULE_MODE = "120000", "160000"

_HEADER = re.compile(
    r"diff --git |index [0-9a-f]{4,64}\.\.[0-9a-f]{4,64}(?: \d{6})?$|(?:old|new) mode \d{6}$"
    r"|(?:new|deleted) file mode \d{6}$|(?:dis)?similarity index \d{1,3}%$|(?:rename|copy) (?:from|to) |--- |\+\+\+ "
)
_MODE = re.compile(r"^(old|new|new file|deleted file) mode (\d{6})$|^index \S+ (\d{6})$", re.MULTILINE)
_BINARY = re.compile(r"^(?:GIT binary patch|Binary files .* differ)$", re.MULTILINE)
_CHUNK = re.compile(r"^(?=diff --git )", re.MULTILINE)
_GIT_ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CEILING_DIRECTORIES": "/", "HOME": "/nonexistent",
}  # fmt: skip
_GIT_SECONDS = 60


class FileChange(NamedTuple):
    """What a patch does to one file."""

    path: str
    """The path afterwards; of a deleted file the one before."""
    old_path: str
    kind: FileKind
    old_mode: str | None
    new_mode: str | None
    """Octal as git writes it; None where the patch does not say."""
    is_binary: bool
    added: list[str]
    removed: list[str]
    text: str
    """Its part of the patch, unchanged."""


def parse(patch: str) -> list[FileChange]:
    """The files of a patch in its order; empty for an empty patch.

    Raises:
        PermanentError: git cannot read it, or it holds anything but plain git diffs.
    """
    if not patch.strip():
        return []
    chunks = _CHUNK.split(patch)
    if chunks[0].strip():
        raise _unreadable("text before its first 'diff --git' line")
    counts = _ask_git(patch)
    if len(counts) != len(chunks) - 1:
        raise _unreadable(f"{len(counts)} files by git's count, {len(chunks) - 1} by its 'diff --git' lines")
    return [_change(chunk, *count) for chunk, count in zip(chunks[1:], counts, strict=True)]


def split(patch: str) -> tuple[str, str]:
    """(what it does to tests, what it does to everything else), both patches of their own; '' where there is nothing.

    Raises:
        PermanentError: the patch cannot be read.
    """
    files = parse(patch)
    tests = [each.text for each in files if is_test_path(each.path)]
    source = [each.text for each in files if not is_test_path(each.path)]
    return "".join(tests), "".join(source)


def _ask_git(patch: str) -> list[tuple[int | None, int | None, str]]:
    """Lines added and removed (None: binary) and the path of each file, as `git apply` would take it."""
    done = subprocess.run(
        ["git", "apply", "--numstat", "-z", "-"],
        input=patch.encode("utf-8", "surrogateescape"), capture_output=True, check=False, cwd="/",
        env=_GIT_ENVIRONMENT, timeout=_GIT_SECONDS,
    )  # fmt: skip
    if done.returncode:
        raise _unreadable(f"git said {done.stderr.decode(errors='replace').strip().splitlines()[-1][:200]!r}")
    found: list[tuple[int | None, int | None, str]] = []
    for entry in done.stdout.split(b"\0"):
        if entry:
            added, removed, path = entry.split(b"\t", 2)
            numbers = [None if each == b"-" else int(each) for each in (added, removed)]
            found.append((numbers[0], numbers[1], path.decode("utf-8", "surrogateescape")))
    return found


def _change(chunk: str, n_added: int | None, n_removed: int | None, path: str) -> FileChange:
    header = chunk.split("\n@@ ", 1)[0].split("\nGIT binary patch", 1)[0]
    is_binary = _BINARY.search(chunk[: len(header) + 30]) is not None
    for line in header.split("\n"):
        if line and not _HEADER.match(line) and not _BINARY.match(line):
            raise _unreadable(f"the header line {line[:80]!r} of {path!r}")
    modes = {kind or "index": mode or index_mode for kind, mode, index_mode in _MODE.findall(header)}
    old_mode = modes.get("old") or modes.get("deleted file") or modes.get("index")
    new_mode = modes.get("new") or modes.get("new file") or modes.get("index")
    kind, old_path = _kind(header, modes, path)
    added, removed = ([], []) if is_binary else _lines(chunk, path)
    if not is_binary and (len(added), len(removed)) != (n_added, n_removed):
        raise _unreadable(f"{path!r}: git counts {n_added} lines added and {n_removed} removed, we do not")
    return FileChange(path, old_path, kind, old_mode, new_mode, is_binary, added, removed, chunk)


def _kind(header: str, modes: dict[str, str], path: str) -> tuple[FileKind, str]:
    if "new file" in modes:
        return "created", path
    if "deleted file" in modes:
        return "deleted", path
    origin = re.search(r"^(?:rename|copy) from (.*)$", header, re.MULTILINE)
    if origin:
        if origin[1].startswith('"'):
            raise _unreadable(f"the quoted name {origin[1][:80]!r}")
        return "renamed", origin[1]
    if re.search(r"^--- /dev/null$", header, re.MULTILINE):
        return "created", path
    if re.search(r"^\+\+\+ /dev/null$", header, re.MULTILINE):
        return "deleted", path
    return "modified", path


def _lines(chunk: str, path: str) -> tuple[list[str], list[str]]:
    try:
        files = PatchSet(chunk)
    except UnidiffParseError as error:
        raise _unreadable(f"the lines of {path!r}: {str(error)[:100]!r}") from error
    lines = [line for file in files for hunk in file for line in hunk]
    return (
        [line.value.removesuffix("\n") for line in lines if line.is_added],
        [line.value.removesuffix("\n") for line in lines if line.is_removed],
    )


def _unreadable(why: str) -> PermanentError:
    return PermanentError(f"Reading the patch expected plain git diffs, got {why}; it is not used.")
