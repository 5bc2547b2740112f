"""The commands about people and tokens, and the refusal to listen where everybody would be admin."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from soulcaster.access import authenticate
from soulcaster.cli import app
from soulcaster.errors import PermanentError
from soulcaster.settings import Settings


def _run(*words: str) -> str:
    done = CliRunner().invoke(app, [*words, "--project", "acme"], catch_exceptions=False)
    assert 0 == done.exit_code, done.output
    return done.stdout.strip()


def test_people_and_tokens_by_command(settings: Settings):
    """What one command gives the next one lists; a token's text is all of standard output, and only once."""
    assert "Nobody has a role yet" in _run("person", "list")
    assert "anna@example.org is admin in project acme." == _run("person", "add", "Anna@example.org", "--role", "admin")
    [anna] = json.loads(_run("person", "list", "--json"))["people"]
    assert ("anna@example.org", "admin") == (anna["subject"], anna["role"])
    assert "has no role any more" in _run("person", "remove", "anna@example.org")

    text = _run("token", "add", "nightly report", "--role", "viewer", "--days", "7")
    held = authenticate(settings, text)
    assert ("viewer", "acme") == (held.role, held.project_id)
    listed = _run("token", "list")
    assert "nightly report" in listed
    assert "until 20" in listed
    assert text[16:] not in listed
    assert "opens nothing any more" in _run("token", "revoke", text[3:9])
    with pytest.raises(PermanentError, match="was revoked"):
        authenticate(settings, text)
    assert "revoked 20" in _run("token", "list")


def test_up_refuses_to_listen_where_everybody_would_be_admin(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    """Another address than loopback without sign-in ends at once, in one sentence that says what to set."""
    monkeypatch.setenv("SOULCASTER_HOST", "0.0.0.0")  # noqa: S104  that is what is refused
    with pytest.raises(PermanentError, match="would be its admin; set the three SOULCASTER_OIDC"):
        CliRunner().invoke(app, ["up", "--once"], catch_exceptions=False)
    assert not (settings.home / "up.lock").exists()
