"""Where the token of a repository comes from: a variable that holds a personal one, or a GitHub App that mints one.

A minted token is for one repository, for what it is wanted for, and for an hour. Nothing is stored or logged.
"""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import urlsplit

from github import Auth, Github, GithubException, GithubIntegration
from pydantic import SecretStr

from soulcaster.errors import PermanentError
from soulcaster.fix_models import Repository
from soulcaster.publisher.api import Credentials, check_address, client_settings, translated
from soulcaster.settings import read_secret

Purpose = Literal["publish", "follow"]

_REQUIRED: dict[Purpose, dict[str, str]] = {
    "publish": {"contents": "write", "pull_requests": "write"},
    "follow": {"contents": "read", "pull_requests": "read"},
}
_WELCOME: dict[Purpose, dict[str, str]] = {
    "publish": {},
    "follow": {"issues": "write", "checks": "read", "statuses": "read", "actions": "read"},
}
"""Asked for only when the owner granted it: without, no comment on issues, no CI result or log. Never workflows."""


def for_repository(
    repository: Repository,
    *,
    purpose: Purpose = "publish",
    timeout_seconds: float = 30.0,
    seconds_between_writes: float = 1.0,
) -> Credentials:
    """A token for this repository.

    Raises:
        PermanentError: no variable is named, it is empty, or the App's key is none, or the App is not installed there
            or may not do what is needed.
        TransientError: GitHub did not answer.
    """
    api_url = check_address(repository.api_url, "the API address")
    if repository.app_id:
        return _from_app(repository, api_url, purpose, timeout_seconds, seconds_between_writes)
    if not repository.token_variable:
        raise PermanentError(
            f"Signing in for repository {repository.name!r} failed: expected the name of a variable that holds its "
            "token, or a GitHub App, got neither; see `soulcaster repo add --help`."
        )
    return Credentials(
        token=read_secret(repository.token_variable),
        api_url=api_url,
        timeout_seconds=timeout_seconds,
        seconds_between_writes=seconds_between_writes,
    )


def _from_app(
    repository: Repository, api_url: str, purpose: Purpose, timeout_seconds: float, seconds_between_writes: float
) -> Credentials:
    # A key in one line, as .env files want it, has its line ends written out.
    key = read_secret(repository.app_key_variable).get_secret_value().replace("\\n", "\n")
    given = client_settings(api_url, timeout_seconds, seconds_between_writes)
    try:
        minted, login, bot_id = _mint(repository, purpose, key, given)
    except (GithubException, OSError) as error:
        raise translated(error, f"the GitHub App's installation on {repository.name!r}") from error
    except PermanentError:
        raise
    except Exception as error:  # the key is parsed by whichever crypto library PyGithub has, each with its own errors
        raise PermanentError(
            f"Signing in as a GitHub App for {repository.name!r} failed: expected a private key in PEM form in "
            f"{repository.app_key_variable}."
        ) from error
    return Credentials(
        token=SecretStr(minted["token"]),
        api_url=api_url,
        login=login,
        author_name=login,
        author_email=f"{bot_id}+{login}@users.noreply.{_host(api_url)}",
        expires_at=minted["expires_at"],
        timeout_seconds=timeout_seconds,
        seconds_between_writes=seconds_between_writes,
    )


def _mint(repository: Repository, purpose: Purpose, key: str, given: dict[str, Any]) -> tuple[dict[str, Any], str, int]:
    """GitHub's answer with the token, and login and id of the App's bot."""
    owner, name = repository.name.split("/")
    integration = GithubIntegration(auth=Auth.AppAuth(repository.app_id, key), **given)
    installation = integration.get_repo_installation(owner, name)
    wanted = _permissions(repository, purpose, installation.permissions)
    # PyGithub's own call cannot narrow a token to one repository.
    _, minted = integration.requester.requestJsonAndCheck(
        "POST",
        f"/app/installations/{installation.id}/access_tokens",
        input={"repositories": [name], "permissions": wanted},
    )
    bot = Github(auth=Auth.Token(minted["token"]), **given).get_user(f"{integration.get_app().slug}[bot]")
    return minted, bot.login, bot.id


def _permissions(repository: Repository, purpose: Purpose, granted: dict[str, str]) -> dict[str, str]:
    missing = [name for name, level in _REQUIRED[purpose].items() if granted.get(name) not in (level, "write")]
    if missing:
        raise PermanentError(
            f"Signing in as a GitHub App for {repository.name!r} was refused: the installation does not grant "
            f"{' and '.join(missing)}; its owner can in the App's settings."
        )
    welcome = {name: level for name, level in _WELCOME[purpose].items() if granted.get(name) in (level, "write")}
    return _REQUIRED[purpose] | welcome


def _host(api_url: str) -> str:
    host = urlsplit(api_url).hostname or ""
    return "github.com" if host == "api.github.com" else host
