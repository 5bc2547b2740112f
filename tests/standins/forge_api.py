"""What the forge answers: the subset of GitHub's REST API that a publisher needs, and git's smart HTTP."""

from __future__ import annotations

import base64
import json
import re
import secrets
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlencode

import jwt
from standins.wire_server import Answer, Request

if TYPE_CHECKING:
    from standins.forge import Forge, Token

_DOCUMENTATION = "https://docs.github.com/rest"
_REPOSITORY = r"/repos/(?P<name>[^/]+/[^/]+)"
_PERSON = {"type": "User", "site_admin": False}


def refuse(status: int, message: str, *errors: dict[str, str]) -> Answer:
    """An error as GitHub words it."""
    more = {"errors": list(errors)} if errors else {}
    return Answer(status, {"message": message, **more, "documentation_url": _DOCUMENTATION})


def answer(forge: Forge, request: Request) -> Answer:
    """Whatever is asked: git, a page for people, or the API."""
    if git := re.fullmatch(r"/(?P<name>[^/]+/[^/]+)\.git(?P<path>/.*)", request.path):
        return _serve_git(forge, request, git["name"], git["path"])
    if page := re.fullmatch(r"/(?P<name>[^/]+/[^/]+)/pull/(?P<number>\d+)", request.path):
        return _show_page(forge, page["name"], int(page["number"]))
    with forge.guard:
        if (signed := _sign_in_app(forge, request)) is not None:
            return signed
        token = _find_token(forge, request)
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
    if name is not None and (not forge.bare(name).is_dir() or not _sees(token, name)):
        return refuse(404, "Not Found")
    needed, level = act.needs
    if needed and not _may(token, needed, level):
        return refuse(403, "Resource not accessible by integration")
    body = json.loads(request.body) if request.body else {}
    reply = act(forge, request, token, body, **words)
    reply.headers.setdefault("X-RateLimit-Remaining", "4987")
    return reply


def _sees(token: Token, name: str) -> bool:
    return token.repositories is None or name in token.repositories


def _may(token: Token, needed: str, level: str) -> bool:
    has = [token.permissions.get(one) for one in needed.split("|")]
    return "write" in has or (level == "read" and "read" in has)


def _find_token(forge: Forge, request: Request) -> Token | None:
    kind, _, value = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "basic":
        value = base64.b64decode(value).decode().partition(":")[2]
    token = forge.tokens.get(value)
    if token is None or (token.expires_at and token.expires_at < datetime.now(UTC)):
        return None
    return token


# -- a GitHub App signs in -------------------------------------------------------------------------------------------


def _sign_in_app(forge: Forge, request: Request) -> Answer | None:
    wanted = re.fullmatch(_REPOSITORY + "/installation", request.path)
    minting = re.fullmatch(r"/app/installations/(\d+)/access_tokens", request.path)
    if not (wanted or minting or request.path == "/app"):
        return None
    bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
    try:
        claims = jwt.decode(bearer, forge.app_private_key.public_key(), algorithms=["RS256"], issuer=forge.app_id)
    except jwt.PyJWTError:
        return refuse(401, "A JSON web token could not be decoded")
    if claims["exp"] > datetime.now(UTC).timestamp() + 600:
        return refuse(401, "'Expiration time' claim ('exp') is too far in the future")
    if wanted:
        is_there = forge.installed is None or wanted["name"] in forge.installed
        found = {"id": 77, "app_id": int(forge.app_id), "app_slug": forge.app_slug, "permissions": _APP_PERMISSIONS}
        return Answer(payload=found) if is_there else refuse(404, "Not Found")
    if minting:
        return _mint(forge, json.loads(request.body or b"{}"))
    return Answer(payload={"id": int(forge.app_id), "slug": forge.app_slug, "name": "Soulcaster test"})


_APP_PERMISSIONS = {"contents": "write", "pull_requests": "write", "issues": "write", "metadata": "read"}


def _mint(forge: Forge, body: dict[str, Any]) -> Answer:
    from standins.forge import Token

    wanted = body.get("permissions") or dict(_APP_PERMISSIONS)
    over = [name for name, level in wanted.items() if _APP_PERMISSIONS.get(name) not in (level, "write")]
    if over:
        return refuse(422, "The permissions requested are not granted to this installation.")
    owner = forge.app_slug
    names = body.get("repositories")
    known = {f"{path.parent.name}/{path.name.removesuffix('.git')}" for path in forge.folder.glob("*/*.git")}
    chosen = None if names is None else {name for name in known if name.split("/")[1] in names}
    if chosen is not None and len(chosen) < len(names):
        return refuse(422, "There is at least one repository that does not exist or is not accessible")
    token = "ghs_" + secrets.token_hex(30)
    expires_at = datetime.now(UTC) + timedelta(hours=1)
    forge.tokens[token] = Token(f"{owner}[bot]", dict(wanted), chosen, expires_at)
    shown = {"token": token, "expires_at": f"{expires_at:%Y-%m-%dT%H:%M:%SZ}", "permissions": wanted}
    return Answer(201, shown)


# -- what is shown ---------------------------------------------------------------------------------------------------


def _user(login: str) -> dict[str, Any]:
    return {"login": login, "id": sum(login.encode()), "type": "Bot" if login.endswith("[bot]") else "User"}


def open_issue(forge: Forge, name: str, title: str, body: str, labels: list[str], *, login: str) -> int:
    """A new number with what issues and pull requests share."""
    number = 1 + max((known for repository, known in forge.issues if repository == name), default=0)
    now = forge.now()
    forge.issues[name, number] = {
        "title": title, "body": body, "labels": labels, "user": _user(login), "state": "open", "state_reason": None,
        "created_at": now, "updated_at": now, "closed_at": None,
    }  # fmt: skip
    return number


def show_issue(forge: Forge, name: str, number: int) -> dict[str, Any]:
    """An issue as the API shows it; pull requests are issues too."""
    stored = forge.issues[name, number]
    root = f"{forge.url}/repos/{name}"
    url = f"{root}/issues/{number}"
    pull = forge.pulls.get((name, number))
    page = f"{forge.url}/{name}/{'pull' if pull else 'issues'}/{number}"
    shown = {
        **stored, "url": url, "repository_url": root, "labels_url": url + "/labels{/name}",
        "comments_url": url + "/comments", "events_url": url + "/events", "html_url": page, "id": 10_000 + number,
        "node_id": f"I_{number}", "number": number, "locked": False, "assignee": None, "assignees": [],
        "milestone": None, "comments": sum(c["place"] == (name, number) for c in forge.comments.values()),
        "author_association": "NONE", "active_lock_reason": None,
        "labels": [{"id": len(name), "name": name, "color": "ededed", "default": False} for name in stored["labels"]],
    }  # fmt: skip
    if pull:
        shown["draft"] = pull["draft"]
        shown["pull_request"] = {
            "url": f"{root}/pulls/{number}", "html_url": page, "diff_url": page + ".diff",
            "patch_url": page + ".patch", "merged_at": pull["merged_at"],
        }  # fmt: skip
    return shown


def show_pull(forge: Forge, name: str, number: int) -> dict[str, Any]:
    """A pull request as the API shows it."""
    stored = forge.pulls[name, number]
    issue = show_issue(forge, name, number)
    root = f"{forge.url}/repos/{name}"
    owner = name.split("/", maxsplit=1)[0]
    head = stored["head_sha"] or forge.find_head(name, stored["head"])
    issue.pop("pull_request")
    return issue | {
        "url": f"{root}/pulls/{number}", "issue_url": f"{root}/issues/{number}", "draft": stored["draft"],
        "merged": stored["merged_at"] is not None, "merged_at": stored["merged_at"],
        "merge_commit_sha": stored["merge_commit_sha"],
        "requested_reviewers": [_user(login) for login in sorted(stored["requested"])], "requested_teams": [],
        "head": {"ref": stored["head"], "sha": head, "label": f"{owner}:{stored['head']}"},
        "base": {"ref": stored["base"], "sha": forge.find_head(name, stored["base"]), "label": f"{owner}:x"},
    }  # fmt: skip


def end_pull(forge: Forge, name: str, number: int, *, merge_commit: str | None) -> None:
    """Closed, or merged when there is a commit."""
    pull, now = forge.pulls[name, number], forge.now()
    pull["head_sha"] = forge.find_head(name, pull["head"])
    pull["merged_at"], pull["merge_commit_sha"] = (now, merge_commit) if merge_commit else (None, None)
    forge.issues[name, number] |= {"state": "closed", "closed_at": now, "updated_at": now}


def show_comment(forge: Forge, comment_id: int) -> dict[str, Any]:
    """A comment as the API shows it."""
    stored = forge.comments[comment_id]
    name, number = stored["place"]
    root = f"{forge.url}/repos/{name}/issues"
    return {
        "id": comment_id, "node_id": f"IC_{comment_id}", "url": f"{root}/comments/{comment_id}",
        "html_url": f"{forge.url}/{name}/issues/{number}#issuecomment-{comment_id}", "issue_url": f"{root}/{number}",
        "user": _user(stored["login"]), "body": stored["body"], "created_at": stored["created_at"],
        "updated_at": stored["updated_at"], "author_association": "NONE",
    }  # fmt: skip


def _show_page(forge: Forge, name: str, number: int) -> Answer:
    if (name, number) not in forge.pulls:
        return refuse(404, "Not Found")
    pull = show_pull(forge, name, number)
    base, head = pull["base"]["sha"], pull["head"]["sha"]
    diff = forge.git(name, "diff", f"{base}...{head}")
    state = "draft" if pull["draft"] and pull["state"] == "open" else "merged" if pull["merged"] else pull["state"]
    html = (
        f"<!doctype html><meta charset=utf-8><title>{escape(pull['title'])}</title><h1>{escape(pull['title'])} "
        f"#{number}</h1><p>{state}: {escape(pull['head']['ref'])} into {escape(pull['base']['ref'])}</p>"
        f"<pre style='white-space:pre-wrap'>{escape(pull['body'] or '')}</pre><pre>{escape(diff)}</pre>"
    )
    return Answer(raw=html.encode(), headers={"Content-Type": "text/html; charset=utf-8"})


def _paged(forge: Forge, request: Request, things: list[Any]) -> Answer:
    size, page = min(100, int(request.first("per_page", "30"))), int(request.first("page", "1"))
    headers = {}
    if page * size < len(things):
        query = {key: values[0] for key, values in request.query.items()} | {"page": str(page + 1)}
        headers["Link"] = f'<{forge.url}{request.path}?{urlencode(query)}>; rel="next"'
    return Answer(payload=things[(page - 1) * size : page * size], headers=headers)


# -- what is asked ---------------------------------------------------------------------------------------------------


def _needs(permission: str, level: str = "read") -> Any:
    def mark(function: Any) -> Any:
        function.needs = (permission, level)
        return function

    return mark


@_needs("")
def _get_user(_forge: Forge, _request: Request, token: Token, _body: Any) -> Answer:
    if token.login.endswith("[bot]"):
        return refuse(403, "Resource not accessible by integration")
    return Answer(payload=_user(token.login) | _PERSON)


@_needs("")
def _get_any_user(_forge: Forge, _request: Request, _token: Token, _body: Any, login: str) -> Answer:
    return Answer(payload=_user(unquote(login)))


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
    return _paged(forge, request, shown)


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
    return _paged(forge, request, forge.reviews.get((name, int(number)), []))


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
    return _paged(forge, request, shown)


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
    return _paged(
        forge, request, [show_comment(forge, key) for key, c in forge.comments.items() if c["place"] == place]
    )


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


@_needs("contents")
def _get_commit(forge: Forge, _request: Request, _token: Token, _body: Any, name: str, sha: str) -> Answer:
    return Answer(payload={"sha": sha, "url": f"{forge.url}/repos/{name}/commits/{sha}"})


_ISSUE = _REPOSITORY + r"/issues/(?P<number>\d+)"
_PULL = _REPOSITORY + r"/pulls/(?P<number>\d+)"
_ROUTES = [
    ("GET", r"/user", _get_user),
    ("GET", r"/users/(?P<login>[^/]+)", _get_any_user),
    ("GET", _REPOSITORY, _get_repository),
    ("GET", _REPOSITORY + "/pulls", _list_pulls),
    ("POST", _REPOSITORY + "/pulls", _create_pull),
    ("GET", _PULL, _get_pull),
    ("PATCH", _PULL, _edit_pull),
    ("POST", _PULL + "/requested_reviewers", _ask_reviewers),
    ("GET", _PULL + "/reviews", _list_reviews),
    ("GET", _REPOSITORY + "/issues", _list_issues),
    ("GET", _ISSUE, _get_issue),
    ("POST", _ISSUE + "/labels", _add_labels),
    ("DELETE", _ISSUE + "/labels/(?P<label>[^/]+)", _remove_label),
    ("GET", _ISSUE + "/comments", _list_comments),
    ("POST", _ISSUE + "/comments", _add_comment),
    ("GET", _REPOSITORY + r"/issues/comments/(?P<comment>\d+)", _get_comment),
    ("PATCH", _REPOSITORY + r"/issues/comments/(?P<comment>\d+)", _edit_comment),
    ("GET", _REPOSITORY + r"/commits/(?P<sha>[0-9a-f]{40})/check-runs", _list_check_runs),
    ("GET", _REPOSITORY + r"/commits/(?P<sha>[0-9a-f]{40})/status", _get_status),
    ("GET", _REPOSITORY + r"/commits/(?P<sha>[0-9a-f]{40})", _get_commit),
]


# -- git -------------------------------------------------------------------------------------------------------------


def _serve_git(forge: Forge, request: Request, name: str, path: str) -> Answer:
    from standins.forge import plain_environment

    token = _find_token(forge, request)
    if token is None:
        return Answer(401, raw=b"", headers={"WWW-Authenticate": 'Basic realm="GitHub"', "Content-Type": "text/plain"})
    is_push = "git-receive-pack" in (request.first("service"), path.strip("/"))
    if not forge.bare(name).is_dir() or not _sees(token, name):
        return Answer(404, raw=b"Repository not found.", headers={"Content-Type": "text/plain"})
    if not _may(token, "contents", "write" if is_push else "read"):
        return Answer(403, raw=b"Write access to repository not granted.", headers={"Content-Type": "text/plain"})
    if path == "/git-receive-pack":
        forge.pushes.append((name, token.login))
    environment = plain_environment() | {
        "GIT_PROJECT_ROOT": str(forge.folder), "GIT_HTTP_EXPORT_ALL": "1", "REMOTE_USER": token.login,
        "PATH_INFO": f"/{name}.git{path}", "REQUEST_METHOD": request.method, "REMOTE_ADDR": "127.0.0.1",
        "QUERY_STRING": urlencode({key: values[0] for key, values in request.query.items()}),
        "CONTENT_TYPE": request.headers.get("content-type", ""), "CONTENT_LENGTH": str(len(request.body)),
        "HTTP_CONTENT_ENCODING": request.headers.get("content-encoding", ""),
        "GIT_PROTOCOL": request.headers.get("git-protocol", ""),
    }  # fmt: skip
    done = subprocess.run(
        ["git", "http-backend"], input=request.body, capture_output=True, check=False, env=environment
    )
    if done.returncode:
        sys.stderr.write(done.stderr.decode(errors="replace"))
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
    status = int(headers.pop("Status", "200").split()[0])
    return Answer(status, raw=body, headers=headers)
