"""The part People of the page Settings: roles and tokens by buttons, a token's text once."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser import free_port
from seeding import PROJECT, seed_drawn
from streamlit.testing.v1 import AppTest

from soulcaster.access import authenticate, list_people, list_tokens
from soulcaster.errors import PermanentError
from soulcaster.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


def _open(home: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.chdir(home)
    monkeypatch.setenv("SOULCASTER_HOME", str(home))
    monkeypatch.setenv("SOULCASTER_PREFECT_PORT", str(free_port()))
    at = AppTest.from_file(ROOT / "app" / "main.py", default_timeout=60)
    at.run()
    at.query_params["part"] = "People"
    return at.switch_page("screens/settings.py").run()


def test_roles_and_tokens_are_given_and_taken_on_the_page(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    """A role is stored under the name of who gave it; a token is shown once, works, and is ended by its button."""
    seed_drawn(settings.duckdb_path, n_items=20, n_clusters=2)
    at = _open(settings.home, monkeypatch)
    assert any("no sign-in" in each.value for each in at.info)

    at.text_input(key="person-subject").set_value("Ben@Example.org").run()
    at.selectbox(key="person-role").set_value("fixer").run()
    at.button(key="person-save").click().run()
    [ben] = list_people(settings, PROJECT)
    assert ("ben@example.org", "fixer") == (ben.subject, ben.role)

    at.text_input(key="token-name").set_value("nightly report").run()
    at.button(key="token-save").click().run()
    [text] = [each.value for each in at.code]
    assert "nightly report" in authenticate(settings, text)
    at.button(key="token-kept").click().run()
    assert [] == list(at.code)

    [token] = list_tokens(settings, PROJECT)
    at.selectbox(key="end-token").set_value(token.token_id).run()
    at.button(key="end-save").click().run()
    with pytest.raises(PermanentError, match="was revoked"):
        authenticate(settings, text)
    assert not at.exception
