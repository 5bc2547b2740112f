"""A stand-in for GitHub's REST API: one repository with issues, pull requests and comments, paged by Link headers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from standins.wire_server import Answer, Request, Wire, running

TOKEN = "ghp_test0token0of0the0stand0in0000000000"
_PLACE = re.compile(r"/repos/([^/]+/[^/]+)(?:/(issues(?:/comments)?)(?:/(\d+))?)?")


@dataclass
class GitHubServer(Wire):
    """One repository. `gone` numbers answer 410, `moved` ones redirect to another repository's issue."""

    repository: str = "acme/notes"
    full_name: str = ""
    is_token_needed: bool = True
    issues: dict[int, dict[str, Any]] = field(default_factory=dict)
    comments: dict[int, dict[str, Any]] = field(default_factory=dict)
    discussions: dict[int, dict[str, Any]] = field(default_factory=dict)
    marks: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    gone: set[int] = field(default_factory=set)
    moved: dict[int, dict[str, Any]] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=lambda: {"X-RateLimit-Remaining": "4999"})

    def put(self, number: int, title: str, updated_at: str, **more: Any) -> None:
        """Open an issue or edit it."""
        page = f"https://github.com/{self.repository}/issues/{number}"
        self.issues[number] = {
            "number": number, "id": 1000 + number, "title": title, "body": f"What happens: {title}", "state": "open",
            "html_url": page, "url": f"{self.url}/repos/{self.repository}/issues/{number}", "labels": [],
            "user": {"login": "mo"}, "author_association": "NONE", "created_at": "2026-01-01T00:00:00Z",
            "updated_at": updated_at, **more,
        }  # fmt: skip

    def say(self, comment_id: int, number: int, body: str, updated_at: str, *, kind: str = "issues") -> None:
        """Write a comment on an issue (`kind` 'pull': on a pull request)."""
        self.comments[comment_id] = {
            "id": comment_id, "body": body, "user": {"login": "jo"}, "author_association": "NONE",
            "html_url": f"https://github.com/{self.repository}/{kind}/{number}#issuecomment-{comment_id}",
            "issue_url": f"{self.url}/repos/{self.repository}/issues/{number}",
            "created_at": updated_at, "updated_at": updated_at,
        }  # fmt: skip

    def mark(self, number: int, kind: str, other: str = "", *, duplicate: int | None = None) -> None:
        """Add to an issue's timeline: 'MarkedAsDuplicate', 'UnmarkedAsDuplicate', 'Closed' or 'Reopened'."""
        event: dict[str, Any] = {"__typename": f"{kind}Event"}
        if kind.endswith("AsDuplicate"):
            own = f"https://github.com/{self.repository}/issues/{duplicate or number}"
            event |= {"canonical": {"url": other}, "duplicate": {"url": own}}
        elif kind == "Closed":
            event |= {"duplicateOf": {"url": other} if other else None}
        self.marks.setdefault(number, []).append(event)

    def discuss(self, number: int, title: str, updated_at: str, *, answer: str | None = None) -> None:
        """Begin a discussion, or answer it."""
        page = f"https://github.com/{self.repository}/discussions/{number}"
        self.discussions[number] = {
            "number": number, "title": title, "body": f"How about this: {title}", "url": page, "closed": False,
            "createdAt": "2026-01-01T00:00:00Z", "updatedAt": updated_at, "stateReason": None,
            "authorAssociation": "NONE", "author": {"login": "mo"}, "category": {"name": "Q&A"},
            "answer": {"url": f"{page}#discussioncomment-{answer}"} if answer else None,
            "labels": {"nodes": [{"name": "export"}]},
        }  # fmt: skip


@contextmanager
def running_github(**given: Any) -> Iterator[GitHubServer]:
    """A started server."""
    state = GitHubServer(**given)
    with running(lambda request: _answer(state, request), state):
        yield state


def _sign_in_app(request: Request) -> Answer | None:
    """The two steps by which a GitHub App gets a token for a repository; None for other requests."""
    is_step = request.path.endswith("/installation") or request.path == "/app/installations/7/access_tokens"
    if not is_step:
        return None
    if not re.fullmatch(r"Bearer [\w-]+\.[\w-]+\.[\w-]+", request.headers.get("authorization", "")):
        return Answer(401, {"message": "A JSON web token could not be decoded"})
    if request.path.endswith("/installation"):
        return Answer(payload={"id": 7, "app_id": 12})
    return Answer(201, {"token": TOKEN, "expires_at": "2099-01-01T00:00:00Z", "permissions": {"issues": "read"}})


def _answer(state: GitHubServer, request: Request) -> Answer:
    if (answer := _sign_in_app(request)) is not None:
        return answer
    if state.is_token_needed and request.headers.get("authorization") != f"token {TOKEN}":
        return Answer(401, {"message": "Bad credentials", "documentation_url": "https://docs.github.com/rest"})
    if request.path != "/graphql":
        return _rest(state, request)
    return _discussions(state, request) if b"discussions(" in request.body else _timelines(state, request)


def _rest(state: GitHubServer, request: Request) -> Answer:
    match = _PLACE.fullmatch(request.path)
    if match is None or match[1].casefold() != state.repository.casefold():
        return Answer(404, {"message": "Not Found", "documentation_url": "https://docs.github.com/rest"})
    if match[2] is None:
        return Answer(payload={"full_name": state.full_name or state.repository}, headers=state.headers)
    if match[3]:
        return _one(state, int(match[3]))
    return _list(state, request, list((state.issues if match[2] == "issues" else state.comments).values()))


def _discussions(state: GitHubServer, request: Request) -> Answer:
    asked = json.loads(request.body)
    assert "discussions(first: 50" in asked["query"]
    assert "field: UPDATED_AT, direction: DESC" in asked["query"]
    chosen = sorted(state.discussions.values(), key=lambda each: each["updatedAt"], reverse=True)
    start = int(asked["variables"]["after"] or 0)
    info = {"hasNextPage": start + 50 < len(chosen), "endCursor": str(start + 50)}
    found = {"pageInfo": info, "nodes": chosen[start : start + 50]}
    return Answer(payload={"data": {"repository": {"discussions": found}}}, headers=state.headers)


def _timelines(state: GitHubServer, request: Request) -> Answer:
    query = json.loads(request.body)["query"]
    assert "itemTypes: [" in query
    found: dict[str, Any] = {}
    for number in map(int, re.findall(r"\bi\d+: issue\(number: (\d+)\)", query)):
        if number not in state.issues or number in state.gone:
            errors = [{"type": "NOT_FOUND", "message": "Could not resolve to an Issue"}]
            return Answer(payload={"data": {"repository": None}, "errors": errors}, headers=state.headers)
        page = f"https://github.com/{state.repository}/issues/{number}"
        found[f"i{number}"] = {"url": page, "timelineItems": {"nodes": state.marks.get(number, [])[-20:]}}
    return Answer(payload={"data": {"repository": found}}, headers=state.headers)


def _one(state: GitHubServer, number: int) -> Answer:
    if number in state.moved:
        return Answer(payload=state.moved[number], headers=state.headers)
    if number in state.gone or number not in state.issues:
        return Answer(410, {"message": "This issue was deleted"}, state.headers)
    return Answer(payload=state.issues[number], headers=state.headers)


def _list(state: GitHubServer, request: Request, things: list[dict[str, Any]]) -> Answer:
    assert (request.first("sort"), request.first("direction")) == ("updated", "asc")
    hidden = state.gone | set(state.moved)
    chosen = sorted(
        (
            thing
            for thing in things
            if thing["updated_at"] >= request.first("since") and thing.get("number") not in hidden
        ),
        key=lambda thing: thing["updated_at"],
    )
    if request.first("state") == "open":
        chosen = [thing for thing in chosen if thing["state"] == "open"]
    if request.first("labels"):
        wanted = set(request.first("labels").split(","))
        chosen = [thing for thing in chosen if wanted <= {label["name"] for label in thing["labels"]}]
    size, page = int(request.first("per_page", "30")), int(request.first("page", "1"))
    headers = dict(state.headers)
    if page * size < len(chosen):
        query = {name: values[0] for name, values in request.query.items()} | {"page": str(page + 1)}
        headers["Link"] = f'<{state.url}{request.path}?{urlencode(query)}>; rel="next", <{state.url}/x>; rel="last"'
    return Answer(payload=chosen[(page - 1) * size : page * size], headers=headers)
