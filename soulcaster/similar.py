"""Clusters that say what a text says: by meaning, through the vector index, for a person who types or searches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
from pydantic import BaseModel, Field

from soulcaster import vector_index
from soulcaster.db import read
from soulcaster.db.explanations import list_clusters_of_texts, list_typical_hashes
from soulcaster.db.runs import find_published_model
from soulcaster.embedders import Embedder, make_embedder
from soulcaster.errors import PermanentError
from soulcaster.settings import Settings

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from lancedb.table import Table

_TYPICAL_TEXTS = 8
"""Of a cluster: the exemplars and the strongest members after them; their mean is steadier than one text."""

_TEXTS_LOOKED_AT = 200
"""Nearest texts that are looked up: enough for ten clusters whose texts crowd together, and one query's cost."""

MIN_SIMILARITY = 0.4
"""Cosine below which texts are not called alike. Of all-MiniLM-L6-v2 on the bundled sample: 99 % of pairs from
different clusters lie below .41, and 99 % of grouped items have a member of their own cluster above .47."""

MIN_SEARCHED_SIMILARITY = 0.3
"""Cosine below which a text does not answer a search: queries are shorter than reports, so less alike. Of ten queries
on the bundled sample, nonsense reached at most .25 (one .37), what was meant lay between .33 and .65."""


class SimilarCluster(BaseModel):
    """A cluster that has a text near the one asked about."""

    cluster_id: str
    title: str | None
    status: str
    n_items: int
    similarity: float = Field(description="Cosine of the text asked about and the cluster's nearest text.")


def find_similar(
    settings: Settings,
    project_id: str,
    text: str,
    *,
    limit: int = 5,
    least: float = MIN_SIMILARITY,
    embedder: Embedder | None = None,
) -> list[SimilarCluster]:
    """Clusters on show with a text near `text`, nearest first; empty when nothing was grouped or nothing is near.

    `least` is the smallest cosine that counts as near; `embedder` is that of the settings, when the caller keeps it.

    Raises:
        TransientError, PermanentError: the store is busy, the index missing or damaged, or the embedding service
            refuses.
    """
    embedder = embedder or make_embedder(settings)
    table = _find_table(settings, project_id, embedder)
    if table is None or not text.strip():
        return []
    return _clusters_near(settings, project_id, table, embedder.embed([text])[0], least)[:limit]


def find_alike(
    settings: Settings,
    project_id: str,
    cluster_id: str,
    *,
    limit: int = 6,
    least: float = MIN_SIMILARITY,
    embedder: Embedder | None = None,
) -> list[SimilarCluster]:
    """Other clusters on show with a text near the mean of this one's typical texts, nearest first.

    Empty when it is not on show, or nothing is near. Asks no model. Raises as `find_similar`.
    """
    embedder = embedder or make_embedder(settings)
    table = _find_table(settings, project_id, embedder)
    if table is None:
        return []
    hashes = read(
        settings.duckdb_path,
        lambda con: list_typical_hashes(con, project_id, cluster_id, limit=_TYPICAL_TEXTS),
        timeout_seconds=settings.lock_timeout_seconds,
    )
    if not hashes:
        return []
    vectors = vector_index.find_vectors(table, hashes)
    if not len(vectors):
        raise PermanentError(
            f"Looking for clusters like {cluster_id!r} found no vectors of the model {embedder.model_id!r} for its "
            "texts; run `soulcaster embed`."
        )
    found = _clusters_near(settings, project_id, table, vectors.mean(axis=0), least)
    return [each for each in found if each.cluster_id != cluster_id][:limit]


def _find_table(settings: Settings, project_id: str, embedder: Embedder) -> Table | None:
    """The vectors to look among; None while nothing was ever grouped.

    Raises:
        PermanentError: something is on show and its vectors are gone, damaged or another model's.
    """
    table = vector_index.find_index(settings.lancedb_path, embedder.model_id, embedder.dim)
    if table is not None:
        return table
    shown = read(
        settings.duckdb_path,
        lambda con: find_published_model(con, project_id),
        timeout_seconds=settings.lock_timeout_seconds,
    )
    if shown is None:
        return None
    what_to_do = "run `soulcaster reindex`, nothing is lost"
    if shown != embedder.model_id:
        what_to_do = f"what is on show is of {shown!r}: run `soulcaster recluster`, or choose its SOULCASTER_EMBEDDER"
    raise PermanentError(
        f"Looking for what says the same found no vectors of the model {embedder.model_id!r}; {what_to_do}."
    )


def _clusters_near(
    settings: Settings, project_id: str, table: Table, vector: npt.NDArray[np.float32], least: float
) -> list[SimilarCluster]:
    """Every cluster on show with a text among the nearest, by its nearest text."""
    near = vector_index.nearest(table, vector, _TEXTS_LOOKED_AT)
    similarity = {content_hash: value for content_hash, value in near if value >= least}

    def look_up(con: duckdb.DuckDBPyConnection) -> list[tuple[str, str, str | None, str, int]]:
        return list_clusters_of_texts(con, project_id, list(similarity))

    found: dict[str, SimilarCluster] = {}
    rows = read(settings.duckdb_path, look_up, timeout_seconds=settings.lock_timeout_seconds)
    for content_hash, cluster_id, title, status, n_items in rows:
        value = similarity[content_hash]
        if cluster_id not in found or value > found[cluster_id].similarity:
            found[cluster_id] = SimilarCluster(
                cluster_id=cluster_id, title=title, status=status, n_items=n_items, similarity=value
            )
    return sorted(found.values(), key=lambda each: (-each.similarity, each.cluster_id))
