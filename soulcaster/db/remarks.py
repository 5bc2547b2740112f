"""What came back on pull requests of ours and was dealt with: taken up by a round, or turned away. Each once.

Writing functions take a connection inside `db.write`.
"""

from __future__ import annotations

from datetime import datetime

import duckdb


def list_known(con: duckdb.DuckDBPyConnection, project_id: str, repository: str, pr_number: int) -> set[str]:
    """Keys of everything on this pull request that was dealt with."""
    rows = con.execute(
        "SELECT key FROM remarks WHERE project_id = $1 AND lower(repository) = lower($2) AND pr_number = $3",
        [project_id, repository, pr_number],
    ).fetchall()
    return {key for (key,) in rows}


def add_remark(
    con: duckdb.DuckDBPyConnection,
    project_id: str,
    repository: str,
    pr_number: int,
    key: str,
    *,
    author: str,
    job_id: str | None,
    reason: str,
    now: datetime,
) -> None:
    """Write down that it is dealt with: by the round, or, without one, by the reason against it."""
    con.execute(
        "INSERT INTO remarks (project_id, repository, pr_number, key, author, job_id, reason, noted_at) "
        "SELECT $project, $repository, $number, $key, $author, $job, $reason, $now WHERE NOT EXISTS ("
        "SELECT 1 FROM remarks WHERE project_id = $project AND lower(repository) = lower($repository) AND key = $key)",
        {
            "project": project_id, "repository": repository, "number": pr_number, "key": key, "author": author,
            "job": job_id, "reason": reason, "now": now,
        },
    )  # fmt: skip
