"""Nightly housekeeping: groupings that never were on show are forgotten, and the vector index is put in order."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from soulcaster import vector_index
from soulcaster.db import write
from soulcaster.db.pruning import prune_runs
from soulcaster.embedders import make_embedder
from soulcaster.models import MaintainReport
from soulcaster.settings import Settings
from soulcaster.traces import traced


@traced("maintain")
def maintain(settings: Settings, project_id: str, *, actor: str = "maintain") -> MaintainReport:
    """Forget old groupings of the project that nobody ever saw; merge the index's small files and old versions.

    Kept are all runs that were ever on show, the newest `keep_proposals` of the others, and all of the last
    `keep_runs_days`. Running it twice does nothing more.

    Raises:
        TransientError: somebody else held the store or changed the index; the same call may work later.
        PermanentError: there is no store, or the index is damaged.
    """
    started = time.monotonic()
    now = datetime.now(UTC)
    run_ids, n_rows = write(
        settings.duckdb_path,
        lambda con: prune_runs(
            con,
            project_id,
            keep_last=settings.keep_proposals,
            made_before=now - timedelta(days=settings.keep_runs_days),
            actor=actor,
            at=now,
        ),
        timeout_seconds=settings.lock_timeout_seconds,
    )
    embedder = make_embedder(settings)
    table = vector_index.find_index(settings.lancedb_path, embedder.model_id, embedder.dim)
    if table is not None:
        vector_index.optimize(table)
    return MaintainReport(
        n_runs_forgotten=len(run_ids),
        n_rows_deleted=n_rows,
        is_index_optimized=table is not None,
        seconds=time.monotonic() - started,
    )
