"""What models were asked, what it cost, and the answers that are kept. Writing functions run inside `db.write`."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import duckdb


class Usage(NamedTuple):
    """What one day of a project used."""

    n_calls: int
    n_tokens: int
    cost_usd: float


class Call(NamedTuple):
    """One question that was answered, well or badly."""

    kind: str
    model: str
    outcome: str
    n_input_tokens: int
    n_output_tokens: int
    cost_usd: float


def hash_question(kind: str, version: int, model: str, question: str) -> str:
    """Key under which an answer is kept: the same model, rules and question are not paid for twice."""
    return hashlib.sha256(json.dumps([kind, version, model, question]).encode()).hexdigest()


def sum_usage(con: duckdb.DuckDBPyConnection, project_id: str, *, now: datetime) -> Usage:
    """What the project used since midnight UTC."""
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    row = con.execute(
        "SELECT count(*), coalesce(sum(n_input_tokens + n_output_tokens), 0)::BIGINT, coalesce(sum(cost_usd), 0) "
        "FROM llm_calls WHERE project_id = $1 AND called_at >= $2",
        [project_id, midnight],
    ).fetchall()[0]
    return Usage(*row)


def add_call(con: duckdb.DuckDBPyConnection, project_id: str, call: Call, *, now: datetime) -> Usage:
    """Note one call; returns what the day has used with it, whoever else asks meanwhile."""
    con.execute(
        "INSERT INTO llm_calls (project_id, called_at, kind, model, outcome, n_input_tokens, n_output_tokens, "
        "cost_usd) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        [project_id, now, *call],
    )
    return sum_usage(con, project_id, now=now)


def find_answer(
    con: duckdb.DuckDBPyConnection, project_id: str, question_hash: str, *, now: datetime
) -> tuple[bool, str | None]:
    """Whether the question need not be asked, and the JSON of its answer; None for one that was of no use.

    A useless answer counts for a day: then the model may have got better, and till then it is not paid for again.
    """
    rows = con.execute(
        "SELECT answer FROM llm_answers WHERE project_id = $1 AND question_hash = $2 "
        "AND (answer IS NOT NULL OR answered_at > $3) ORDER BY answered_at DESC LIMIT 1",
        [project_id, question_hash, now - timedelta(days=1)],
    ).fetchall()
    return bool(rows), rows[0][0] if rows else None


def keep_answer(
    con: duckdb.DuckDBPyConnection, project_id: str, question_hash: str, answer: str | None, *, now: datetime
) -> None:
    """Keep an answer, or None for one that was of no use; a useful one that is there stays."""
    con.execute(
        "DELETE FROM llm_answers WHERE project_id = $1 AND question_hash = $2 AND answer IS NULL",
        [project_id, question_hash],
    )
    if find_answer(con, project_id, question_hash, now=now) == (False, None):
        con.execute(
            "INSERT INTO llm_answers (project_id, question_hash, answer, answered_at) VALUES ($1, $2, $3, $4)",
            [project_id, question_hash, answer, now],
        )
