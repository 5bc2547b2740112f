"""New posts and comments of one subreddit, newest first, by the way that is open to us.

Owns signing in, paging, ETags and what Reddit's refusals mean. Which way was used stands in every page: nothing is
switched without saying so. Pages hold raw payloads, which `sources.reddit` reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import quote

import httpx

from soulcaster.configured import Cursor, Way
from soulcaster.errors import PermanentError, TransientError
from soulcaster.sources import wire
from soulcaster.sources.fields import Record, find_epoch, find_text, is_record, slug
from soulcaster.sources.reddit_feed import read_feed
from soulcaster.sources.wire import Page, Reply

WEB_URL = "https://www.reddit.com"
OAUTH_URL = "https://oauth.reddit.com"
MARGIN_SECONDS = 3600
"""Overlap of two pulls: posts held by a filter appear later, at the place their creation gives them."""

RECHECKED = 100
"""Newest known things asked for again each pull (one request), to notice edits and removals."""

_PER_PAGE = 100
_MOST_LISTED = 1000
"""Reddit ends every listing there."""

_OK, _NOT_MODIFIED, _FORBIDDEN = 200, 304, 403
_RSS_NOTE = "RSS shows neither edits nor removals nor comments; give the source app credentials (oauth)"


class Access(NamedTuple):
    """An open way: a client whose base and headers fit it."""

    client: httpx.Client
    way: Way


def make_client(*, timeout_seconds: float, base_url: str | None, is_oauth: bool = False) -> httpx.Client:
    """A client for one of Reddit's hosts; to be closed by the caller."""
    url = base_url or (OAUTH_URL if is_oauth else WEB_URL)
    return httpx.Client(base_url=url, headers={"User-Agent": wire.USER_AGENT}, timeout=timeout_seconds)


def sign_in(web: httpx.Client, client: httpx.Client, client_id: str, client_secret: str) -> Access:
    """App-only access (grant client_credentials): `client` sends the token from now on.

    Raises:
        PermanentError: Reddit refused the credentials.
        TransientError: Reddit is away.
    """
    what = "Reddit's access token"
    form = {"grant_type": "client_credentials"}
    reply = wire.ask(web, "POST", "/api/v1/access_token", what, data=form, auth=(client_id, client_secret))
    if reply.status != _OK:
        raise PermanentError(
            f"Asking for {what} was answered with {reply.status}: client id or secret is wrong; check both variables "
            "against https://www.reddit.com/prefs/apps."
        )
    found = wire.decode(reply, what)
    token = find_text(found, "access_token") if is_record(found) else None
    if not token:
        raise PermanentError(f"Asking for {what} brought none; is the app of type 'script' or 'web app'?")
    client.headers["Authorization"] = f"Bearer {token}"
    return Access(client, "oauth")


def choose_anonymous(web: httpx.Client, subreddit: str) -> tuple[Access, str]:
    """Way 'json' when Reddit lets strangers read it, else 'rss' with a note that says so.

    Raises:
        TransientError: Reddit is away.
    """
    what = f"Reddit listing of 'r/{subreddit}' (anonymous JSON)"
    reply = wire.ask(web, "GET", f"/r/{subreddit}/new.json", what, params={"limit": "1", "raw_json": "1"})
    if reply.status == _OK and "json" in reply.headers.get("content-type", ""):
        return Access(web, "json"), ""
    return Access(web, "rss"), f"anonymous JSON was answered with {reply.status}, so it is read by RSS; {_RSS_NOTE}"


def fetch_new(access: Access, subreddit: str, cursor: Cursor, *, kind: str, search: str | None) -> Iterator[Page]:
    """Pages of the listing until one reaches an hour behind the newest thing of the last pull.

    Args:
        access: the open way.
        subreddit: without 'r/'.
        cursor: by listing, the newest creation time (epoch seconds) and the ETag of its first page.
        kind: 'posts' or 'comments'.
        search: only posts that match; None for all.

    Raises:
        PermanentError: Reddit refused; the message says what to do.
        TransientError: Reddit is away or the rate limit is used up; what was yielded counts.
    """
    what = f"Reddit {kind} of 'r/{subreddit}' ({access.way})"
    path, parameters = _place(access.way, subreddit, kind, search)
    known = cursor.get(kind, {})
    watermark = newest = float(known.get("watermark", 0))
    etag = known.get("etag") if known.get("way") == access.way else None
    after: str | None = None
    n_seen = 0
    while True:
        headers = {"If-None-Match": etag} if etag and after is None else {}
        asked = parameters | ({"after": after} if after else {})
        reply = wire.ask(access.client, "GET", path, what, params=asked, headers=headers)
        if reply.status == _NOT_MODIFIED:
            yield Page([], cursor, access.way)
            return
        payload = _decode(access.way, reply, what)
        if after is None:
            first_etag = reply.headers.get("etag")
        things, after = _children(payload, what)
        n_seen += len(things)
        times = [time for thing in things if (time := _created_at(thing))]
        newest = max([newest, *times])
        is_reached = bool(watermark) and bool(times) and times[-1] < watermark - MARGIN_SECONDS
        if after is None or is_reached:
            is_cut = bool(watermark) and not is_reached and n_seen >= _MOST_LISTED - _PER_PAGE
            note = (
                f"the listing ended before it reached {datetime.fromtimestamp(watermark, UTC):%Y-%m-%d %H:%M} UTC; "
                "import a dump for the time between"
            ) * is_cut
            done = {"watermark": newest, "way": access.way} | ({"etag": first_etag} if first_etag else {})
            yield Page(payload, cursor | {kind: done}, access.way, note)
            return
        yield Page(payload, cursor, access.way)
        wire.check_budget(reply.headers, what)


def fetch_known(access: Access, names: list[str], cursor: Cursor) -> Iterator[Page]:
    """One page with the present state of at most 100 known things ('t3_1abcd'); none where the way has no such list.

    Raises: as `fetch_new`.
    """
    if not names or access.way == "rss":
        return
    what = f"Reddit's state of {len(names)} known things"
    path = "/api/info" if access.way == "oauth" else "/api/info.json"
    asked = {"id": ",".join(names[:RECHECKED]), "raw_json": "1"}
    reply = wire.ask(access.client, "GET", path, what, params=asked)
    yield Page(_decode(access.way, reply, what), cursor, access.way)


def _place(way: str, subreddit: str, kind: str, search: str | None) -> tuple[str, dict[str, str]]:
    """Path and parameters of a listing."""
    parameters = {"limit": str(_PER_PAGE), "raw_json": "1"}
    place = "comments" if kind == "comments" else "search" if search else "new"
    if place == "search":
        parameters |= {"q": search or "", "restrict_sr": "1", "sort": "new", "type": "link"}
    ending = {"oauth": "", "json": ".json", "rss": "/.rss" if place == "new" else ".rss"}[way]
    return f"/r/{quote(subreddit)}/{place}{ending}", parameters


def _decode(way: str, reply: Reply, what: str) -> object:
    if reply.status != _OK:
        raise _refused(reply, what)
    if way == "rss":
        return read_feed(reply.body, what)
    if "html" in reply.headers.get("content-type", ""):
        raise PermanentError(
            f"Reading {what} brought a web page, expected JSON: Reddit blocks it; give the source app credentials."
        )
    return wire.decode(reply, what)


def _refused(reply: Reply, what: str) -> PermanentError:
    try:
        body = wire.decode(reply, what)
    except TransientError:
        body = None
    reason = f" ({slug(body['reason'])})" if is_record(body) and body.get("reason") else ""
    todo = {
        301: "there is no such subreddit; check the name",
        302: "there is no such subreddit; check the name",
        401: "the credentials are wrong or revoked; check both variables",
        403: "Reddit blocks this way or the subreddit is private; give the source app credentials that may read it",
        404: "there is no such subreddit, or it is banned; check the name",
    }.get(reply.status, "see Reddit's API rules")
    return PermanentError(f"Reading {what} was answered with {reply.status}{reason}: {todo}.")


def _children(payload: object, what: str) -> tuple[list[Record], str | None]:
    """The things of a listing and where the next page begins."""
    data = payload.get("data") if is_record(payload) else None
    children = data.get("children") if is_record(data) else None
    if not is_record(data) or not isinstance(children, list):
        raise TransientError(f"Reading {what} failed: expected a listing, got something else.")
    after = data.get("after")
    things = [inner for child in children if is_record(child) and is_record(inner := child.get("data"))]
    return things, after if isinstance(after, str) and after and things else None


def _created_at(thing: Record) -> float | None:
    """Epoch seconds; None for what stands out of order (promoted, stickied) or does not say."""
    if thing.get("promoted") or thing.get("stickied"):
        return None
    try:
        found = find_epoch(thing, "created_utc")
    except PermanentError:
        return None
    return found.timestamp() if found else None
