"""Fetches the files of a job and hands back its results by presigned addresses: one fixed file behind each.

An address is a capability: it is never logged, never given to what the job runs, and no redirect is followed with it.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import ssl
import stat
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

MOST_OUTPUT_BYTES = {
    "change.patch": 6_000_000,
    "events.jsonl": 6_000_000,
    "log.txt": 6_000_000,
    "report.json": 10_000_000,  # last: whoever reads it finds what it tells of
}
MOST_TICKET_BYTES = 200_000
_TRIES = 4
_ANSWER_SECONDS = 60.0
_PIECE_BYTES = 1_000_000
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_LASTING = (http.HTTPStatus.REQUEST_TIMEOUT, http.HTTPStatus.TOO_MANY_REQUESTS)


class TransferError(Exception):
    """A file could not be fetched or handed over; the message names the file, never the address."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: object, **_more: object) -> None:
        """None: the answer that wanted to send us elsewhere is an error."""


def fetch(name: str, url: str, most_bytes: int) -> bytes:
    """The content behind the address.

    Raises:
        TransferError: refused, larger than `most_bytes`, or no answer after some tries.
    """
    return _try(name, urllib.request.Request(_checked(name, url)), most_bytes)  # noqa: S310  scheme is checked


def fetch_file(name: str, wanted: Mapping[str, Any], path: Path) -> None:
    """Put the content behind `wanted["url"]` into the file; size and sha256 have to be those that are told.

    Raises:
        TransferError: refused, no answer, or another content than was told.
    """
    content = fetch(name, wanted["url"], wanted["bytes"])
    if len(content) != wanted["bytes"] or hashlib.sha256(content).hexdigest() != wanted["sha256"]:
        raise TransferError(f"Fetching {name} gave another content than was told.")
    path.write_bytes(content)


def put(name: str, url: str, content: bytes, *, is_first_only: bool = False) -> None:
    """Store the content behind the address; with `is_first_only` what is there already stays.

    Raises:
        TransferError: refused, or no answer after some tries.
    """
    # Some servers read a body without a type as a form.
    headers = {"Content-Type": "application/octet-stream"} | ({"If-None-Match": "*"} if is_first_only else {})
    request = urllib.request.Request(_checked(name, url), data=content, method="PUT", headers=headers)  # noqa: S310
    _try(name, request, MOST_TICKET_BYTES, is_there_fine=is_first_only)


def read_output(path: Path, most_bytes: int) -> bytes | None:
    """Content of a result; None when it is absent, no plain file, or larger. Follows no link, waits for no pipe."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        content = file.read(most_bytes + 1)
    return content if len(content) <= most_bytes else None


def _checked(name: str, url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        return url
    raise TransferError(f"The address of {name} is neither https nor of this machine.")


def _try(name: str, request: urllib.request.Request, most_bytes: int, *, is_there_fine: bool = False) -> bytes:
    opener = urllib.request.build_opener(
        _NoRedirect, urllib.request.HTTPSHandler(context=ssl.create_default_context()), urllib.request.ProxyHandler({})
    )
    why = ""
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(2.0 ** (attempt - 1))
        try:
            with opener.open(request, timeout=_ANSWER_SECONDS) as answer:
                return _read(name, answer, most_bytes)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == http.HTTPStatus.PRECONDITION_FAILED and is_there_fine:
                return b""
            why = f"status {error.code}"
            if error.code < http.HTTPStatus.INTERNAL_SERVER_ERROR and error.code not in _LASTING:
                break
        except (OSError, http.client.HTTPException) as error:
            why = type(error).__name__
    raise TransferError(f"{'Handing over' if request.data is not None else 'Fetching'} {name} failed: {why}.")


def _read(name: str, answer: http.client.HTTPResponse, most_bytes: int) -> bytes:
    pieces, n_bytes = [], 0
    while piece := answer.read(_PIECE_BYTES):
        n_bytes += len(piece)
        if n_bytes > most_bytes:
            raise TransferError(f"Fetching {name} gave more than the {most_bytes} bytes it may have.")
        pieces.append(piece)
    if answer.length:  # what the server announced and did not send
        raise http.client.IncompleteRead(b"", answer.length)
    return b"".join(pieces)
