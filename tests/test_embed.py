"""The embedding step over a real store and index: each text once, kill-safe, and the index can be made again."""

import multiprocessing
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from gemini_server import API_KEY, running_gemini
from waiting import wait_until

from soulcaster import db, vector_index
from soulcaster.db.embedding import list_content_hashes, list_texts
from soulcaster.embed import count_missing, embed_missing, reindex
from soulcaster.embedders import make_embedder
from soulcaster.errors import PermanentError, TransientError
from soulcaster.items import item_id
from soulcaster.settings import Settings
from soulcaster.text import content_hash, embedding_text


def add_items(settings: Settings, texts: list[tuple[str, str]], project_id: str = "default", start: int = 0) -> None:
    """Store one item for each (title, body)."""
    rows = pl.DataFrame(
        {
            "item_id": [str(item_id(project_id, "manual", str(start + index))) for index in range(len(texts))],
            "external_id": [str(start + index) for index in range(len(texts))],
            "title": [title for title, _ in texts],
            "body": [body for _, body in texts],
            "content_hash": [content_hash(embedding_text(*text)) for text in texts],
        }
    )

    def insert(con: db.connection.duckdb.DuckDBPyConnection) -> None:
        con.register("rows", rows)
        con.execute(
            "INSERT INTO items BY NAME SELECT item_id::UUID AS item_id, $1 AS project_id, 'manual' AS source,"
            " external_id, title, body, content_hash, 'anonymous' AS trust, 'open' AS state, []::VARCHAR[] AS frames,"
            " []::VARCHAR[] AS labels, 1 AS event_count, 'r' AS row_hash, 'en' AS language, []::VARCHAR[] AS notes,"
            " now() AS first_seen_at, now() AS changed_at FROM rows",
            [project_id],
        )

    db.write(settings.duckdb_path, insert)


def make_settings(settings: Settings, **changes: object) -> Settings:
    """The same home with other choices."""
    return Settings(_env_file=None, **({"home": settings.home, "embedder": "static"} | changes))


def load_vectors(settings: Settings, hashes: list[str]) -> np.ndarray:
    """The stored vectors of these hashes."""
    embedder = make_embedder(settings)
    table = vector_index.open_index(settings.lancedb_path, embedder.model_id, embedder.dim)
    matrix, missing = vector_index.load_matrix(table, hashes)
    assert missing == []
    return matrix


def test_each_distinct_text_is_embedded_once_and_never_again(settings: Settings) -> None:
    """Repeated texts, a second pass and a second project cost nothing; items without text are passed over."""
    static = make_settings(settings)
    add_items(static, [("a", "b"), ("a", "b"), ("a\n\nb", ""), ("c", ""), ("", "")])
    assert count_missing(static, "default") == (2, 2)
    assert not static.lancedb_path.exists()
    report = embed_missing(static, "default")
    assert (report.n_texts, report.n_embedded, report.dim) == (2, 2, 256)
    assert count_missing(static, "default") == (0, 2)
    assert embed_missing(static, "default").n_embedded == 0
    add_items(static, [("c", ""), ("only here", "")], project_id="other")
    report = embed_missing(static, "other")
    assert (report.n_texts, report.n_embedded) == (2, 1)


def test_the_vector_is_that_of_title_and_body_together(settings: Settings) -> None:
    """What is stored equals embedding the text by hand."""
    static = make_settings(settings)
    add_items(static, [("Export crashes", "when the trip is long"), ("", "only a body"), ("only a title", "")])
    embed_missing(static, "default")
    texts = ["Export crashes\n\nwhen the trip is long", "only a body", "only a title"]
    expected = make_embedder(static).embed(texts)
    np.testing.assert_allclose(load_vectors(static, [content_hash(text) or "" for text in texts]), expected, atol=1e-6)


def test_an_edited_text_is_embedded_and_the_others_are_not(settings: Settings) -> None:
    """Only what changed costs work."""
    static = make_settings(settings)
    add_items(static, [(f"text {index}", "") for index in range(20)])
    embed_missing(static, "default")
    edited = content_hash("text 3 edited")
    db.write(
        static.duckdb_path,
        lambda con: con.execute(
            "UPDATE items SET title = 'text 3 edited', content_hash = $1 WHERE external_id = '3'", [edited]
        ).fetchall(),
    )
    report = embed_missing(static, "default")
    assert (report.n_texts, report.n_embedded) == (20, 1)


def test_title_and_body_of_one_text_come_from_one_item(settings: Settings) -> None:
    """Two items with equal texts that are divided differently are never mixed into a third text."""
    add_items(settings, [("whole", ""), ("", "whole")])
    hashes = db.read(settings.duckdb_path, lambda con: list_content_hashes(con, "default"))
    texts = db.read(settings.duckdb_path, lambda con: list_texts(con, [*hashes, "unknown"]))
    assert [embedding_text(title, body) for title, body in texts.select("title", "body").rows()] == ["whole"]


def test_progress_counts_up_to_the_number_of_missing_texts(settings: Settings) -> None:
    """A bar can show rate and time left."""
    static = make_settings(settings)
    add_items(static, [(f"text {index}", "") for index in range(1000)])
    seen: list[tuple[int, int]] = []
    embed_missing(static, "default", on_progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (1000, 1000)
    assert len(seen) > 1
    assert seen == sorted(seen)


def test_a_failure_in_the_middle_keeps_what_was_done(settings: Settings) -> None:
    """The rerun asks only for the rest."""
    with running_gemini() as server:
        gemini = make_settings(
            settings,
            embedder="gemini",
            gemini_api_key=API_KEY,
            gemini_base_url=server.url,
            gemini_requests_per_minute=10_000,
        )
        add_items(gemini, [(f"text {index}", "") for index in range(300)])

        def refuse_after_the_first_batch(done: int, total: int) -> None:
            del total
            if done == 128:
                server.failures = [400]

        with pytest.raises(PermanentError):
            embed_missing(gemini, "default", on_progress=refuse_after_the_first_batch)
        assert embed_missing(gemini, "default").n_embedded == 300 - 128
        assert count_missing(gemini, "default") == (0, 300)


@pytest.mark.slow
def test_a_killed_pass_is_continued_by_the_next(settings: Settings) -> None:
    """SIGKILL in the middle loses at most the batch at hand."""
    with running_gemini() as server:
        server.delay_seconds = 0.15
        gemini = make_settings(
            settings,
            embedder="gemini",
            gemini_api_key=API_KEY,
            gemini_base_url=server.url,
            gemini_requests_per_minute=10_000,
        )
        add_items(gemini, [(f"text {index}", "") for index in range(2000)])
        process = multiprocessing.get_context("spawn").Process(target=embed_missing, args=(gemini, "default"))
        process.start()
        wait_until(lambda: 0 < count_missing(gemini, "default")[0] < 2000, "the first vectors")
        process.kill()
        process.join()
        server.delay_seconds = 0
        n_missing, n_texts = count_missing(gemini, "default")
        assert 0 < n_missing < n_texts == 2000
        assert embed_missing(gemini, "default").n_embedded == n_missing
        assert count_missing(gemini, "default") == (0, 2000)


@pytest.mark.slow
def test_the_index_folder_can_be_deleted_and_made_again(settings: Settings) -> None:
    """DuckDB is the truth: reindex gives the same vectors, for every project."""
    minilm = make_settings(settings, embedder="minilm")
    texts = [(f"report {index}", "it crashed " * (index % 7)) for index in range(40)]
    add_items(minilm, texts)
    add_items(minilm, [("another project", "")], project_id="other")
    embed_missing(minilm, "default")
    embed_missing(minilm, "other")
    hashes = db.read(minilm.duckdb_path, lambda con: list_content_hashes(con, None))
    before = load_vectors(minilm, hashes)
    shutil.rmtree(minilm.lancedb_path)
    report = reindex(minilm)
    assert (report.n_texts, report.n_embedded) == (41, 41)
    np.testing.assert_array_equal(load_vectors(minilm, hashes), before)


def test_reindex_forgets_vectors_of_texts_that_are_gone_and_spares_other_models(settings: Settings) -> None:
    """Rows without an item go; the tables of other models stay."""
    static, minilm = make_settings(settings), make_settings(settings, embedder="minilm")
    add_items(static, [("stays", ""), ("goes", "")])
    embed_missing(static, "default")
    embed_missing(minilm, "default")
    db.write(static.duckdb_path, lambda con: con.execute("DELETE FROM items WHERE title = 'goes'").fetchall())
    assert reindex(static).n_texts == 1
    for chosen, expected in ((static, 1), (minilm, 2)):
        embedder = make_embedder(chosen)
        table = vector_index.open_index(chosen.lancedb_path, embedder.model_id, embedder.dim)
        assert len(vector_index.known_hashes(table)) == expected


def test_a_failed_reindex_leaves_the_old_index_in_use(settings: Settings) -> None:
    """The new index replaces the old one when it is complete, not before."""
    with running_gemini() as server:
        gemini = make_settings(settings, embedder="gemini", gemini_api_key=API_KEY, gemini_base_url=server.url)
        add_items(gemini, [("one", ""), ("two", "")])
        embed_missing(gemini, "default")
        server.failures = [400]
        with pytest.raises(PermanentError):
            reindex(gemini)
        assert count_missing(gemini, "default") == (0, 2)


def test_a_project_without_items_is_no_error(settings: Settings) -> None:
    """Nothing to do is done at once."""
    report = embed_missing(make_settings(settings), "nobody")
    assert (report.n_texts, report.n_embedded) == (0, 0)


def test_a_busy_store_is_transient(settings: Settings, tmp_path: Path) -> None:
    """The step waits for the store's lock and then says so."""
    del tmp_path
    hurried = make_settings(settings, lock_timeout_seconds=0.05)

    def try_inside(_con: object) -> None:
        with pytest.raises(TransientError):
            embed_missing(hurried, "default")

    db.write(settings.duckdb_path, try_inside)
