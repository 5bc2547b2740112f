"""One question to a stranger's HTTP API, with every way it can go wrong sorted into "again later" and "tell a human".

Owns deadlines, size limits, rate-limit headers and paging links. Knows no source and writes nothing.
"""

from __future__ import annotations

import json
import math
import re
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urljoin, urlsplit

import httpx

from soulcaster import __version__
from soulcaster.configured import Cursor
from soulcaster.errors import PermanentError, TransientError
from soulcaster.sources.fields import Record, is_record

T = TypeVar("T")

USER_AGENT = f"linux:soulcaster:{__version__}"
_GRACE_SECONDS = 1.0
"""So long the read's own time-out, which says more, goes first."""
_MAX_ANSWER_BYTES = 64 * 1024 * 1024
_LONGEST_WAIT = timedelta(hours=24)
_FIRST_EPOCH_SECONDS = 1_000_000_000
"""Larger numbers in a reset header are points in time (GitHub, Sentry), smaller ones are spans (Reddit)."""
_LINK = re.compile(r"<([^>]*)>([^<]*)")
_TOO_MANY, _FIRST_SERVER_ERROR = 429, 500


class Page(NamedTuple):
    """One answer of a source.

    Attributes:
        payload: what the source's parser reads.
        cursor: where the next pull begins once the items of this page are committed.
        way: how it was read.
        note: what this way cannot give, '' when nothing is missing.
    """

    payload: object
    cursor: Cursor
    way: str
    note: str = ""


class Reply(NamedTuple):
    """Status, headers (names in any case) and whole body of an answer."""

    status: int
    headers: httpx.Headers
    body: bytes


def ask(client: httpx.Client, method: str, url: str, what: str, **request: Any) -> Reply:  # noqa: ANN401  httpx's words
    """The whole answer, whatever its status below 500 except 429.

    Args:
        client: its read time-out is also the longest time the whole answer may take.
        method: GET or POST.
        url: absolute, or relative to the client's base.
        what: the thing asked for, for the sentence of an error; never a secret.
        request: further arguments of `httpx.Client.stream`.

    Raises:
        TransientError: no answer in time, a cut connection, 429 or a server's error; says when to come back if known.
        PermanentError: the answer is larger than anything an API sends.
    """
    longest = client.timeout.read or 30.0
    return within(longest, what, lambda: _ask(client, method, url, what, request, longest))


def within(seconds: float, what: str, call: Callable[[], T]) -> T:
    """What the call returns or raises; one that takes longer is given up, however steadily its bytes drip in.

    A socket's time-out bounds each read, not their sum, and headers are read before anybody can count. So the call has
    a thread of its own, which ends when the other side does, or with the process: a run of Prefect's has one to itself.

    Raises:
        TransientError: it took a second longer than `seconds`.
    """
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:  # noqa: BLE001  raised where the result is asked for
            outcome.set_exception(error)

    threading.Thread(target=run, name="one request", daemon=True).start()
    if not wait([outcome], timeout=seconds + _GRACE_SECONDS).done:
        raise TransientError(f"Reading {what} was given up: expected the answer within {seconds:g} s.")
    return outcome.result()


def _ask(client: httpx.Client, method: str, url: str, what: str, request: dict[str, Any], longest: float) -> Reply:
    deadline = time.monotonic() + longest
    body = bytearray()
    try:
        with client.stream(method, url, **request) as response:
            for chunk in response.iter_bytes():
                body += chunk
                if time.monotonic() > deadline:
                    raise TransientError(f"Reading {what} was given up: expected the answer within {longest:g} s.")
                if len(body) > _MAX_ANSWER_BYTES:
                    raise PermanentError(f"Reading {what} was given up: expected at most 64 MiB, got more.")
    except httpx.HTTPError as error:
        raise TransientError(f"Reading {what} failed: {type(error).__name__}; it is tried again.") from error
    if response.status_code == _TOO_MANY or response.status_code >= _FIRST_SERVER_ERROR:
        raise busy(what, response.status_code, response.headers)
    return Reply(response.status_code, response.headers, bytes(body))


def busy(what: str, status: int, headers: Mapping[str, str]) -> TransientError:
    """The error of an answer that asks us to come back later, with the time it names."""
    retry_at = find_retry_at(headers, datetime.now(UTC))
    when = f" at {retry_at:%Y-%m-%d %H:%M:%S} UTC" if retry_at else ""
    return TransientError(f"Reading {what} was answered with {status}; it is tried again{when}.", retry_at=retry_at)


def decode(reply: Reply, what: str) -> object:
    """The JSON value of an answer.

    Raises:
        TransientError: it is none: cut short, or an error page of something in between.
    """
    try:
        return json.loads(reply.body)
    except (ValueError, RecursionError) as error:
        kind = reply.headers.get("content-type", "none")[:60]
        raise TransientError(
            f"Reading {what} failed: expected JSON, got something else (content type {kind!r})."
        ) from error


def records(value: object, what: str) -> list[Record]:
    """The JSON objects of a list.

    Raises:
        TransientError: the value is no list.
    """
    if not isinstance(value, list):
        raise TransientError(f"Reading {what} failed: expected a list, got {type(value).__name__}.")
    return [entry for entry in value if is_record(entry)]


def find_retry_at(headers: Mapping[str, str], now: datetime) -> datetime | None:
    """Time (aware UTC, at most a day ahead) at which the other side takes requests again, None when it does not say.

    Source: RFC 9110 `Retry-After` in seconds or as a date; `x-ratelimit-reset` of GitHub (epoch seconds) and Reddit
    (seconds from now, as a float string); `x-sentry-rate-limit-reset` (epoch seconds).
    """
    for name in ("retry-after", "x-ratelimit-reset", "x-sentry-rate-limit-reset"):
        value = headers.get(name)
        if value is None:
            continue
        seconds = _number(value)
        try:
            if seconds is None:
                at = parsedate_to_datetime(value).astimezone(UTC)
            elif seconds >= _FIRST_EPOCH_SECONDS:
                at = datetime.fromtimestamp(seconds, UTC)
            else:
                at = now + timedelta(seconds=max(0.0, seconds))
        except (ValueError, OverflowError, OSError):
            continue
        return min(max(at, now), now + _LONGEST_WAIT)
    return None


def check_budget(headers: Mapping[str, str], what: str) -> None:
    """Stop before a request the other side has announced to refuse.

    Raises:
        TransientError: the rate-limit headers of the last answer leave no request; says when there are new ones.
    """
    remaining = _number(headers.get("x-ratelimit-remaining", headers.get("x-sentry-rate-limit-remaining", "")))
    if remaining is not None and remaining < 1:
        retry_at = find_retry_at(
            {key: value for key, value in headers.items() if key != "retry-after"}, datetime.now(UTC)
        )
        when = f" at {retry_at:%Y-%m-%d %H:%M:%S} UTC" if retry_at else ""
        raise TransientError(f"Reading {what} stopped: its rate limit is used up; it goes on{when}.", retry_at=retry_at)


def find_next_link(headers: Mapping[str, str], base_url: str) -> str | None:
    """Absolute address of the next page from the Link header; None on the last page.

    Raises:
        PermanentError: it leads to another host, which must not see our token.
    """
    for address, parameters in _LINK.findall(headers.get("link", "")):
        if 'rel="next"' in parameters and 'results="false"' not in parameters:
            found = str(urljoin(base_url, address))
            if urlsplit(found)[:2] != urlsplit(base_url)[:2]:
                raise PermanentError(
                    f"Following the pages of {base_url!r} was refused: expected the same host, got {found[:200]!r}; "
                    "check base_url."
                )
            return found
    return None


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
