"""Maps of runs: what drawing one starts from, the positions it writes, and what the screens and files show of them.

First argument is a connection; frames come in and go out in bulk, ids as text. A map belongs to its run; a run that
has none yet (a person's edit makes runs) is shown on the newest map there is, and what that lacks is counted.
"""

from __future__ import annotations

from typing import NamedTuple

import duckdb
import polars as pl

from soulcaster.db.runs import find_published_run
from soulcaster.db.screens import UTC_BUCKET

_CLUSTERS = """
    SELECT r.cluster_id::VARCHAR AS cluster_id, r.n_items, p.x AS x_before, p.y AS y_before
    FROM run_clusters r
    LEFT JOIN map_positions p
        ON p.cluster_id = r.cluster_id AND p.project_id = r.project_id AND p.run_id = $before::UUID
    WHERE r.run_id = $run::UUID AND r.project_id = $project
    ORDER BY cluster_id
"""
_MEMBERS = """
    SELECT DISTINCT m.cluster_id::VARCHAR AS cluster_id, i.content_hash
    FROM memberships m JOIN embedded_items i ON i.item_id = m.item_id AND i.project_id = m.project_id
    WHERE m.run_id = $run::UUID AND m.project_id = $project AND m.cluster_id IS NOT NULL AND i.content_hash IS NOT NULL
    ORDER BY cluster_id, i.content_hash
"""
# A sample that hardly changes from run to run: the ids with the smallest hashes.
_NOISE = """
    SELECT m.item_id::VARCHAR AS item_id, i.content_hash
    FROM memberships m JOIN embedded_items i ON i.item_id = m.item_id AND i.project_id = m.project_id
    WHERE m.run_id = $run::UUID AND m.project_id = $project AND m.cluster_id IS NULL AND i.content_hash IS NOT NULL
    ORDER BY md5(m.item_id::VARCHAR) LIMIT $limit
"""
_NEWEST_MAP = """
    SELECT p.run_id::VARCHAR FROM (
        SELECT DISTINCT run_id FROM map_positions WHERE project_id = $project AND run_id IS DISTINCT FROM $but::UUID
    ) p JOIN runs r ON r.run_id = p.run_id AND r.project_id = $project
    ORDER BY r.created_at DESC, p.run_id LIMIT 1
"""
_ITEMS = """
    WITH ranked AS (
        SELECT m.item_id, m.cluster_id, row_number() OVER (
                PARTITION BY m.cluster_id ORDER BY m.is_exemplar DESC, m.similarity DESC NULLS LAST, m.item_id
            ) - 1 AS rank, count(*) OVER (PARTITION BY m.cluster_id) AS n_items
        FROM run_memberships m
        WHERE m.run_id = $run::UUID AND m.project_id = $project
            AND list_contains($clusters, m.cluster_id::VARCHAR)
        QUALIFY rank < $each
    )
    SELECT k.item_id::VARCHAR AS item_id, k.cluster_id::VARCHAR AS cluster_id, k.rank, k.n_items, i.source,
        left(regexp_replace(trim(concat_ws('  ', nullif(i.title, ''), i.body)), '\\s+', ' ', 'g'), 160) AS snippet,
        coalesce(i.created_at, i.first_seen_at) AS happened_at
    FROM ranked k JOIN items i ON i.item_id = k.item_id AND i.project_id = $project
    ORDER BY k.rank, k.cluster_id LIMIT $limit
"""


class DrawInput(NamedTuple):
    """What drawing a run starts from, read in one transaction."""

    run_id: str
    model_id: str
    clusters: pl.DataFrame
    """Columns cluster_id, n_items, x_before, y_before (null for clusters that the map before does not have)."""
    members: pl.DataFrame
    """Columns cluster_id, content_hash: the distinct texts of every cluster."""
    noise: pl.DataFrame
    """Columns item_id, content_hash: a sample of the items that stand alone."""


def find_map(con: duckdb.DuckDBPyConnection, project_id: str, *, but: str | None = None) -> str | None:
    """Id of the newest run of the project that is drawn, leaving out run `but`; None without one."""
    row = con.execute(_NEWEST_MAP, {"project": project_id, "but": but}).fetchone()
    return None if row is None else str(row[0])


def is_drawn(con: duckdb.DuckDBPyConnection, project_id: str, run_id: str) -> bool:
    """Whether the run has a map of its own."""
    found = con.execute(
        "SELECT count(*) FROM map_positions WHERE project_id = $project AND run_id = $run::UUID",
        {"project": project_id, "run": run_id},
    ).fetchall()
    return bool(found[0][0])


def load_draw_input(con: duckdb.DuckDBPyConnection, project_id: str, *, most_noise: int) -> DrawInput | None:
    """The run on show when it has clusters and no map yet; None when there is nothing to draw."""
    run_id = find_published_run(con, project_id)
    if run_id is None or is_drawn(con, project_id, run_id):
        return None
    params = {"project": project_id, "run": run_id}
    [(model_id,)] = con.execute("SELECT model_id FROM runs WHERE run_id = $run::UUID", {"run": run_id}).fetchall()
    before = find_map(con, project_id, but=run_id)
    clusters = con.sql(_CLUSTERS, params=params | {"before": before}).pl()
    if clusters.is_empty():
        return None
    return DrawInput(
        run_id=run_id,
        model_id=str(model_id),
        clusters=clusters,
        members=con.sql(_MEMBERS, params=params).pl(),
        noise=con.sql(_NOISE, params=params | {"limit": most_noise}).pl(),
    )


def write_map(
    con: duckdb.DuckDBPyConnection, project_id: str, run_id: str, positions: pl.DataFrame, noise: pl.DataFrame
) -> None:
    """Store the map of a run; the one of two that came first stays, so that nobody sees a map change."""
    if is_drawn(con, project_id, run_id):
        return
    keys = {"project": project_id, "run": run_id}
    con.register("new_positions", positions)
    con.execute(
        "INSERT INTO map_positions (run_id, project_id, cluster_id, x, y, radius) "
        "SELECT $run::UUID, $project, cluster_id::UUID, x, y, radius FROM new_positions",
        keys,
    )
    con.unregister("new_positions")
    con.register("new_noise", noise)
    con.execute(
        "INSERT INTO map_noise (run_id, project_id, item_id, cluster_id, similarity, x, y) "
        "SELECT $run::UUID, $project, item_id::UUID, cluster_id::UUID, similarity, x, y FROM new_noise",
        keys,
    )
    con.unregister("new_noise")


def list_positions(con: duckdb.DuckDBPyConnection, project_id: str) -> pl.DataFrame:
    """Columns cluster_id, x, y, radius: the map of the run on show, or the newest one there is; empty without any."""
    run_id = find_published_run(con, project_id)
    shown = run_id if run_id is not None and is_drawn(con, project_id, run_id) else find_map(con, project_id)
    return con.sql(
        "SELECT cluster_id::VARCHAR AS cluster_id, x, y, radius FROM map_positions "
        "WHERE project_id = $project AND run_id = $run::UUID ORDER BY cluster_id",
        params={"project": project_id, "run": shown},
    ).pl()


def list_map_noise(con: duckdb.DuckDBPyConnection, project_id: str) -> tuple[pl.DataFrame, int]:
    """Items that stand alone on the map of the run on show, and how many there are off the map too.

    Columns: item_id, cluster_id (the nearest), similarity, x, y, source, snippet (110 characters), happened_at. Empty
    when the run on show is not drawn.
    """
    params = {"project": project_id, "run": find_published_run(con, project_id)}
    frame = con.sql(
        """
        SELECT n.item_id::VARCHAR AS item_id, n.cluster_id::VARCHAR AS cluster_id, n.similarity, n.x, n.y, i.source,
            left(regexp_replace(trim(left(concat_ws('  ', nullif(i.title, ''), i.body), 400)), '\\s+', ' ', 'g'), 110)
                AS snippet,
            coalesce(i.created_at, i.first_seen_at) AS happened_at
        FROM map_noise n JOIN items i ON i.item_id = n.item_id AND i.project_id = n.project_id
        WHERE n.run_id = $run::UUID AND n.project_id = $project ORDER BY item_id
        """,
        params=params,
    ).pl()
    [(n_noise,)] = con.execute(
        "SELECT count(*) FROM run_memberships WHERE run_id = $run::UUID AND project_id = $project "
        "AND cluster_id IS NULL",
        params,
    ).fetchall()
    return frame, int(n_noise)


def list_near_noise(
    con: duckdb.DuckDBPyConnection, project_id: str, cluster_id: str, *, limit: int = 5
) -> pl.DataFrame:
    """Items that stand alone in the run on show and whose nearest cluster this is, the most alike first.

    Columns: item_id, similarity (cosine to the mean of the cluster's texts), source, snippet (200 characters),
    happened_at. From the newest map, which holds a sample of what stands alone; empty while there is none.
    """
    return con.sql(
        """
        SELECT n.item_id::VARCHAR AS item_id, n.similarity, i.source,
            left(regexp_replace(trim(concat_ws('  ', nullif(i.title, ''), i.body)), '\\s+', ' ', 'g'), 200) AS snippet,
            coalesce(i.created_at, i.first_seen_at) AS happened_at
        FROM map_noise n JOIN items i ON i.item_id = n.item_id AND i.project_id = n.project_id
        JOIN run_memberships m
            ON m.item_id = n.item_id AND m.project_id = n.project_id AND m.run_id = $run::UUID AND m.cluster_id IS NULL
        WHERE n.run_id = $map::UUID AND n.project_id = $project AND n.cluster_id = TRY_CAST($cluster AS UUID)
        ORDER BY n.similarity DESC, item_id LIMIT $limit
        """,
        params={
            "project": project_id,
            "run": find_published_run(con, project_id),
            "map": find_map(con, project_id),
            "cluster": cluster_id,
            "limit": limit,
        },
    ).pl()


def list_map_items(
    con: duckdb.DuckDBPyConnection, project_id: str, cluster_ids: tuple[str, ...], *, each: int, limit: int
) -> pl.DataFrame:
    """The most typical items of some clusters of the run on show, at most `each` of one and `limit` of all.

    Columns: item_id, cluster_id, rank (0 the most typical), n_items (of the cluster), source, snippet (160
    characters), happened_at.
    """
    return con.sql(
        _ITEMS,
        params={
            "project": project_id,
            "run": find_published_run(con, project_id),
            "clusters": list(cluster_ids),
            "each": each,
            "limit": limit,
        },
    ).pl()


def count_theme_trends(
    con: duckdb.DuckDBPyConnection, project_id: str, bucket: str, theme_ids: tuple[str, ...]
) -> pl.DataFrame:
    """Columns theme_id, starts_at, n: clustered items of the named themes of the run on show per bucket of time."""
    return con.sql(
        f"""
        SELECT theme_id::VARCHAR AS theme_id, starts_at AT TIME ZONE 'UTC' AS starts_at, count(*) AS n FROM (
            SELECT m.theme_id, {UTC_BUCKET} AS starts_at
            FROM run_memberships m JOIN items i ON i.item_id = m.item_id AND i.project_id = m.project_id
            WHERE m.run_id = $run::UUID AND m.project_id = $project AND m.cluster_id IS NOT NULL
                AND m.theme_id IN (SELECT unnest($themes)::UUID)
        ) GROUP BY ALL ORDER BY theme_id, starts_at
        """,  # noqa: S608  a constant
        params={
            "project": project_id,
            "run": find_published_run(con, project_id),
            "bucket": bucket,
            "themes": list(theme_ids),
        },
    ).pl()
