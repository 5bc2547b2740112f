"""PyGithub's client as the publisher uses it, and what GitHub's refusals mean.

Never waits and never tries again by itself: waiting is the business of tasks and of the state machine.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from github import Auth, Github, GithubException, RateLimitExceededException
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from soulcaster import __version__
from soulcaster.errors import PermanentError, SoulcasterError, TransientError

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_LONGEST_WAIT = timedelta(hours=24)
_FIRST_SERVER_ERROR, _TOO_MANY = 500, 429


class Credentials(BaseModel):
    """A token for one repository and whom it signs in as. Printing it shows no secret."""

    model_config = ConfigDict(frozen=True)

    token: SecretStr
    api_url: str
    login: str = Field("", description="Account behind the token; '' until asked for (personal token).")
    author_name: str = "Soulcaster"
    author_email: str = Field("noreply@soulcaster.invalid", description="Of commits; reserved, belongs to nobody.")
    expires_at: datetime | None = None
    timeout_seconds: float = 30.0
    seconds_between_writes: float = Field(1.0, description="GitHub asks for a second between two writes.")


def check_address(url: str, what: str) -> str:
    """The address without a slash at its end, when a token may be sent there.

    Raises:
        PermanentError: neither https nor loopback, or it carries a name, a password, a query.
    """
    try:
        parts = urlsplit(url)
        is_safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
        is_plain = parts.hostname and not (parts.username or parts.password or parts.query or parts.fragment)
    except ValueError:
        is_safe = is_plain = False
    if not (is_safe and is_plain) or any(ord(letter) <= ord(" ") for letter in url):
        raise PermanentError(
            f"Using {what} {url[:200]!r} was refused: expected https://host/path without name, password or query."
        )
    return url.rstrip("/")


def client_settings(api_url: str, timeout_seconds: float, seconds_between_writes: float) -> dict[str, Any]:
    """Arguments of `Github` and `GithubIntegration` alike."""
    return {
        "base_url": check_address(api_url, "the API address"),
        "timeout": max(1, round(timeout_seconds)),
        "retry": None,
        "seconds_between_requests": 0,
        "seconds_between_writes": seconds_between_writes,
        "user_agent": f"linux:soulcaster:{__version__}",
    }


def connect(credentials: Credentials) -> Github:
    """A client that signs in with the token."""
    given = client_settings(credentials.api_url, credentials.timeout_seconds, credentials.seconds_between_writes)
    return Github(auth=Auth.Token(credentials.token.get_secret_value()), **given)


def find_login(client: Github, credentials: Credentials) -> str:
    """Account that writes with this token: what it posted may be edited, a stranger's look-alike may not.

    Raises:
        PermanentError, TransientError: GitHub refused, or is away.
    """
    if credentials.login:
        return credentials.login
    try:
        return client.get_user().login
    except (GithubException, OSError, ValueError) as error:
        raise translated(error, "the account of the token") from error


def translated(error: Exception, what: str, *, now: datetime | None = None) -> SoulcasterError:
    """Our error for one of PyGithub's, of requests' or of the wire's.

    Rate limits, primary and secondary, say when to come back.
    Source: GitHub REST, "Rate limits" (403 or 429; retry-after in seconds, else x-ratelimit-reset once
    x-ratelimit-remaining is 0, else at least a minute).
    """
    if not isinstance(error, GithubException):
        if isinstance(error, RuntimeError):
            return PermanentError(f"Asking GitHub for {what} failed: it redirects; was the repository renamed?")
        return TransientError(f"Asking GitHub for {what} failed: {type(error).__name__}; it is tried again.")
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    is_limited = isinstance(error, RateLimitExceededException) or (
        error.status in (403, _TOO_MANY) and ("retry-after" in headers or headers.get("x-ratelimit-remaining") == "0")
    )
    if is_limited or error.status == _TOO_MANY or error.status >= _FIRST_SERVER_ERROR:
        retry_at = find_retry_at(headers, now or datetime.now(UTC), is_limited=is_limited)
        when = f" at {retry_at:%Y-%m-%d %H:%M:%S} UTC" if retry_at else ""
        return TransientError(f"GitHub answered {error.status} for {what}; it is tried again{when}.", retry_at=retry_at)
    todo = {
        401: "the token is wrong or has expired; put a new one into the variable the repository names",
        403: "the token may not do this; it needs contents and pull requests with write access on this repository",
        404: "there is no such thing, or the token may not see it; check the name and the token's repositories",
        422: f"it found the request invalid ({reason_of(error)})",
    }.get(error.status, "see GitHub's documentation of this status")
    return PermanentError(f"GitHub answered {error.status} for {what}: {todo}.")


def reason_of(error: GithubException) -> str:
    """GitHub's own words on what is invalid, short and on one line."""
    data = error.data if isinstance(error.data, dict) else {}
    errors = data.get("errors")
    parts = [
        str(one.get("message") or one.get("field") or one.get("code") or "") if isinstance(one, dict) else str(one)
        for one in (errors if isinstance(errors, list) else [])
    ]
    return " ".join("; ".join([str(data.get("message", "no reason given")), *parts]).split())[:300]


def find_retry_at(headers: Mapping[str, str], now: datetime, *, is_limited: bool) -> datetime | None:
    """Time (aware UTC, at most a day ahead) at which GitHub takes requests again; None when nobody knows."""
    seconds = _number(headers.get("retry-after"))
    if seconds is None and headers.get("x-ratelimit-remaining") == "0":
        reset = _number(headers.get("x-ratelimit-reset"))
        seconds = None if reset is None else reset - now.timestamp()
    if seconds is None and is_limited:
        seconds = 60.0
    if seconds is None:
        return None
    return now + min(timedelta(seconds=min(max(seconds, 0.0), _LONGEST_WAIT.total_seconds())), _LONGEST_WAIT)


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None
