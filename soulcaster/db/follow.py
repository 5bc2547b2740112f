"""What following pull requests reads and writes: jobs with one, issues to answer, clusters that come back.

Writing functions take a connection inside `db.write`; every change of a cluster is in the activity log.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, NamedTuple

import duckdb

from soulcaster.db.activity import add_activity

_FIXED = """
    SELECT c.cluster_id, max(coalesce(
        TRY_CAST(json_extract_string(a.detail, '$.fixed_at') AS TIMESTAMPTZ), a.happened_at)) AS fixed_at
    FROM clusters c JOIN activity a ON a.project_id = c.project_id AND a.subject = CAST(c.cluster_id AS VARCHAR)
    WHERE c.project_id = $project AND c.status = 'fixed'
        AND a.action = 'status' AND json_extract_string(a.detail, '$.after.status') = 'fixed'
    GROUP BY c.cluster_id
"""
_RETURNED = f"""
    WITH fixed AS ({_FIXED}),
    old_releases AS (
        SELECT DISTINCT f.cluster_id, i.source, i.channel, i.release FROM fixed f, items i
        WHERE i.project_id = $project AND i.release IS NOT NULL AND coalesce(i.created_at, i.first_seen_at) < f.fixed_at
    )
    SELECT CAST(f.cluster_id AS VARCHAR), f.fixed_at, CAST(i.item_id AS VARCHAR), i.source, i.external_id, i.release
    FROM fixed f
    JOIN published_memberships m ON m.cluster_id = f.cluster_id AND m.project_id = $project
    JOIN items i ON i.item_id = m.item_id AND i.project_id = m.project_id
    WHERE coalesce(i.created_at, i.first_seen_at) > f.fixed_at AND i.state IN ('open', 'closed')
        AND NOT EXISTS (
            SELECT 1 FROM old_releases o WHERE o.cluster_id = f.cluster_id AND o.release = i.release
                AND o.source = i.source AND o.channel IS NOT DISTINCT FROM i.channel
        )
    ORDER BY f.cluster_id, coalesce(i.created_at, i.first_seen_at), i.item_id
"""  # noqa: S608  two constants of this file


class Returned(NamedTuple):
    """A report that came to a fixed cluster after its fix."""

    cluster_id: str
    fixed_at: datetime
    item_id: str
    source: str
    external_id: str
    release: str | None


def list_issues(
    con: duckdb.DuckDBPyConnection, project_id: str, cluster_id: str, repository: str, *, limit: int
) -> list[int]:
    """Numbers of open issues of this repository that are in the cluster, oldest first."""
    rows = con.execute(
        """
        SELECT CAST(regexp_extract(i.external_id, '#(\\d+)$', 1) AS BIGINT) AS number
        FROM published_memberships m JOIN items i ON i.item_id = m.item_id AND i.project_id = m.project_id
        WHERE m.project_id = $project AND m.cluster_id = TRY_CAST($cluster AS UUID) AND i.source = 'github'
            AND i.state = 'open' AND regexp_full_match(i.external_id, '[^#]+#\\d{1,9}')
            AND lower(split_part(i.external_id, '#', 1)) = lower($repository)
        ORDER BY number LIMIT $limit
        """,
        {"project": project_id, "cluster": cluster_id, "repository": repository, "limit": limit},
    ).fetchall()
    return [number for (number,) in rows]


def list_returned(con: duckdb.DuckDBPyConnection, project_id: str) -> list[Returned]:
    """Reports in fixed clusters that were made after the fix, oldest first within their cluster.

    A report from a release that was already in use before the fix says nothing about it and is left out.
    """
    return [Returned(*row) for row in con.execute(_RETURNED, {"project": project_id}).fetchall()]


def note_seen(
    con: duckdb.DuckDBPyConnection,
    project_id: str,
    job_id: str,
    *,
    actor: str,
    reason: str,
    detail: dict[str, Any],
    at: datetime,
) -> bool:
    """Whether what was seen of a job's pull request is news; only news is logged."""
    rows = con.execute(
        "SELECT detail FROM activity WHERE project_id = $1 AND subject = $2 AND action = 'pull-request' "
        "ORDER BY happened_at DESC LIMIT 1",
        [project_id, job_id],
    ).fetchall()
    if rows and json.loads(rows[0][0]) == detail:
        return False
    add_activity(
        con, project_id, actor=actor, action="pull-request", subject=job_id, reason=reason, detail=detail, at=at
    )
    return True
