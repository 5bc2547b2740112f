"""The embedding step: gives every text of a project a vector. Joins store, embedder and vector index.

Kill-safe: each batch is written before the next is embedded, and a rerun continues with what has no vector yet. The
store is never held while a model runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import polars as pl

from soulcaster import db, vector_index
from soulcaster.db import embedding as store
from soulcaster.embedders import Embedder, make_embedder
from soulcaster.models import EmbedReport
from soulcaster.settings import Settings
from soulcaster.text import embedding_text
from soulcaster.traces import traced

if TYPE_CHECKING:
    from lancedb.table import Table

_FETCHED_TEXTS = 20_000  # texts held in memory at once
_FIRST_BATCH, _LARGEST_BATCH = 128, 8_192
_BATCH_SECONDS = 4.0
"""Batches grow until one takes this long: what a kill loses, and how seldom the index gets a new version."""

_BATCHES_BEFORE_OPTIMIZE = 16


@traced("embed")
def embed_missing(
    settings: Settings, project_id: str, *, on_progress: Callable[[int, int], None] | None = None
) -> EmbedReport:
    """Embed each distinct text of the project that has no vector of the current model yet; a problem statement stands
    for its text.

    Raises:
        TransientError: store, model service or index were busy; what was embedded so far is kept.
        PermanentError: the key was refused, or the index is damaged.
    """
    started = time.monotonic()
    embedder = make_embedder(settings)
    content_hashes = _list_content_hashes(settings, project_id)
    table = vector_index.open_index(settings.lancedb_path, embedder.model_id, embedder.dim)
    missing = _without(content_hashes, vector_index.known_hashes(table))
    n_embedded, n_batches = _embed_into(table, settings, embedder, missing, on_progress)
    if n_batches >= _BATCHES_BEFORE_OPTIMIZE:
        vector_index.optimize(table)
    return EmbedReport(
        model_id=embedder.model_id,
        dim=embedder.dim,
        n_texts=len(content_hashes),
        n_embedded=n_embedded,
        seconds=time.monotonic() - started,
    )


def reindex(settings: Settings, *, on_progress: Callable[[int, int], None] | None = None) -> EmbedReport:
    """Build the current model's index anew for all projects, from the store and the embedder.

    The old index serves readers until the new one is complete. Vectors of other models stay as they are.
    """
    started = time.monotonic()
    embedder = make_embedder(settings)
    content_hashes = _list_content_hashes(settings, None)
    rebuilt = vector_index.start_rebuild(settings.lancedb_path, embedder.model_id, embedder.dim)
    n_embedded, _ = _embed_into(rebuilt, settings, embedder, content_hashes, on_progress)
    table = vector_index.finish_rebuild(settings.lancedb_path, embedder.model_id, embedder.dim, rebuilt)
    vector_index.build_index(table)
    return EmbedReport(
        model_id=embedder.model_id,
        dim=embedder.dim,
        n_texts=len(content_hashes),
        n_embedded=n_embedded,
        seconds=time.monotonic() - started,
    )


def count_missing(settings: Settings, project_id: str) -> tuple[int, int]:
    """How many distinct texts of the project have no vector of the current model, and how many texts there are."""
    embedder = make_embedder(settings)
    content_hashes = _list_content_hashes(settings, project_id)
    table = vector_index.find_index(settings.lancedb_path, embedder.model_id, embedder.dim)
    known = vector_index.known_hashes(table) if table is not None else set()
    return len(_without(content_hashes, known)), len(content_hashes)


def _list_content_hashes(settings: Settings, project_id: str | None) -> list[str]:
    return db.read(
        settings.duckdb_path,
        lambda con: store.list_content_hashes(con, project_id),
        timeout_seconds=settings.lock_timeout_seconds,
    )


def _without(content_hashes: list[str], known: set[str]) -> list[str]:
    return [content_hash for content_hash in content_hashes if content_hash not in known]


def _embed_into(
    table: Table,
    settings: Settings,
    embedder: Embedder,
    content_hashes: list[str],
    on_progress: Callable[[int, int], None] | None,
) -> tuple[int, int]:
    """Embed and write the texts of these hashes in growing batches; how many texts and batches that were.

    A hash whose text was edited away since it was listed is passed over.
    """
    n_done = n_batches = 0
    size = _FIRST_BATCH
    for start in range(0, len(content_hashes), _FETCHED_TEXTS):
        texts = _fetch_texts(settings, content_hashes[start : start + _FETCHED_TEXTS])
        offset = 0
        while offset < texts.height:
            started = time.monotonic()
            batch = texts.slice(offset, size)
            matrix = embedder.embed(batch["text"].to_list())
            vector_index.upsert(table, batch["content_hash"].to_list(), matrix)
            offset += batch.height
            n_done += batch.height
            n_batches += 1
            if on_progress is not None:
                on_progress(n_done, len(content_hashes))
            if time.monotonic() - started < _BATCH_SECONDS / 2:
                size = min(size * 2, _LARGEST_BATCH)
    return n_done, n_batches


def _fetch_texts(settings: Settings, content_hashes: list[str]) -> pl.DataFrame:
    """Columns content_hash and text, one row for each hash that the store still has."""
    rows = db.read(
        settings.duckdb_path,
        lambda con: store.list_texts(con, content_hashes),
        timeout_seconds=settings.lock_timeout_seconds,
    )
    texts = [
        statement or embedding_text(title, body)
        for title, body, statement in rows.select("title", "body", "statement").iter_rows()
    ]
    return pl.DataFrame({"content_hash": rows["content_hash"], "text": pl.Series(texts, dtype=pl.String())})
