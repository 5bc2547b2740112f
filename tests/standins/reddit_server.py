"""A stand-in for Reddit: sign-in, listings newest first, `api/info`, anonymous JSON and Atom; each can be shut."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from standins.wire_server import Answer, Request, Wire, running

CLIENT_ID, CLIENT_SECRET, TOKEN = "stand-in-id", "stand-in-secret-9", "stand-in-token-77"


@dataclass
class RedditServer(Wire):
    """One subreddit. `is_json_shut`: strangers get 403 for JSON, as Reddit mostly answers today."""

    subreddit: str = "notesapp"
    things: dict[str, dict[str, Any]] = field(default_factory=dict)
    is_json_shut: bool = False
    is_rss_shut: bool = False
    has_etags: bool = False
    headers: dict[str, str] = field(
        default_factory=lambda: {
            "x-ratelimit-remaining": "988.0",
            "x-ratelimit-reset": "371.0",
            "x-ratelimit-used": "8",
        }
    )

    def post(self, number: int, created: float, title: str = "", **more: Any) -> None:
        """A submission."""
        name = f"t3_p{number}"
        self.things[name] = {
            "kind": "t3",
            "data": {
                "name": name, "id": f"p{number}", "title": title or f"Sync number {number} loses notes",
                "selftext": f"On device {number} my notes are gone & not back", "author": f"user{number}",
                "subreddit": self.subreddit, "created_utc": created, "edited": False, "removed_by_category": None,
                "permalink": f"/r/{self.subreddit}/comments/p{number}/sync/", "is_robot_indexable": True, **more,
            },
        }  # fmt: skip

    def comment(self, number: int, created: float, body: str) -> None:
        """A comment on the first post."""
        name = f"t1_c{number}"
        self.things[name] = {
            "kind": "t1",
            "data": {
                "name": name, "id": f"c{number}", "body": body, "author": "jo", "link_id": "t3_p1", "edited": False,
                "subreddit": self.subreddit, "created_utc": created, "replies": "",
                "permalink": f"/r/{self.subreddit}/comments/p1/sync/c{number}/",
            },
        }  # fmt: skip

    def remove(self, name: str, by: str = "moderator") -> None:
        """What a stranger sees of a removed post."""
        self.things[name]["data"] |= {
            "selftext": "[removed]", "removed_by_category": by, "is_robot_indexable": False,
        }  # fmt: skip


@contextmanager
def running_reddit(**given: Any) -> Iterator[RedditServer]:
    """A started server."""
    state = RedditServer(**given)
    with running(lambda request: _answer(state, request), state):
        yield state


def _answer(state: RedditServer, request: Request) -> Answer:
    if request.path == "/api/v1/access_token":
        return _token(request)
    is_member = request.headers.get("authorization") == f"Bearer {TOKEN}"
    if "authorization" in request.headers and not is_member:
        return Answer(401, {"message": "Unauthorized", "error": 401})
    is_json = request.path.endswith(".json")
    is_rss = request.path.endswith(".rss")
    if (is_json and state.is_json_shut) or (is_rss and state.is_rss_shut) or not (is_member or is_json or is_rss):
        return Answer(403, raw=b"<html>blocked</html>", headers={"Content-Type": "text/html"})
    path = request.path.removesuffix(".json").removesuffix(".rss").rstrip("/")
    if path == "/api/info":
        known = [state.things[name] for name in request.first("id").split(",") if name in state.things]
        return Answer(payload=_listing(known, None), headers=state.headers)
    if not path.startswith(f"/r/{state.subreddit}/"):
        return Answer(404, {"reason": "banned", "message": "Not Found", "error": 404})
    return _list(state, request, path.rpartition("/")[2], is_rss=is_rss)


def _token(request: Request) -> Answer:
    expected = "Basic " + base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
    if request.headers.get("authorization") != expected:
        return Answer(401, {"message": "Unauthorized", "error": 401})
    assert parse_qs(request.body.decode()) == {"grant_type": ["client_credentials"]}
    assert request.headers["user-agent"].startswith("linux:soulcaster:")
    return Answer(payload={"access_token": TOKEN, "token_type": "bearer", "expires_in": 86400, "scope": "*"})


def _list(state: RedditServer, request: Request, place: str, *, is_rss: bool) -> Answer:
    kind = "t1" if place == "comments" else "t3"
    chosen = [thing for thing in state.things.values() if thing["kind"] == kind]
    if place == "search":
        words = request.first("q").lower()
        chosen = [thing for thing in chosen if words in thing["data"]["title"].lower()]
    chosen = [thing for thing in chosen if thing["data"].get("removed_by_category") is None]
    chosen.sort(key=lambda thing: (thing["data"]["created_utc"], thing["data"]["name"]), reverse=True)
    names = [thing["data"]["name"] for thing in chosen]
    after = request.first("after")
    start = names.index(after) + 1 if after in names else 0
    page = chosen[start : start + int(request.first("limit", "25"))]
    is_last = start + len(page) >= min(len(chosen), 1000)
    etag = {"ETag": f'W/"{abs(hash(repr(page)))}"'} if state.has_etags else {}
    if etag and request.headers.get("if-none-match") == etag["ETag"]:
        return Answer(304, headers=etag)
    if is_rss:
        return Answer(raw=_feed(page), headers={"Content-Type": "application/atom+xml; charset=UTF-8"} | etag)
    return Answer(
        payload=_listing(page, None if is_last else names[start + len(page) - 1]), headers=state.headers | etag
    )


def _listing(things: list[dict[str, Any]], after: str | None) -> dict[str, Any]:
    return {"kind": "Listing", "data": {"after": after, "before": None, "dist": len(things), "children": things}}


def _feed(things: list[dict[str, Any]]) -> bytes:
    entries = "".join(_entry(thing["data"]) for thing in things)
    return (
        '<?xml version="1.0" encoding="UTF-8"?><feed xmlns="http://www.w3.org/2005/Atom" '
        f'xmlns:media="http://search.yahoo.com/mrss/"><title>newest</title>{entries}</feed>'
    ).encode()


def _entry(data: dict[str, Any]) -> str:
    at = datetime.fromtimestamp(data["created_utc"], UTC).isoformat()
    words = f'<!-- SC_OFF --><div class="md"><p>{escape(data["selftext"])}</p> </div><!-- SC_ON --> submitted by /u/mo'
    return (
        f"<entry><author><name>/u/{data['author']}</name></author>"
        f'<category term="{data["subreddit"]}" label="r/{data["subreddit"]}"/><content type="html">{escape(words)}'
        f'</content><id>{data["name"]}</id><link href="https://www.reddit.com{data["permalink"]}" />'
        f"<updated>{at}</updated><published>{at}</published><title>{escape(data['title'])}</title></entry>"
    )
