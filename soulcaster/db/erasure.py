"""Erasing what one author said: marks that know the author again without the name, and what the store forgets.

An erased item stays as a row without words, author, link and the source's own id, so that every count and every past
grouping still adds up. Functions take a connection inside `db.read` or `db.write`.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

import duckdb
import polars as pl

from soulcaster.fix_models import FINAL_STATUSES
from soulcaster.items import item_id

ERASED = "erased"
"""`state_reason` of an item whose words and author were erased, and the reason under which new ones are ignored."""

_LONGEST_NAME = 300


class Mark(NamedTuple):
    """An erased author; `key` and `author_hash` are hex."""

    erasure_id: str
    source: str
    author_hash: str
    key: str
    content_hashes: list[str]
    is_done: bool

    @property
    def pseudonym(self) -> str:
        """What stands where the author stood: the same in all items of one person, so that people are counted right."""
        return f"erased-{self.erasure_id[:8]}"


def make_mark(con: duckdb.DuckDBPyConnection, project_id: str, source: str, author: str) -> Mark:
    """The author's mark, or a new one that is not stored yet."""
    marks = list_marks(con, project_id)
    for mark in marks:
        if mark.source == source and _hash(mark.key, project_id, source, author) == mark.author_hash:
            return mark
    key = marks[0].key if marks else secrets.token_hex(32)
    return Mark(str(uuid.uuid4()), source, _hash(key, project_id, source, author), key, [], is_done=False)


def open_mark(con: duckdb.DuckDBPyConnection, project_id: str, mark: Mark, *, actor: str, now: datetime) -> None:
    """Store the mark, or open it again when it was done; the door refuses the author from now on."""
    add_marks(con, project_id, [mark], actor=actor, now=now)
    con.execute(
        "UPDATE erasures SET ended_at = NULL, asked_at = $1 WHERE erasure_id = $2 AND ended_at IS NOT NULL",
        [now, mark.erasure_id],
    )


def add_marks(con: duckdb.DuckDBPyConnection, project_id: str, marks: list[Mark], *, actor: str, now: datetime) -> int:
    """Number of marks that this store did not have; they are open."""
    known = {mark.erasure_id for mark in list_marks(con, project_id)}
    new = [mark for mark in marks if mark.erasure_id not in known]
    for mark in new:
        con.execute(
            "INSERT INTO erasures (erasure_id, project_id, source, author_hash, key, asked_at, asked_by, "
            "content_hashes, counts) VALUES ($1, $2, $3, $4, $5, $6, $7, [], '{}')",
            [mark.erasure_id, project_id, mark.source, mark.author_hash, mark.key, now, actor],
        )
    return len(new)


def list_marks(con: duckdb.DuckDBPyConnection, project_id: str) -> list[Mark]:
    """Every erased author of the project, oldest first."""
    rows = con.execute(
        "SELECT CAST(erasure_id AS VARCHAR), source, author_hash, key, content_hashes, ended_at IS NOT NULL "
        "FROM erasures WHERE project_id = $1 ORDER BY asked_at, erasure_id",
        [project_id],
    ).fetchall()
    return [Mark(*row) for row in rows]


def list_marked_projects(con: duckdb.DuckDBPyConnection) -> list[str]:
    """Projects in which anybody was erased; none in a store that is older than erasures."""
    if not con.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = 'erasures'").fetchall():
        return []
    return [name for (name,) in con.execute("SELECT DISTINCT project_id FROM erasures ORDER BY 1").fetchall()]


def finish(con: duckdb.DuckDBPyConnection, erasure_id: str, counts: dict[str, int], now: datetime) -> None:
    """Note that nothing of the author is left."""
    con.execute(
        "UPDATE erasures SET ended_at = $1, counts = $2 WHERE erasure_id = $3", [now, json.dumps(counts), erasure_id]
    )


def forget_hashes(con: duckdb.DuckDBPyConnection, erasure_id: str) -> None:
    """Note that the vectors are gone, and with them what their texts hashed to."""
    con.execute("UPDATE erasures SET content_hashes = [] WHERE erasure_id = $1", [erasure_id])


def find_erased(con: duckdb.DuckDBPyConnection, project_id: str, frame: pl.DataFrame) -> pl.Series:
    """Boolean a row of items (source, external_id, author): its author or it itself was erased and must stay away."""
    marks = list_marks(con, project_id) if frame.height else []
    if not marks:
        return pl.repeat(value=False, n=frame.height, dtype=pl.Boolean, eager=True)
    names = frame.select("source", "author").unique().drop_nulls()
    gone = {row for row in names.iter_rows() if is_marked(marks, project_id, *row)}
    ids = [str(item_id(project_id, *row)) for row in frame.select("source", "external_id").iter_rows()]
    blank = con.execute(
        "SELECT CAST(item_id AS VARCHAR) FROM items WHERE project_id = $1 AND state_reason = $2 "
        "AND item_id IN (SELECT CAST(unnest($3) AS UUID))",
        [project_id, ERASED, ids],
    ).fetchall()
    known = {row[0] for row in blank}
    authors = frame.select("source", "author").iter_rows()
    return pl.Series([each in known or row in gone for each, row in zip(ids, authors, strict=True)], dtype=pl.Boolean)


def find_erased_rows(con: duckdb.DuckDBPyConnection, project_id: str, frame: pl.DataFrame) -> pl.Series:
    """Boolean a row of the quarantine (`QUARANTINE_SCHEMA`) that was not read as an item: it names an erased author."""
    marks = list_marks(con, project_id) if frame.height else []
    rows = frame.select("source", "payload").iter_rows()
    return pl.Series([bool(marks) and _names_any(marks, project_id, *row) for row in rows], dtype=pl.Boolean)


def is_marked(marks: list[Mark], project_id: str, source: str, author: str) -> bool:
    """Whether one of the marks is of this author."""
    mine = [mark for mark in marks if mark.source == source]
    hashes = {key: _hash(key, project_id, source, author) for key in {mark.key for mark in mine}}
    return any(hashes[mark.key] == mark.author_hash for mark in mine)


class Found(NamedTuple):
    """What the store holds of one author."""

    item_ids: list[str]
    content_hashes: list[str]
    """Of texts that nobody else said, and of what is embedded in their place."""
    quarantine_ids: list[str]
    cluster_ids: list[str]
    """In which any of the items ever was."""
    job_ids: list[str]
    """Attempts to fix these, begun before the items were blank."""
    open_job_ids: list[str]
    """Of them: still at work."""
    authors: list[str]
    """As stored; leaves this process in no report."""
    n_mentions: int
    """Items of others in whose words the name is."""


def find(con: duckdb.DuckDBPyConnection, project_id: str, mark: Mark) -> Found:
    """What there is of the author, blank items of an erasure that was begun included."""
    names = con.execute(
        "SELECT DISTINCT author FROM items WHERE project_id = $1 AND source = $2 AND author IS NOT NULL",
        [project_id, mark.source],
    ).fetchall()
    authors = [name for (name,) in names if is_marked([mark], project_id, mark.source, name)]
    who = {"project": project_id, "source": mark.source, "authors": [*authors, mark.pseudonym]}
    con.execute(
        "CREATE OR REPLACE TEMP TABLE erased_items AS SELECT item_id, external_id, content_hash FROM items "
        "WHERE project_id = $project AND source = $source AND author IN (SELECT unnest($authors))",
        who,
    )
    hashes = _column(
        con,
        "SELECT DISTINCT content_hash FROM erased_items WHERE content_hash IS NOT NULL AND content_hash NOT IN ("
        "SELECT content_hash FROM items WHERE content_hash IS NOT NULL "
        "AND item_id NOT IN (SELECT item_id FROM erased_items))",
    )
    stated = _column(
        con,
        "SELECT DISTINCT embedded_hash FROM statements WHERE embedded_hash IS NOT NULL "
        "AND content_hash IN (SELECT unnest($hashes))",
        hashes=hashes,
    )
    clusters = _column(
        con,
        "SELECT DISTINCT CAST(cluster_id AS VARCHAR) FROM run_memberships WHERE project_id = $project "
        "AND cluster_id IS NOT NULL AND item_id IN (SELECT item_id FROM erased_items) ORDER BY 1",
        project=project_id,
    )
    jobs = con.execute(
        "SELECT job_id, status FROM jobs WHERE project_id = $1 AND cluster_id IN (SELECT unnest($2)) "
        "AND created_at < coalesce((SELECT asked_at FROM erasures WHERE erasure_id = $3), now()) ORDER BY 1",
        [project_id, clusters, mark.erasure_id],
    ).fetchall()
    return Found(
        item_ids=_column(con, "SELECT CAST(item_id AS VARCHAR) FROM erased_items ORDER BY 1"),
        content_hashes=sorted({*hashes, *stated, *mark.content_hashes}),
        quarantine_ids=_find_held(con, project_id, mark),
        cluster_ids=clusters,
        job_ids=[job_id for job_id, _ in jobs],
        open_job_ids=[job_id for job_id, status in jobs if status not in FINAL_STATUSES],
        authors=authors,
        n_mentions=_count_mentions(con, project_id, authors),
    )


def _find_held(con: duckdb.DuckDBPyConnection, project_id: str, mark: Mark) -> list[str]:
    rows = con.execute(
        "SELECT CAST(quarantine_id AS VARCHAR), item, payload, external_id IN (SELECT external_id FROM erased_items) "
        "FROM quarantine WHERE project_id = $1 AND source = $2",
        [project_id, mark.source],
    ).fetchall()
    return [
        quarantine_id
        for quarantine_id, item, payload, is_known in rows
        if is_known or any(_names_any([mark], project_id, mark.source, text) for text in (item, payload))
    ]


def _count_mentions(con: duckdb.DuckDBPyConnection, project_id: str, authors: list[str]) -> int:
    [(count,)] = con.execute(
        "SELECT count(*) FROM items WHERE project_id = $1 AND item_id NOT IN (SELECT item_id FROM erased_items) "
        "AND EXISTS (SELECT 1 FROM (SELECT unnest($2) AS name) "
        "WHERE contains(lower(title || ' ' || body), lower(name)))",
        [project_id, authors],
    ).fetchall()
    return int(count)


def _names_any(marks: list[Mark], project_id: str, source: str, payload: str | None) -> bool:
    """Whether a string of the payload is one of the authors."""
    try:
        told = json.loads(payload or "null")
    except (ValueError, RecursionError):
        told = payload
    names = Counter(leaf for leaf in _leaves(told) if len(leaf) <= _LONGEST_NAME)
    return any(is_marked(marks, project_id, source, name) for name in names)


def _leaves(told: object) -> Iterator[str]:
    waiting = [told]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def _hash(key: str, project_id: str, source: str, author: str) -> str:
    words = json.dumps([project_id, source, author.strip().casefold()])
    return hmac.new(bytes.fromhex(key), words.encode(), hashlib.sha256).hexdigest()


def _column(con: duckdb.DuckDBPyConnection, sql: str, **params: Any) -> list[str]:  # noqa: ANN401  bound values
    return [value for (value,) in con.execute(sql, params).fetchall()]
