"""What the store may forget by its age. Counting and deleting use the same conditions, so a dry run tells the truth."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, get_args

import duckdb

from soulcaster.fix_models import FINAL_STATUSES

Kind = Literal["payloads", "quarantine", "answers", "activity"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_OLD: dict[Kind, tuple[tuple[str, str], ...]] = {
    "payloads": (("payloads", "stored_at < $before"),),
    # What a person released stays: it is how the same text is known to be harmless when it comes again.
    "quarantine": (("quarantine", "quarantined_at < $before AND released_at IS NULL"),),
    "answers": (("llm_answers", "answered_at < $before"), ("llm_calls", "called_at < $before")),
    # When a cluster was fixed and what became of its pull request is read from the log for as long as there is one.
    "activity": (("activity", "happened_at < $before AND action NOT IN ('status', 'pull-request')"),),
}


def count_old(con: duckdb.DuckDBPyConnection, project_id: str, kind: Kind, before: datetime) -> int:
    """Rows of the kind that are older than the time (aware)."""
    return sum(_run(con, "SELECT count(*)", *old, project_id, before) for old in _OLD[kind])


def delete_old(con: duckdb.DuckDBPyConnection, project_id: str, kind: Kind, before: datetime) -> int:
    """Number of rows deleted: those that `count_old` counts."""
    return sum(_run(con, "DELETE", *old, project_id, before) for old in _OLD[kind])


def list_old_jobs(con: duckdb.DuckDBPyConnection, project_id: str, before: datetime) -> list[str]:
    """Ids of jobs that ended before the time, but none where another one is at work or a pull request is open.

    A round over an open pull request starts from the patch of the job before, so those stay together.
    """
    rows = con.execute(
        """
        SELECT job_id FROM jobs j
        WHERE project_id = $project AND changed_at < $before AND list_contains($final, status)
            AND NOT EXISTS (
                SELECT 1 FROM jobs o WHERE o.project_id = j.project_id AND o.cluster_id = j.cluster_id
                    AND lower(o.repository) = lower(j.repository)
                    AND (NOT list_contains($final, o.status) OR (o.status = 'pr_open' AND o.pr_state IS DISTINCT FROM
                        'merged' AND o.pr_state IS DISTINCT FROM 'closed'))
            )
        ORDER BY job_id
        """,
        {"project": project_id, "before": before, "final": sorted(FINAL_STATUSES)},
    ).fetchall()
    return [job_id for (job_id,) in rows]


def _run(con: duckdb.DuckDBPyConnection, verb: str, table: str, old: str, project_id: str, before: datetime) -> int:
    rows = con.execute(
        f"{verb} FROM {table} WHERE project_id = $project AND {old}",
        {"project": project_id, "before": before},
    )
    return int(rows.fetchall()[0][0])
