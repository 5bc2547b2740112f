"""The activity log: who did what, on which subject, why. Rows are added, never changed."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from typing import Any

import duckdb


def add_activity(
    con: duckdb.DuckDBPyConnection,
    project_id: str,
    *,
    actor: str,
    action: str,
    subject: str,
    reason: str,
    detail: dict[str, Any],
    at: datetime | None = None,
) -> None:
    """Append one row; `detail` is stored as JSON."""
    con.execute(
        "INSERT INTO activity (activity_id, project_id, happened_at, actor, action, subject, reason, detail) "
        "VALUES ($id, $project, $at, $actor, $action, $subject, $reason, $detail)",
        {
            "id": str(uuid.uuid4()),
            "project": project_id,
            "at": at or datetime.now(UTC),
            "actor": actor,
            "action": action,
            "subject": subject,
            "reason": reason,
            "detail": json.dumps(detail),
        },
    )


def list_activity(
    con: duckdb.DuckDBPyConnection, project_id: str, *, subject: str | None = None, limit: int = 50
) -> list[dict[str, Any]]:
    """The newest rows, newest first; with `subject` only those about it or that name it in their detail.

    Keys: happened_at, actor, action, subject, reason, detail (JSON text).
    """
    found = con.execute(
        "SELECT happened_at, actor, action, subject, reason, detail FROM activity WHERE project_id = $project "
        "AND ($subject IS NULL OR starts_with(subject, $subject) OR contains(detail, $subject)) "
        "ORDER BY happened_at DESC, activity_id LIMIT $limit",
        {"project": project_id, "subject": subject, "limit": limit},
    )
    names = [column[0] for column in found.description or []]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
