"""Tokens: personal ones from a variable, minted ones from a GitHub App for one repository and one purpose."""

from __future__ import annotations

import pytest
from publisher.conftest import NAME
from standins.wire_server import Answer

from soulcaster.errors import PermanentError, TransientError
from soulcaster.publisher.api import check_address
from soulcaster.publisher.credentials import for_repository


@pytest.fixture
def app_repository(forge, repository, monkeypatch):
    """The repository with a GitHub App in place of the token."""
    monkeypatch.setenv("NOTES_APP_KEY", forge.app_key.replace("\n", "\\n"))
    return repository.model_copy(
        update={"token_variable": "", "app_id": forge.app_id, "app_key_variable": "NOTES_APP_KEY"}
    )


def test_a_personal_token_comes_from_its_variable_and_is_not_printed(forge, repository):
    """The token is there for those who ask for it, and in no text about it."""
    found = for_repository(repository)

    assert forge.token == found.token.get_secret_value()
    assert forge.token not in repr(found) + str(found) + found.model_dump_json()


def test_an_app_mints_a_token_for_one_repository_and_nothing_more(forge, app_repository):
    """Contents and pull requests, this repository alone, an hour; commits bear the name of its bot."""
    forge.add_repository("acme/other", {"a": "a\n"})

    found = for_repository(app_repository, seconds_between_writes=0)

    minted = forge.tokens[found.token.get_secret_value()]
    assert {"contents": "write", "pull_requests": "write"} == minted.permissions
    assert {NAME} == minted.repositories
    assert "soulcaster-test[bot]" == found.login == found.author_name
    assert found.author_email.endswith("+soulcaster-test[bot]@users.noreply.127.0.0.1")
    assert found.expires_at is not None


def test_following_asks_for_no_right_to_push(forge, app_repository):
    """What only reads and comments gets a token that cannot write code; what was not granted is not asked for."""
    found = for_repository(app_repository, purpose="follow", seconds_between_writes=0)

    minted = forge.tokens[found.token.get_secret_value()]
    assert {"contents": "read", "pull_requests": "read", "issues": "write"} == minted.permissions


def test_a_key_that_is_none_is_named_by_its_variable_only(app_repository, monkeypatch):
    """The message names the variable and shows nothing of what is in it."""
    monkeypatch.setenv("NOTES_APP_KEY", "hunter2-is-no-key")

    with pytest.raises(PermanentError, match="NOTES_APP_KEY") as caught:
        for_repository(app_repository)

    assert "hunter2" not in str(caught.value)


def test_an_app_that_is_not_installed_is_said(forge, app_repository):
    """Not installed on this repository: a person has to."""
    forge.installed = {"acme/other"}

    with pytest.raises(PermanentError, match="installation on 'acme/notes'"):
        for_repository(app_repository)


def test_a_limit_while_minting_says_when_to_come_back(forge, app_repository):
    """A server that is busy is asked again, at the time it names."""
    forge.failures = [Answer(403, {"message": "You have exceeded a secondary rate limit"}, {"Retry-After": "120"})]

    with pytest.raises(TransientError) as caught:
        for_repository(app_repository)

    assert caught.value.retry_at is not None


def test_no_way_to_sign_in_is_said(repository):
    """Neither variable nor App."""
    with pytest.raises(PermanentError, match="expected the name of a variable"):
        for_repository(repository.model_copy(update={"token_variable": ""}))


@pytest.mark.parametrize(
    "url",
    [
        "http://api.github.com",
        "https://me:pw@host",
        "ftp://host",
        "https://",
        "https://h/?q=1",
        "https://h /x",
        "file:///etc",
    ],
)
def test_a_token_is_sent_only_over_https_or_loopback(url):
    """Any other address is refused before anything is sent."""
    with pytest.raises(PermanentError, match="refused"):
        check_address(url, "the API address")
