"""All that a cluster's page shows at once, read together: one wait for the store instead of a dozen."""

from __future__ import annotations

from typing import Any, NamedTuple

import duckdb
import polars as pl

from soulcaster.db.activity import list_activity
from soulcaster.db.cluster_screens import (
    ClusterRow,
    find_cluster,
    list_cluster_items,
    list_siblings,
    list_transitions,
)
from soulcaster.db.edits import Edit, list_edits
from soulcaster.db.jobs import list_jobs
from soulcaster.db.maps import list_near_noise
from soulcaster.db.screens import find_shown_run
from soulcaster.db.suggestions import Suggestion, list_suggestions
from soulcaster.db.triage import Decided, get_decided
from soulcaster.fix_models import Job

_MOST_EXEMPLARS = 3
_MOST_LOG_ROWS = 40


class ClusterView(NamedTuple):
    """One cluster and what is around it, in one state of the store."""

    cluster: ClusterRow
    run_id: str | None
    """The run on show."""
    decided: Decided
    exemplars: pl.DataFrame
    transitions: pl.DataFrame
    siblings: pl.DataFrame
    near_noise: pl.DataFrame
    log: list[dict[str, Any]]
    edits: list[Edit]
    suggestions: list[Suggestion]
    job: Job | None
    """The newest attempt to fix it."""


def load_view(con: duckdb.DuckDBPyConnection, project_id: str, cluster_id: str) -> ClusterView | None:
    """The cluster of this id; None when the project never had it."""
    cluster = find_cluster(con, project_id, cluster_id)
    if cluster is None:
        return None
    own = cluster.cluster_id
    return ClusterView(
        cluster=cluster,
        run_id=find_shown_run(con, project_id),
        decided=get_decided(con, project_id, own),
        exemplars=list_cluster_items(con, project_id, own, only_exemplars=True, limit=_MOST_EXEMPLARS),
        transitions=list_transitions(con, project_id, own),
        siblings=list_siblings(con, project_id, own),
        near_noise=list_near_noise(con, project_id, own),
        log=list_activity(con, project_id, subject=own, limit=_MOST_LOG_ROWS),
        edits=list_edits(con, project_id),
        suggestions=list_suggestions(con, project_id, own),
        job=next(iter(list_jobs(con, project_id, cluster_id=own, limit=1)), None),
    )
