"""What the store forgets of an erased author, in one transaction: items, payloads, held rows, words made of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import NamedTuple

import duckdb
import polars as pl

from soulcaster.db.erasure import ERASED, Found, Mark
from soulcaster.fix_models import JobDetail

FREE_TEXT = (
    "body", "churn", "counts", "detail", "filters", "item", "message", "note", "outcome", "payload", "reason",
    "statement", "subject", "summary", "title",
)  # fmt: skip
"""Columns, of any table but the items', in which words of an item may be quoted; they are searched for the author's."""

_SHORTEST_QUOTE = 8
"""Shorter titles and texts are words of everybody."""

_SHORTEST_NAME = 3
_GONE = "[erased]"
_REWRITTEN = {"place": pl.Int64(), "text": pl.String()}

_BLANK_ITEMS = """
    UPDATE items SET external_id = 'erased:' || CAST(item_id AS VARCHAR), title = '', body = '', url = NULL,
        author = $pseudonym, created_at = date_trunc('day', created_at), updated_at = NULL, state = 'deleted',
        state_reason = $erased, source_group = NULL, duplicate_of = NULL, exception_type = NULL, frames = [],
        culprit = NULL, release = NULL, environment = NULL, level = NULL, labels = [], content_hash = NULL,
        row_hash = $erased, language = 'und', notes = [], changed_at = now()
    WHERE project_id = $project AND item_id IN (SELECT CAST(unnest($items) AS UUID))
"""
"""Kept are the row's id, source and channel, the day, and the counts."""

_UNNAME_CLUSTERS = """
    UPDATE clusters SET title = CASE WHEN summary_method = 'person' THEN title END, summary = NULL, terms = [],
        summary_method = CASE WHEN summary_method = 'person' THEN 'person' END, summarized_hash = NULL, hints = NULL,
        severity = NULL, kind = NULL, named_items = NULL, named_from = NULL
    WHERE project_id = $project AND cluster_id IN (SELECT CAST(unnest($clusters) AS UUID))
"""
_UNNAME_THEMES = """
    UPDATE themes SET title = NULL WHERE project_id = $project AND theme_id IN (
        SELECT theme_id FROM run_clusters WHERE project_id = $project
            AND cluster_id IN (SELECT CAST(unnest($clusters) AS UUID)))
"""
_FORGET_ANSWERS = """
    DELETE FROM llm_answers WHERE project_id = $project AND answered_at >= (
        SELECT min(first_seen_at) FROM items WHERE project_id = $project
            AND item_id IN (SELECT CAST(unnest($items) AS UUID)))
"""
"""An answer does not say which texts it was given for: all go that may have been given for the author's."""

_SAID = """
    WITH mine AS (
        SELECT title, body, url, external_id FROM items WHERE project_id = $project
            AND state_reason IS DISTINCT FROM 'erased' AND item_id IN (SELECT CAST(unnest($items) AS UUID))
    ), others AS (
        SELECT title, body FROM items WHERE project_id = $project
            AND item_id NOT IN (SELECT CAST(unnest($items) AS UUID))
    )
    SELECT CASE WHEN title NOT IN (SELECT title FROM others) THEN title END,
        CASE WHEN body NOT IN (SELECT body FROM others) THEN body END, url, external_id
    FROM mine
"""
_DELETIONS = {
    "payloads": "DELETE FROM payloads WHERE project_id = $project AND item_id IN (SELECT CAST(unnest($items) AS UUID))",
    "superseded": "DELETE FROM superseded WHERE project_id = $project "
    "AND item_id IN (SELECT CAST(unnest($items) AS UUID))",
    "quarantined": "DELETE FROM quarantine WHERE project_id = $project "
    "AND quarantine_id IN (SELECT CAST(unnest($held) AS UUID))",
    "statements": "DELETE FROM statements WHERE project_id = $project AND content_hash IN ("
    "SELECT content_hash FROM items WHERE item_id IN (SELECT CAST(unnest($items) AS UUID)))",
    "suggestions": "DELETE FROM merge_suggestions WHERE project_id = $project "
    "AND (CAST(cluster_id AS VARCHAR) IN (SELECT unnest($clusters)) "
    "OR CAST(other_cluster_id AS VARCHAR) IN (SELECT unnest($clusters)))",
}


class _Words(NamedTuple):
    """What is searched for: the text, and the pattern by which it is replaced."""

    text: str
    pattern: re.Pattern[str]


def blank(con: duckdb.DuckDBPyConnection, project_id: str, mark: Mark, found: Found) -> dict[str, int]:
    """Rows changed by kind. Afterwards only the mark and the blank items tell that there was somebody."""
    words = _load_words(con, project_id, found)
    named = {
        "project": project_id, "items": found.item_ids, "held": found.quarantine_ids, "clusters": found.cluster_ids,
        "pseudonym": mark.pseudonym, "erased": ERASED,
    }  # fmt: skip

    def run(sql: str) -> int:
        used = {name: value for name, value in named.items() if re.search(rf"\${name}\b", sql)}
        [(count,)] = con.execute(sql, used).fetchall()
        return int(count)

    con.execute(
        "UPDATE erasures SET content_hashes = $1 WHERE erasure_id = $2", [found.content_hashes, mark.erasure_id]
    )
    counts = {"answers": run(_FORGET_ANSWERS)} if found.item_ids else {}
    counts |= {kind: run(sql) for kind, sql in _DELETIONS.items()}
    counts |= {"items": run(_BLANK_ITEMS), "cluster_names": run(_UNNAME_CLUSTERS), "theme_names": run(_UNNAME_THEMES)}
    for author in found.authors:
        con.execute(
            "UPDATE remarks SET author = '' WHERE project_id = $1 AND lower(author) = lower($2)", [project_id, author]
        )
    _forget_claims(con, found.job_ids)
    counts["quotes"] = _replace_quotes(con, project_id, words)
    return counts


def _load_words(con: duckdb.DuckDBPyConnection, project_id: str, found: Found) -> list[_Words]:
    """Titles, texts, links, ids and names that are the author's alone, longest first, as plain text and as in JSON."""
    rows = con.execute(_SAID, {"items": found.item_ids, "project": project_id}).fetchall()
    texts = {json.dumps(external_id) for _, _, _, external_id in rows}
    for row in rows:
        plain = {part.strip() for part in row[:3] if part and len(part.strip()) >= _SHORTEST_QUOTE}
        texts |= plain | {json.dumps(part, ensure_ascii=is_ascii)[1:-1] for part in plain for is_ascii in (True, False)}
    exact = [_Words(text, re.compile(re.escape(text), re.IGNORECASE)) for text in texts]
    names = [
        _Words(name, re.compile(rf"(?<![\w-]){re.escape(name)}(?![\w-])(?!\"\s*:)", re.IGNORECASE))
        for name in found.authors
        if len(name) >= _SHORTEST_NAME
    ]
    return sorted([*exact, *names], key=lambda words: -len(words.text))


def _replace_quotes(con: duckdb.DuckDBPyConnection, project_id: str, words: list[_Words]) -> int:
    """Number of cells in which words of the author stood."""
    if not words:
        return 0
    columns = con.execute(
        "SELECT table_name, column_name FROM duckdb_columns() JOIN duckdb_tables() USING (schema_oid, table_oid, "
        "table_name) WHERE data_type = 'VARCHAR' AND column_name IN (SELECT unnest($1)) AND table_name IN ("
        "SELECT table_name FROM duckdb_columns() WHERE column_name = 'project_id') "
        "AND table_name NOT IN ('items', 'payloads', 'erasures') ORDER BY ALL",
        [list(FREE_TEXT)],
    ).fetchall()
    con.register("erased_words", pl.DataFrame({"text": [each.text.lower() for each in words]}))
    count = sum(_replace_in(con, project_id, table, column, words) for table, column in columns)
    con.unregister("erased_words")
    return count


def _replace_in(con: duckdb.DuckDBPyConnection, project_id: str, table: str, column: str, words: list[_Words]) -> int:
    rows = con.execute(
        f"SELECT t.rowid, t.{column} FROM {table} t WHERE t.project_id = $1 "  # noqa: S608  names of our own columns
        f"AND EXISTS (SELECT 1 FROM erased_words w WHERE contains(lower(t.{column}), w.text))",
        [project_id],
    ).fetchall()
    changed = [(place, after) for place, text in rows if (after := _without(text, words)) != text]
    if changed:
        con.register("rewritten", pl.DataFrame(changed, schema=_REWRITTEN, orient="row"))
        con.execute(f"UPDATE {table} SET {column} = r.text FROM rewritten r WHERE {table}.rowid = r.place")  # noqa: S608
        con.unregister("rewritten")
    return len(changed)


def _without(text: str, words: list[_Words]) -> str:
    for each in words:
        if each.text.lower() in text.lower():
            text = each.pattern.sub(_replacement(each.text), text)
    return text


def _replacement(text: str) -> Callable[[re.Match[str]], str]:
    quoted = json.dumps(_GONE) if text.startswith('"') and text.endswith('"') else _GONE
    return lambda _match: quoted


def _forget_claims(con: duckdb.DuckDBPyConnection, job_ids: list[str]) -> None:
    """What an agent said after reading the author; proof, findings and what a later round needs stay."""
    rows = con.execute("SELECT job_id, detail FROM jobs WHERE job_id IN (SELECT unnest($1))", [job_ids]).fetchall()
    for job_id, text in rows:
        detail = JobDetail.model_validate_json(text)
        plain = detail.model_copy(update={"diagnosis": None, "review": None, "answer": {}})
        con.execute("UPDATE jobs SET detail = $1 WHERE job_id = $2", [plain.model_dump_json(), job_id])
