"""What the screens show of clusters: the list, one cluster with its items, its history and its neighbours.

Owns these SELECTs, writes nothing; see `screens` for the rules. Everything is read off the run on show.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import duckdb
import polars as pl
from pydantic import BaseModel, ConfigDict

from soulcaster.db.cluster_facts import count_words, load_facts
from soulcaster.db.screens import find_shown_run, frame_of, rows_of

ClusterSort = Literal["match", "priority", "items", "people", "recent", "rising", "title"]
"""`match`: how well it answers the search, by priority where nothing is searched for."""

RANK_OFFSET = 60
"""Of reciprocal rank fusion: how little the first ranks of one list count above the next ones of the other.
Source: Cormack, Clarke and Buettcher, Reciprocal Rank Fusion outperforms Condorcet, SIGIR 2009."""


class ClusterFilters(BaseModel):
    """What narrows the list of clusters; empty tuples and None narrow nothing."""

    model_config = ConfigDict(frozen=True)

    sources: tuple[str, ...] = ()
    theme_id: str | None = None
    statuses: tuple[str, ...] = ()
    min_items: int = 1
    owners: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    text: str = ""
    near: tuple[str, ...] = ()
    """Ids of clusters that say what `text` says in other words, nearest first: they pass as well."""
    only_bursts: bool = False


class ClusterRow(BaseModel):
    """One lasting cluster with what the run on show says about it; `n_items` is 0 when that run lost it."""

    cluster_id: str
    status: str
    title: str | None
    summary: str | None
    terms: list[str]
    summary_method: str | None
    hints: list[str] | None
    severity: str | None
    kind: str | None
    is_title_current: bool
    created_at: datetime
    theme_id: str | None
    theme: str | None
    n_items: int
    n_people: int
    n_by_source: dict[str, int]
    first_seen_at: datetime | None
    last_seen_at: datetime | None


def list_clusters(
    con: duckdb.DuckDBPyConnection,
    project_id: str,
    filters: ClusterFilters,
    *,
    sort: ClusterSort = "items",
    limit: int,
    offset: int = 0,
) -> tuple[pl.DataFrame, int]:
    """One page of the clusters on show, and how many there are in all; see `narrow`."""
    words = count_words(con, project_id, filters.text.strip())
    return narrow(load_facts(con, project_id), words, filters, sort=sort, limit=limit, offset=offset)


def narrow(
    facts: pl.DataFrame,
    words: pl.DataFrame,
    filters: ClusterFilters,
    *,
    sort: ClusterSort = "items",
    limit: int,
    offset: int = 0,
) -> tuple[pl.DataFrame, int]:
    """One page of the clusters that pass, and how many do.

    Args:
        facts: rows of `load_facts`, whose columns come back and matched_by ('words', 'meaning' or 'both' of the search,
            '' without one).
        words: rows of `count_words` for the text of the filters.
        filters: what passes.
        sort: what comes first; the larger and then the smaller id break ties.
        limit: rows of the page.
        offset: rows before it.
    """
    found = facts.filter(*_conditions(facts, filters))
    if filters.text.strip():
        found = _ranked(facts, words, filters.near).join(found, on="cluster_id", how="inner")
    else:
        found = found.with_columns(matched_by=pl.lit(""), score=pl.lit(0.0))
    by = _SORTED_BY[sort]
    ordered = found.sort(
        *by, "n_items", "cluster_id", descending=[sort != "title"] * len(by) + [True, False], nulls_last=True
    )
    return ordered.select(*facts.columns, "matched_by").slice(offset, limit), ordered.height


_SORTED_BY: dict[ClusterSort, list[pl.Expr]] = {
    "match": [pl.col("score"), pl.col("priority")],
    "priority": [pl.col("priority")],
    "items": [],
    "people": [pl.col("n_people")],
    "recent": [pl.col("last_seen_at")],
    "rising": [pl.col("n_rise")],
    "title": [pl.col("title").str.to_lowercase()],
}


def _conditions(facts: pl.DataFrame, filters: ClusterFilters) -> list[pl.Expr]:
    wanted = [pl.col("n_items") >= filters.min_items]
    if filters.only_bursts:
        wanted.append(pl.col("is_burst"))
    if filters.theme_id is not None:
        wanted.append(pl.col("theme_id") == filters.theme_id)
    for name, values in (("status", filters.statuses), ("owner", filters.owners), ("kind", filters.kinds)):
        if values:
            wanted.append(pl.col(name).is_in(values))
    if filters.sources:
        keys = facts.select(pl.col("n_by_source").list.eval(pl.element().struct.field("key"))).to_series()
        wanted.append(pl.lit(keys.list.set_intersection(list(filters.sources)).list.len() > 0))
    return wanted


def _ranked(facts: pl.DataFrame, words: pl.DataFrame, near: tuple[str, ...]) -> pl.DataFrame:
    """Columns cluster_id, matched_by, score of what has the words or is near, by reciprocal rank fusion."""
    by_words = words.with_columns(word_rank=pl.col("words").rank("min", descending=True))
    by_meaning = pl.DataFrame(
        {"cluster_id": list(dict.fromkeys(near))}, schema={"cluster_id": pl.String}
    ).with_row_index("near_rank", offset=1)
    both = facts.select("cluster_id").join(by_words, on="cluster_id", how="left")
    ranks = both.join(by_meaning, on="cluster_id", how="left").filter(
        pl.col("word_rank").is_not_null() | pl.col("near_rank").is_not_null()
    )
    scores = [(1 / (RANK_OFFSET + pl.col(name))).fill_null(0.0) for name in ("word_rank", "near_rank")]
    return ranks.select(
        "cluster_id",
        matched_by=pl.when(pl.col("near_rank").is_null()).then(pl.lit("words"))
        .when(pl.col("word_rank").is_null()).then(pl.lit("meaning")).otherwise(pl.lit("both")),
        score=scores[0] + scores[1],
    )  # fmt: skip


def find_cluster(con: duckdb.DuckDBPyConnection, project_id: str, cluster_id: str) -> ClusterRow | None:
    """One cluster by its lasting id, also when the run on show no longer has it; None when the project never had it."""
    params = {"project_id": project_id, "cluster_id": cluster_id, "run_id": find_shown_run(con, project_id)}
    found = rows_of(
        con,
        """
        SELECT CAST(c.cluster_id AS VARCHAR) AS cluster_id, c.status, c.title, c.summary, c.terms, c.summary_method,
            c.hints, c.severity, c.kind, c.created_at,
            coalesce(c.summarized_hash = r.membership_hash, false) AS is_title_current,
            CAST(r.theme_id AS VARCHAR) AS theme_id, t.title AS theme
        FROM clusters c
        LEFT JOIN run_clusters r ON r.cluster_id = c.cluster_id AND r.run_id = CAST($run_id AS UUID)
        LEFT JOIN themes t ON t.run_id = r.run_id AND t.theme_id = r.theme_id
        WHERE c.project_id = $project_id AND c.cluster_id = TRY_CAST($cluster_id AS UUID)
        """,
        params,
    )
    if not found:
        return None
    by_source = rows_of(
        con,
        """
        WITH member AS (
            SELECT i.source, i.author, i.source_group, i.user_count,
                coalesce(i.created_at, i.first_seen_at) AS happened_at
            FROM run_memberships m JOIN items i USING (item_id)
            WHERE m.run_id = CAST($run_id AS UUID) AND m.cluster_id = TRY_CAST($cluster_id AS UUID)
                AND i.project_id = $project_id
        ),
        unnamed AS (
            SELECT source, sum(n) AS n FROM (
                SELECT source, max(user_count) AS n FROM member WHERE author IS NULL GROUP BY source, source_group
            ) GROUP BY source
        )
        SELECT source, count(*) AS n, CAST(count(DISTINCT author) + coalesce(any_value(u.n), 0) AS BIGINT) AS n_people,
            min(happened_at) AS first_seen_at, max(happened_at) AS last_seen_at
        FROM member LEFT JOIN unnamed u USING (source) GROUP BY source ORDER BY 2 DESC, 1
        """,
        params,
    )
    return ClusterRow(
        **found[0],
        n_items=sum(row["n"] for row in by_source),
        n_people=sum(row["n_people"] for row in by_source),
        n_by_source={row["source"]: row["n"] for row in by_source},
        first_seen_at=min((row["first_seen_at"] for row in by_source), default=None),
        last_seen_at=max((row["last_seen_at"] for row in by_source), default=None),
    )


def list_cluster_items(
    con: duckdb.DuckDBPyConnection,
    project_id: str,
    cluster_id: str,
    *,
    only_exemplars: bool = False,
    limit: int,
    offset: int = 0,
) -> pl.DataFrame:
    """One page of a cluster's items, the strongest members first.

    Columns: item_id, source, title, body (at most 4,000 characters), snippet, author, channel, url, state, happened_at,
    membership_strength, is_exemplar, similarity (cosine to the cluster's mean), reason, event_count,
    statement (what a model wrote in the text's place, null without one).
    """
    return frame_of(
        con,
        """
        WITH page AS (
            SELECT m.item_id, m.membership_strength, m.is_exemplar, m.similarity, m.reason
            FROM run_memberships m
            WHERE m.run_id = CAST($run_id AS UUID) AND m.project_id = $project_id
                AND m.cluster_id = TRY_CAST($cluster_id AS UUID) AND (m.is_exemplar OR NOT $only_exemplars)
            ORDER BY m.is_exemplar DESC, m.membership_strength DESC, m.item_id
            LIMIT $limit OFFSET $offset
        )
        SELECT CAST(i.item_id AS VARCHAR) AS item_id, i.source, i.title, left(i.body, 4000) AS body,
            left(regexp_replace(trim(concat_ws('  ', nullif(i.title, ''), i.body)), '\\s+', ' ', 'g'), 300) AS snippet,
            i.author, i.channel, i.url, i.state, coalesce(i.created_at, i.first_seen_at) AS happened_at,
            page.membership_strength, page.is_exemplar, page.similarity, page.reason, i.event_count, s.statement
        FROM page JOIN items i USING (item_id)
        LEFT JOIN statements s ON s.content_hash = i.content_hash AND s.project_id = i.project_id
        WHERE i.project_id = $project_id
        ORDER BY page.is_exemplar DESC, page.membership_strength DESC, page.item_id
        """,
        {
            "project_id": project_id,
            "run_id": find_shown_run(con, project_id),
            "cluster_id": cluster_id,
            "only_exemplars": only_exemplars,
            "limit": limit,
            "offset": offset,
        },
    )


def list_transitions(con: duckdb.DuckDBPyConnection, project_id: str, cluster_id: str) -> pl.DataFrame:
    """What became of a cluster at each run that was on show, newest first, at most 50.

    Columns: run_id, created_at, kind, cluster_id, title, other_cluster_id, other_title, overlap, n_items (of the
    cluster in that run, null when the run does not have it).
    """
    return frame_of(
        con,
        """
        SELECT CAST(x.run_id AS VARCHAR) AS run_id, r.created_at, x.kind, CAST(x.cluster_id AS VARCHAR) AS cluster_id,
            a.title, CAST(x.other_cluster_id AS VARCHAR) AS other_cluster_id, b.title AS other_title, x.overlap,
            n.n_items
        FROM transitions x
        JOIN runs r ON r.run_id = x.run_id
        LEFT JOIN clusters a ON a.cluster_id = x.cluster_id
        LEFT JOIN clusters b ON b.cluster_id = x.other_cluster_id
        LEFT JOIN run_clusters n ON n.run_id = x.run_id AND n.cluster_id = TRY_CAST($cluster_id AS UUID)
        WHERE x.project_id = $project_id AND (x.cluster_id = TRY_CAST($cluster_id AS UUID)
            OR x.other_cluster_id = TRY_CAST($cluster_id AS UUID))
            AND x.run_id IN (SELECT run_id FROM publications WHERE project_id = $project_id)
        ORDER BY r.created_at DESC, x.kind LIMIT 50
        """,
        {"project_id": project_id, "cluster_id": cluster_id},
    )


def list_siblings(con: duckdb.DuckDBPyConnection, project_id: str, cluster_id: str, *, limit: int = 6) -> pl.DataFrame:
    """Other clusters of the run on show that share terms or the theme, most shared terms first.

    Columns: cluster_id, title, n_items, shared (list of terms), is_same_theme. Words only, no vectors.
    """
    return frame_of(
        con,
        """
        WITH this AS (
            SELECT c.terms, r.theme_id FROM clusters c
            LEFT JOIN run_clusters r ON r.cluster_id = c.cluster_id AND r.run_id = CAST($run_id AS UUID)
            WHERE c.project_id = $project_id AND c.cluster_id = TRY_CAST($cluster_id AS UUID)
        )
        SELECT CAST(c.cluster_id AS VARCHAR) AS cluster_id, c.title, r.n_items,
            list_intersect(c.terms, this.terms) AS shared, coalesce(r.theme_id = this.theme_id, false) AS is_same_theme
        FROM run_clusters r JOIN clusters c USING (cluster_id, project_id), this
        WHERE r.run_id = CAST($run_id AS UUID) AND r.project_id = $project_id
            AND c.cluster_id <> TRY_CAST($cluster_id AS UUID)
            AND (len(shared) > 0 OR is_same_theme)
        ORDER BY len(shared) + CAST(is_same_theme AS INTEGER) DESC, r.n_items DESC, cluster_id LIMIT $limit
        """,
        {
            "project_id": project_id,
            "run_id": find_shown_run(con, project_id),
            "cluster_id": cluster_id,
            "limit": limit,
        },
    )
