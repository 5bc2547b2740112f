"""The stand-in for GitHub itself: what it shows has GitHub's shape, and the real clients accept it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from github import Auth, Github, GithubException, GithubIntegration
from standins.forge import Forge, plain_environment, running_forge

NAME = "acme/notes"


@pytest.fixture
def forge(tmp_path: Path):
    """A forge with one repository."""
    with running_forge(tmp_path) as started:
        started.add_repository(NAME, {"notes.py": "print('hi')\n", "docs/a.md": "a\n"})
        yield started


def connect(forge: Forge, token: str | None = None) -> Github:
    """PyGithub without its waits."""
    return Github(
        auth=Auth.Token(token or forge.token), base_url=forge.url, retry=None, seconds_between_requests=0,
        seconds_between_writes=0,
    )  # fmt: skip


def run_git(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Git as a stranger on this machine would run it."""
    environment = plain_environment() | {"GIT_TERMINAL_PROMPT": "0"}
    return subprocess.run(
        ["git", *words], cwd=cwd, capture_output=True, text=True, check=False, env=environment, timeout=60
    )


def test_issues_have_the_shape_of_recorded_ones(forge, shared_data_dir):
    """Every key of an issue, a pull request among issues and a comment is one that GitHub sent, with the same type."""
    number = forge.add_issue(NAME, "It breaks", body="at once", labels=["bug"])
    forge.push(NAME, "fix", {"notes.py": "print('ho')\n"})
    repository = connect(forge).get_repo(NAME)
    pull = repository.create_pull(base="main", head="fix", title="A fix", body="x", draft=True)
    pull.create_issue_comment("well")
    recorded = json.loads((shared_data_dir / "payloads_github_api/dlt/duckdb_issues_page_5.json").read_text())
    types: dict[str, set[str]] = {}
    for entry in recorded:
        for key, value in entry.items():
            types.setdefault(key, set()).add(type(value).__name__)

    for shown in (repository.get_issue(number).raw_data, repository.get_issue(pull.number).raw_data):
        assert set(shown) <= set(types)
        assert [] == [key for key, value in shown.items() if type(value).__name__ not in types[key] | {"NoneType"}]
        assert {"number", "title", "body", "user", "state", "labels", "updated_at", "html_url"} <= set(shown)
    links = next(entry["pull_request"] for entry in recorded if entry.get("pull_request"))
    assert set(links) == set(repository.get_issue(pull.number).raw_data["pull_request"])
    old = json.loads(
        (shared_data_dir / "payloads_github_api/pygithub/PullRequest.testGetIssueComment__01.json").read_text()
    )
    assert set(old) - {"user"} <= set(next(iter(pull.get_issue_comments())).raw_data)


def test_errors_have_the_shape_of_recorded_ones(forge, shared_data_dir):
    """A refused write is answered as GitHub answered one."""
    recorded = json.loads((shared_data_dir / "payloads_github_api/octokit/errors__01.json").read_text())

    with pytest.raises(GithubException) as caught:
        connect(forge).get_repo(NAME).create_pull(base="main", head="missing", title="x")

    assert 422 == caught.value.status
    assert set(recorded) == set(caught.value.data)
    assert recorded["message"] == caught.value.data["message"]


def test_git_reads_and_writes_with_the_token_only(forge, tmp_path):
    """The token clones and pushes; without it, or with another, git is refused."""
    address = forge.clone_url(NAME)
    with_token = address.replace("http://", f"http://x-access-token:{forge.token}@")

    assert 0 == run_git("clone", "-q", with_token, "copy", cwd=tmp_path).returncode
    assert 0 == run_git("push", "-q", with_token, "HEAD:refs/heads/other", cwd=tmp_path / "copy").returncode
    assert {"main", "other"} == set(forge.branches(NAME))
    assert 0 != run_git("ls-remote", address, cwd=tmp_path).returncode
    assert 0 != run_git("ls-remote", address.replace("http://", "http://x:wrong@"), cwd=tmp_path).returncode


def test_an_app_gets_a_token_for_one_repository(forge):
    """The token of an installation sees the repository it was minted for, and no other."""
    forge.add_repository("acme/secret", {"a": "a\n"})
    integration = GithubIntegration(auth=Auth.AppAuth(forge.app_id, forge.app_key), base_url=forge.url, retry=None)
    installation = integration.get_repo_installation("acme", "notes")
    _, minted = integration.requester.requestJsonAndCheck(
        "POST", f"/app/installations/{installation.id}/access_tokens",
        input={"repositories": ["notes"], "permissions": {"contents": "write"}},
    )  # fmt: skip

    assert NAME == connect(forge, minted["token"]).get_repo(NAME).full_name
    with pytest.raises(GithubException) as caught:
        connect(forge, minted["token"]).get_repo("acme/secret")
    assert 404 == caught.value.status


def test_a_pull_request_lives_and_is_merged(forge):
    """Opened once, refused twice, commented, merged: states and commits are those of real repositories."""
    forge.push(NAME, "fix", {"notes.py": "print('ho')\n"})
    repository = connect(forge).get_repo(NAME)
    pull = repository.create_pull(base="main", head="fix", title="A fix", body="x", draft=True)
    with pytest.raises(GithubException, match="already exists"):
        repository.create_pull(base="main", head="fix", title="A fix", body="x", draft=True)
    with pytest.raises(GithubException, match="collaborators"):
        pull.create_review_request(reviewers=["stranger"])

    forge.merge(NAME, pull.number)

    found = repository.get_pull(pull.number)
    assert ("closed", True) == (found.state, found.merged)
    assert "print('ho')\n" == forge.show_file(NAME, "main", "notes.py")
    assert [pull.number] == [one.number for one in repository.get_pulls(state="all", head="acme:fix")]
