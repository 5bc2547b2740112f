"""Issues of one Sentry project with the latest event of each, last seen first.

Owns paging by Sentry's cursors, the filters, and what Sentry's refusals mean. A page is a list of
`{"issue": ..., "event": ...}` objects, which `sources.sentry` reads as one item each.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx

from soulcaster.configured import Cursor
from soulcaster.errors import PermanentError, TransientError
from soulcaster.sources import wire
from soulcaster.sources.fields import Record, find_id, find_iso_time, is_record
from soulcaster.sources.wire import Page

DEFAULT_URL = "https://sentry.io"
MARGIN = timedelta(minutes=10)
"""Overlap of two pulls: Sentry's search index lags behind its events."""

_PER_PAGE = 25
_OK, _BAD_REQUEST = 200, 400


def make_client(*, token: str | None, base_url: str | None, timeout_seconds: float) -> httpx.Client:
    """A client that sends the auth token; to be closed by the caller."""
    headers = {"User-Agent": wire.USER_AGENT, "Accept": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    return httpx.Client(base_url=(base_url or DEFAULT_URL).rstrip("/"), headers=headers, timeout=timeout_seconds)


def make_query(search: str | None, levels: list[str], *, seen: tuple[datetime, datetime] | None = None) -> str:
    """Sentry's issue query; empty means all issues, where leaving it out would mean the unresolved ones.

    Args:
        search: in Sentry's own words.
        levels: any of these.
        seen: issues whose latest event lies from the first time (aware UTC) to before the second.
    """
    level = f"level:[{','.join(levels)}]" if levels else ""
    span = f"lastSeen:>={seen[0]:%Y-%m-%dT%H:%M:%S} lastSeen:<{seen[1]:%Y-%m-%dT%H:%M:%S}" if seen else ""
    return " ".join(part for part in (search, level, span) if part)


def fetch_issues(
    client: httpx.Client, place: str, cursor: Cursor, *, query: str, environments: list[str]
) -> Iterator[Page]:
    """Pages of issues seen since the cursor. A pull that was cut short goes on at the page it stopped at.

    Args:
        client: from `make_client`.
        place: 'organization/project', as slugs.
        cursor: `watermark`, and while a pull is under way `newest` and `next`.
        query: from `make_query`.
        environments: any of these; all when empty.

    Raises:
        PermanentError: Sentry refused; the message says what to do.
        TransientError: Sentry is away or a rate limit is used up; what was yielded counts.
    """
    what = f"issues of Sentry project {place!r}"
    watermark = find_iso_time(cursor, "watermark")
    newest = find_iso_time(cursor, "newest") if "next" in cursor else None
    first = client.base_url.copy_with(path=f"{client.base_url.path.rstrip('/')}/api/0/projects/{place}/issues/")
    first = first.copy_merge_params(
        {"query": query, "sort": "date", "statsPeriod": "", "limit": str(_PER_PAGE), "environment": environments}
    )
    link: str | None = cursor.get("next") or str(first)
    while link:
        reply = wire.ask(client, "GET", link, what)
        if reply.status == _BAD_REQUEST and link == cursor.get("next"):
            link = str(first)  # cursors of an interrupted pull do not live for ever; from the top nothing is lost
            continue
        issues = wire.records(_decode(reply, what), what)
        times = [time for issue in issues if (time := _seen_at(issue))]
        newest = max([*times, *([newest] if newest else [])], default=None)
        link = wire.find_next_link(reply.headers, str(client.base_url))
        if watermark and times and min(times) < watermark - MARGIN:
            link = None
        things = [{"issue": issue, "event": _latest_event(client, place, issue)} for issue in issues]
        yield Page(things, _next_cursor(watermark, newest, link), "token")
        if link:
            wire.check_budget(reply.headers, what)


def _next_cursor(watermark: datetime | None, newest: datetime | None, link: str | None) -> Cursor:
    """While pages are left the watermark stays: older issues are still to come."""
    reached = newest if link is None and newest else watermark
    cursor = {"watermark": reached.isoformat()} if reached else {}
    if link is not None:
        cursor["next"] = link
        if newest:
            cursor["newest"] = newest.isoformat()
    return cursor


def _latest_event(client: httpx.Client, place: str, issue: Record) -> object:
    """The issue's latest event; None where it is older than Sentry keeps events."""
    try:
        issue_id = find_id(issue, "id")
    except PermanentError:
        return None
    if issue_id is None or not issue_id.isdigit():
        return None
    what = f"latest event of Sentry issue {issue_id!r} in {place!r}"
    organization = place.partition("/")[0]
    url = f"/api/0/organizations/{organization}/issues/{issue_id}/events/latest/"
    reply = wire.ask(client, "GET", url, what)
    if reply.status == 404:  # noqa: PLR2004  not found
        return None
    event = _decode(reply, what)
    if not is_record(event):
        raise TransientError(f"Reading {what} failed: expected an object, got {type(event).__name__}.")
    return event


def _decode(reply: wire.Reply, what: str) -> object:
    if reply.status == _OK:
        return wire.decode(reply, what)
    todo = {
        301: "the organization or project has another name now; remove the source and add the new one",
        302: "the organization or project has another name now; remove the source and add the new one",
        400: "the query is none Sentry understands; check `search`",
        401: "the token is wrong or has expired; put a new one into the variable the source names",
        403: "the token may not read this; it needs the scopes event:read and project:read",
        404: "there is no such organization or project, or the token may not see it",
    }.get(reply.status, "see Sentry's documentation of this status")
    raise PermanentError(f"Reading {what} was answered with {reply.status}: {todo}.")


def _seen_at(issue: Record) -> datetime | None:
    try:
        found = find_iso_time(issue, "lastSeen")
    except PermanentError:
        return None
    # A time ahead of the clock would make the next pulls blind until it comes.
    return found if found and found <= datetime.now(UTC) + timedelta(minutes=5) else None
