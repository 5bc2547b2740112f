"""A stand-in for GitHub that PyGithub and git talk to: REST over `forge_api`, smart HTTP over real bare repositories.

`Forge` is the state with the hands of people on it: they push, merge, close, review, and let CI answer.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from standins import forge_api, forge_shown
from standins.wire_server import Answer, Request, Wire, running

PERSON = ("-c", "user.name=Pat Person", "-c", "user.email=pat@example.org")


@dataclass
class Token:
    """Who it signs in as, and what it may do: permission to level, repositories (None: all)."""

    login: str
    permissions: dict[str, str] = field(
        default_factory=lambda: {
            "contents": "write",
            "pull_requests": "write",
            "issues": "write",
            "checks": "read",
            "actions": "read",
        }
    )
    repositories: set[str] | None = None
    expires_at: datetime | None = None


@dataclass
class Forge(Wire):
    """Everything the server knows. Numbers of issues and pull requests are one sequence, as at GitHub.

    `planned` answers (method, end of the path, answer) are given once each, in place of the real one.
    """

    folder: Path = Path()
    token: str = "github_pat_11FORGE0_test0token0of0the0stand0in"
    app_id: str = "4711"
    app_slug: str = "soulcaster-test"
    tokens: dict[str, Token] = field(default_factory=dict)
    installed: set[str] | None = None
    collaborators: set[str] = field(default_factory=lambda: {"ana", "ben"})
    drafts_are_allowed: bool = True
    issues: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    pulls: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    comments: dict[int, dict[str, Any]] = field(default_factory=dict)
    reviews: dict[tuple[str, int], list[dict[str, Any]]] = field(default_factory=dict)
    line_remarks: dict[tuple[str, int], list[dict[str, Any]]] = field(default_factory=dict)
    check_runs: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    statuses: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    job_logs: dict[int, str] = field(default_factory=dict)
    pushes: list[tuple[str, str]] = field(default_factory=list)
    guard: threading.RLock = field(default_factory=threading.RLock)
    planned: list[tuple[str, str, Answer]] = field(default_factory=list)
    ticks: int = 0

    @cached_property
    def app_private_key(self) -> rsa.RSAPrivateKey:
        """Key of the GitHub App, made when first asked for."""
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)

    @property
    def app_key(self) -> str:
        """The App's private key in PEM, as GitHub hands it out."""
        return self.app_private_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        ).decode()

    @property
    def pull_requests(self) -> list[dict[str, Any]]:
        """All pull requests as the API shows them, oldest first."""
        with self.guard:
            places = sorted(self.pulls, key=lambda place: place[1])
            return [forge_shown.show_pull(self, name, number) for name, number in places]

    def clone_url(self, name: str) -> str:
        """Address for git."""
        return f"{self.url}/{name}.git"

    def bare(self, name: str) -> Path:
        """Folder of the bare repository."""
        return self.folder / f"{name}.git"

    def git(self, name: str, *words: str, stdin: bytes | None = None) -> str:
        """Output of git in the bare repository."""
        done = subprocess.run(
            ["git", *words], cwd=self.bare(name), capture_output=True, check=True, env=plain_environment(), input=stdin
        )
        return done.stdout.decode().strip()

    def add_repository(self, name: str, files: dict[str, str], *, branch: str = "main") -> str:
        """A repository with one commit; its sha."""
        self.bare(name).mkdir(parents=True)
        self.git(name, "init", "--quiet", "--bare", "--initial-branch", branch)
        self.git(name, "config", "http.receivepack", "true")
        return self.push(name, branch, files)

    def push(self, name: str, branch: str, files: dict[str, str | None], *, message: str = "A change") -> str:
        """A commit by a person on top of the branch; None deletes a file. Returns its sha."""
        with tempfile.TemporaryDirectory() as scratch, self.guard:
            index = {"GIT_INDEX_FILE": f"{scratch}/index"}
            parent = self.find_head(name, branch)
            if parent:
                self._git(name, index, "read-tree", parent)
            for path, text in files.items():
                if text is None:
                    self._git(name, index, "update-index", "--force-remove", path)
                    continue
                blob = self.git(name, "hash-object", "-w", "--stdin", stdin=text.encode())
                self._git(name, index, "update-index", "--add", "--cacheinfo", f"100644,{blob},{path}")
            tree = self._git(name, index, "write-tree")
            parents = ["-p", parent] if parent else []
            commit = self.git(name, *PERSON, "commit-tree", tree, *parents, "-m", message)
            self.git(name, "update-ref", f"refs/heads/{branch}", commit)
            return commit

    def _git(self, name: str, more: dict[str, str], *words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=self.bare(name), capture_output=True, check=True, env=plain_environment() | more
        )
        return done.stdout.decode().strip()

    def find_head(self, name: str, branch: str) -> str | None:
        """Commit of a branch."""
        done = subprocess.run(
            ["git", "rev-parse", "--verify", "--quiet", f"refs/heads/{branch}"],
            cwd=self.bare(name), capture_output=True, check=False, env=plain_environment(),
        )  # fmt: skip
        return done.stdout.decode().strip() or None

    def branches(self, name: str) -> dict[str, str]:
        """Branch to commit."""
        lines = self.git(name, "for-each-ref", "--format=%(refname:lstrip=2) %(objectname)", "refs/heads").splitlines()
        return dict(line.split() for line in lines)

    def show_file(self, name: str, branch: str, path: str) -> str:
        """Text of a file on a branch."""
        done = subprocess.run(
            ["git", "show", f"{branch}:{path}"],
            cwd=self.bare(name), capture_output=True, check=True, env=plain_environment(),
        )  # fmt: skip
        return done.stdout.decode()

    def add_issue(self, name: str, title: str, *, body: str = "", labels: list[str] | None = None) -> int:
        """An issue opened by somebody; its number."""
        with self.guard:
            return forge_shown.open_issue(self, name, title, body, labels or [], login="reporter")

    def merge(self, name: str, number: int) -> str:
        """A person merges a pull request; the merge commit."""
        with self.guard:
            pull = self.pulls[name, number]
            head, base = self.find_head(name, pull["head"]), self.find_head(name, pull["base"])
            tree = self.git(name, "rev-parse", f"{head}^{{tree}}")
            commit = self.git(name, *PERSON, "commit-tree", tree, "-p", base, "-p", head, "-m", f"Merge #{number}")
            self.git(name, "update-ref", f"refs/heads/{pull['base']}", commit)
            forge_shown.end_pull(self, name, number, merge_commit=commit)
            return commit

    def close(self, name: str, number: int) -> None:
        """A person closes a pull request without merging."""
        with self.guard:
            forge_shown.end_pull(self, name, number, merge_commit=None)

    def review(self, name: str, number: int, login: str, state: str, body: str = "") -> None:
        """A person reviews: APPROVED, CHANGES_REQUESTED or COMMENTED."""
        with self.guard:
            commit = forge_shown.show_pull(self, name, number)["head"]["sha"]
            self.reviews.setdefault((name, number), []).append(
                {"id": 900 + self.ticks, "user": {"login": login, "type": "User"}, "state": state, "body": body,
                 "commit_id": commit, "submitted_at": self.now()}
            )  # fmt: skip
            self.pulls[name, number]["requested"].discard(login)

    def remark(self, name: str, number: int, login: str, text: str, *, path: str = "", line: int | None = None) -> None:
        """A person remarks on a line of a pull request, or, without a path, in its conversation."""
        with self.guard:
            if not path:
                self.comments[5000 + len(self.comments)] = {
                    "place": (name, number), "login": login, "body": text, "created_at": self.now(),
                    "updated_at": self.now(),
                }  # fmt: skip
                return
            self.line_remarks.setdefault((name, number), []).append(
                {"id": 800 + self.ticks, "user": forge_shown.show_user(login), "body": text, "path": path, "line": line,
                 "created_at": self.now(), "url": f"{self.url}/remarks/{self.ticks}"}
            )  # fmt: skip

    def check(
        self, commit: str, name: str, conclusion: str | None, *, said: str = "", notes: tuple[str, ...] = (),
        log: str | None = None,
    ) -> None:  # fmt: skip
        """CI answers for a commit; None: it is still running. With a log it is a job of Actions."""
        status = "completed" if conclusion else "in_progress"
        check_id = 700 + sum(len(runs) for runs in self.check_runs.values())
        shown = [{"path": "notes.py", "start_line": 1, "end_line": 1, "message": note} for note in notes]
        self.check_runs.setdefault(commit, []).append(
            {"id": check_id, "name": name, "status": status, "conclusion": conclusion, "head_sha": commit,
             "html_url": f"{self.url}/checks/{name}", "url": f"{self.url}/repos/acme/notes/check-runs/{check_id}",
             "output": {"title": name, "summary": said, "text": None, "annotations_count": len(notes)},
             "annotations": shown, "app": {"slug": "other-ci" if log is None else "github-actions", "id": 1}}
        )  # fmt: skip
        if log is not None:
            self.job_logs[check_id] = log

    def now(self) -> str:
        """Time of the server: the clock, and never the same second twice in a row."""
        self.ticks += 1
        return f"{datetime.now(UTC) + timedelta(seconds=self.ticks):%Y-%m-%dT%H:%M:%SZ}"


def plain_environment() -> dict[str, str]:
    """For git: nothing of the machine's configuration."""
    return {
        "PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull, "LC_ALL": "C",
    }  # fmt: skip


@contextmanager
def running_forge(folder: Path, **given: Any) -> Iterator[Forge]:
    """A started server whose repositories lie in `folder`."""
    forge = Forge(folder=folder / "forge", **given)
    forge.folder.mkdir(parents=True, exist_ok=True)
    forge.tokens[forge.token] = Token(login="robot")

    def answer(request: Request) -> Answer:
        for planned in forge.planned:
            if request.method == planned[0] and request.path.endswith(planned[1]):
                forge.planned.remove(planned)
                return planned[2]
        return forge_api.answer(forge, request)

    with running(answer, forge):
        yield forge
