"""What a page says, and what of it still works, when something it reads is away, busy or damaged."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest
from gemini_server import running_gemini
from pydantic import SecretStr
from seeding import seed_drawn
from streamlit.testing.v1 import AppTest

from soulcaster import vector_index
from soulcaster.db import write
from soulcaster.embedders import make_embedder
from soulcaster.settings import Settings

PAGES = ["overview", "clusters", "cluster", "map", "feedback", "fixes", "history", "settings"]


def warned(at: AppTest) -> str:
    """The sentences that warn, without the backslashes that keep their text plain."""
    return "\n".join(element.value for element in (*at.warning, *at.error)).replace("\\", "").replace("\u2060", "")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, str]:
    """A store that was grouped by the model of the settings and has no index, and one of its clusters."""
    settings = Settings(_env_file=None, home=tmp_path_factory.mktemp("states"))
    cluster_id = seed_drawn(settings.duckdb_path, n_items=60, n_clusters=5)[0]
    model_id = make_embedder(settings).model_id
    write(settings.duckdb_path, lambda con: con.execute("UPDATE runs SET model_id = ?", [model_id]))
    return settings, cluster_id


@pytest.mark.parametrize("page", PAGES)
def test_every_page_says_that_the_store_is_busy(open_page, drawn, page, monkeypatch):
    """While somebody holds the store each page has a sentence instead of what it cannot read; none hangs or breaks."""
    settings, cluster_id = drawn
    monkeypatch.setenv("SOULCASTER_LOCK_TIMEOUT_SECONDS", "0.05")
    with Path(f"{settings.duckdb_path}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        at = open_page(settings.home, page, **({"id": cluster_id} if page == "cluster" else {}))

    assert not at.exception
    assert "busy" in warned(at)


def test_a_missing_index_is_a_sentence_and_the_rest_of_the_cluster_shows(open_page, drawn):
    """Its items, history and buttons do not need the vectors; the sentence names the command that makes them."""
    settings, cluster_id = drawn

    at = open_page(settings.home, "cluster", id=cluster_id)

    assert not at.exception
    assert "run `soulcaster reindex`" in warned(at)
    assert "similar text" in set(at.dataframe[0].value["reason"])


def test_without_an_index_a_search_is_answered_by_words(open_page, drawn):
    """The list says why meaning cannot be asked, and shows what has the words."""
    settings, _ = drawn

    at = open_page(settings.home, "clusters", q="crashes")

    assert not at.exception
    assert "run `soulcaster reindex`" in warned(at)
    assert "Found by their words only." in [each.value for each in at.caption]
    assert at.dataframe[0].value["title"].str.contains("crashes").all()


def test_a_damaged_index_is_a_sentence_too(open_page, tmp_path):
    """Files cut to nothing are named as damage with the way to mend it, on both pages that ask the index."""
    settings = Settings(_env_file=None, home=tmp_path)
    cluster_id = seed_drawn(settings.duckdb_path, n_items=60, n_clusters=5)[0]
    embedder = make_embedder(settings)
    vector_index.open_index(settings.lancedb_path, embedder.model_id, embedder.dim)
    for file in filter(Path.is_file, settings.lancedb_path.rglob("*")):
        file.write_bytes(b"")

    for page, parameters in (("cluster", {"id": cluster_id}), ("clusters", {"q": "crashes"})):
        at = open_page(tmp_path, page, **parameters)

        assert not at.exception
        assert "damaged" in warned(at)
        assert "run `soulcaster reindex`" in warned(at)
        assert not at.dataframe[0].value.empty


def test_a_wrong_model_key_is_a_sentence_and_words_still_answer(open_page, tmp_path, monkeypatch):
    """A key that the service refuses costs the search by meaning and nothing else; the page does not tell the key."""
    settings = Settings(_env_file=None, home=tmp_path, embedder="gemini", gemini_api_key=SecretStr("wrong-key-1234"))
    seed_drawn(settings.duckdb_path, n_items=60, n_clusters=5)
    embedder = make_embedder(settings)
    vector_index.open_index(settings.lancedb_path, embedder.model_id, embedder.dim)
    with running_gemini() as server:
        monkeypatch.setenv("SOULCASTER_EMBEDDER", "gemini")
        monkeypatch.setenv("SOULCASTER_GEMINI_API_KEY", "wrong-key-1234")
        monkeypatch.setenv("SOULCASTER_GEMINI_BASE_URL", server.url)
        at = open_page(tmp_path, "clusters", q="crashes")

    assert not at.exception
    assert "check SOULCASTER_GEMINI_API_KEY" in warned(at)
    assert "wrong-key-1234" not in warned(at)
    assert at.dataframe[0].value["title"].str.contains("crashes").all()
