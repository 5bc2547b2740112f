"""Two groupings side by side: which clusters and items they share, and where the others went. Writes nothing."""

from __future__ import annotations

from typing import Any

import duckdb
import polars as pl
from pydantic import BaseModel

FEWEST_ITEMS = 2
"""Items that two clusters must share before one counts as a part of the other: one item that moves splits nobody."""

_BOTH = """
    WITH a AS (
        SELECT item_id, cluster_id FROM run_memberships WHERE run_id = $before::UUID AND project_id = $project
    ),
    b AS (
        SELECT item_id, cluster_id FROM run_memberships WHERE run_id = $after::UUID AND project_id = $project
    ),
    pair AS (
        SELECT item_id, a.cluster_id AS was, b.cluster_id AS becomes, a.item_id IS NOT NULL AS is_before,
            b.item_id IS NOT NULL AS is_after
        FROM a FULL JOIN b USING (item_id)
    )
"""
_ITEMS = """
    SELECT count(*) FILTER (WHERE is_before AND is_after AND was = becomes) AS n_kept,
        count(*) FILTER (WHERE is_before AND is_after AND was <> becomes) AS n_moved,
        count(*) FILTER (WHERE is_before AND is_after AND was IS NOT NULL AND becomes IS NULL) AS n_dropped,
        count(*) FILTER (WHERE is_before AND is_after AND was IS NULL AND becomes IS NOT NULL) AS n_adopted,
        count(*) FILTER (WHERE is_before AND is_after AND was IS NULL AND becomes IS NULL) AS n_alone,
        count(*) FILTER (WHERE NOT is_after) AS n_only_before, count(*) FILTER (WHERE NOT is_before) AS n_only_after
    FROM pair
"""
_CLUSTERS = """
    , shared AS (
        SELECT was, becomes FROM pair WHERE was IS NOT NULL AND becomes IS NOT NULL
        GROUP BY ALL HAVING count(*) >= $fewest
    ),
    old AS (SELECT DISTINCT cluster_id FROM a WHERE cluster_id IS NOT NULL),
    new AS (SELECT DISTINCT cluster_id FROM b WHERE cluster_id IS NOT NULL)
    SELECT (SELECT count(*) FROM old SEMI JOIN new USING (cluster_id)) AS n_same_id,
        (SELECT count(*) FROM old ANTI JOIN new USING (cluster_id)) AS n_gone,
        (SELECT count(*) FROM new ANTI JOIN old USING (cluster_id)) AS n_new,
        (SELECT count(*) FROM (SELECT was FROM shared GROUP BY was HAVING count(*) > 1)) AS n_split,
        (SELECT count(*) FROM (SELECT becomes FROM shared GROUP BY becomes HAVING count(*) > 1)) AS n_merged
"""
_MOVED = """
    , flow AS (
        SELECT *, count(*) OVER (PARTITION BY was, becomes) AS n_together FROM pair
        WHERE is_before AND is_after AND was IS DISTINCT FROM becomes
    )
    SELECT f.item_id::VARCHAR AS item_id, i.source,
        left(regexp_replace(trim(concat_ws('  ', nullif(i.title, ''), i.body)), '\\s+', ' ', 'g'), 200) AS snippet,
        f.was::VARCHAR AS before_id, x.title AS before_title, f.becomes::VARCHAR AS after_id, y.title AS after_title,
        f.n_together
    FROM flow f JOIN items i ON i.item_id = f.item_id AND i.project_id = $project
    LEFT JOIN clusters x ON x.cluster_id = f.was AND x.project_id = $project
    LEFT JOIN clusters y ON y.cluster_id = f.becomes AND y.project_id = $project
    ORDER BY f.n_together DESC, f.was, f.becomes, f.item_id LIMIT $limit
"""


class Comparison(BaseModel):
    """What differs between two groupings, in items and in clusters."""

    n_kept: int
    """Items in the cluster of the same lasting id."""
    n_moved: int
    n_dropped: int
    """Clustered before, alone after."""
    n_adopted: int
    """Alone before, clustered after."""
    n_alone: int
    n_only_before: int
    n_only_after: int
    n_same_id: int
    n_gone: int
    n_new: int
    n_split: int
    """Clusters of the first whose items lie in several of the second, by `FEWEST_ITEMS` or more."""
    n_merged: int
    """Clusters of the second with items of several of the first, by `FEWEST_ITEMS` or more."""


def compare_runs(con: duckdb.DuckDBPyConnection, project_id: str, before: str, after: str) -> Comparison:
    """Counts over the items of two runs of the project, with what was assigned to them since."""
    params = {"project": project_id, "before": before, "after": after}
    items = _one(con, _BOTH + _ITEMS, params)
    return Comparison(**items, **_one(con, _BOTH + _CLUSTERS, params | {"fewest": FEWEST_ITEMS}))


def list_moved(
    con: duckdb.DuckDBPyConnection, project_id: str, before: str, after: str, *, limit: int = 100
) -> pl.DataFrame:
    """Items that both runs know and that are elsewhere in the second; those that went together stand together.

    Columns: item_id, source, snippet (200 characters), before_id, before_title, after_id, after_title (null where the
    item stands alone), n_together (items that went the same way).
    """
    params = {"project": project_id, "before": before, "after": after, "limit": limit}
    return con.sql(_BOTH + _MOVED, params=params).pl()


def _one(con: duckdb.DuckDBPyConnection, sql: str, params: dict[str, Any]) -> dict[str, int]:
    found = con.execute(sql, params)
    names = [column[0] for column in found.description or []]
    return dict(zip(names, found.fetchall()[0], strict=True))
