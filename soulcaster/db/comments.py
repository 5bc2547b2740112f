"""The outbox of comments on issues: queued once by key, posted by whoever comes next, edited in place later."""

from __future__ import annotations

from datetime import datetime

import duckdb

from soulcaster.fix_models import QueuedComment

_COLUMNS = "key, repository, issue_number, body, state, message, comment_id, queued_at, posted_at"


def queue_comment(con: duckdb.DuckDBPyConnection, project_id: str, comment: QueuedComment) -> bool:
    """Whether there is something to post now: the key is new, or its text became another one.

    A posted comment whose text changes waits again and keeps its `comment_id`, so that it is edited, not repeated.
    """
    known = con.execute(
        "SELECT body FROM comments WHERE project_id = $1 AND key = $2", [project_id, comment.key]
    ).fetchall()
    if known == [(comment.body,)]:
        return False
    if known:
        con.execute(
            "UPDATE comments SET body = $3, state = 'waiting', message = '', queued_at = $4 "
            "WHERE project_id = $1 AND key = $2",
            [project_id, comment.key, comment.body, comment.queued_at],
        )
        return True
    con.execute(
        f"INSERT INTO comments (project_id, {_COLUMNS}) VALUES ($1, $2, $3, $4, $5, 'waiting', '', NULL, $6, NULL)",  # noqa: S608  names of columns
        [project_id, comment.key, comment.repository, comment.issue_number, comment.body, comment.queued_at],
    )
    return True


def has_comment(con: duckdb.DuckDBPyConnection, project_id: str, key: str) -> bool:
    """Whether a comment of that key was ever queued."""
    return bool(con.execute("SELECT 1 FROM comments WHERE project_id = $1 AND key = $2", [project_id, key]).fetchall())


def list_comments(
    con: duckdb.DuckDBPyConnection, project_id: str, *, state: str | None = None, limit: int = 200
) -> list[QueuedComment]:
    """Comments of the outbox, oldest first; with `state` only those in it."""
    rows = con.execute(
        f"SELECT {_COLUMNS} FROM comments WHERE project_id = $1 AND ($2 IS NULL OR state = $2) "  # noqa: S608  names of columns
        "ORDER BY queued_at, key LIMIT $3",
        [project_id, state, limit],
    ).fetchall()
    names = _COLUMNS.split(", ")
    return [QueuedComment.model_validate(dict(zip(names, row, strict=True))) for row in rows]


def mark_posted(
    con: duckdb.DuckDBPyConnection, project_id: str, comment: QueuedComment, comment_id: int, *, now: datetime
) -> None:
    """The comment stands at the forge; a text that changed meanwhile keeps waiting."""
    con.execute(
        "UPDATE comments SET comment_id = $3, posted_at = $4, state = CASE WHEN body = $5 THEN 'posted' ELSE state END "
        "WHERE project_id = $1 AND key = $2",
        [project_id, comment.key, comment_id, now, comment.body],
    )


def mark_failed(con: duckdb.DuckDBPyConnection, project_id: str, key: str, message: str) -> None:
    """The forge refused it for good; it is not tried again until its text changes."""
    con.execute(
        "UPDATE comments SET state = 'failed', message = $3 WHERE project_id = $1 AND key = $2",
        [project_id, key, message],
    )
