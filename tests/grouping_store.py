"""Stores with items and vectors for the tests of grouping: real DuckDB and LanceDB, vectors of our choosing."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import numpy as np
import polars as pl

from soulcaster import vector_index
from soulcaster.db import read, write
from soulcaster.embedders import make_embedder
from soulcaster.items import item_id
from soulcaster.settings import Settings
from soulcaster.text import embedding_text

PROJECT = "acme"
_AT = datetime(2024, 5, 1, tzinfo=UTC)
_INSERT = """
    INSERT INTO items
    SELECT item_id::UUID, $project, source, external_id, title, body, NULL, author, NULL, created_at, created_at,
        'anonymous', 'open', NULL, source_group, duplicate_of, exception_type, frames, NULL, NULL, NULL, NULL, [], 1,
        NULL, content_hash, md5(title || body), 'en', [], created_at, created_at
    FROM new_items
"""
_SCHEMA = {
    "item_id": pl.String, "source": pl.String, "external_id": pl.String, "title": pl.String, "body": pl.String,
    "author": pl.String, "created_at": pl.Datetime("us", "UTC"), "source_group": pl.String, "duplicate_of": pl.String,
    "exception_type": pl.String, "frames": pl.List(pl.String), "content_hash": pl.String,
}  # fmt: skip


def content_hash(title: str, body: str = "") -> str:
    """The key of a text, as the door makes it."""
    return hashlib.sha256(embedding_text(title, body).encode()).hexdigest()


def row(external_id: str, title: str, body: str = "", *, source: str = "github", **rest: object) -> dict[str, object]:
    """One item; `rest` overrides any of its columns."""
    made = {
        "item_id": str(item_id(PROJECT, source, external_id)),
        "source": source,
        "external_id": external_id,
        "title": title,
        "body": body,
        "author": "someone",
        "created_at": _AT,
        "source_group": None,
        "duplicate_of": None,
        "exception_type": None,
        "frames": [],
        "content_hash": content_hash(title, body) if title or body else None,
    }
    return {**made, **rest}


def add_items(settings: Settings, rows: list[dict[str, object]]) -> None:
    """Store the items of `PROJECT`."""
    frame = pl.DataFrame(rows, schema=_SCHEMA)

    def insert(con):
        con.register("new_items", frame)
        con.execute(_INSERT, {"project": PROJECT})

    write(settings.duckdb_path, insert)


def add_vectors(settings: Settings, hashes: list[str], vectors: np.ndarray) -> None:
    """Store a vector for each text; short vectors are filled up with zeros, all are normalised."""
    embedder = make_embedder(settings)
    matrix = np.zeros((len(vectors), embedder.dim), dtype=np.float32)
    matrix[:, : vectors.shape[1]] = vectors
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    table = vector_index.open_index(settings.lancedb_path, embedder.model_id, embedder.dim)
    vector_index.upsert(table, hashes, matrix)


def add_topics(settings: Settings, n_topics: int, per_topic: int, *, first: int = 0, seed: int = 0) -> list[str]:
    """Items about `n_topics` problems, `per_topic` each, near one another; their ids. `first` numbers the items."""
    centers = np.random.default_rng(99).normal(size=(n_topics, 48))
    noise = np.random.default_rng(seed + 1 + first)
    rows, vectors = [], []
    for topic in range(n_topics):
        for number in range(first, first + per_topic):
            rows.append(row(f"{topic}-{number}", f"problem {topic} told by {number}"))
            vectors.append(centers[topic] + 0.35 * noise.normal(size=48))
    add_items(settings, rows)
    add_vectors(settings, [str(made["content_hash"]) for made in rows], np.array(vectors))
    return [str(made["item_id"]) for made in rows]


def add_stars(settings: Settings, n_topics: int, per_topic: int, *, first: int = 0) -> None:
    """Items `topic-number` about `n_topics` problems, each problem one cluster however many come: all lie around their
    topic's first item, each a little farther out than the one before, in a direction of its own.
    """
    rows, vectors = [], []
    for topic in range(n_topics):
        for number in range(first, first + per_topic):
            rows.append(row(f"{topic}-{number}", f"problem {topic} told by {number}"))
            vector = np.zeros(384)
            vector[topic] = 1.0
            vector[40 + topic * 20 + number] = 0.2 + 0.01 * number if number else 0.0
            vectors.append(vector)
    add_items(settings, rows)
    add_vectors(settings, [str(made["content_hash"]) for made in rows], np.array(vectors))


def query(settings: Settings, sql: str, *params: object) -> list[tuple]:
    """Rows of a query on the store."""
    return read(settings.duckdb_path, lambda con: con.execute(sql, params).fetchall())


def clusters_of_items(settings: Settings) -> dict[str, str | None]:
    """Cluster id by external id in the published run."""
    return dict(
        query(
            settings,
            "SELECT external_id, cluster_id::VARCHAR FROM published_memberships JOIN items USING (item_id)",
        )
    )
