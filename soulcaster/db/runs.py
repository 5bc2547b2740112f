"""Runs from proposal to show: written whole or not at all, never changed, published by appending a row.

First argument is a connection; frames come in in bulk, ids as text.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

import duckdb
import polars as pl

from soulcaster.db.activity import add_activity
from soulcaster.db.triage import wake_grown
from soulcaster.errors import PermanentError, TransientError
from soulcaster.models import ChurnReport

_FEWEST_CHARS = 4
"""Shorter beginnings of an id are not looked for among forgotten runs: they name nobody."""

RunState = Literal["shown", "published", "waits", "outdated"]

_RUNS = """
    WITH published AS (
        SELECT run_id, max(published_at) AS published_at, arg_max(published_by, published_at) AS published_by
        FROM publications WHERE project_id = $project GROUP BY run_id
    )
    SELECT r.run_id::VARCHAR AS run_id, r.created_at, coalesce(q.kind, 'refit') AS kind,
        coalesce(q.actor, p.published_by) AS actor, q.base_run_id::VARCHAR AS base_run_id, r.n_items, r.n_clusters,
        r.n_noise, q.churn, p.published_at, p.published_by,
        CASE WHEN r.run_id = $shown::UUID THEN 'shown' WHEN p.run_id IS NOT NULL THEN 'published'
            WHEN q.base_run_id IS NOT DISTINCT FROM $shown::UUID THEN 'waits' ELSE 'outdated' END AS state
    FROM runs r
    LEFT JOIN published p USING (run_id)
    LEFT JOIN proposals q ON q.run_id = r.run_id AND q.project_id = r.project_id
    WHERE r.project_id = $project AND ($prefix IS NULL OR starts_with(r.run_id::VARCHAR, $prefix))
    ORDER BY r.created_at DESC, run_id LIMIT $limit
"""


class RunRows(NamedTuple):
    """Everything one re-clustering writes. Ids are text; frames have the tables' columns without project and run."""

    run_id: str
    created_at: datetime
    model_id: str
    parameters: str
    n_items: int
    n_noise: int
    seconds: float
    memberships: pl.DataFrame
    run_clusters: pl.DataFrame
    themes: pl.DataFrame
    transitions: pl.DataFrame


class RunRow(NamedTuple):
    """One run as `soulcaster runs` lists it."""

    run_id: str
    created_at: datetime
    kind: str
    actor: str
    base_run_id: str | None
    n_items: int
    n_clusters: int
    n_noise: int
    churn: ChurnReport | None
    """None for a run that is older than proposals."""
    published_at: datetime | None
    published_by: str | None
    state: RunState
    """shown; published earlier; waits for a person; outdated: made on top of a run that is no longer shown."""


def find_published_run(con: duckdb.DuckDBPyConnection, project_id: str) -> str | None:
    """Id of the run the project shows, None before the first."""
    row = con.execute(
        "SELECT run_id::VARCHAR FROM published_runs WHERE project_id = $project", {"project": project_id}
    ).fetchone()
    return None if row is None else str(row[0])


def find_published_model(con: duckdb.DuckDBPyConnection, project_id: str) -> str | None:
    """Model whose vectors the run on show was grouped by, None before the first."""
    row = con.execute(
        "SELECT r.model_id FROM published_runs p JOIN runs r USING (run_id) WHERE p.project_id = $project",
        {"project": project_id},
    ).fetchone()
    return None if row is None else str(row[0])


def find_last_publication(con: duckdb.DuckDBPyConnection, project_id: str) -> tuple[str, datetime]:
    """Who published last, and when. The project must have published something."""
    [row] = con.execute(
        "SELECT published_by, published_at FROM publications WHERE project_id = $project "
        "ORDER BY published_at DESC LIMIT 1",
        {"project": project_id},
    ).fetchall()
    return str(row[0]), row[1]


def list_runs(
    con: duckdb.DuckDBPyConnection, project_id: str, *, prefix: str | None = None, limit: int = 1_000_000
) -> list[RunRow]:
    """Runs of the project, newest first; only those whose id starts with `prefix` when it is given."""
    params = {
        "project": project_id,
        "shown": find_published_run(con, project_id),
        "prefix": prefix,
        "limit": limit,
    }
    found = con.execute(_RUNS, params)
    names = [column[0] for column in found.description or []]
    rows: list[dict[str, Any]] = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    for row in rows:
        row["churn"] = None if row["churn"] is None else ChurnReport.model_validate_json(row["churn"])
    return [RunRow(**row) for row in rows]


def get_run(con: duckdb.DuckDBPyConnection, project_id: str, prefix: str) -> RunRow:
    """The run whose id starts with `prefix`.

    Raises:
        PermanentError: none does (the message says when it was forgotten), or more than one.
    """
    found = list_runs(con, project_id, prefix=prefix.lower(), limit=2)
    if not found and (forgotten_at := _find_forgotten(con, project_id, prefix.lower())):
        raise PermanentError(
            f"Looking for run {prefix!r} in project {project_id!r} found that it was forgotten at "
            f"{forgotten_at:%Y-%m-%d %H:%M}, because it never was on show; see `soulcaster runs`."
        )
    if len(found) != 1:
        got = "none" if not found else f"{found[0].run_id[:13]}, {found[1].run_id[:13]} and maybe more"
        raise PermanentError(
            f"Looking for run {prefix!r} in project {project_id!r} expected one run whose id starts so, got {got}; "
            "see `soulcaster runs`."
        )
    return found[0]


def _find_forgotten(con: duckdb.DuckDBPyConnection, project_id: str, prefix: str) -> datetime | None:
    """When the housekeeping forgot a run whose id starts so."""
    [(at,)] = con.execute(
        "SELECT max(happened_at) FROM activity WHERE project_id = $project AND action = 'runs forgotten' "
        "AND contains(detail, $quoted)",
        {"project": project_id, "quoted": f'"{prefix}'},
    ).fetchall()
    return None if len(prefix) < _FEWEST_CHARS else at


def write_run(
    con: duckdb.DuckDBPyConnection,
    project_id: str,
    rows: RunRows,
    churn: ChurnReport,
    *,
    kind: str = "refit",
    expected_run_id: str | None,
    actor: str,
    reason: str = "full re-clustering",
) -> None:
    """Store the run with its churn report, and publish it when the report says so; call it inside one transaction.

    Raises:
        TransientError: another run than `expected_run_id` is published by now: ids were matched to the wrong one.
    """
    published = find_published_run(con, project_id)
    if published != expected_run_id:
        raise TransientError(
            f"Publishing a new grouping of project {project_id!r} found run {published!r} published, expected "
            f"{expected_run_id!r}: another re-clustering was faster; run `soulcaster recluster` again."
        )
    keys = {"project": project_id, "run": rows.run_id, "at": rows.created_at}
    con.execute(
        "INSERT INTO runs (run_id, project_id, created_at, model_id, parameters, n_items, n_clusters, n_themes, "
        "n_noise, seconds) VALUES ($run, $project, $at, $model, $parameters, $n_items, $n_clusters, $n_themes, "
        "$n_noise, $seconds)",
        {
            **keys,
            "model": rows.model_id,
            "parameters": rows.parameters,
            "n_items": rows.n_items,
            "n_clusters": rows.run_clusters.height,
            "n_themes": rows.themes.height,
            "n_noise": rows.n_noise,
            "seconds": rows.seconds,
        },
    )
    _write_groups(con, rows, keys)
    add_proposal(con, project_id, rows.run_id, churn, kind=kind, actor=actor, base_run_id=expected_run_id)
    kinds = dict(rows.transitions["kind"].value_counts().sort("kind").iter_rows())
    detail = {"n_items": rows.n_items, "n_noise": rows.n_noise, "transitions": kinds, "churn": churn.model_dump()}
    if churn.waits_because:
        add_activity(
            con, project_id, actor=actor, action="run proposed", subject=rows.run_id, reason=churn.waits_because,
            detail=detail, at=rows.created_at,
        )  # fmt: skip
    else:
        publish_run(con, project_id, rows.run_id, actor=actor, reason=reason, detail=detail, at=rows.created_at)


def add_proposal(
    con: duckdb.DuckDBPyConnection,
    project_id: str,
    run_id: str,
    churn: ChurnReport,
    *,
    kind: str,
    actor: str,
    base_run_id: str | None,
) -> None:
    """Write down where a run came from."""
    con.execute(
        "INSERT INTO proposals (run_id, project_id, kind, actor, base_run_id, churn) "
        "VALUES ($run, $project, $kind, $actor, $base, $churn)",
        {
            "run": run_id,
            "project": project_id,
            "kind": kind,
            "actor": actor,
            "base": base_run_id,
            "churn": churn.model_dump_json(),
        },
    )


def publish_run(
    con: duckdb.DuckDBPyConnection,
    project_id: str,
    run_id: str,
    *,
    actor: str,
    reason: str,
    detail: dict[str, Any],
    at: datetime | None = None,
    action: str = "run published",
) -> None:
    """Show the run from now on; its new clusters become lasting ones with it."""
    at = at or datetime.now(UTC)
    keys = {"project": project_id, "run": run_id, "at": at}
    con.execute(
        "MERGE INTO clusters USING (SELECT cluster_id FROM run_clusters WHERE run_id = $run AND project_id = $project) "
        "AS n ON clusters.cluster_id = n.cluster_id AND clusters.project_id = $project "
        "WHEN NOT MATCHED THEN INSERT (cluster_id, project_id, status, terms, created_at, changed_at) "
        "VALUES (n.cluster_id, $project, 'new', [], $at, $at)",
        keys,
    )
    con.execute(
        "INSERT INTO publications (project_id, run_id, published_at, published_by) SELECT $project, $run, "
        "greatest($at, (SELECT max(published_at) + INTERVAL 1 MICROSECOND FROM publications "
        "WHERE project_id = $project)), $by",
        {**keys, "by": actor},
    )
    add_activity(con, project_id, actor=actor, action=action, subject=run_id, reason=reason, detail=detail, at=at)
    wake_grown(con, project_id)


def _write_groups(con: duckdb.DuckDBPyConnection, rows: RunRows, keys: dict[str, object]) -> None:
    run = {"project": keys["project"], "run": keys["run"]}
    con.register("new_memberships", rows.memberships)
    con.execute(
        "INSERT INTO memberships (run_id, project_id, item_id, label, cluster_id, theme_id, membership_strength, "
        "is_exemplar, similarity, reason) SELECT $run::UUID, $project, item_id::UUID, label, cluster_id::UUID, "
        "theme_id::UUID, membership_strength, is_exemplar, similarity, reason FROM new_memberships",
        run,
    )
    con.register("new_run_clusters", rows.run_clusters)
    con.execute(
        "INSERT INTO run_clusters (run_id, project_id, cluster_id, theme_id, label, n_items, membership_hash) "
        "SELECT $run::UUID, $project, cluster_id::UUID, theme_id::UUID, label, n_items, membership_hash "
        "FROM new_run_clusters",
        run,
    )
    con.register("new_themes", rows.themes)
    con.execute(
        "INSERT INTO themes (run_id, project_id, theme_id, label, title, n_clusters, n_items) "
        "SELECT $run::UUID, $project, theme_id::UUID, label, title, n_clusters, n_items FROM new_themes",
        run,
    )
    con.register("new_transitions", rows.transitions)
    con.execute(
        "INSERT INTO transitions (run_id, project_id, kind, cluster_id, other_cluster_id, overlap) "
        "SELECT $run::UUID, $project, kind, cluster_id::UUID, other_cluster_id::UUID, overlap FROM new_transitions",
        run,
    )
    for name in ("new_memberships", "new_run_clusters", "new_themes", "new_transitions"):
        con.unregister(name)
