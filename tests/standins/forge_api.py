"""What the forge answers: the subset of GitHub's REST API that a publisher needs. Git has a room of its own."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from standins.forge_git import serve_git
from standins.forge_rights import REPOSITORY, find_token, may, sees, sign_in_app
from standins.forge_shown import (
    end_pull,
    open_issue,
    paged,
    refuse,
    show_comment,
    show_issue,
    show_page,
    show_pull,
    show_user,
)
from standins.wire_server import Answer, Request

if TYPE_CHECKING:
    from standins.forge import Forge, Token

_PERSON = {"type": "User", "site_admin": False}


def answer(forge: Forge, request: Request) -> Answer:
    """Whatever is asked: git, a page for people, or the API."""
    if git := re.fullmatch(r"/(?P<name>[^/]+/[^/]+)\.git(?P<path>/.*)", request.path):
        return serve_git(forge, request, git["name"], git["path"])
    if page := re.fullmatch(r"/(?P<name>[^/]+/[^/]+)/(?P<kind>pull|kept-logs)/(?P<number>\d+)", request.path):
        number = int(page["number"])
        return show_page(forge, page["name"], number) if page["kind"] == "pull" else _show_log(forge, request, number)
    with forge.guard:
        if (signed := sign_in_app(forge, request)) is not None:
            return signed
        token = find_token(forge, request)
        if token is None:
            return refuse(401, "Bad credentials")
        for method, pattern, act in _ROUTES:
            match = re.fullmatch(pattern, request.path)
            if match and method == request.method:
                return _allowed(forge, request, token, match, act)
    return refuse(404, "Not Found")


def _allowed(forge: Forge, request: Request, token: Token, match: re.Match[str], act: Any) -> Answer:
    words = match.groupdict()
    name = words.get("name")
    if name is not None and (not forge.bare(name).is_dir() or not sees(token, name)):
        return refuse(404, "Not Found")
    needed, level = act.needs
    if needed and not may(token, needed, level):
        return refuse(403, "Resource not accessible by integration")
    body = json.loads(request.body) if request.body else {}
    reply = act(forge, request, token, body, **words)
    reply.headers.setdefault("X-RateLimit-Remaining", "4987")
    return reply


def _needs(permission: str, level: str = "read") -> Any:
    def mark(function: Any) -> Any:
        function.needs = (permission, level)
        return function

    return mark


@_needs("")
def _get_user(_forge: Forge, _request: Request, token: Token, _body: Any) -> Answer:
    if token.login.endswith("[bot]"):
        return refuse(403, "Resource not accessible by integration")
    return Answer(payload=show_user(token.login) | _PERSON)


@_needs("")
def _get_any_user(_forge: Forge, _request: Request, _token: Token, _body: Any, login: str) -> Answer:
    return Answer(payload=show_user(unquote(login)))


@_needs("")
def _get_repository(forge: Forge, _request: Request, _token: Token, _body: Any, name: str) -> Answer:
    owner = {"login": name.split("/", maxsplit=1)[0]}
    url = f"{forge.url}/repos/{name}"
    return Answer(payload={"id": 1, "full_name": name, "name": name.split("/")[1], "owner": owner, "url": url})


@_needs("pull_requests")
def _list_pulls(forge: Forge, request: Request, _token: Token, _body: Any, name: str) -> Answer:
    shown = [show_pull(forge, name, number) for repository, number in forge.pulls if repository == name]
    if request.first("state", "open") != "all":
        shown = [pull for pull in shown if pull["state"] == request.first("state", "open")]
    if head := request.first("head"):
        shown = [pull for pull in shown if pull["head"]["label"] == head]
    if base := request.first("base"):
        shown = [pull for pull in shown if pull["base"]["ref"] == base]
    order = "updated_at" if request.first("sort") == "updated" else "number"
    shown.sort(key=lambda pull: pull[order], reverse=request.first("direction", "desc") == "desc")
    return paged(forge, request, shown)


@_needs("pull_requests", "write")
def _create_pull(forge: Forge, _request: Request, token: Token, body: Any, name: str) -> Answer:
    head, base = body["head"].partition(":")[2] or body["head"], body["base"]
    for field, branch in (("head", head), ("base", base)):
        if forge.find_head(name, branch) is None:
            problem = {"resource": "PullRequest", "field": field, "code": "invalid"}
            return refuse(422, "Validation Failed", problem)
    is_open = any(
        pull["head"] == head and pull["base"] == base and forge.issues[place]["state"] == "open"
        for place, pull in forge.pulls.items()
        if place[0] == name
    )
    owner = name.split("/", maxsplit=1)[0]
    if is_open:
        message = f"A pull request already exists for {owner}:{head}."
        return refuse(422, "Validation Failed", {"resource": "PullRequest", "code": "custom", "message": message})
    if forge.git(name, "rev-list", "--count", f"{base}..{head}") == "0":
        message = f"No commits between {base} and {head}"
        return refuse(422, "Validation Failed", {"resource": "PullRequest", "code": "custom", "message": message})
    if body.get("draft") and not forge.drafts_are_allowed:
        return refuse(422, "Draft pull requests are not supported in this repository.")
    number = open_issue(forge, name, body["title"], body.get("body") or "", [], login=token.login)
    forge.pulls[name, number] = {
        "head": head, "base": base, "draft": bool(body.get("draft")), "merged_at": None, "merge_commit_sha": None,
        "head_sha": None, "requested": set(),
    }  # fmt: skip
    return Answer(201, show_pull(forge, name, number))


@_needs("pull_requests")
def _get_pull(forge: Forge, _request: Request, _token: Token, _body: Any, name: str, number: str) -> Answer:
    if (name, int(number)) not in forge.pulls:
        return refuse(404, "Not Found")
    return Answer(payload=show_pull(forge, name, int(number)))


@_needs("pull_requests", "write")
def _edit_pull(forge: Forge, _request: Request, _token: Token, body: Any, name: str, number: str) -> Answer:
    place = (name, int(number))
    if place not in forge.pulls:
        return refuse(404, "Not Found")
    forge.issues[place] |= {key: body[key] for key in ("title", "body") if key in body} | {"updated_at": forge.now()}
    if body.get("state") == "closed":
        end_pull(forge, name, int(number), merge_commit=None)
    return Answer(payload=show_pull(forge, *place))


@_needs("pull_requests", "write")
def _ask_reviewers(forge: Forge, _request: Request, _token: Token, body: Any, name: str, number: str) -> Answer:
    strangers = [login for login in body.get("reviewers", []) if login not in forge.collaborators]
    if strangers or body.get("team_reviewers"):
        message = (
            "Reviews may only be requested from collaborators. One or more of the users or teams you specified is "
        )
        return refuse(422, message + f"not a collaborator of the {name} repository.")
    forge.pulls[name, int(number)]["requested"] |= set(body["reviewers"])
    return Answer(201, show_pull(forge, name, int(number)))


@_needs("pull_requests")
def _list_reviews(forge: Forge, request: Request, _token: Token, _body: Any, name: str, number: str) -> Answer:
    return paged(forge, request, forge.reviews.get((name, int(number)), []))


@_needs("issues|pull_requests")
def _list_issues(forge: Forge, request: Request, _token: Token, _body: Any, name: str) -> Answer:
    shown = [show_issue(forge, name, number) for repository, number in forge.issues if repository == name]
    if request.first("state", "open") != "all":
        shown = [issue for issue in shown if issue["state"] == request.first("state", "open")]
    if request.first("labels"):
        wanted = set(request.first("labels").split(","))
        shown = [issue for issue in shown if wanted <= {label["name"] for label in issue["labels"]}]
    shown = [issue for issue in shown if issue["updated_at"] >= request.first("since")]
    order = "updated_at" if request.first("sort") == "updated" else "number"
    shown.sort(key=lambda issue: issue[order], reverse=request.first("direction", "desc") == "desc")
    return paged(forge, request, shown)


@_needs("issues|pull_requests")
def _get_issue(forge: Forge, _request: Request, _token: Token, _body: Any, name: str, number: str) -> Answer:
    if (name, int(number)) not in forge.issues:
        return refuse(404, "Not Found")
    return Answer(payload=show_issue(forge, name, int(number)))


@_needs("issues|pull_requests", "write")
def _add_labels(forge: Forge, _request: Request, _token: Token, body: Any, name: str, number: str) -> Answer:
    stored = forge.issues[name, int(number)]
    names = body["labels"] if isinstance(body, dict) else body
    stored["labels"] = list(dict.fromkeys([*stored["labels"], *names]))
    return Answer(payload=show_issue(forge, name, int(number))["labels"])


@_needs("issues|pull_requests", "write")
def _remove_label(
    forge: Forge, _request: Request, _token: Token, _body: Any, name: str, number: str, label: str
) -> Answer:
    stored = forge.issues[name, int(number)]
    if unquote(label) not in stored["labels"]:
        return refuse(404, "Label does not exist")
    stored["labels"] = [one for one in stored["labels"] if one != unquote(label)]
    return Answer(payload=show_issue(forge, name, int(number))["labels"])


@_needs("issues|pull_requests")
def _list_comments(forge: Forge, request: Request, _token: Token, _body: Any, name: str, number: str) -> Answer:
    place = (name, int(number))
    return paged(forge, request, [show_comment(forge, key) for key, c in forge.comments.items() if c["place"] == place])


@_needs("issues|pull_requests", "write")
def _add_comment(forge: Forge, _request: Request, token: Token, body: Any, name: str, number: str) -> Answer:
    place, now = (name, int(number)), forge.now()
    if place not in forge.issues:
        return refuse(404, "Not Found")
    if place not in forge.pulls and token.permissions.get("issues") != "write":
        return refuse(403, "Resource not accessible by integration")
    comment_id = 5000 + len(forge.comments)
    forge.comments[comment_id] = {
        "place": place, "login": token.login, "body": body["body"], "created_at": now, "updated_at": now,
    }  # fmt: skip
    return Answer(201, show_comment(forge, comment_id))


@_needs("issues|pull_requests")
def _get_comment(forge: Forge, _request: Request, _token: Token, _body: Any, name: str, comment: str) -> Answer:
    stored = forge.comments.get(int(comment))
    if stored is None or stored["place"][0] != name:
        return refuse(404, "Not Found")
    return Answer(payload=show_comment(forge, int(comment)))


@_needs("issues|pull_requests", "write")
def _edit_comment(forge: Forge, _request: Request, token: Token, body: Any, name: str, comment: str) -> Answer:
    stored = forge.comments.get(int(comment))
    if stored is None or stored["place"][0] != name:
        return refuse(404, "Not Found")
    if stored["login"] != token.login:
        return refuse(403, "Must have admin rights to Repository.")
    stored |= {"body": body["body"], "updated_at": forge.now()}
    return Answer(payload=show_comment(forge, int(comment)))


@_needs("checks")
def _list_check_runs(forge: Forge, _request: Request, _token: Token, _body: Any, name: str, sha: str) -> Answer:
    del name
    found = forge.check_runs.get(sha, [])
    return Answer(payload={"total_count": len(found), "check_runs": found})


@_needs("statuses|checks")
def _get_status(forge: Forge, _request: Request, _token: Token, _body: Any, name: str, sha: str) -> Answer:
    told = forge.statuses.get(sha, [])
    return Answer(payload={"state": "pending", "sha": sha, "total_count": len(told), "statuses": told, "name": name})


@_needs("pull_requests")
def _list_line_remarks(forge: Forge, request: Request, _token: Token, _body: Any, name: str, number: str) -> Answer:
    return paged(forge, request, forge.line_remarks.get((name, int(number)), []))


@_needs("actions")
def _get_job(forge: Forge, _request: Request, _token: Token, _body: Any, name: str, number: str) -> Answer:
    url = f"{forge.url}/repos/{name}/actions/jobs/{number}"
    is_known = int(number) in forge.job_logs
    return Answer(payload={"id": int(number), "url": url}) if is_known else refuse(404, "Not Found")


@_needs("actions")
def _get_job_log(forge: Forge, _request: Request, _token: Token, _body: Any, name: str, number: str) -> Answer:
    if int(number) not in forge.job_logs:
        return refuse(404, "Not Found")
    return Answer(302, None, {"Location": f"{forge.url}/{name}/kept-logs/{number}?signed=yes"})


def _show_log(forge: Forge, request: Request, number: int) -> Answer:
    """As the storage behind GitHub does: whoever has the address may read, and a token has no business here."""
    assert "authorization" not in request.headers
    assert "yes" == request.first("signed")
    return Answer(raw=forge.job_logs[number].encode(), headers={"Content-Type": "text/plain"})


@_needs("checks")
def _list_annotations(forge: Forge, request: Request, _token: Token, _body: Any, name: str, check: str) -> Answer:
    del name
    known = [run for runs in forge.check_runs.values() for run in runs if run["id"] == int(check)]
    return paged(forge, request, known[0]["annotations"]) if known else refuse(404, "Not Found")


@_needs("")
def _get_permission(forge: Forge, _request: Request, _token: Token, _body: Any, name: str, login: str) -> Answer:
    del name
    level = "write" if unquote(login) in forge.collaborators else "read"
    return Answer(payload={"permission": level, "role_name": level, "user": show_user(unquote(login))})


@_needs("contents")
def _get_commit(forge: Forge, _request: Request, _token: Token, _body: Any, name: str, sha: str) -> Answer:
    return Answer(payload={"sha": sha, "url": f"{forge.url}/repos/{name}/commits/{sha}"})


_ISSUE = REPOSITORY + r"/issues/(?P<number>\d+)"
_PULL = REPOSITORY + r"/pulls/(?P<number>\d+)"
_ROUTES = [
    ("GET", r"/user", _get_user),
    ("GET", r"/users/(?P<login>[^/]+)", _get_any_user),
    ("GET", REPOSITORY, _get_repository),
    ("GET", REPOSITORY + "/pulls", _list_pulls),
    ("POST", REPOSITORY + "/pulls", _create_pull),
    ("GET", _PULL, _get_pull),
    ("PATCH", _PULL, _edit_pull),
    ("POST", _PULL + "/requested_reviewers", _ask_reviewers),
    ("GET", _PULL + "/reviews", _list_reviews),
    ("GET", _PULL + "/comments", _list_line_remarks),
    ("GET", REPOSITORY + r"/collaborators/(?P<login>[^/]+)/permission", _get_permission),
    ("GET", REPOSITORY + r"/check-runs/(?P<check>\d+)/annotations", _list_annotations),
    ("GET", REPOSITORY + r"/actions/jobs/(?P<number>\d+)", _get_job),
    ("GET", REPOSITORY + r"/actions/jobs/(?P<number>\d+)/logs", _get_job_log),
    ("GET", REPOSITORY + "/issues", _list_issues),
    ("GET", _ISSUE, _get_issue),
    ("POST", _ISSUE + "/labels", _add_labels),
    ("DELETE", _ISSUE + "/labels/(?P<label>[^/]+)", _remove_label),
    ("GET", _ISSUE + "/comments", _list_comments),
    ("POST", _ISSUE + "/comments", _add_comment),
    ("GET", REPOSITORY + r"/issues/comments/(?P<comment>\d+)", _get_comment),
    ("PATCH", REPOSITORY + r"/issues/comments/(?P<comment>\d+)", _edit_comment),
    ("GET", REPOSITORY + r"/commits/(?P<sha>[0-9a-f]{40})/check-runs", _list_check_runs),
    ("GET", REPOSITORY + r"/commits/(?P<sha>[0-9a-f]{40})/status", _get_status),
    ("GET", REPOSITORY + r"/commits/(?P<sha>[0-9a-f]{40})", _get_commit),
]
