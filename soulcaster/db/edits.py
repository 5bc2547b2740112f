"""People's edits: what they said, what that demands of later runs, and the run each edit makes out of the one on show.

An edit writes a whole new run, copied inside DuckDB from the one on show with the few changed rows replaced, so that
history, publishing and rollback work alike for machines and people.
"""

from __future__ import annotations

import json
import uuid
from datetime import datetime
from typing import Any, NamedTuple

import duckdb
import polars as pl

from soulcaster.errors import PermanentError

_EDITS = """
    SELECT edit_id::VARCHAR AS edit_id, kind, actor, edited_at, reason, base_run_id::VARCHAR AS base_run_id,
        run_id::VARCHAR AS run_id, undoes::VARCHAR AS undoes, payload
    FROM edits WHERE project_id = $project ORDER BY edited_at, edit_id
"""
_COPY_MEMBERSHIPS = """
    INSERT INTO memberships (run_id, project_id, item_id, label, cluster_id, theme_id, membership_strength, is_exemplar,
        similarity, reason)
    SELECT $run::UUID, m.project_id, m.item_id, m.label, m.cluster_id, m.theme_id, m.membership_strength, m.is_exemplar,
        m.similarity, m.reason
    FROM run_memberships m ANTI JOIN changed_rows c ON m.item_id = c.item_id::UUID
    WHERE m.run_id = $base AND m.project_id = $project
    UNION ALL
    SELECT $run::UUID, $project, item_id::UUID, label, cluster_id::UUID, theme_id::UUID, membership_strength,
        is_exemplar, similarity, reason FROM changed_rows
"""
_COPY_CLUSTERS = """
    INSERT INTO run_clusters (run_id, project_id, cluster_id, theme_id, label, n_items, membership_hash)
    SELECT $run::UUID, project_id, cluster_id, theme_id, label, n_items, membership_hash FROM run_clusters
    WHERE run_id = $base AND project_id = $project
        AND cluster_id NOT IN (SELECT cluster_id::UUID FROM touched_clusters)
        AND cluster_id IN (SELECT cluster_id FROM memberships WHERE run_id = $run)
    UNION ALL
    SELECT $run::UUID, $project, m.cluster_id, any_value(m.theme_id), any_value(m.label), count(*),
        sha256(string_agg(
            concat(m.item_id::VARCHAR, ':', coalesce(i.content_hash, '')), chr(10)
            ORDER BY concat(m.item_id::VARCHAR, ':', coalesce(i.content_hash, ''))
        ))
    FROM memberships m JOIN embedded_items i ON i.item_id = m.item_id AND i.project_id = m.project_id
    WHERE m.run_id = $run AND m.project_id = $project
        AND m.cluster_id IN (SELECT cluster_id::UUID FROM touched_clusters)
    GROUP BY m.cluster_id
"""
_COPY_THEMES = """
    INSERT INTO themes (run_id, project_id, theme_id, label, title, n_clusters, n_items)
    SELECT $run::UUID, $project, m.theme_id, row_number() OVER (ORDER BY any_value(t.label), m.theme_id) - 1,
        any_value(t.title), count(DISTINCT m.cluster_id), count(*)
    FROM memberships m LEFT JOIN (
        SELECT theme_id, arg_min(label, run_id <> $base) AS label, arg_min(title, run_id <> $base) AS title
        FROM themes WHERE project_id = $project AND run_id IN ($base, $source) GROUP BY theme_id
    ) t ON t.theme_id = m.theme_id
    WHERE m.run_id = $run AND m.project_id = $project AND m.theme_id IS NOT NULL
    GROUP BY m.theme_id HAVING count(m.cluster_id) > 0
"""
_COPY_RUN = """
    INSERT INTO runs (run_id, project_id, created_at, model_id, parameters, n_items, n_clusters, n_themes, n_noise,
        seconds)
    SELECT $run, $project, $at, model_id, parameters,
        (SELECT count(*) FROM memberships WHERE run_id = $run),
        (SELECT count(*) FROM run_clusters WHERE run_id = $run),
        (SELECT count(*) FROM themes WHERE run_id = $run),
        (SELECT count(*) FROM memberships WHERE run_id = $run AND cluster_id IS NULL), $seconds
    FROM runs WHERE run_id = $base AND project_id = $project
"""
_MEMBERS_OF_CLUSTERS = """
    SELECT m.item_id::VARCHAR AS item_id, m.label, m.cluster_id::VARCHAR AS cluster_id,
        m.theme_id::VARCHAR AS theme_id, m.membership_strength, m.is_exemplar, m.similarity, m.reason
    FROM run_memberships m SEMI JOIN wanted w ON m.cluster_id = w.id::UUID
    WHERE m.run_id = $run AND m.project_id = $project ORDER BY 1
"""
_ROWS_OF_ITEMS = """
    SELECT m.item_id::VARCHAR AS item_id, m.label, m.cluster_id::VARCHAR AS cluster_id,
        m.theme_id::VARCHAR AS theme_id, m.membership_strength, m.is_exemplar, m.similarity, m.reason
    FROM run_memberships m SEMI JOIN wanted w ON m.item_id = w.id::UUID
    WHERE m.run_id = $run AND m.project_id = $project ORDER BY 1
"""


class Edit(NamedTuple):
    """One edit as it was made. `payload` has clusters (ids named by the person) and moves ([item, before, after])."""

    edit_id: str
    kind: str
    actor: str
    edited_at: datetime
    reason: str
    base_run_id: str
    run_id: str
    undoes: str | None
    payload: dict[str, Any]


def list_edits(con: duckdb.DuckDBPyConnection, project_id: str) -> list[Edit]:
    """All edits of the project, oldest first."""
    found = con.execute(_EDITS, {"project": project_id}).fetchall()
    return [Edit._make([*row[:-1], json.loads(row[-1])]) for row in found]


def list_undone(edits: list[Edit]) -> set[str]:
    """Ids of the edits that an undo took back which was not itself taken back."""
    undone: set[str] = set()
    for edit in reversed(edits):
        if edit.undoes is not None and edit.edit_id not in undone:
            undone.add(edit.undoes)
    return undone


def list_constraints(con: duckdb.DuckDBPyConnection, project_id: str) -> pl.DataFrame:
    """What the edits that hold demand: edit_id, edit (position, oldest first), said_by ('merge by x at t'), relation,
    side, item_id.
    """
    made = list_edits(con, project_id)
    undone = list_undone(made)
    standing = [edit for edit in made if edit.kind != "undo" and edit.edit_id not in undone]
    edits = pl.DataFrame(
        {
            "edit_id": [edit.edit_id for edit in standing],
            "edit": range(len(standing)),
            "said_by": [f"{edit.kind} by {edit.actor} at {edit.edited_at:%Y-%m-%d %H:%M}" for edit in standing],
        },
        schema={"edit_id": pl.String, "edit": pl.Int64, "said_by": pl.String},
    )
    rows = con.sql(
        "SELECT edit_id::VARCHAR AS edit_id, relation, side, item_id::VARCHAR AS item_id FROM edit_constraints "
        "WHERE project_id = $project",
        params={"project": project_id},
    ).pl()
    joined = edits.join(rows, on="edit_id", how="inner")
    return joined.sort("edit", "relation", "side", "item_id")


def find_cluster_id(con: duckdb.DuckDBPyConnection, project_id: str, run_id: str, prefix: str) -> str:
    """The cluster of that run whose id starts with `prefix`.

    Raises:
        PermanentError: none does, or more than one.
    """
    return _find(
        con, "cluster", prefix, project_id, run_id,
        "SELECT cluster_id::VARCHAR FROM run_clusters WHERE run_id = $run AND project_id = $project "
        "AND starts_with(cluster_id::VARCHAR, $prefix) ORDER BY 1 LIMIT 2",
    )  # fmt: skip


def find_item_id(con: duckdb.DuckDBPyConnection, project_id: str, prefix: str) -> str:
    """The item whose id starts with `prefix`.

    Raises:
        PermanentError: none does, or more than one.
    """
    return _find(
        con, "item", prefix, project_id, None,
        "SELECT item_id::VARCHAR FROM items WHERE $run IS NULL AND project_id = $project "
        "AND starts_with(item_id::VARCHAR, $prefix) ORDER BY 1 LIMIT 2",
    )  # fmt: skip


def list_members(con: duckdb.DuckDBPyConnection, project_id: str, run_id: str, cluster_ids: list[str]) -> pl.DataFrame:
    """Rows of `run_memberships` of these clusters in that run, ids as text, in the order of item ids."""
    return _memberships(con, project_id, run_id, _MEMBERS_OF_CLUSTERS, cluster_ids)


def list_item_rows(con: duckdb.DuckDBPyConnection, project_id: str, run_id: str, item_ids: list[str]) -> pl.DataFrame:
    """Rows of `run_memberships` of these items in that run, ids as text, in the order of item ids."""
    return _memberships(con, project_id, run_id, _ROWS_OF_ITEMS, item_ids)


def list_cluster_facts(con: duckdb.DuckDBPyConnection, project_id: str, cluster_ids: list[str]) -> pl.DataFrame:
    """Columns cluster_id, status, created_at of lasting clusters."""
    con.register("wanted_clusters", pl.DataFrame({"cluster_id": cluster_ids}, schema={"cluster_id": pl.String}))
    found = con.sql(
        "SELECT c.cluster_id::VARCHAR AS cluster_id, c.status, c.created_at FROM clusters c "
        "SEMI JOIN wanted_clusters w ON c.cluster_id = w.cluster_id::UUID WHERE c.project_id = $project ORDER BY 1",
        params={"project": project_id},
    ).pl()
    con.unregister("wanted_clusters")
    return found


def count_labels(con: duckdb.DuckDBPyConnection, project_id: str, run_id: str) -> int:
    """The first label that the run has not given."""
    [(label,)] = con.execute(
        "SELECT coalesce(max(label), -1) + 1 FROM run_clusters WHERE run_id = $run AND project_id = $project",
        {"run": run_id, "project": project_id},
    ).fetchall()
    return int(label)


def membership_hashes(
    con: duckdb.DuckDBPyConnection, project_id: str, run_id: str, cluster_ids: list[str]
) -> dict[str, str]:
    """Membership hash of each of these clusters that the run has."""
    found = con.execute(
        "SELECT cluster_id::VARCHAR, membership_hash FROM run_clusters "
        "WHERE run_id = $run AND project_id = $project AND list_contains($wanted, cluster_id::VARCHAR)",
        {"run": run_id, "project": project_id, "wanted": cluster_ids},
    ).fetchall()
    return dict(found)


def copy_run(
    con: duckdb.DuckDBPyConnection,
    project_id: str,
    edit: Edit,
    changed: pl.DataFrame,
    touched: list[str],
    transitions: pl.DataFrame,
    *,
    theme_run_id: str,
    seconds: float,
) -> None:
    """Write the run `edit.run_id`: `edit.base_run_id` as shown, with the rows of `changed` in place of theirs.

    Args:
        con: inside a transaction.
        project_id: whose run it is.
        edit: where it comes from.
        changed: columns of `memberships` without run and project, ids as text.
        touched: ids of the clusters that lost or won items; the other clusters are copied as they are.
        transitions: kind, cluster_id, other_cluster_id, overlap.
        theme_run_id: where to look for a theme that the base has not.
        seconds: what the edit took so far.
    """
    keys = {"run": edit.run_id, "base": edit.base_run_id, "project": project_id}
    con.register("changed_rows", changed)
    con.register("touched_clusters", pl.DataFrame({"cluster_id": touched}, schema={"cluster_id": pl.String}))
    con.register("edit_transitions", transitions)
    con.execute(_COPY_MEMBERSHIPS, keys)
    con.execute(_COPY_CLUSTERS, keys)
    con.execute(_COPY_THEMES, {**keys, "source": theme_run_id})
    con.execute(_COPY_RUN, {**keys, "at": edit.edited_at, "seconds": seconds})
    con.execute(
        "INSERT INTO transitions (run_id, project_id, kind, cluster_id, other_cluster_id, overlap) "
        "SELECT $run::UUID, $project, kind, cluster_id::UUID, other_cluster_id::UUID, overlap FROM edit_transitions",
        {"run": edit.run_id, "project": project_id},
    )
    for name in ("changed_rows", "touched_clusters", "edit_transitions"):
        con.unregister(name)


def add_edit(con: duckdb.DuckDBPyConnection, project_id: str, edit: Edit, constraints: pl.DataFrame) -> None:
    """Append the edit and what it demands: columns relation, side, item_id."""
    con.execute(
        "INSERT INTO edits (edit_id, project_id, kind, actor, edited_at, reason, base_run_id, run_id, undoes, payload) "
        "VALUES ($edit, $project, $kind, $actor, $at, $reason, $base, $run, $undoes, $payload)",
        {
            "edit": edit.edit_id,
            "project": project_id,
            "kind": edit.kind,
            "actor": edit.actor,
            "at": edit.edited_at,
            "reason": edit.reason,
            "base": edit.base_run_id,
            "run": edit.run_id,
            "undoes": edit.undoes,
            "payload": json.dumps(edit.payload),
        },
    )
    con.register("new_constraints", constraints)
    con.execute(
        "INSERT INTO edit_constraints (edit_id, project_id, relation, side, item_id) "
        "SELECT $edit::UUID, $project, relation, side, item_id::UUID FROM new_constraints",
        {"edit": edit.edit_id, "project": project_id},
    )
    con.unregister("new_constraints")


def _memberships(
    con: duckdb.DuckDBPyConnection, project_id: str, run_id: str, query: str, wanted: list[str]
) -> pl.DataFrame:
    con.register("wanted", pl.DataFrame({"id": wanted}, schema={"id": pl.String}))
    found = con.sql(query, params={"run": run_id, "project": project_id}).pl()
    con.unregister("wanted")
    return found


def _find(
    con: duckdb.DuckDBPyConnection, what: str, prefix: str, project_id: str, run_id: str | None, query: str
) -> str:
    found = con.execute(query, {"prefix": prefix.lower(), "project": project_id, "run": run_id}).fetchall()
    if len(found) != 1 or not prefix:
        got = f"{found[0][0]} and {found[-1][0]}" if found else "none"
        do = "give more of its id" if found else "it may be part of another by now, look again"
        raise PermanentError(
            f"Looking for {what} {prefix!r} in project {project_id!r} expected one that is on show and whose id starts "
            f"so, got {got}; {do}."
        )
    return str(uuid.UUID(found[0][0]))
