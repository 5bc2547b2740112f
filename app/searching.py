"""Finding clusters by meaning while a person types: the embedder stays loaded, answers are kept for a while."""

from __future__ import annotations

import streamlit as st

from app import queries
from soulcaster.embedders import Embedder, make_embedder
from soulcaster.settings import Settings, load_settings
from soulcaster.similar import MIN_SEARCHED_SIMILARITY, SimilarCluster, find_similar

_MOST_NEAR = 25


def find_near(text: str, *, limit: int = _MOST_NEAR, least: float = MIN_SEARCHED_SIMILARITY) -> list[SimilarCluster]:
    """Clusters on show that say what `text` says in whatever words, nearest first; empty when nothing is embedded.

    Raises:
        TransientError, PermanentError: as `find_similar`.
    """
    if not text.strip():
        return []
    settings = load_settings()
    return _find(queries.project(), text.strip(), limit, least, queries.stamp(settings.duckdb_path), _name(settings))


@st.cache_data(ttl="10m", max_entries=200, show_spinner=False)
def _find(
    project_id: str,
    text: str,
    limit: int,
    least: float,
    stamp: tuple[int, ...],  # noqa: ARG001  part of the key
    embedder: str,
) -> list[SimilarCluster]:
    return find_similar(queries.brief_settings(), project_id, text, limit=limit, least=least, embedder=_load(embedder))


@st.cache_resource(max_entries=2, show_spinner=False)
def _load(name: str) -> Embedder:  # noqa: ARG001  part of the key
    """The embedder of the settings, once for all readers; it loads its model at the first text."""
    return make_embedder(load_settings())


def _name(settings: Settings) -> str:
    return f"{settings.embedder} {settings.gemini_embedding_model} {settings.gemini_api_key is not None}"
