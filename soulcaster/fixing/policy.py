"""Whether a patch may go on: paths, size, file kinds, secrets, weakened tests, hidden characters. Pure.

Runs on the text of the patch, outside any tree and before anything is executed. Source: agent.md §3.3.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from pydantic import SecretStr

from soulcaster.errors import PermanentError
from soulcaster.fix_models import Finding, Repository
from soulcaster.fixing.patches import SUBMODULE_MODE, SYMLINK_MODE, FileChange, parse
from soulcaster.fixing.paths import check_path, find_twins, readable
from soulcaster.fixing.secret_scan import find_secrets
from soulcaster.fixing.weakening import find_weakened_tests

MOST_FILES, MOST_LINES, MOST_BYTES = 20, 600, 200_000
"""A bug fix is small; what is larger a person writes. Source: agent.md §3.3 point 7."""

_LONGEST_LINE = 5000
_PLAIN_MODES = (None, "100644", "100755")
_HIDDEN = re.compile(
    "[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]")
_CLOSING = re.compile(
    r"\b(?:close[sd]?|fix(?:e[sd])?|resolve[sd]?)\s*:?\s+(?:[\w.-]+/[\w.-]+)?#\d+|\b(?:close[sd]?|fix(?:e[sd])?|resolve[sd]?)"
    r"\s*:?\s+https?://\S+/issues/\d+",
    re.IGNORECASE,
)
_MENTION = re.compile(r"(?:^|[\s(\[])@[A-Za-z0-9](?:[A-Za-z0-9-]{0,38})(?:/[\w-]+)?(?=[\s.,;:!?)\]]|$)")
_COMMENT = re.compile(r"^\s*(?:#|//|/?\*|--|<!--|>|[-*] )|\.(?:md|rst|txt)$")


def check(
    patch: str, repository: Repository, secrets: Sequence[SecretStr], *, known_paths: Iterable[str] = ()
) -> list[Finding]:
    """Everything that speaks against the patch; it may go on when no finding is blocking.

    Args:
        patch: as the agent handed it over.
        repository: whose `path_prefix` holds.
        secrets: all that this process holds; none of them may be in the patch.
        known_paths: the base tree's paths, to find new names that read like existing ones.
    """
    try:
        n_bytes = len(patch.encode())
    except UnicodeEncodeError:
        return [Finding(rule="encoding", detail="it holds bytes that are not UTF-8")]
    if n_bytes > MOST_BYTES:
        return [Finding(rule="too-many-bytes", detail=f"{n_bytes:,} bytes, {MOST_BYTES:,} allowed")]
    try:
        files = parse(patch)
    except PermanentError as error:
        return [Finding(rule="unreadable", detail=str(error))]
    found = _check_size(files)
    for file in files:
        found += _check_file(file, repository.path_prefix)
    found += find_twins([file.path for file in files if file.kind != "deleted"], known_paths)
    found += find_secrets(files, patch, secrets)
    found += find_weakened_tests(files)
    return found


def is_blocked(findings: Iterable[Finding]) -> bool:
    """Whether any finding stops the patch."""
    return any(finding.is_blocking for finding in findings)


def _check_size(files: Sequence[FileChange]) -> list[Finding]:
    found = []
    if len(files) > MOST_FILES:
        found.append(Finding(rule="too-many-files", detail=f"{len(files)} files, {MOST_FILES} allowed"))
    n_lines = sum(len(file.added) + len(file.removed) for file in files)
    if n_lines > MOST_LINES:
        found.append(Finding(rule="too-many-lines", detail=f"{n_lines:,} changed lines, {MOST_LINES} allowed"))
    paths = [file.path for file in files]
    if len(set(paths)) != len(paths):
        found.append(Finding(rule="unreadable", detail="one file appears more than once"))
    return found


def _check_file(file: FileChange, path_prefix: str) -> list[Finding]:
    found = [finding for path in {file.path, file.old_path} for finding in check_path(path, path_prefix=path_prefix)]
    path = readable(file.path)
    for mode in {file.old_mode, file.new_mode} - set(_PLAIN_MODES):
        kind = {SYMLINK_MODE: "symlink", SUBMODULE_MODE: "submodule"}.get(mode or "", "mode")
        found.append(Finding(rule=kind, path=path, detail=f"{path!r} is a {kind} ({mode}), expected plain files"))
    if file.kind == "created" and file.new_mode == "100755":
        found.append(Finding(rule="mode", path=path, detail=f"{path!r} is created executable"))
    if file.kind != "created" and file.old_mode != file.new_mode and file.kind != "deleted":
        found.append(
            Finding(rule="mode", path=path, detail=f"{path!r} changes from {file.old_mode} to {file.new_mode}")
        )
    if file.is_binary:
        found.append(Finding(rule="binary", path=path, detail=f"{path!r} is binary; nobody could review it"))
    return found + _check_lines(file, path)


def _check_lines(file: FileChange, path: str) -> list[Finding]:
    found = []
    if any(_HIDDEN.search(line) or _CONTROL.search(line) for line in file.added):
        detail = "an added line holds characters that nobody sees or that turn the direction of text"
        found.append(Finding(rule="hidden-characters", path=path, detail=detail))
    if any(len(line) > _LONGEST_LINE for line in file.added):
        found.append(Finding(rule="long-line", path=path, detail=f"an added line is over {_LONGEST_LINE:,} characters"))
    if any(_CLOSING.search(line) for line in file.added):
        detail = "an added line names an issue to close; only the pull request may do that"
        found.append(Finding(rule="closing-keyword", path=path, detail=detail, is_blocking=False))
    is_prose = _COMMENT.search(file.path) is not None
    if any(_MENTION.search(line) and (is_prose or _COMMENT.match(line)) for line in file.added):
        detail = "an added comment mentions somebody"
        found.append(Finding(rule="mention", path=path, detail=detail, is_blocking=False))
    return found
