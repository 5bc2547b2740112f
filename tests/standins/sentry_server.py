"""A stand-in for Sentry's REST API: one project with issues, last seen first, and the latest event of each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from standins.wire_server import Answer, Request, Wire, running

TOKEN = "sntrys_test0token0of0the0stand0in"


@dataclass
class SentryServer(Wire):
    """One project. Issues without an event answer 404 for it, as Sentry does when it keeps them no longer."""

    place: str = "acme/web"
    issues: dict[str, dict[str, Any]] = field(default_factory=dict)
    events: dict[str, dict[str, Any]] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    are_cursors_dead: bool = False

    def put(
        self, issue_id: int, last_seen: str, *, count: int = 1, level: str = "error", environment: str = ""
    ) -> None:
        """An issue as it stands after its latest event."""
        project = {"id": "2", "name": "Web", "slug": "web"}
        self.issues[str(issue_id)] = {
            "id": str(issue_id), "shortId": f"WEB-{issue_id}", "title": f"ValueError: row {issue_id} is bad",
            "culprit": f"export.rows_{issue_id}", "permalink": f"https://acme.sentry.io/issues/{issue_id}/",
            "level": level, "status": "unresolved", "project": project, "count": str(count), "userCount": count // 2,
            "firstSeen": "2026-01-01T00:00:00Z", "lastSeen": last_seen,
            "metadata": {"type": "ValueError", "value": f"row {issue_id} is bad"},
        }  # fmt: skip
        frame = {"module": "export", "function": f"write_{issue_id}", "inApp": True, "in_app": True}
        error = {"type": "ValueError", "value": f"row {issue_id} is bad", "stacktrace": {"frames": [frame]}}
        self.events[str(issue_id)] = {
            "eventID": f"{issue_id:032x}", "groupID": str(issue_id), "dateCreated": last_seen, "message": "",
            "entries": [{"type": "exception", "data": {"values": [error]}}], "platform": "python",
            "release": {"version": "web@2.1"}, "tags": [{"key": "environment", "value": environment or "production"}],
        }  # fmt: skip


@contextmanager
def running_sentry(**given: Any) -> Iterator[SentryServer]:
    """A started server."""
    state = SentryServer(**given)
    with running(lambda request: _answer(state, request), state):
        yield state


def _answer(state: SentryServer, request: Request) -> Answer:
    if request.headers.get("authorization") != f"Bearer {TOKEN}":
        return Answer(401, {"detail": "Invalid token"})
    organization = state.place.partition("/")[0]
    latest = re.fullmatch(rf"/api/0/organizations/{organization}/issues/(\d+)/events/latest/", request.path)
    if latest:
        event = state.events.get(latest[1])
        return Answer(payload=event) if event else Answer(404, {"detail": "No matching event"})
    if request.path != f"/api/0/projects/{state.place}/issues/":
        return Answer(404, {"detail": "The requested resource does not exist"})
    if state.are_cursors_dead and request.first("cursor"):
        return Answer(400, {"detail": "Invalid cursor parameter."})
    return _list(state, request)


def _list(state: SentryServer, request: Request) -> Answer:
    assert "query" in request.query, "a missing query would mean the unresolved issues only"
    levels = re.search(r"level:\[([a-z,]+)\]", request.first("query"))
    environments = request.query.get("environment", [])
    seen = dict(re.findall(r"lastSeen:(>=|<)(\S+)", request.first("query")))
    chosen = [
        issue
        for issue in state.issues.values()
        if (levels is None or issue["level"] in levels[1].split(","))
        and seen.get(">=", "") <= issue["lastSeen"] < seen.get("<", "9")
        and (not environments or state.events[issue["id"]]["tags"][0]["value"] in environments)
    ]
    chosen.sort(key=lambda issue: issue["lastSeen"], reverse=True)
    size, start = int(request.first("limit", "25")), int(request.first("cursor", "0:0:0").split(":")[1])
    following = f"0:{start + size}:0"
    query = urlencode({**request.query, "cursor": following}, doseq=True)
    has_more = str(start + size < len(chosen)).lower()
    links = (
        f'<{state.url}{request.path}?cursor=0:0:1>; rel="previous"; results="false"; cursor="0:0:1", '
        f'<{state.url}{request.path}?{query}>; rel="next"; results="{has_more}"; cursor="{following}"'
    )
    return Answer(payload=chosen[start : start + size], headers={"Link": links} | state.headers)
