"""Polls a service as its mapping says: GET, page by page, from where the last poll ended. Owns the cursor's meaning.

The cursor: `since` where the next poll begins, `begun` when the poll that is under way began, `next` the address of its
next page, `etag` of a service that has one page. `since` moves only when the last page is through.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import httpx

from soulcaster.configured import Cursor
from soulcaster.errors import PermanentError
from soulcaster.sources.addresses import pin
from soulcaster.sources.generic import search
from soulcaster.sources.mapping import Paging, Poll, SecretValue, ServiceMapping, Since
from soulcaster.sources.wire import USER_AGENT, Page, Reply, ask, check_budget, decode, find_next_link

MOST_PAGES = 500
"""Pages of one poll; the next poll goes on where this one ended."""

_MOST_WINDOW_PAGES = 10_000
_MOST_REDIRECTS = 3
_MAX_URL_CHARS = 8000
_OK, _NOT_MODIFIED, _FIRST_ERROR = 200, 304, 400
_REDIRECTS = {301, 302, 303, 307, 308}
_LOCKED = {401, 403}
_STALE = {400, 404, 409, 410, 422}


def make_client(timeout_seconds: float) -> httpx.Client:
    """A client that sends nothing of its own: no cookie, proxy or login of the machine, and follows no redirect."""
    return httpx.Client(timeout=timeout_seconds, trust_env=False, headers={"User-Agent": USER_AGENT})


def fetch_window(
    client: httpx.Client,
    mapping: ServiceMapping,
    base_url: str | None,
    start: datetime,
    end: datetime,
    *,
    read_secret: Callable[[str], str],
    allow_private: bool,
) -> Iterator[Page]:
    """Pages of what the service shows from one time (aware UTC) on, to another where the mapping can ask for an end.

    Raises: as `fetch_records`; a `PermanentError` too when the mapping cannot ask by time, or for a window without end.
    """
    poll = mapping.poll
    if poll is None or poll.since is None:
        raise PermanentError(
            f"Reading a window of {mapping.name!r} failed: its mapping does not ask by time (poll.since); import a "
            "file of theirs with --mapping."
        )
    first = _first_url(poll, mapping.name, base_url)
    bounds = {poll.since.parameter: _shown(start, poll.since)}
    if poll.since.until_parameter:
        bounds[poll.since.until_parameter] = _shown(end, poll.since)
    getter = _Getter(client, mapping.name, first, _headers(poll, read_secret), allow_private)
    url = str(first.copy_merge_params(bounds))
    for number in range(_MOST_WINDOW_PAGES):
        reply = getter.get(url, is_first=number == 0)
        payload = decode(_fine(reply, mapping.name, poll), f"source {mapping.name!r}")
        yield Page(payload, {}, "poll")
        following = _next_url(poll.paging, mapping, httpx.URL(url), payload, reply)
        if following is None:
            return
        check_budget(reply.headers, f"source {mapping.name!r}")
        url = following
    raise PermanentError(
        f"Reading a window of {mapping.name!r} was given up after {_MOST_WINDOW_PAGES:,} pages; make it shorter."
    )


def fetch_records(
    client: httpx.Client,
    mapping: ServiceMapping,
    base_url: str | None,
    cursor: Cursor,
    *,
    read_secret: Callable[[str], str],
    allow_private: bool,
) -> Iterator[Page]:
    """Pages from the cursor on, each with the cursor that holds once its items are committed; none if nothing changed.

    Args:
        client: from `make_client`.
        mapping: with a `poll`.
        base_url: what the mapping's address is put behind, or None.
        cursor: what the last page left; when the page it points to is gone, this poll begins anew.
        read_secret: value of a variable.
        allow_private: whether addresses that are not of the public internet may be asked.

    Raises:
        PermanentError: no poll in the mapping, a refused address, a wrong login, an answer nobody can read.
        TransientError: the service is away, or wants to be left alone until a time it names.
    """
    poll = mapping.poll
    if poll is None:
        raise PermanentError(f"Polling {mapping.name!r} failed: its mapping has no 'poll'; it takes hooks and files.")
    first = _first_url(poll, mapping.name, base_url)
    getter = _Getter(client, mapping.name, first, _headers(poll, read_secret), allow_private)
    begun, url = str(cursor.get("begun", "")), str(cursor.get("next", ""))
    reply = getter.get(url, is_first=False) if url else None
    if reply is None or reply.status in _STALE:
        begun, url = datetime.now(UTC).isoformat(), str(_since(first, poll.since, cursor.get("since")))
        tag = "" if poll.paging or poll.since else cursor.get("etag", "")
        reply = getter.get(url, is_first=True, etag=tag)
    for _ in range(MOST_PAGES):
        if reply.status == _NOT_MODIFIED:
            return
        payload = decode(_fine(reply, mapping.name, poll), f"source {mapping.name!r}")
        following = _next_url(poll.paging, mapping, httpx.URL(url), payload, reply)
        if following:
            yield Page(payload, cursor | {"begun": begun, "next": following}, "poll")
        else:
            yield Page(payload, {"since": begun, "etag": reply.headers.get("etag", "")[:200]}, "poll")
            return
        check_budget(reply.headers, f"source {mapping.name!r}")
        url = following
        reply = getter.get(url, is_first=False)


class _Getter:
    """Asks one origin, with its secrets, and nobody else with them."""

    def __init__(
        self, client: httpx.Client, name: str, first: httpx.URL, headers: dict[str, str], allow_private: bool
    ) -> None:
        self._client = client
        self._name = name
        self._origin = _origin(first)
        self._headers = headers
        self._allow_private = allow_private

    def get(self, address: str, *, is_first: bool, etag: str = "") -> Reply:
        """The answer behind at most three redirects, each looked at as the first address was.

        Raises: as `fetch_records`.
        """
        url = httpx.URL(address)
        if not is_first and _origin(url) != self._origin:
            raise PermanentError(
                f"Following the pages of {self._name!r} was refused: expected host {self._origin[1]!r}, got "
                f"{url.host[:100]!r}; check the mapping's paging."
            )
        for _ in range(_MOST_REDIRECTS + 1):
            pinned = pin(url, allow_private=self._allow_private)
            headers = self._headers if _origin(url) == self._origin else {}
            conditions = {"If-None-Match": etag} if etag else {}
            reply = ask(
                self._client, "GET", str(pinned.url), f"source {self._name!r}",
                headers={**headers, **conditions, **pinned.headers}, extensions=pinned.extensions,
            )  # fmt: skip
            location = reply.headers.get("location", "")
            if reply.status not in _REDIRECTS or not location:
                return reply
            url = _parsed(str(url.join(location[:_MAX_URL_CHARS])), self._name)
        raise PermanentError(f"Polling {self._name!r} was given up: more than {_MOST_REDIRECTS} redirects.")


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _parsed(address: str, name: str) -> httpx.URL:
    try:
        return httpx.URL(address)
    except (httpx.InvalidURL, ValueError) as error:
        raise PermanentError(f"Polling {name!r} failed: expected an address, got {address[:200]!r}.") from error


def _first_url(poll: Poll, name: str, base_url: str | None) -> httpx.URL:
    is_whole = poll.url.startswith(("http://", "https://"))
    if is_whole and base_url:
        whole, base = _parsed(poll.url, name), _parsed(base_url, name)
        url = whole.copy_with(scheme=base.scheme, netloc=base.netloc)
    elif is_whole:
        url = _parsed(poll.url, name)
    elif base_url:
        url = _parsed("/".join(part for part in (base_url.rstrip("/"), poll.url.lstrip("/")) if part), name)
    else:
        raise PermanentError(f"Polling {name!r} failed: its address is missing; set the source's base_url.")
    return url.copy_merge_params(poll.parameters) if poll.parameters else url


def _headers(poll: Poll, read_secret: Callable[[str], str]) -> dict[str, str]:
    """Header values; what is no header's text is told without the value."""
    headers = {"Accept": "application/json"}
    for name, value in poll.headers.items():
        if isinstance(value, SecretValue):
            secret = read_secret(value.variable)
            if not secret.isprintable() or not secret.isascii():
                raise PermanentError(f"Variable {value.variable} cannot be sent: expected printable ASCII on one line.")
            coded = base64.b64encode(secret.encode()).decode() if value.encoding == "base64" else secret
            headers[name] = value.prefix + coded
        else:
            headers[name] = value
    return headers


def _since(url: httpx.URL, since: Since | None, last: str | None) -> httpx.URL:
    if since is None:
        return url
    overlap, reach = timedelta(seconds=since.overlap_seconds), timedelta(days=since.first_days)
    at = datetime.fromisoformat(last) - overlap if last else datetime.now(UTC) - reach
    return url.copy_merge_params({since.parameter: _shown(at, since)})


def _shown(at: datetime, since: Since) -> str:
    seconds = int(at.timestamp())
    shown = {"epoch": str(seconds), "epoch-ms": str(seconds * 1000), "iso": f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"}
    return shown[since.format]


def _fine(reply: Reply, name: str, poll: Poll) -> Reply:
    if reply.status in _LOCKED:
        variables = [value.variable for value in poll.headers.values() if isinstance(value, SecretValue)]
        check = f"check {', '.join(variables)} and its rights" if variables else "its mapping sends no login"
        raise PermanentError(f"Polling {name!r} was refused with {reply.status}; {check}.")
    if reply.status != _OK:
        raise PermanentError(
            f"Polling {name!r} was answered with {reply.status}; check base_url and the mapping's address."
        )
    return reply


def _next_url(
    paging: Paging | None, mapping: ServiceMapping, url: httpx.URL, payload: object, reply: Reply
) -> str | None:
    """Address of the next page, None behind the last one; a page that names itself as its next is the last."""
    if paging is None or (paging.until is not None and search(paging.until, payload)):
        return None
    if paging.kind == "link-header":
        return find_next_link(reply.headers, str(url))
    if paging.kind == "page":
        if not search(mapping.records, payload):
            return None
        number = url.params.get(paging.parameter or "", "")
        following = int(number) + 1 if number.isascii() and number.isdigit() else paging.first + 1
        return str(url.copy_set_param(paging.parameter or "", str(following)))
    found = search(paging.path or "", payload)
    if not isinstance(found, str | int) or isinstance(found, bool) or found == "" or len(str(found)) > _MAX_URL_CHARS:
        return None
    if paging.kind == "cursor":
        following_url = url.copy_set_param(paging.parameter or "", str(found))
    else:
        following_url = _parsed(str(url.join(str(found))), mapping.name)
    return str(following_url) if following_url != url else None
