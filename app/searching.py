"""Finding clusters by meaning while a person types: the embedder stays loaded, answers are kept for a while."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from app import queries
from soulcaster.embedders import Embedder, make_embedder
from soulcaster.settings import Settings, load_settings

if TYPE_CHECKING:
    from soulcaster.similar import SimilarCluster

_MOST_NEAR = 25


def find_near(text: str, *, limit: int = _MOST_NEAR, is_report: bool = False) -> list[SimilarCluster]:
    """Clusters on show that say what `text` says in whatever words, nearest first; empty when nothing is embedded.

    A search answers to less likeness than a report, because it is shorter.

    Raises:
        TransientError, PermanentError: as `find_similar`.
    """
    if not text.strip():
        return []
    settings = load_settings()
    version = queries.stamp(settings.duckdb_path)
    return _find(queries.project(), text.strip(), limit, is_report, version, _name(settings))


def find_alike(cluster_id: str) -> list[SimilarCluster]:
    """Clusters on show that say what this one says, nearest first; empty when nothing is embedded. Raises as above."""
    settings = load_settings()
    return _find_alike(queries.project(), cluster_id, queries.stamp(settings.duckdb_path), _name(settings))


@st.cache_data(ttl="10m", max_entries=200, show_spinner=False)
def _find_alike(
    project_id: str,
    cluster_id: str,
    stamp: tuple[int, ...],  # noqa: ARG001  part of the key
    embedder: str,
) -> list[SimilarCluster]:
    from soulcaster import similar  # brings LanceDB, which the rest of the page does not need

    return similar.find_alike(queries.brief_settings(), project_id, cluster_id, embedder=_load(embedder))


@st.cache_data(ttl="10m", max_entries=200, show_spinner=False)
def _find(
    project_id: str,
    text: str,
    limit: int,
    is_report: bool,
    stamp: tuple[int, ...],  # noqa: ARG001  part of the key
    embedder: str,
) -> list[SimilarCluster]:
    from soulcaster import similar  # brings LanceDB, which no page needs before somebody searches

    least = similar.MIN_SIMILARITY if is_report else similar.MIN_SEARCHED_SIMILARITY
    settings = queries.brief_settings()
    return similar.find_similar(settings, project_id, text, limit=limit, least=least, embedder=_load(embedder))


@st.cache_resource(max_entries=2, show_spinner=False)
def _load(name: str) -> Embedder:  # noqa: ARG001  part of the key
    """The embedder of the settings, once for all readers; it loads its model at the first text."""
    return make_embedder(load_settings())


def _name(settings: Settings) -> str:
    return f"{settings.embedder} {settings.gemini_embedding_model} {settings.gemini_api_key is not None}"
