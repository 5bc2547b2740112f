"""How the forge shows what it knows: issues, pull requests, comments, a page for people, refusals."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from standins.wire_server import Answer, Request

if TYPE_CHECKING:
    from standins.forge import Forge

_DOCUMENTATION = "https://docs.github.com/rest"


def refuse(status: int, message: str, *errors: dict[str, str]) -> Answer:
    """An error as GitHub words it."""
    more = {"errors": list(errors)} if errors else {}
    return Answer(status, {"message": message, **more, "documentation_url": _DOCUMENTATION})


def show_user(login: str) -> dict[str, Any]:
    """An account as the API shows it."""
    return {"login": login, "id": sum(login.encode()), "type": "Bot" if login.endswith("[bot]") else "User"}


def open_issue(forge: Forge, name: str, title: str, body: str, labels: list[str], *, login: str) -> int:
    """A new number with what issues and pull requests share."""
    number = 1 + max((known for repository, known in forge.issues if repository == name), default=0)
    now = forge.now()
    forge.issues[name, number] = {
        "title": title, "body": body, "labels": labels, "user": show_user(login), "state": "open", "state_reason": None,
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
        "requested_reviewers": [show_user(login) for login in sorted(stored["requested"])], "requested_teams": [],
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
        "user": show_user(stored["login"]), "body": stored["body"], "created_at": stored["created_at"],
        "updated_at": stored["updated_at"], "author_association": "NONE",
    }  # fmt: skip


def show_page(forge: Forge, name: str, number: int) -> Answer:
    """The page of a pull request, for people."""
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


def paged(forge: Forge, request: Request, things: list[Any]) -> Answer:
    """One page of a list, with the way to the next."""
    size, page = min(100, int(request.first("per_page", "30"))), int(request.first("page", "1"))
    headers = {}
    if page * size < len(things):
        query = {key: values[0] for key, values in request.query.items()} | {"page": str(page + 1)}
        headers["Link"] = f'<{forge.url}{request.path}?{urlencode(query)}>; rel="next"'
    return Answer(payload=things[(page - 1) * size : page * size], headers=headers)
