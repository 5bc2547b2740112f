"""Groupings that nobody ever saw and nobody needs any more are forgotten; what was on show once never is."""

from __future__ import annotations

from datetime import datetime

import duckdb

from soulcaster.db.activity import add_activity

_UNSEEN = """
    WITH unseen AS (
        SELECT r.run_id, r.created_at, row_number() OVER (ORDER BY r.created_at DESC, r.run_id) AS place FROM runs r
        WHERE r.project_id = $project AND r.run_id NOT IN (SELECT run_id FROM publications)
    )
    SELECT run_id::VARCHAR FROM unseen
    WHERE place > $keep_last AND created_at < $made_before
        AND run_id NOT IN (SELECT base_run_id FROM proposals WHERE base_run_id IS NOT NULL)
        AND run_id NOT IN (SELECT base_run_id FROM edits) AND run_id NOT IN (SELECT run_id FROM edits)
    ORDER BY created_at, run_id
"""
_TABLES = ("memberships", "assignments", "run_clusters", "themes", "transitions", "proposals", "runs")


def prune_runs(
    con: duckdb.DuckDBPyConnection,
    project_id: str,
    *,
    keep_last: int,
    made_before: datetime,
    actor: str,
    at: datetime,
) -> tuple[list[str], int]:
    """Ids of the runs that were forgotten, oldest first, and the rows that went with them; call it in one transaction.

    Only runs go that were never on show, are not among the `keep_last` newest of these, are older than `made_before`,
    and that no other run or edit stands on. So every rollback and every undo still finds what it needs.
    """
    params = {"project": project_id, "keep_last": keep_last, "made_before": made_before}
    run_ids = [run_id for (run_id,) in con.execute(_UNSEEN, params).fetchall()]
    n_rows = 0
    for table in _TABLES if run_ids else ():
        [(n_deleted,)] = con.execute(
            f"DELETE FROM {table} WHERE project_id = $project AND list_contains($runs, run_id::VARCHAR)",  # noqa: S608  our own names of tables
            {"project": project_id, "runs": run_ids},
        ).fetchall()
        n_rows += n_deleted
    if run_ids:
        add_activity(
            con, project_id, actor=actor, action="runs forgotten", subject=project_id,
            reason=f"never shown, older than {made_before:%Y-%m-%d}", detail={"runs": run_ids, "n_rows": n_rows}, at=at,
        )  # fmt: skip
    return run_ids, n_rows
