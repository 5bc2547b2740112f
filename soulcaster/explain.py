"""Why an item is where it is: the rule, neighbours, assignment or person that put it there, with evidence to check."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from duckdb import DuckDBPyConnection

from soulcaster import vector_index
from soulcaster.clustering.evidence import shared_terms
from soulcaster.db import explanations as store
from soulcaster.db import read
from soulcaster.db.edits import find_item_id
from soulcaster.embedders import make_embedder
from soulcaster.models import Explanation, NearMember
from soulcaster.settings import Settings

_SENTENCES = {
    "same-text": "Its text equals that of another member.",
    "same-source-group": "Its source puts it into the same group as another member.",
    "same-stack": "It has the exception type and the in-app frames of another member.",
    "declared-duplicate": "It was declared a duplicate of another member, or another member of it.",
    "near-text": "Its text is nearer to members than to anything outside.",
    "held": "Its cluster was known before and is held: the evidence became weaker, but is not gone.",
    "nearest-cluster": "It came after the grouping and is as near to a member as the cluster asks.",
    "edited": "A person put it there.",
}
_N_NEAREST = 5
_MOST_FRAMES = 10


def why(settings: Settings, project_id: str, item: str) -> Explanation:
    """What put the item into its cluster of the run on show, or keeps it outside.

    Args:
        settings: where the store and the index are.
        project_id: whose item it is.
        item: its id or an unambiguous beginning of it.

    Raises:
        PermanentError: there is no such item, or several.
    """
    wait = settings.lock_timeout_seconds

    def load(con: DuckDBPyConnection) -> tuple[str | None, dict[str, Any], list[str]]:
        item_id = find_item_id(con, project_id, item)
        return *store.load_item(con, project_id, item_id), store.list_sayings(con, project_id, item_id)

    run_id, row, sayings = read(settings.duckdb_path, load, timeout_seconds=wait)
    similar = _similar_texts(settings, row) if row["cluster_id"] is None else []
    company = read(
        settings.duckdb_path,
        lambda con: store.list_company(
            con, project_id, row["item_id"], cluster_id=row["cluster_id"], content_hashes=similar
        ),
        timeout_seconds=wait,
    )
    nearest = _nearest(settings, row, company)
    reason = row["reason"] or ""
    frames = set(
        company.filter(pl.col("cluster_id") == pl.lit(row["cluster_id"], pl.String))["frames"].explode().drop_nulls()
    )
    return Explanation(
        **{name: row[name] for name in Explanation.model_fields if name in row and name != "reason"},
        run_id=run_id,
        reason=reason,
        because=_SENTENCES.get(reason, reason) if reason else _outside(row),
        nearest=[NearMember(**{name: each[name] for name in NearMember.model_fields}) for each in nearest],
        shared_terms=shared_terms(
            f"{row['title']}\n{row['body']}", [f"{each['title']}\n{each['body']}" for each in nearest]
        ),
        shared_frames=[frame for frame in row["frames"] if frame in frames][:_MOST_FRAMES],
        edits=sayings,
    )


def _outside(row: dict[str, Any]) -> str:
    if row["content_hash"] is None:
        return "It has no text, so it is in no cluster."
    if not row["is_grouped"]:
        return "It came after the grouping on show and was not assigned yet."
    if row["nearest_cluster_id"] is not None:
        return "It came after the grouping and is less near to its nearest cluster than that asks."
    return "No two items are near enough to it to say the same, so it stands alone."


def _similar_texts(settings: Settings, row: dict[str, Any]) -> list[str]:
    """Content hashes of the nearest texts in the index; none when the item has no vector."""
    embedder = make_embedder(settings)
    table = vector_index.find_index(settings.lancedb_path, embedder.model_id, embedder.dim)
    if table is None or row["content_hash"] is None:
        return []
    vector, _ = vector_index.load_matrix(table, [row["content_hash"]])
    if not len(vector):
        return []
    return [found for found, _ in vector_index.nearest(table, vector[0], 4 * _N_NEAREST)]


def _nearest(settings: Settings, row: dict[str, Any], company: pl.DataFrame) -> list[dict[str, Any]]:
    """The items of `company` most similar to the item, each with its similarity; none when it has no vector."""
    embedder = make_embedder(settings)
    table = vector_index.find_index(settings.lancedb_path, embedder.model_id, embedder.dim)
    if table is None or row["content_hash"] is None or not company.height:
        return []
    hashes = pl.Series([row["content_hash"], *company["content_hash"]]).unique(maintain_order=True).to_list()
    matrix, missing = vector_index.load_matrix(table, hashes)
    if row["content_hash"] in missing:
        return []
    known = [content_hash for content_hash in hashes if content_hash not in set(missing)]
    similarity = pl.DataFrame({"content_hash": known, "similarity": np.round(matrix @ matrix[0], 6).astype(np.float64)})
    ranked = company.join(similarity, on="content_hash", how="inner", maintain_order="left")
    return ranked.sort("similarity", descending=True, maintain_order=True).head(_N_NEAREST).to_dicts()
