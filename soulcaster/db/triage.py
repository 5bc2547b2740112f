"""What people decide about one lasting cluster: status, title, owner. Every function runs inside one transaction."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple

import duckdb

from soulcaster.db import activity
from soulcaster.errors import PermanentError


class Decided(NamedTuple):
    """What people see and decide of one cluster."""

    cluster_id: str
    status: str
    title: str | None
    owner: str | None
    wakes_at: int | None
    n_items: int
    """Items it has in the run on show."""


def get_decided(con: duckdb.DuckDBPyConnection, project_id: str, prefix: str) -> Decided:
    """The cluster whose id is or begins with `prefix`.

    Raises:
        PermanentError: none or several do.
    """
    rows = con.execute(
        """
        SELECT CAST(c.cluster_id AS VARCHAR), c.status, c.title, c.owner, c.wakes_at,
            (SELECT count(*) FROM published_memberships m
             WHERE m.project_id = c.project_id AND m.cluster_id = c.cluster_id)
        FROM clusters c
        WHERE c.project_id = $project AND starts_with(CAST(c.cluster_id AS VARCHAR), lower($prefix)) LIMIT 2
        """,
        {"project": project_id, "prefix": prefix},
    ).fetchall()
    if len(rows) != 1 or not prefix:
        raise PermanentError(
            f"Looking for cluster {prefix!r} in project {project_id!r} expected one whose id begins so, got "
            f"{'several' if rows else 'none'}; see `soulcaster clusters`."
        )
    return Decided(*rows[0])


def update_decided(
    con: duckdb.DuckDBPyConnection, project_id: str, after: Decided, *, is_title_given: bool = False
) -> None:
    """Store status, owner and waking size, and the title when a person gave it: no later naming replaces that one."""
    con.execute(
        """
        UPDATE clusters SET status = $status, owner = $owner, wakes_at = $wakes_at, changed_at = $now,
            title = CASE WHEN $given THEN $title ELSE title END,
            summary_method = CASE WHEN $given THEN 'person' ELSE summary_method END
        WHERE project_id = $project AND cluster_id = $cluster::UUID
        """,
        {
            "status": after.status,
            "owner": after.owner,
            "wakes_at": after.wakes_at,
            "now": datetime.now(UTC),
            "given": is_title_given,
            "title": after.title,
            "project": project_id,
            "cluster": after.cluster_id,
        },
    )


def change_status(
    con: duckdb.DuckDBPyConnection,
    project_id: str,
    cluster_id: str,
    status: str,
    *,
    seen: tuple[str, ...],
    actor: str,
    reason: str,
    detail: dict[str, Any] | None = None,
    at: datetime,
) -> bool:
    """Whether the cluster, while in one of the statuses `seen`, got this one; else it stays as people want it."""
    rows = con.execute(
        "SELECT status FROM clusters WHERE project_id = $1 AND cluster_id = TRY_CAST($2 AS UUID)",
        [project_id, cluster_id],
    ).fetchall()
    if not rows or rows[0][0] == status or rows[0][0] not in seen:
        return False
    con.execute(
        "UPDATE clusters SET status = $3, wakes_at = NULL, changed_at = $4 "
        "WHERE project_id = $1 AND cluster_id = TRY_CAST($2 AS UUID)",
        [project_id, cluster_id, status, at],
    )
    activity.add_activity(
        con, project_id, actor=actor, action="status", subject=cluster_id, reason=reason, at=at,
        detail={"before": {"status": rows[0][0]}, "after": {"status": status}, **(detail or {})},
    )  # fmt: skip
    return True


def wake_grown(con: duckdb.DuckDBPyConnection, project_id: str) -> list[str]:
    """Ids of ignored clusters that are new again because they have reached the size at which people want to hear."""
    grown = con.execute(
        """
        SELECT CAST(c.cluster_id AS VARCHAR), any_value(c.wakes_at), count(*)
        FROM clusters c JOIN published_memberships m ON m.cluster_id = c.cluster_id AND m.project_id = c.project_id
        WHERE c.project_id = $project AND c.status = 'ignored' AND c.wakes_at IS NOT NULL
        GROUP BY c.cluster_id HAVING count(*) >= any_value(c.wakes_at) ORDER BY 1
        """,
        {"project": project_id},
    ).fetchall()
    for cluster_id, wakes_at, n_items in grown:
        change_status(
            con, project_id, cluster_id, "new", seen=("ignored",), actor="soulcaster", at=datetime.now(UTC),
            reason=f"it was ignored until it had {wakes_at} items, and has {n_items}",
        )  # fmt: skip
    return [cluster_id for cluster_id, _, _ in grown]


def list_titles(con: duckdb.DuckDBPyConnection, project_id: str, cluster_ids: tuple[str, ...]) -> dict[str, str | None]:
    """Title by id of lasting clusters; one without a name has None, one the project never had is left out."""
    rows = con.execute(
        "SELECT CAST(cluster_id AS VARCHAR), title FROM clusters "
        "WHERE project_id = $project AND list_contains($ids, CAST(cluster_id AS VARCHAR))",
        {"project": project_id, "ids": list(cluster_ids)},
    ).fetchall()
    return dict(rows)
