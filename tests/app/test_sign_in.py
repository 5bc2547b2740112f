"""Signing in at a provider, in a real Chromium: who is seen, what they may do, and what others never see."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from browser import chromium, chromium_path, running_app
from playwright.sync_api import Page, expect
from seeding import PROJECT, seed_drawn
from standins.oidc_server import CLIENT_ID, CLIENT_SECRET, oidc_server

from soulcaster import sign_in
from soulcaster.access import add_person, remove_person
from soulcaster.db import cluster_screens, read
from soulcaster.db.activity import list_activity
from soulcaster.settings import Settings

ANNA = {"sub": "7", "email": "Anna@Example.org", "email_verified": True}


def _configured(home: Path, metadata_url: str) -> Settings:
    return Settings(
        _env_file=None, home=home, app_url="http://127.0.0.1:{port}", oidc_metadata_url=metadata_url,
        oidc_client_id=CLIENT_ID, oidc_client_secret=CLIENT_SECRET,
    )  # fmt: skip


def test_files_of_the_sign_in_are_for_this_user_only_and_keep_their_key(tmp_path: Path):
    """The client's secret lies in one file that nobody else reads; a second start signs nobody out."""
    settings = _configured(tmp_path / "home", "https://id.example/.well-known/openid-configuration")
    settings = settings.model_copy(update={"app_url": "https://voice.example/"})
    words = sign_in.prepare(settings)
    first = Path(words[1]).read_text()

    assert "--secrets.files" == words[0]
    assert 'redirect_uri = "https://voice.example/oauth2callback"' in first
    assert {0o600} == {stat.S_IMODE(each.stat().st_mode) for each in (settings.home / "sign-in").iterdir()}
    assert first == Path(sign_in.prepare(settings)[1]).read_text()
    assert [] == sign_in.prepare(Settings(_env_file=None, home=tmp_path / "other"))
    assert not (tmp_path / "other").exists()


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.skipif(chromium_path() is None, reason="there is no Chromium on this machine")
def test_people_see_and_do_what_their_role_allows(tmp_path: Path):
    """Nothing before signing in; no role, a viewer and a triager differ by what they see and may; the log has names."""
    home = tmp_path / "home"
    with oidc_server() as provider:
        settings = _configured(home, provider.metadata_url)
        seed_drawn(settings.duckdb_path, n_items=60, n_clusters=4)
        frame, _ = read(
            settings.duckdb_path,
            lambda con: cluster_screens.list_clusters(con, PROJECT, cluster_screens.ClusterFilters(), limit=1),
        )
        environment = {
            "STREAMLIT_SECRETS_FILES": sign_in.prepare(settings)[1],
            "SOULCASTER_OIDC_METADATA_URL": provider.metadata_url,
            "SOULCASTER_OIDC_CLIENT_ID": CLIENT_ID,
            "SOULCASTER_OIDC_CLIENT_SECRET": CLIENT_SECRET,
        }
        with running_app(home, tmp_path / "log", **environment) as url, chromium() as browser:
            page = browser.new_page()
            address = f"{url}/cluster?id={frame['cluster_id'][0]}"
            _walk(page, settings, provider, address, frame["title"][0])
    log = read(settings.duckdb_path, lambda con: list_activity(con, PROJECT))
    assert ["anna@example.org"] == [row["actor"] for row in log if row["action"] == "owner"]


def _walk(page: Page, settings: Settings, provider, address: str, title: str) -> None:
    provider.claims = ANNA | {"email_verified": False}
    add_person(settings, PROJECT, "anna@example.org", "viewer", actor="root")
    page.goto(address)
    page.get_by_role("button", name="Sign in").click(timeout=60_000)
    expect(page.get_by_text("no role in project")).to_be_visible(timeout=60_000)
    expect(page.get_by_text("sub:7").first).to_be_visible()
    page.goto(address)
    expect(page.get_by_text("no role in project")).to_be_visible(timeout=60_000)
    assert title not in page.content(), "an address that nobody vouches for is nobody"

    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible(timeout=60_000)
    assert title not in page.content()
    provider.claims = ANNA
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("anna@example.org · viewer")).to_be_visible(timeout=60_000)

    page.goto(address)
    expect(page.get_by_role("heading", name=title).first).to_be_visible(timeout=60_000)
    expect(page.get_by_role("button", name="Owner")).to_be_disabled(timeout=60_000)

    add_person(settings, PROJECT, "anna@example.org", "triager", actor="root")
    page.goto(address)
    expect(page.get_by_text("anna@example.org · triager")).to_be_visible(timeout=60_000)
    _give_owner(page)
    expect(page.get_by_text("looked after by")).to_be_visible(timeout=30_000)

    remove_person(settings, PROJECT, "anna@example.org", actor="root")
    page.goto(address)
    expect(page.get_by_text("no role in project")).to_be_visible(timeout=60_000)
    assert title not in page.content()


def _give_owner(page: Page) -> None:
    page.get_by_role("button", name="Owner").click(timeout=60_000)
    page.get_by_role("dialog").get_by_role("button", name="Save").click(timeout=60_000)
