"""What came after the run on show: which items are new to it, which join by an exact key, and where they went."""

from __future__ import annotations

from datetime import datetime

import duckdb
import polars as pl

from soulcaster.db.activity import add_activity
from soulcaster.db.runs import find_published_run
from soulcaster.db.triage import wake_grown
from soulcaster.errors import TransientError

_NEW = """
    SELECT item_id::VARCHAR AS item_id, content_hash FROM embedded_items
    WHERE project_id = $project AND content_hash IS NOT NULL
        AND item_id NOT IN (SELECT item_id FROM run_memberships WHERE run_id = $run AND project_id = $project)
    ORDER BY content_hash, created_at NULLS LAST, item_id
"""
_MEMBERS = """
    SELECT DISTINCT m.label, m.cluster_id::VARCHAR AS cluster_id, m.theme_id::VARCHAR AS theme_id, i.content_hash
    FROM memberships m JOIN embedded_items i ON i.item_id = m.item_id AND i.project_id = m.project_id
    WHERE m.run_id = $run AND m.project_id = $project AND m.cluster_id IS NOT NULL AND i.content_hash IS NOT NULL
    ORDER BY m.label, i.content_hash
"""
_EXACT = """
    WITH old AS (
        SELECT i.*, m.label, m.cluster_id, m.theme_id
        FROM run_memberships m JOIN items i ON i.item_id = m.item_id AND i.project_id = m.project_id
        WHERE m.run_id = $run AND m.project_id = $project AND m.cluster_id IS NOT NULL AND i.content_hash IS NOT NULL
    ),
    fresh AS (
        SELECT i.* FROM items i SEMI JOIN new_items n ON i.item_id = n.item_id::UUID WHERE i.project_id = $project
    ),
    found AS (
        SELECT f.item_id, o.label, o.cluster_id, o.theme_id, 0 AS key
        FROM fresh f JOIN old o ON f.content_hash = o.content_hash
        UNION ALL
        SELECT f.item_id, o.label, o.cluster_id, o.theme_id, 1
        FROM fresh f JOIN old o ON f.source_group = o.source_group AND f.source = o.source
        UNION ALL
        SELECT f.item_id, o.label, o.cluster_id, o.theme_id, 2
        FROM fresh f JOIN old o ON f.exception_type = o.exception_type AND f.frames = o.frames WHERE len(f.frames) > 0
        UNION ALL
        SELECT f.item_id, o.label, o.cluster_id, o.theme_id, 3
        FROM fresh f JOIN old o ON f.duplicate_of = o.external_id AND f.source = o.source
        UNION ALL
        SELECT f.item_id, o.label, o.cluster_id, o.theme_id, 3
        FROM fresh f JOIN old o ON f.external_id = o.duplicate_of AND f.source = o.source
        UNION ALL
        SELECT f.item_id, o.label, o.cluster_id, o.theme_id, 3
        FROM fresh f JOIN old o ON f.duplicate_of = o.duplicate_of AND f.source = o.source
    ),
    counted AS (
        SELECT item_id, label, cluster_id, any_value(theme_id) AS theme_id, key, count(*) AS n FROM found GROUP BY ALL
    )
    SELECT item_id::VARCHAR AS item_id, label, cluster_id::VARCHAR AS cluster_id, theme_id::VARCHAR AS theme_id,
        ['same-text', 'same-source-group', 'same-stack', 'declared-duplicate'][key + 1] AS reason
    FROM counted QUALIFY row_number() OVER (PARTITION BY item_id ORDER BY key, n DESC, cluster_id) = 1
    ORDER BY item_id
"""
_REFIT = """
    WITH refit AS (
        SELECT r.run_id, r.created_at, r.n_items FROM runs r LEFT JOIN proposals q USING (run_id)
        WHERE r.project_id = $project AND coalesce(q.kind, 'refit') = 'refit' ORDER BY r.created_at DESC LIMIT 1
    )
    SELECT (SELECT created_at FROM refit), (SELECT n_items FROM refit), (
        SELECT count(*) FROM items WHERE project_id = $project AND item_id NOT IN
            (SELECT item_id FROM memberships WHERE project_id = $project AND run_id = (SELECT run_id FROM refit))
    )
"""


def load_new_items(
    con: duckdb.DuckDBPyConnection, project_id: str
) -> tuple[str | None, pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """The run on show, items that are new to it, those of them that join by a key, and the texts of its clusters.

    New: item_id, content_hash. Joined: item_id, label, cluster_id, theme_id, reason. Texts: label, cluster_id,
    theme_id, content_hash, one row a text and cluster, of the run as it was made, by label. Hashes are of what is
    embedded.
    """
    run_id = find_published_run(con, project_id)
    params = {"run": run_id, "project": project_id}
    fresh = con.sql(_NEW, params=params).pl()
    if run_id is None or not fresh.height:
        return run_id, fresh, fresh.clear(), fresh.clear()
    con.register("new_items", fresh)
    joined = con.sql(_EXACT, params=params).pl()
    con.unregister("new_items")
    return run_id, fresh, joined, con.sql(_MEMBERS, params=params).pl()


def write_assignments(
    con: duckdb.DuckDBPyConnection, project_id: str, run_id: str, rows: pl.DataFrame, *, actor: str, at: datetime
) -> None:
    """Append where items went: columns of `assignments` without run, project and time, ids as text.

    Raises:
        TransientError: another run is on show by now; items have to find their place in that one.
    """
    if find_published_run(con, project_id) != run_id:
        raise TransientError(
            f"Assigning new items of project {project_id!r} to run {run_id!r}: another run was published meanwhile; "
            "run `soulcaster assign` again."
        )
    con.register("new_rows", rows)
    con.execute(
        "INSERT INTO assignments (run_id, project_id, item_id, assigned_at, label, cluster_id, theme_id, similarity, "
        "reason, nearest_cluster_id, nearest_similarity, threshold) SELECT $run::UUID, $project, item_id::UUID, $at, "
        "label, cluster_id::UUID, theme_id::UUID, similarity, reason, nearest_cluster_id::UUID, nearest_similarity, "
        "threshold FROM new_rows "
        "WHERE item_id::UUID NOT IN (SELECT item_id FROM assignments WHERE run_id = $run::UUID)",
        {"run": run_id, "project": project_id, "at": at},
    )
    con.unregister("new_rows")
    reasons = dict(rows.drop_nulls("reason")["reason"].value_counts().sort("reason").iter_rows())
    add_activity(
        con, project_id, actor=actor, action="items assigned", subject=run_id, reason="came after the run",
        detail={"n_items": rows.height, "n_noise": rows["cluster_id"].null_count(), "reasons": reasons}, at=at,
    )  # fmt: skip
    wake_grown(con, project_id)


def load_refit_state(con: duckdb.DuckDBPyConnection, project_id: str) -> tuple[datetime | None, int, int]:
    """When the newest re-clustering was made (None: never), of how many items, and how many came since."""
    [(at, n_items, n_new)] = con.execute(_REFIT, {"project": project_id}).fetchall()
    return at, int(n_items or 0), int(n_new)
