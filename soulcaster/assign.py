"""Between two re-clusterings: new items find their cluster in seconds, or wait as noise beside their nearest one.

Exact keys first (same text, source group, stack, declared duplicate), then the cluster of the nearest member when the
item is as near to it as the cluster's loosest member is to its own. Nothing that people know moves; the next
re-clustering decides anew.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import polars as pl

from soulcaster import logs, vector_index
from soulcaster.clustering.assignment import joining_similarity, nearest_members
from soulcaster.db import assignments as store
from soulcaster.db import read, write
from soulcaster.embedders import make_embedder
from soulcaster.models import AssignReport
from soulcaster.settings import Settings
from soulcaster.traces import traced

logger = logging.getLogger(__name__)

_SCHEMA = pl.Schema({
    "item_id": pl.String, "label": pl.Int32, "cluster_id": pl.String, "theme_id": pl.String, "similarity": pl.Float64,
    "reason": pl.String, "nearest_cluster_id": pl.String, "nearest_similarity": pl.Float64, "threshold": pl.Float64,
})  # fmt: skip


@traced("assign")
def assign(
    settings: Settings,
    project_id: str,
    *,
    actor: str = "assign",
    on_progress: Callable[[int, int], None] | None = None,
) -> AssignReport:
    """Give every item that came after the run on show its place in it. Does nothing before the first run.

    Items without a vector wait for the embedding step, and are counted.

    Raises:
        TransientError: another run was published meanwhile; nothing was written.
        PermanentError: there is no store, or the embedder that the settings name cannot be made.
    """
    started = time.monotonic()
    wait = settings.lock_timeout_seconds
    run_id, fresh, joined, texts = read(
        settings.duckdb_path, lambda con: store.load_new_items(con, project_id), timeout_seconds=wait
    )
    rows = pl.DataFrame(schema=_SCHEMA)
    if run_id is not None and fresh.height:
        near = _find_nearest(settings, fresh.join(joined, on="item_id", how="anti", maintain_order="left"), texts)
        exact = joined.with_columns(nearest_cluster_id="cluster_id")
        rows = pl.concat([rows, exact, near], how="diagonal_relaxed").cast(_SCHEMA)
    if run_id is not None and rows.height:
        write(
            settings.duckdb_path,
            lambda con: store.write_assignments(con, project_id, run_id, rows, actor=actor, at=datetime.now(UTC)),
            timeout_seconds=wait,
        )
    if on_progress is not None:
        on_progress(rows.height, rows.height)
    _log_places(project_id, run_id, rows)
    n_noise = rows["cluster_id"].null_count()
    return AssignReport(
        run_id=run_id,
        n_new=fresh.height,
        n_exact=joined.height,
        n_nearest=rows.height - joined.height - n_noise,
        n_noise=n_noise,
        n_without_vector=fresh.height - rows.height if run_id is not None else 0,
        seconds=time.monotonic() - started,
    )


def _log_places(project_id: str, run_id: str | None, rows: pl.DataFrame) -> None:
    """A line an item, for who asks of one item what became of it; only when such lines are wanted."""
    if run_id is not None and logger.isEnabledFor(logging.DEBUG):
        for item_id, cluster_id in rows.select("item_id", "cluster_id").iter_rows():
            with logs.bound(project=project_id, run_id=run_id, item_id=item_id):
                logger.debug("placed in cluster %s" if cluster_id else "waits as noise%s", cluster_id or "")


def needs_refit(settings: Settings, project_id: str) -> str:
    """Why a re-clustering is due, one sentence; '' when it is not: nothing came, or too little too short ago."""
    made_at, n_items, n_new = read(
        settings.duckdb_path,
        lambda con: store.load_refit_state(con, project_id),
        timeout_seconds=settings.lock_timeout_seconds,
    )
    if n_new == 0:
        return ""
    if made_at is None:
        return f"{n_new:,} items were never grouped"
    if n_new >= settings.refit_after_share * n_items:
        return f"{n_new:,} items came since {n_items:,} were grouped"
    age_hours = (datetime.now(UTC) - made_at).total_seconds() / 3600
    if age_hours >= settings.refit_after_hours:
        return f"{n_new:,} items came and the last grouping is {age_hours:.0f} hours old"
    return ""


def _find_nearest(settings: Settings, fresh: pl.DataFrame, texts: pl.DataFrame) -> pl.DataFrame:
    """One row of `_SCHEMA` for every item that has a vector: in its nearest cluster, or noise beside it."""
    embedder = make_embedder(settings)
    table = vector_index.find_index(settings.lancedb_path, embedder.model_id, embedder.dim)
    if table is None or not fresh.height:
        return pl.DataFrame(schema=_SCHEMA)
    hashes = pl.concat([texts["content_hash"], fresh["content_hash"]]).unique(maintain_order=True)
    matrix, missing = vector_index.load_matrix(table, hashes.to_list())
    known = hashes.filter(~pl.Series(hashes.is_in(pl.Series(missing, dtype=pl.String).implode())))
    position = pl.DataFrame({"content_hash": known, "row": np.arange(len(known), dtype=np.int64)})
    members = texts.join(position, on="content_hash", maintain_order="left")
    wanted = fresh.join(position, on="content_hash", maintain_order="left")
    if not members.height:
        return wanted.select("item_id", label=pl.lit(-1, pl.Int32))
    clusters = members.unique("cluster_id", keep="first", maintain_order=True)
    numbers = members["cluster_id"].rle_id().cast(pl.Int64).to_numpy()
    rows = members["row"].to_numpy()
    best, similarity = nearest_members(matrix[wanted["row"].to_numpy()], matrix, rows, numbers)
    limits = joining_similarity(matrix, rows, numbers, best, min_similarity=settings.min_similarity)
    found = clusters.select("label", "cluster_id", "theme_id")[best]
    inside = pl.Series(similarity >= limits)
    return pl.DataFrame(
        {
            "item_id": wanted["item_id"],
            "label": found["label"].set(~inside, -1),
            "cluster_id": found["cluster_id"].set(~inside, None),
            "theme_id": found["theme_id"].set(~inside, None),
            "similarity": pl.Series(similarity).set(~inside, None),
            "reason": pl.Series(["nearest-cluster"] * wanted.height, dtype=pl.String).set(~inside, None),
            "nearest_cluster_id": found["cluster_id"],
            "nearest_similarity": similarity,
            "threshold": limits,
        },
        schema_overrides=_SCHEMA,
    )
