"""The page of settings: what people configure is stored and logged, tried without storing; secrets stay hidden."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from gemini_server import API_KEY, GeminiServer, running_gemini
from seeding import PROJECT
from streamlit.testing.v1 import AppTest

from soulcaster import pull, views
from soulcaster.actors import Actor
from soulcaster.configured import parse_options
from soulcaster.db import migrate, read, write
from soulcaster.db.llm import sum_usage
from soulcaster.db.screens import list_projects
from soulcaster.errors import PermanentError
from soulcaster.settings import Settings


def said(at: AppTest) -> str:
    """All text of the page that is not in a table."""
    kinds = (at.markdown, at.caption, at.text, at.success, at.warning, at.info, at.error)
    return "\n".join(str(element.value) for kind in kinds for element in kind).replace("\\", "")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """An empty store of this test's own."""
    made = Settings(_env_file=None, home=tmp_path / "home")
    migrate(made.duckdb_path)
    return made


@pytest.fixture
def gemini() -> Iterator[GeminiServer]:
    """A stand-in for the model's service."""
    with running_gemini() as server:
        yield server


def log_of(settings: Settings) -> list[tuple[str, str, str]]:
    """Who did what to what, in order."""
    return read(
        settings.duckdb_path,
        lambda con: con.execute("SELECT actor, action, subject FROM activity ORDER BY happened_at").fetchall(),
    )


def test_variables_are_shown_as_set_or_not_and_never_what_is_in_them(open_page, settings, monkeypatch):
    """A green and a red badge; the value is on no part of the page."""
    for name, variable in (("acme/notes", "ACME_TOKEN"), ("acme/other", "OTHER_TOKEN")):
        options = parse_options("github", {"token_variable": variable})
        pull.add_source(settings, PROJECT, "github", name, options, actor="ann")
    monkeypatch.setenv("ACME_TOKEN", "the-value")
    at = open_page(settings.home, "settings")

    assert "ACME_TOKEN is set" in said(at)
    assert "OTHER_TOKEN is not set" in said(at)
    for part in ("Sources", "Models", "Limits"):
        monkeypatch.setenv("SOULCASTER_RECEIVER_TOKEN", "the-value")
        shown = open_page(settings.home, "settings", part=part)
        assert "the-value" not in said(shown)
        assert all("the-value" not in frame.value.to_csv() for frame in shown.dataframe)


def test_limits_say_what_is_kept_how_long(open_page, settings, monkeypatch):
    """Every kind that retention knows, with the days of today's settings and their variable; 0 is for ever."""
    monkeypatch.setenv("SOULCASTER_KEEP_PAYLOADS_DAYS", "90")
    text = said(open_page(settings.home, "settings", part="Limits"))

    assert "raw payloads 90 days (`SOULCASTER_KEEP_PAYLOADS_DAYS`)" in text
    assert "the activity log for ever (`SOULCASTER_KEEP_ACTIVITY_DAYS`)" in text
    named = set(re.findall(r"`SOULCASTER_(KEEP_\w+)`", text))
    assert {name.upper() for name in Settings.model_fields if name.startswith("keep_")} == named


def test_a_source_is_paused_by_name_of_the_person(open_page, settings):
    """The button does what it says, with a line in the log."""
    pull.add_source(settings, PROJECT, "reddit", "notesapp", parse_options("reddit", {}), actor="ann")
    at = open_page(settings.home, "settings")
    at.text_input(key="person").set_value("bob").run()
    at.button(key="pause-reddit:notesapp").click().run()

    assert pull.list_sources(settings, PROJECT)[0].is_paused
    assert ("bob", "source-pause", "source:reddit:notesapp") == log_of(settings)[-1]


@pytest.fixture
def refusing_url() -> Iterator[str]:
    """Address of a server that knows nobody."""

    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"message": "Bad credentials"}).encode()
            self.send_response(401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_testing_a_source_that_refuses_says_so_and_changes_nothing(open_page, settings, monkeypatch, refusing_url):
    """The sentence is on the page, the source's state is as before."""
    monkeypatch.setenv("ACME_TOKEN", "wrong")
    options = parse_options("sentry", {"token_variable": "ACME_TOKEN", "base_url": refusing_url})
    pull.add_source(settings, PROJECT, "sentry", "acme/web", options, actor="ann")
    at = open_page(settings.home, "settings")

    at.button(key="test-sentry:acme/web").click().run()

    assert not at.exception
    assert "401" in said(at)
    assert "new" == pull.list_sources(settings, PROJECT)[0].state


def test_the_embedder_is_really_asked(open_page, settings):
    """The test button embeds a sentence and says with what."""
    at = open_page(settings.home, "settings", part="Models")

    at.button(key="test-embedder").click().run()

    assert any("first vector after" in str(each.value) for each in at.success)


def test_the_model_that_writes_is_really_asked(open_page, settings, monkeypatch, gemini):
    """One question, its tokens on the page and in the day's usage; without a model the button says so."""
    at = open_page(settings.home, "settings", part="Models")
    at.button(key="test-llm").click().run()
    assert "No model is wanted" in said(at)

    gemini.generate = lambda _body: '{"word": "ready"}'
    monkeypatch.setenv("SOULCASTER_GEMINI_BASE_URL", gemini.url)
    monkeypatch.setenv("SOULCASTER_GEMINI_API_KEY", API_KEY)
    at.button(key="test-llm").click().run()

    assert "gemini-2.5-flash answers" in said(at)
    assert 1 == len(gemini.requests)
    used = read(settings.duckdb_path, lambda con: sum_usage(con, PROJECT, now=datetime.now(UTC)))
    assert 1 == used.n_calls


def test_a_wrong_key_of_the_model_is_a_sentence_and_the_rest_of_the_page_works(
    open_page, settings, monkeypatch, gemini
):
    """The refusal says what to do and not the key; the other parts are drawn."""
    monkeypatch.setenv("SOULCASTER_GEMINI_BASE_URL", gemini.url)
    monkeypatch.setenv("SOULCASTER_GEMINI_API_KEY", "wrong-key-91")
    at = open_page(settings.home, "settings", part="Models")
    at.button(key="test-llm").click().run()

    assert not at.exception
    assert any("SOULCASTER_GEMINI_API_KEY" in each.value.replace("\\", "") for each in at.warning)
    assert "wrong-key-91" not in said(at)
    assert at.button(key="doctor")


def test_a_mapping_is_tried_on_a_sample_and_stores_nothing(open_page, settings):
    """A shipped one on its own sample, one written here on a pasted one; a wrong one says which field is wrong."""
    at = open_page(settings.home, "settings", part="Mappings")
    at.selectbox(key="mapping").set_value("zendesk").run()
    at.button(key="mapping-try").click().run()
    shown = at.dataframe[0].value
    assert {"source", "title", "body", "external_id"} <= set(shown["field"])
    assert "zendesk" in set(shown["value"])

    at.selectbox(key="mapping").set_value("One that I write here").run()
    at.text_area(key="mapping-sample-One that I write here").set_value(
        '{"tickets": [{"id": 7, "subject": "Sync is slow", "created_at": "2026-11-01"}, {"id": 8}]}'
    ).run()
    at.button(key="mapping-try").click().run()
    assert "Sync is slow" in set(at.dataframe[0].value["value"])
    assert "1 item" in said(at)

    at.text_area(key="mapping-own").set_value("title: Mine\nfields: {title: 'a ||'}").run()
    at.button(key="mapping-try").click().run()
    assert "no JMESPath expression" in said(at)
    assert [] == log_of(settings)


def test_a_project_is_added_and_offered_everywhere(open_page, settings):
    """Its name is in the list and in the sidebar; the same name in other letters is refused."""
    at = open_page(settings.home, "settings", part="Projects")
    at.text_input(key="project-name").set_value("Atlas").run()
    at.button(key="project-save").click().run()

    assert ["Atlas"] == read(settings.duckdb_path, list_projects)
    assert "Atlas" in at.selectbox(key="project").options
    with pytest.raises(PermanentError, match="there is 'Atlas' already"):
        views.add_project(settings, PROJECT, "atlas", actor="ann")


def test_a_viewer_configures_nothing(settings):
    """The steps behind the page ask for the role themselves."""
    viewer = Actor("vera", role="viewer", project_id=PROJECT, how="sign-in")

    with pytest.raises(PermanentError, match="needs the role admin"):
        views.add_project(settings, PROJECT, "Atlas", actor=viewer)
    with pytest.raises(PermanentError, match="needs the role triager"):
        views.save_view(settings, PROJECT, "mine", {"q": ["crash"]}, actor=viewer)


def test_other_items_let_in_begin_a_source_anew_and_another_token_does_not(settings):
    """The cursor is kept for a change of access only."""
    pull.add_source(settings, PROJECT, "github", "acme/notes", parse_options("github", {}), actor="ann")
    move = 'UPDATE sources SET cursor = \'{"since": "2026-01-01"}\''
    write(settings.duckdb_path, lambda con: con.execute(move))
    before = pull.list_sources(settings, PROJECT)[0]
    token = parse_options("github", {"token_variable": "ACME_TOKEN"})
    pull.change_source(settings, PROJECT, "github", "acme/notes", token, was=before.options, actor="ann")
    assert before.cursor == pull.list_sources(settings, PROJECT)[0].cursor

    narrowed = token.model_copy(update={"labels": ["bug"]})
    pull.change_source(settings, PROJECT, "github", "acme/notes", narrowed, was=token, actor="ann")
    assert {} == pull.list_sources(settings, PROJECT)[0].cursor
    with pytest.raises(PermanentError, match="somebody changed it meanwhile"):
        pull.change_source(settings, PROJECT, "github", "acme/notes", token, was=token, actor="bob")
