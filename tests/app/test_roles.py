"""Every page as each role sees it: what a role may do is offered, the rest is greyed out with a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser import ROOT, free_port
from seeding import PROJECT, seed_drawn
from streamlit.testing.v1 import AppTest

from soulcaster import pull, repositories
from soulcaster.access import add_person
from soulcaster.actors import ROLES, Role
from soulcaster.configured import parse_options
from soulcaster.db import cluster_screens, read, write
from soulcaster.settings import Settings
from soulcaster.views import save_view

ANN = "ann@example.org"
SOURCE = "github:acme/notes"
PAGES: dict[tuple[str, str], dict[str, Role]] = {
    ("overview", ""): {"start-name": "triager"},
    ("clusters", ""): {"view-save": "triager", "view-remove-mine": "triager"},
    ("cluster", ""): {
        "act-status": "triager",
        "act-rename": "triager",
        "act-owner": "triager",
        "act-comment": "triager",
        "act-merge": "triager",
        "act-fix": "fixer",
    },
    ("feedback", ""): {"add-feedback": "triager", "upload": "triager"},
    ("map", ""): {"start-draw": "triager"},
    ("fixes", ""): {"switch-launching": "fixer", "switch-publishing": "admin"},
    ("history", ""): {"backfill": "triager"},
    ("settings", "Sources"): {
        "source-add": "admin",
        f"test-{SOURCE}": "admin",
        f"change-{SOURCE}": "admin",
        f"pause-{SOURCE}": "admin",
        f"remove-{SOURCE}": "admin",
        "start-ingest": "triager",
    },
    ("settings", "Mappings"): {"mapping-try": "admin"},
    ("settings", "Repositories"): {
        "repository-add": "admin",
        "repository-change-acme/notes": "admin",
        "repository-remove-acme/notes": "admin",
    },
    ("settings", "Models"): {"test-embedder": "admin", "test-llm": "admin", "test-agent": "admin", "doctor": "admin"},
}
"""Page and part: its buttons by key, with the least role that may press them. One switch is on and one is off."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one of everything that the pages have buttons for."""
    settings = Settings(_env_file=None, home=tmp_path_factory.mktemp("roles"))
    seed_drawn(settings.duckdb_path, n_items=60, n_clusters=4)
    write(settings.duckdb_path, lambda con: con.execute("UPDATE clusters SET title = NULL"))
    pull.add_source(settings, PROJECT, "github", "acme/notes", parse_options("github", {}), actor="root")
    repositories.change_repository(settings, PROJECT, "acme/notes", {"mode": "draft"}, actor="root")
    repositories.turn_switch(settings, PROJECT, "publishing", is_on=False, reason="holidays", actor="root")
    save_view(settings, PROJECT, "mine", {"q": ["crash"]}, actor="root")
    return settings.home


@pytest.mark.parametrize("role", ROLES)
def test_pages_offer_what_the_role_may_do_and_grey_out_the_rest(monkeypatch, tmp_path, home, role):
    """Each button is enabled exactly for its least role and those above; a greyed one says which role it needs."""
    _sign_in_is_configured(monkeypatch, tmp_path, home)
    settings = Settings(_env_file=None, home=home)
    add_person(settings, PROJECT, ANN, role, actor="root")
    at = AppTest.from_file(ROOT / "app" / "main.py", default_timeout=60)
    at.user = {"is_logged_in": True, "email": ANN, "email_verified": True}
    at.run()

    for (page, part), least in PAGES.items():
        at.query_params.clear()
        if page == "cluster":
            at.query_params["id"] = _largest(settings)
        elif part:
            at.session_state["part"] = part
        at.switch_page(f"screens/{page}.py").run()
        seen = {key: at.button(key=key) for key in least}

        assert not at.exception, page
        wanted = {key: ROLES.index(role) >= ROLES.index(needed) or key == "view-save" for key, needed in least.items()}
        offered = {key: not button.disabled or key == "view-save" for key, button in seen.items()}
        assert wanted == offered, page
        for key, button in seen.items():
            needs = f"Needs the role {least[key]}"
            assert (ROLES.index(role) < ROLES.index(least[key])) == (needs in button.help), key


def test_who_lost_the_role_sees_nothing_of_the_project(monkeypatch, tmp_path, home):
    """Somebody who is signed in without a role gets the sentence and the command, on every page."""
    _sign_in_is_configured(monkeypatch, tmp_path, home)
    at = AppTest.from_file(ROOT / "app" / "main.py", default_timeout=60)
    at.user = {"is_logged_in": True, "email": "eve@example.org", "email_verified": True}
    at.run()

    for page, _ in PAGES:
        at.switch_page(f"screens/{page}.py").run()

        assert "no role in project" in at.warning[0].value, page
        assert "soulcaster person add" in at.code[0].value, page
        assert [0, 0] == [len(at.title), len(at.dataframe)], page


def _sign_in_is_configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home: Path) -> None:
    monkeypatch.chdir(tmp_path)  # no .env of the checkout
    monkeypatch.setenv("SOULCASTER_HOME", str(home))
    monkeypatch.setenv("SOULCASTER_PREFECT_PORT", str(free_port()))
    monkeypatch.setenv("SOULCASTER_OIDC_METADATA_URL", "http://127.0.0.1:9/openid-configuration")
    monkeypatch.setenv("SOULCASTER_OIDC_CLIENT_ID", "app")
    monkeypatch.setenv("SOULCASTER_OIDC_CLIENT_SECRET", "hidden")


def _largest(settings: Settings) -> str:
    filters = cluster_screens.ClusterFilters()
    frame, _ = read(settings.duckdb_path, lambda con: cluster_screens.list_clusters(con, PROJECT, filters, limit=1))
    return str(frame["cluster_id"][0])
