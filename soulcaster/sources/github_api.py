"""Issues and comments of one GitHub repository, page by page, oldest change first.

Owns paging, watermark and what GitHub's refusals mean. Pages hold raw payloads (attributes of PyGithub's issues would
cost one request each); what they say is the business of `sources.github`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

from github import Auth, Github, GithubException, GithubIntegration, RateLimitExceededException

from soulcaster.configured import Cursor
from soulcaster.errors import PermanentError, SoulcasterError, TransientError
from soulcaster.models import ItemState
from soulcaster.sources import wire
from soulcaster.sources.fields import Record, find_iso_time, find_text, is_record
from soulcaster.sources.github import find_place
from soulcaster.sources.wire import Page

DEFAULT_URL = "https://api.github.com"
MARGIN = timedelta(minutes=10)
"""Overlap of two pulls: GitHub's lists lag behind its writes."""

_PER_PAGE = 100
_FIRST_SERVER_ERROR = 500


class Gone(NamedTuple):
    """An issue that is no longer where it was: deleted, or moved to `moved_to` ('owner/repo#12')."""

    external_id: str
    state: ItemState
    state_reason: str
    moved_to: str | None


def make_client(
    repository: str,
    *,
    token: str | None,
    app: tuple[str, str] | None,
    base_url: str | None,
    timeout_seconds: float,
) -> Github:
    """A client that never waits or tries again by itself: waiting is the business of tasks.

    Args:
        repository: 'owner/repo', whose installation a GitHub App signs in for.
        token: personal access token; None for public repositories at 60 requests an hour.
        app: id and private key (PEM) of a GitHub App; takes precedence over the token.
        base_url: of GitHub Enterprise; None for github.com.
        timeout_seconds: longest wait for an answer.

    Raises:
        PermanentError: the App's key is none, or it is not installed on the repository.
        TransientError: GitHub did not answer.
    """
    given: dict[str, Any] = {
        "base_url": base_url or DEFAULT_URL,
        "timeout": max(1, round(timeout_seconds)),
        "retry": None,
        "seconds_between_requests": 0,
        "user_agent": wire.USER_AGENT,
    }
    if app is None:
        return Github(auth=Auth.Token(token) if token else None, **given)
    owner, name = repository.split("/")
    try:
        integration = GithubIntegration(auth=Auth.AppAuth(app[0], app[1]), **given)
        return wire.within(
            2 * timeout_seconds,
            f"the GitHub App's installation on {repository!r}",
            lambda: integration.get_repo_installation(owner, name).get_github_for_installation(),
        )
    except SoulcasterError:
        raise
    except (GithubException, OSError) as error:
        raise translated(error, f"the GitHub App's installation on {repository!r}") from error
    except Exception as error:  # the key is parsed by whichever crypto library PyGithub has, each with its own errors
        raise PermanentError(
            f"Signing in as a GitHub App for {repository!r} failed: expected a private key in PEM form."
        ) from error


def find_way(client: Github) -> str:
    """How the client signs in: 'app', 'token' or 'anonymous'."""
    auth = client.requester.auth
    return "app" if isinstance(auth, Auth.AppInstallationAuth) else "token" if auth else "anonymous"


def check_repository(client: Github, repository: str) -> None:
    """Return when the repository is there under this name.

    Raises:
        PermanentError: it is not visible, or it has another name now: reading on would double its items.
        TransientError: GitHub is away or the rate limit is used up.
    """
    _, found = _get(client, f"/repos/{repository}", None, f"GitHub repository {repository!r}")
    name = find_text(found, "full_name") if is_record(found) else None
    if name is None:
        raise TransientError(f"Reading GitHub repository {repository!r} failed: expected its full_name, got none.")
    if name.casefold() != repository.casefold():
        raise PermanentError(
            f"GitHub repository {repository!r} is called {name!r} now; remove this source and add 'github:{name}', "
            "so that no item is taken for a new one."
        )


def fetch_issues(
    client: Github, repository: str, cursor: Cursor, *, labels: list[str], until: datetime | None = None
) -> Iterator[Page]:
    """Pages of issues in all states (pull requests among them), changed since the cursor, oldest change first.

    Args:
        client: from `make_client`.
        repository: 'owner/repo'.
        cursor: of the last pull.
        labels: issues with all of these.
        until: none that changed at this time or later.

    Raises:
        PermanentError: GitHub refused; the message says what to do.
        TransientError: GitHub is away or the rate limit is used up; what was yielded counts.
    """
    filters = {"state": "all"} | ({"labels": ",".join(labels)} if labels else {})
    return _fetch(client, repository, "issues", cursor, filters, until)


def fetch_comments(client: Github, repository: str, cursor: Cursor, *, until: datetime | None = None) -> Iterator[Page]:
    """Pages of comments on issues and pull requests, changed since the cursor; raises as `fetch_issues`."""
    return _fetch(client, repository, "issues/comments", cursor, {}, until)


def find_gone(client: Github, repository: str, external_ids: list[str]) -> Iterator[Gone]:
    """Those of the known issues that are deleted or moved: lists no longer show them, so each is asked for by number.

    Raises: as `fetch_issues`.
    """
    for external_id in external_ids:
        number = external_id.rpartition("#")[2]
        what = f"GitHub issue {external_id!r}"
        try:
            _, found = _within(client, what, "GET", f"/repos/{repository}/issues/{number}")
        except GithubException as error:
            if error.status not in (404, 410):
                raise translated(error, what) from error
            yield Gone(external_id, "deleted", "deleted", None)
            continue
        except (OSError, ValueError, RuntimeError) as error:
            raise translated(error, what) from error
        place = find_place(found)
        if place is not None and place.casefold() != external_id.casefold():
            yield Gone(external_id, "removed", "transferred", place)


def query_graphql(
    client: Github, query: str, variables: dict[str, str | None], what: str
) -> tuple[dict[str, str], Record]:
    """Lower-case headers and the `data` of an answer of the GraphQL API; empty when it has none.

    Raises: as `fetch_issues`.
    """
    try:
        seconds = client.requester.kwargs["timeout"]
        headers, answer = wire.within(seconds, what, lambda: client.requester.graphql_query(query, variables))
    except GithubException as error:
        refusals = error.data.get("errors") if is_record(error.data) else None
        kinds = [each.get("type") for each in refusals if is_record(each)] if isinstance(refusals, list) else []
        if "RATE_LIMITED" in kinds:
            raise wire.busy(what, error.status, error.headers or {}) from error  # comes with status 200
        raise translated(error, what) from error
    except (OSError, ValueError, RuntimeError) as error:
        raise translated(error, what) from error
    data = answer.get("data") if is_record(answer) else None
    return {name: str(value) for name, value in headers.items()}, data if is_record(data) else {}


def _fetch(
    client: Github, repository: str, path: str, cursor: Cursor, filters: dict[str, str], until: datetime | None
) -> Iterator[Page]:
    """Pages by key, not by number: an issue edited while we read would move all behind it one page forward.

    So each request asks for what changed since the newest change seen; only within one and the same second (a whole
    page of equal times) the Link header is followed.
    """
    what = f"GitHub {path} of {repository!r}"
    watermark = find_iso_time(cursor, path)
    since = watermark - MARGIN if watermark else None
    link: str | None = None
    while True:
        parameters = {"sort": "updated", "direction": "asc", "per_page": str(_PER_PAGE), **filters}
        if since:
            parameters["since"] = f"{since:%Y-%m-%dT%H:%M:%SZ}"
        headers, found = _get(client, link or f"/repos/{repository}/{path}", None if link else parameters, what)
        things = wire.records(found, what)
        _check_names(things, repository)
        newest = max((time for thing in things if (time := changed_at(thing))), default=None)
        if newest and (watermark is None or newest > watermark):
            watermark = newest
        cursor = cursor | ({path: watermark.isoformat()} if watermark else {})
        wanted = [thing for thing in things if not (until and (time := changed_at(thing)) and time >= until)]
        yield Page(wanted, cursor, find_way(client))
        following = wire.find_next_link(headers, client.requester.base_url)
        if following is None or (until and newest and newest >= until):
            return
        wire.check_budget(headers, what)
        is_moving = newest is not None and (since is None or newest > since)
        since, link = (newest, None) if is_moving else (since, following)


def _check_names(things: list[Record], repository: str) -> None:
    for thing in things:
        place = find_place(thing)
        if place is not None and place.partition("#")[0].casefold() != repository.casefold():
            raise PermanentError(
                f"GitHub repository {repository!r} answered with an issue of {place!r}; was it renamed? Remove this "
                "source and add the new name."
            )


def changed_at(thing: Record) -> datetime | None:
    """When a thing last changed (aware UTC); None when it does not say, or says a time that is yet to come."""
    try:
        found = find_iso_time(thing, "updated_at")
    except PermanentError:
        return None
    # A time ahead of the clock would make the next pulls blind until it comes.
    return found if found and found <= datetime.now(UTC) + timedelta(minutes=5) else None


def _get(client: Github, url: str, parameters: dict[str, str] | None, what: str) -> tuple[dict[str, str], object]:
    """Lower-case headers and JSON value."""
    try:
        headers, found = _within(client, what, "GET", url, parameters)
    except (GithubException, OSError, ValueError, RuntimeError) as error:
        raise translated(error, what) from error
    kind = str(headers.get("content-type", "")).lower()
    if "charset=" in kind and "utf-8" not in kind:
        raise TransientError(f"Reading {what} failed: expected UTF-8, got content type {kind[:60]!r}.")
    return {name: str(value) for name, value in headers.items()}, found


def _within(
    client: Github, what: str, verb: str, url: str, parameters: dict[str, str] | None = None
) -> tuple[dict[str, Any], Any]:
    """Headers and JSON value, in as much time as one read may take."""
    requester = client.requester
    ask = partial(requester.requestJsonAndCheck, verb, url, parameters=parameters)
    return wire.within(requester.kwargs["timeout"], what, ask)


def translated(error: Exception, what: str) -> SoulcasterError:
    """What an error of PyGithub, or of the wire below it, means: again later, or tell a human."""
    if not isinstance(error, GithubException):
        if isinstance(error, RuntimeError):
            return PermanentError(f"Reading {what} failed: the server redirects elsewhere; check base_url.")
        return TransientError(f"Reading {what} failed: {type(error).__name__}; it is tried again.")
    headers = error.headers or {}
    is_limited = isinstance(error, RateLimitExceededException) or (
        error.status in (403, 429) and ("retry-after" in headers or headers.get("x-ratelimit-remaining") == "0")
    )
    if is_limited or error.status == 429 or error.status >= _FIRST_SERVER_ERROR:  # noqa: PLR2004  too many requests
        if is_limited and "retry-after" not in headers and headers.get("x-ratelimit-remaining") != "0":
            headers = headers | {"retry-after": "60"}  # GitHub: wait a minute after a secondary limit without a time
        return wire.busy(what, error.status, headers)
    todo = {
        401: "the token is wrong or has expired; put a new one into the variable the source names",
        403: "the token may not read this; give it read access to issues",
        404: "there is no such repository, or the token may not see it; check the name and the token's repositories",
        410: "its issues are switched off or gone; remove the source",
    }.get(error.status, "see GitHub's documentation of this status")
    return PermanentError(f"Reading {what} was answered with {error.status}: {todo}.")
