"""The log of a failed job of GitHub Actions: the lines about its error, bounded and cleaned. Reads only.

The forge answers with an address of another place, which is asked without our token. What comes is text that tests and
their dependencies wrote: data from strangers, with whatever secret somebody printed.
"""

from __future__ import annotations

import re
from collections import deque
from urllib.parse import urlsplit

import httpx
from github import GithubException
from github.Repository import Repository as RemoteRepository

from soulcaster.errors import TransientError
from soulcaster.publisher.api import translated
from soulcaster.text import mask_secrets

ACTIONS = "github-actions"
LONGEST_LOG = 6000
_MOST_BYTES = 30_000_000
_MOST_KEPT_LINES, _LONGEST_LINE = 4000, 500
_LINES_BEFORE, _LINES_AFTER = 120, 5
_TIMEOUT_SECONDS = 30.0
_TIME = re.compile(r"^\ufeff?\d{4}-\d\d-\d\dT[\d:.]+Z ?")
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b.")
_MARK = "##[error]"
_FURNITURE = re.compile(r"^##\[(?:group|endgroup|section|debug)\]")
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_UNSEEN_STATUSES = (403, 404, 410)
"""The token may not read Actions, or the log has expired."""


def read_log(remote: RemoteRepository, job_number: int) -> str:
    """What the job's log says around its last error; '' when the token may not see it, or it is gone.

    Raises:
        GithubException: GitHub refused otherwise, or is away; whoever asks translates it.
        TransientError: the place that holds the log gave no answer.
    """
    try:
        address = remote.get_workflow_job(job_number).logs_url()
    except GithubException as error:
        if error.status not in _UNSEEN_STATUSES or isinstance(translated(error, "a job's log"), TransientError):
            raise
        return ""
    return pick(_fetch(address))


def pick(lines: list[str]) -> str:
    """The lines that lead to the last error, or the end of a log that marks none; no colours, times, secrets."""
    clean = [_ANSI.sub("", _TIME.sub("", line)).rstrip() for line in lines]
    clean = [line for line in clean if line and not _FURNITURE.match(line)]
    marked = [number for number, line in enumerate(clean) if line.startswith(_MARK)]
    end = marked[-1] + _LINES_AFTER if marked else len(clean)
    text = mask_secrets("\n".join(line[:_LONGEST_LINE] for line in clean[max(0, end - _LINES_BEFORE) : end]))
    return text if len(text) <= LONGEST_LOG else "…" + text[len(text) - LONGEST_LOG + 1 :]


def _fetch(address: str) -> list[str]:
    """The last lines behind the address; a log that is longer than anybody reads is cut off."""
    parts = urlsplit(address)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        return []
    kept: deque[str] = deque(maxlen=_MOST_KEPT_LINES)
    n_bytes, rest = 0, ""
    try:
        with httpx.stream("GET", address, timeout=_TIMEOUT_SECONDS, follow_redirects=False) as answer:
            if answer.status_code != httpx.codes.OK:
                return []
            for piece in answer.iter_bytes():
                n_bytes += len(piece)
                *lines, rest = (rest + piece.decode("utf-8", "replace")).split("\n")
                kept.extend(lines)
                rest = rest[-_LONGEST_LINE:]
                if n_bytes > _MOST_BYTES:
                    break
    except httpx.HTTPError as error:
        raise TransientError(f"Reading a CI log gave no answer ({type(error).__name__}); it is tried again.") from error
    return [*kept, rest]
