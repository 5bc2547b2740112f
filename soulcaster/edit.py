"""People's edits of who belongs where. Each is shown at once as a run of its own and holds in every later refit.

Owns what an edit means; `db.edits` copies the run. An edit names what it was looking at, so that two people who change
the same cluster do not overwrite each other unseen.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import polars as pl
from duckdb import DuckDBPyConnection

from soulcaster.actors import require
from soulcaster.clustering.constraints import from_frame, resolve
from soulcaster.clustering.identity import make_id
from soulcaster.db import edits as store
from soulcaster.db import runs, write
from soulcaster.errors import PermanentError
from soulcaster.models import ChurnReport, EditReport
from soulcaster.settings import Settings

_FEWEST_ITEMS = 2
_WORK = ("fixing", "pr_open")


class _Plan(NamedTuple):
    """What an edit changes: rows of `memberships` as they will be, and what later runs have to keep."""

    clusters: list[str]
    after: pl.DataFrame
    demands: dict[tuple[str, int], list[str]]
    undoes: str | None = None
    theme_run_id: str | None = None


def merge(
    settings: Settings,
    project_id: str,
    clusters: Sequence[str],
    *,
    actor: str,
    reason: str = "",
    on_run: str | None = None,
) -> EditReport:
    """Make one cluster of several. It keeps the id that somebody is working on, else the oldest.

    Args:
        settings: where the store is.
        project_id: whose clusters they are.
        clusters: ids, or unambiguous beginnings of ids, of at least two clusters on show.
        actor: who says so.
        reason: why, in the person's words.
        on_run: the run the person was looking at; None = whatever is on show.

    Raises:
        PermanentError: a cluster is not there, or somebody changed one of them since `on_run`.
    """

    def plan(con: DuckDBPyConnection, base: str) -> _Plan:
        named = sorted({store.find_cluster_id(con, project_id, base, each) for each in clusters})
        if len(named) < _FEWEST_ITEMS:
            raise PermanentError(f"Merging {list(clusters)!r}: expected at least two different clusters, got one.")
        members = store.list_members(con, project_id, base, named)
        sizes = dict(members.group_by("cluster_id").len().iter_rows())
        facts = store.list_cluster_facts(con, project_id, named)
        ranked = sorted((status not in _WORK, at, -sizes[each], each) for each, status, at in facts.iter_rows())
        kept = ranked[0][-1]
        others = members.filter(pl.col("cluster_id") != kept)
        return _Plan(named, _into(others, members, kept), {("together", 0): members["item_id"].to_list()})

    return _apply(settings, project_id, "merge", plan, actor=actor, reason=reason, on_run=on_run)


def split(
    settings: Settings, project_id: str, cluster: str, items: Sequence[str], *, actor: str, reason: str = "",
    on_run: str | None = None,
) -> EditReport:  # fmt: skip
    """Make two clusters of one: the named items and the rest. The id stays where most exemplars, then most items, are.

    Args and Raises as in `merge`; `items` are at least two of the cluster's items, and not all.
    """

    def plan(con: DuckDBPyConnection, base: str) -> _Plan:
        named = store.find_cluster_id(con, project_id, base, cluster)
        members = store.list_members(con, project_id, base, [named])
        wanted = sorted({_member(con, project_id, members, each) for each in items})
        out = members.join(pl.DataFrame({"item_id": wanted}, schema={"item_id": pl.String}), on="item_id", how="semi")
        rest = members.join(out, on="item_id", how="anti")
        if out.height < _FEWEST_ITEMS or not rest.height:
            raise PermanentError(
                f"Splitting cluster {named!r}: expected two or more of its {members.height} items and not all, got "
                f"{out.height}; use `soulcaster exclude` for one."
            )
        weight = [(part["is_exemplar"].sum(), part.height) for part in (rest, out)]
        goes = rest if weight[1] > weight[0] else out
        made = make_id(project_id, "cluster", goes["item_id"], {named})
        label = store.count_labels(con, project_id, base)
        after = goes.with_columns(
            cluster_id=pl.lit(made), label=pl.lit(label, pl.Int32), reason=pl.lit("edited"), membership_strength=1.0,
            similarity=pl.lit(None, pl.Float64),
        )  # fmt: skip
        chosen, others = out["item_id"].to_list(), rest["item_id"].to_list()
        return _Plan([named], after, {("together", 0): chosen, ("apart", 0): chosen, ("apart", 1): others})

    return _apply(settings, project_id, "split", plan, actor=actor, reason=reason, on_run=on_run)


def move(
    settings: Settings,
    project_id: str,
    item: str,
    cluster: str,
    *,
    actor: str,
    reason: str = "",
    on_run: str | None = None,
) -> EditReport:
    """Put one item, clustered or noise, into another cluster. Args and Raises as in `merge`."""

    def plan(con: DuckDBPyConnection, base: str) -> _Plan:
        target = store.find_cluster_id(con, project_id, base, cluster)
        item_id = store.find_item_id(con, project_id, item)
        row = _row_of(con, project_id, base, item_id)
        if row["cluster_id"][0] == target:
            raise PermanentError(f"Moving item {item_id!r}: it is in cluster {target!r} already; nothing was done.")
        members = store.list_members(con, project_id, base, [target])
        demands = {("joins", 0): [item_id], ("joins", 1): members["item_id"].to_list()}
        return _Plan(*_leaving(con, project_id, base, row, [target], demands, _into(row, members, target)))

    return _apply(settings, project_id, "move", plan, actor=actor, reason=reason, on_run=on_run)


def exclude(
    settings: Settings,
    project_id: str,
    item: str,
    cluster: str,
    *,
    actor: str,
    reason: str = "",
    on_run: str | None = None,
) -> EditReport:
    """Take one item out of its cluster, never to be put with these items again. Args and Raises as in `merge`."""

    def plan(con: DuckDBPyConnection, base: str) -> _Plan:
        named = store.find_cluster_id(con, project_id, base, cluster)
        members = store.list_members(con, project_id, base, [named])
        row = members.filter(pl.col("item_id") == _member(con, project_id, members, item))
        return _Plan(*_leaving(con, project_id, base, row, [], {}, _as_noise(row)))

    return _apply(settings, project_id, "exclude", plan, actor=actor, reason=reason, on_run=on_run)


def undo(settings: Settings, project_id: str, edit: str, *, actor: str, reason: str = "") -> EditReport:
    """Take an edit back: its items return to where they were unless they went elsewhere since, and it demands no more.

    An undo may be undone too.

    Raises:
        PermanentError: there is no such edit, or it was taken back before.
    """

    def plan(con: DuckDBPyConnection, base: str) -> _Plan:
        made = store.list_edits(con, project_id)
        found = [each for each in made if each.edit_id.startswith(edit.lower())]
        if len(found) != 1:
            raise PermanentError(
                f"Undoing edit {edit!r} in project {project_id!r} expected one edit whose id starts so, got "
                f"{len(found)}; see `soulcaster activity`."
            )
        if found[0].edit_id in store.list_undone(made):
            raise PermanentError(f"Undoing edit {found[0].edit_id!r}: it was taken back before; nothing was done.")
        return _backwards(con, project_id, base, found[0])

    return _apply(settings, project_id, "undo", plan, actor=actor, reason=reason, on_run=None)


def _apply(
    settings: Settings,
    project_id: str,
    kind: str,
    plan: Callable[[DuckDBPyConnection, str], _Plan],
    *,
    actor: str,
    reason: str,
    on_run: str | None,
) -> EditReport:
    """Plan and write the edit inside one transaction."""
    require(actor, project_id, "edit", f"The edit {kind!r}")
    started = time.monotonic()

    def run(con: DuckDBPyConnection) -> EditReport:
        base = runs.find_published_run(con, project_id)
        if base is None:
            raise PermanentError(f"Editing project {project_id!r} found no run on show; run `soulcaster recluster`.")
        seen = base if on_run is None else runs.get_run(con, project_id, on_run).run_id
        if seen != base:
            _check_unchanged(con, project_id, seen, base, plan(con, seen).clusters)
        planned = plan(con, base)
        edit = store.Edit(
            str(uuid.uuid4()), kind, actor, datetime.now(UTC), reason, base, str(uuid.uuid4()), planned.undoes, {}
        )
        return _write(con, project_id, edit, planned, started)

    return write(settings.duckdb_path, run, timeout_seconds=settings.lock_timeout_seconds)


def _write(con: DuckDBPyConnection, project_id: str, edit: store.Edit, planned: _Plan, started: float) -> EditReport:
    base = edit.base_run_id
    before = store.list_item_rows(con, project_id, base, planned.after["item_id"].to_list())
    both = planned.after.select("item_id", after="cluster_id").join(
        before.select("item_id", before="cluster_id"), on="item_id", how="left"
    )
    touched = sorted(set(both["after"].drop_nulls()) | set(both["before"].drop_nulls()))
    shown = store.list_members(con, project_id, base, touched)
    left = _lonely(shown, planned.after)
    after = pl.concat([planned.after, _as_noise(left)])
    moves = pl.concat(
        [both, left.select("item_id", after=pl.lit(None, pl.String), before="cluster_id")], how="vertical_relaxed"
    ).sort("item_id")
    edit = edit._replace(
        payload={"clusters": planned.clusters, "moves": moves.select("item_id", "before", "after").rows()}
    )
    store.copy_run(
        con, project_id, edit, after, touched, _transitions(shown, after),
        theme_run_id=planned.theme_run_id or base, seconds=time.monotonic() - started,
    )  # fmt: skip
    demands = [(relation, side, item) for (relation, side), items in planned.demands.items() for item in items]
    schema = {"relation": pl.String, "side": pl.Int32, "item_id": pl.String}
    store.add_edit(con, project_id, edit, pl.DataFrame(demands, schema=schema, orient="row"))
    overruled = _overruled(con, project_id, edit)
    runs.add_proposal(
        con, project_id, edit.run_id, ChurnReport(contradictions=overruled), kind="edit", actor=edit.actor,
        base_run_id=base,
    )  # fmt: skip
    runs.publish_run(
        con, project_id, edit.run_id, actor=edit.actor, reason=edit.reason or f"{edit.kind} by {edit.actor}",
        detail={"edit_id": edit.edit_id, **edit.payload}, at=edit.edited_at, action=edit.kind,
    )  # fmt: skip
    return EditReport(
        edit_id=edit.edit_id,
        kind=edit.kind,
        run_id=edit.run_id,
        clusters=touched,
        n_moved=moves.height,
        contradictions=overruled,
        seconds=time.monotonic() - started,
    )


def _check_unchanged(con: DuckDBPyConnection, project_id: str, seen: str, base: str, clusters: list[str]) -> None:
    then, now = (store.membership_hashes(con, project_id, run, clusters) for run in (seen, base))
    if changed := [each for each in clusters if then.get(each) != now.get(each)]:
        by, at = runs.find_last_publication(con, project_id)
        raise PermanentError(
            f"Editing cluster {changed[0]!r} as it was in run {seen!r}: it was changed by {by} at {at:%Y-%m-%d %H:%M}; "
            "look again."
        )


def _leaving(
    con: DuckDBPyConnection,
    project_id: str,
    base: str,
    row: pl.DataFrame,
    clusters: list[str],
    demands: dict[tuple[str, int], list[str]],
    after: pl.DataFrame,
) -> tuple[list[str], pl.DataFrame, dict[tuple[str, int], list[str]]]:
    """The first fields of a plan in which the item of `row` also has to keep away from the cluster it leaves."""
    origin = row["cluster_id"][0]
    if origin is None:
        return clusters, after, demands
    others = store.list_members(con, project_id, base, [origin]).join(row, on="item_id", how="anti")
    apart = {("apart", 0): row["item_id"].to_list(), ("apart", 1): others["item_id"].to_list()}
    return [origin, *clusters], after, {**demands, **apart}


def _backwards(con: DuckDBPyConnection, project_id: str, base: str, edit: store.Edit) -> _Plan:
    """Items of `edit` that are still where it put them, back to where they were."""
    moves = edit.payload["moves"]
    items = [item for item, _, _ in moves]
    put = pl.DataFrame(moves, schema={"item_id": pl.String, "was": pl.String, "put": pl.String}, orient="row")
    now = store.list_item_rows(con, project_id, base, items).join(put, on="item_id")
    still = now.filter(pl.col("cluster_id").eq_missing(pl.col("put")))
    then = store.list_item_rows(con, project_id, edit.base_run_id, still["item_id"].to_list())
    unknown = still.join(then, on="item_id", how="anti").select(then.columns)
    back = pl.concat([then, _as_noise(unknown)])
    wanted = back["cluster_id"].drop_nulls().unique().sort().to_list()
    standing = store.list_members(con, project_id, base, wanted).select(
        "cluster_id", label_now="label", theme_now="theme_id"
    )
    known = back.join(standing.unique("cluster_id"), on="cluster_id", how="left", maintain_order="left")
    first = store.count_labels(con, project_id, base)
    fresh = {each: first + number for number, each in enumerate(wanted)}
    after = known.with_columns(
        label=pl.coalesce("label_now", pl.col("cluster_id").replace_strict(fresh, default=-1, return_dtype=pl.Int32)),
        theme_id=pl.coalesce("theme_now", "theme_id"),
    ).select(back.columns)
    return _Plan(wanted, after, {}, undoes=edit.edit_id, theme_run_id=edit.base_run_id)


def _into(rows: pl.DataFrame, members: pl.DataFrame, cluster_id: str) -> pl.DataFrame:
    """`rows` as rows of the cluster that some of `members` are in."""
    [target] = members.filter(pl.col("cluster_id") == cluster_id).head(1).iter_rows(named=True)
    return rows.with_columns(
        label=pl.lit(target["label"], pl.Int32),
        cluster_id=pl.lit(cluster_id, pl.String),
        theme_id=pl.lit(target["theme_id"], pl.String),
        membership_strength=pl.lit(1.0),
        similarity=pl.lit(None, pl.Float64),
        reason=pl.lit("edited"),
    )


def _as_noise(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(
        label=pl.lit(-1, pl.Int32),
        cluster_id=pl.lit(None, pl.String),
        theme_id=pl.lit(None, pl.String),
        membership_strength=pl.lit(0.0),
        is_exemplar=pl.lit(value=False),
        similarity=pl.lit(None, pl.Float64),
        reason=pl.lit(None, pl.String),
    )


def _row_of(con: DuckDBPyConnection, project_id: str, base: str, item_id: str) -> pl.DataFrame:
    """The item's row in the run, one of noise when the run does not know it."""
    found = store.list_item_rows(con, project_id, base, [item_id])
    return found if found.height else _as_noise(found.clear(1).with_columns(item_id=pl.lit(item_id)))


def _member(con: DuckDBPyConnection, project_id: str, members: pl.DataFrame, item: str) -> str:
    item_id = store.find_item_id(con, project_id, item)
    if item_id not in set(members["item_id"]):
        raise PermanentError(
            f"Editing cluster {members['cluster_id'][0]!r}: expected an item of it, got {item_id!r}; look again."
        )
    return item_id


def _lonely(shown: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    """Rows of the touched clusters that would be alone in theirs: a cluster has at least two items."""
    stay = shown.join(after, on="item_id", how="anti")
    now = pl.concat([stay, after])
    small = now.group_by("cluster_id").len().filter(pl.col("len") < _FEWEST_ITEMS)
    return stay.join(small, on="cluster_id", how="semi")


def _transitions(shown: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    """What became of each touched cluster, and where new ones came from."""
    now = pl.concat([shown.join(after, on="item_id", how="anti"), after]).select("item_id", new="cluster_id")
    both = shown.select("item_id", old="cluster_id").join(now, on="item_id", how="full", coalesce=True)
    pairs = both.drop_nulls().group_by("old", "new").len("shared").sort("old", "new")
    n_old, n_new = (dict(both.drop_nulls(side).group_by(side).len().iter_rows()) for side in ("old", "new"))
    share = {(old, new): shared / (n_old[old] + n_new[new] - shared) for old, new, shared in pairs.iter_rows()}
    rows: list[tuple[str, str, str | None, float]] = []
    for old in sorted(n_old):
        heirs = sorted((-value, new) for (origin, new), value in share.items() if origin == old)
        if old in n_new:
            rows.append(("survived", old, None, share.get((old, old), 0.0)))
        elif heirs:
            rows.append(("absorbed", old, heirs[0][1], -heirs[0][0]))
        else:
            rows.append(("disappeared", old, None, 0.0))
    for new in sorted(set(n_new) - set(n_old)):
        origins = sorted((-value, old) for (old, made), value in share.items() if made == new)
        rows.append(("split", origins[0][1], new, -origins[0][0]) if origins else ("emerged", new, None, 0.0))
    schema = {"kind": pl.String, "cluster_id": pl.String, "other_cluster_id": pl.String, "overlap": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _overruled(con: DuckDBPyConnection, project_id: str, edit: store.Edit) -> list[str]:
    """Earlier edits that give way to this one, one sentence each."""
    demands = store.list_constraints(con, project_id)
    demands = demands.with_columns(row=pl.col("item_id").rank("dense").cast(pl.Int64))
    said_by = dict(demands.select("edit", "said_by").unique().iter_rows())
    ours = dict(demands.select("edit", "edit_id").unique().iter_rows())
    _, contradictions = resolve(from_frame(demands))
    return [
        f"{said_by[older]} gives way to {said_by[newer]}"
        for older, newer in contradictions
        if ours[newer] == edit.edit_id
    ]
