"""Commands about who belongs where: runs and proposals, people's edits, assignment, and why.

As in `commands`: parses words, calls one step, prints; steps are imported inside their command.
"""

from __future__ import annotations

import getpass
import json
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from soulcaster.cli.embedding import embed_all
from soulcaster.cli.output import AsJson, Limit, Project, bar, open_settings, print_report, print_table

if TYPE_CHECKING:
    from soulcaster.db.runs import RunRow
    from soulcaster.models import EditReport
    from soulcaster.settings import Settings

Run = Annotated[str, typer.Argument(help="Run id, or the beginning of one; see `soulcaster runs`.")]
Cluster = Annotated[str, typer.Argument(help="Cluster id, or the beginning of one.")]
Item = Annotated[str, typer.Argument(help="Item id, or the beginning of one.")]
Actor = Annotated[str | None, typer.Option("--actor", help="Who does it; your login when not given.")]
Reason = Annotated[str, typer.Option("--reason", help="Why, for the activity log.")]
OnRun = Annotated[str | None, typer.Option("--on-run", help="The run you looked at; refused when it changed since.")]


def add_commands(app: typer.Typer) -> None:
    """Give `app` the commands of this file."""
    edits = (merge, split, move, exclude, undo)
    for command in (runs, publish, rollback, *edits, activity, assign, similar, suggest, why, maintain):
        app.command()(command)


def runs(
    limit: Limit = 20,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """List groupings: which one is on show, which waits, and what each would change."""
    from soulcaster.publish import list_runs

    settings = open_settings(project)
    found = list_runs(settings, settings.project, limit=limit)
    if as_json:
        typer.echo(json.dumps({"runs": [_run_dict(row) for row in found]}, default=str))
        return
    if not found:
        typer.echo("There are no runs yet; run `soulcaster recluster`.")
        return
    cells = []
    for row in found:
        share, waits = (f"{row.churn.share:.1%}", row.churn.waits_because) if row.churn else ("", "")
        sizes = [f"{row.n_clusters:,}", f"{row.n_items:,}"]
        cells.append([row.run_id[:8], row.state, row.kind, row.actor, _at(row.created_at), *sizes, share, waits])
    print_table(["run", "state", "kind", "by", "made", "clusters", "items", "churn", "why it waits"], cells)


def publish(
    run: Run,
    force: Annotated[bool, typer.Option("--force", help="Also when it was made on an older view.")] = False,
    actor: Actor = None,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """Show a proposal that waits, and name its new clusters."""
    from soulcaster.publish import publish as show

    settings = open_settings(project)
    row = show(settings, settings.project, run, actor=actor or getpass.getuser(), force=force)
    _name(settings, as_json=as_json)
    _say_run(row, as_json=as_json)


def rollback(run: Run, actor: Actor = None, project: Project = None, as_json: AsJson = False) -> None:
    """Show an earlier run again, as it was; later items wait until `soulcaster assign`."""
    from soulcaster.publish import rollback as go_back

    settings = open_settings(project)
    row = go_back(settings, settings.project, run, actor=actor or getpass.getuser())
    _name(settings, as_json=as_json)
    _say_run(row, as_json=as_json)


def merge(
    clusters: Annotated[list[str], typer.Argument(help="Two or more cluster ids, or beginnings of them.")],
    reason: Reason = "",
    on_run: OnRun = None,
    actor: Actor = None,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """Make one cluster of several, now and in every later run."""
    from soulcaster import edit

    settings = open_settings(project)
    who = actor or getpass.getuser()
    _say_edit(
        settings,
        edit.merge(settings, settings.project, clusters, actor=who, reason=reason, on_run=on_run),
        as_json=as_json,
    )


def split(
    cluster: Cluster,
    items: Annotated[list[str], typer.Argument(help="Two or more item ids, or beginnings of them.")],
    reason: Reason = "",
    on_run: OnRun = None,
    actor: Actor = None,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """Make a cluster of its own out of some items of one, now and in every later run."""
    from soulcaster import edit

    settings = open_settings(project)
    who = actor or getpass.getuser()
    report = edit.split(settings, settings.project, cluster, items, actor=who, reason=reason, on_run=on_run)
    _say_edit(settings, report, as_json=as_json)


def move(
    item: Item,
    cluster: Cluster,
    reason: Reason = "",
    on_run: OnRun = None,
    actor: Actor = None,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """Put one item into another cluster, now and in every later run."""
    from soulcaster import edit

    settings = open_settings(project)
    who = actor or getpass.getuser()
    report = edit.move(settings, settings.project, item, cluster, actor=who, reason=reason, on_run=on_run)
    _say_edit(settings, report, as_json=as_json)


def exclude(
    item: Item,
    cluster: Cluster,
    reason: Reason = "",
    on_run: OnRun = None,
    actor: Actor = None,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """Say "not this one": take an item out of its cluster, now and in every later run."""
    from soulcaster import edit

    settings = open_settings(project)
    who = actor or getpass.getuser()
    report = edit.exclude(settings, settings.project, item, cluster, actor=who, reason=reason, on_run=on_run)
    _say_edit(settings, report, as_json=as_json)


def undo(
    edit_id: Annotated[str, typer.Argument(metavar="EDIT", help="Edit id, or the beginning of one.")],
    reason: Reason = "",
    actor: Actor = None,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """Take an edit back: its items return, and later runs are free again. An undo may be undone."""
    from soulcaster import edit

    settings = open_settings(project)
    report = edit.undo(settings, settings.project, edit_id, actor=actor or getpass.getuser(), reason=reason)
    _say_edit(settings, report, as_json=as_json)


def activity(
    subject: Annotated[str | None, typer.Argument(help="Only about this run, cluster, item or edit (id).")] = None,
    limit: Limit = 50,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """Print who did what, when and why, newest first."""
    from soulcaster.publish import list_activity

    settings = open_settings(project)
    rows = list_activity(settings, settings.project, subject=subject, limit=limit)
    if as_json:
        typer.echo(json.dumps({"activity": rows}, ensure_ascii=False, default=str))
        return
    cells = [
        [_at(row["happened_at"]), row["actor"], row["action"], row["edit_id"][:8] or row["subject"][:8], row["reason"]]
        for row in rows
    ]
    print_table(["when", "who", "what", "id", "why"], cells)


def assign(project: Project = None, as_json: AsJson = False) -> None:
    """Embed what is missing and give new items their place in the run on show."""
    from soulcaster.assign import assign as place

    settings = open_settings(project)
    embed_all(settings, as_json=as_json)
    with bar("assign", as_json=as_json) as on_progress:
        report = place(settings, settings.project, on_progress=on_progress)
    print_report(report, as_json=as_json)


def similar(
    text: Annotated[str, typer.Argument(help="What somebody says, in their words.")],
    limit: Annotated[int, typer.Option("--limit", min=1, max=100, help="Most rows to print.")] = 5,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """Find the clusters on show that say what a text says, by meaning."""
    from soulcaster.similar import find_similar

    settings = open_settings(project)
    found = find_similar(settings, settings.project, text, limit=limit)
    if as_json:
        typer.echo(json.dumps({"clusters": [each.model_dump() for each in found]}))
        return
    if not found:
        typer.echo("No cluster says anything like it.")
        return
    cells = [
        [each.cluster_id[:8], f"{each.similarity:.2f}", f"{each.n_items:,}", each.status, each.title or ""]
        for each in found
    ]
    print_table(["cluster", "similarity", "items", "status", "title"], cells)


def suggest(
    most: Annotated[
        int, typer.Option("--most", min=0, max=10_000, help="Most questions; kept answers cost none.")
    ] = 50,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """Ask the model which near clusters one change would fix, and print them; `merge` does what you agree with."""
    from soulcaster.db import read
    from soulcaster.db.suggestions import list_suggestions
    from soulcaster.suggest import suggest as ask

    settings = open_settings(project)
    with bar("suggest", as_json=as_json) as on_progress:
        report = ask(settings, settings.project, most=most, on_progress=on_progress)
    rows = read(settings.duckdb_path, lambda con: list_suggestions(con, settings.project))
    if as_json:
        typer.echo(json.dumps({**report.model_dump(), "suggestions": [row._asdict() for row in rows]}))
        return
    cells = [
        [row.cluster_id[:8], row.title or "", row.other_cluster_id[:8], row.other_title or "", row.reason]
        for row in rows
    ]
    print_table(["cluster", "title", "other", "title", "why it may be the same"], cells)
    typer.echo(report.note or f"{report.n_suggested:,} of {report.n_pairs:,} near pairs may be one problem.")


def why(item: Item, project: Project = None, as_json: AsJson = False) -> None:
    """Say why an item is in its cluster, or in none."""
    from soulcaster.explain import why as explain

    settings = open_settings(project)
    found = explain(settings, settings.project, item)
    if as_json:
        typer.echo(found.model_dump_json())
        return
    rows = [
        ["item", f"{found.source} {found.external_id}: {found.title}"],
        ["cluster", f"{found.cluster_id[:8]} {found.cluster_title or ''}" if found.cluster_id else "none"],
        ["because", found.because],
        ["similarity", "" if found.similarity is None else f"{found.similarity:.3f}"],
        ["asked for", "" if found.threshold is None else f"{found.threshold:.3f}"],
        ["words", ", ".join(found.shared_terms)],
        ["frames", ", ".join(found.shared_frames)],
        *[["near", f"{near.similarity:.3f} {near.source} {near.external_id}: {near.title}"] for near in found.nearest],
        *[["said", saying] for saying in found.edits],
    ]
    print_table(["", ""], [row for row in rows if row[1]])


def maintain(project: Project = None, as_json: AsJson = False) -> None:
    """Forget old groupings that never were on show, and put the vector index in order."""
    from soulcaster.maintain import maintain as keep_house

    settings = open_settings(project)
    print_report(keep_house(settings, settings.project, actor=getpass.getuser()), as_json=as_json)


def _name(settings: Settings, *, as_json: bool) -> None:
    from soulcaster.summarize import summarize

    with bar("summarize", as_json=as_json) as on_progress:
        summarize(settings, settings.project, on_progress=on_progress)


def _say_edit(settings: Settings, report: EditReport, *, as_json: bool) -> None:
    _name(settings, as_json=as_json)
    if as_json:
        typer.echo(report.model_dump_json())
        return
    typer.echo(f"{report.kind}: {report.n_moved:,} items moved; `soulcaster undo {report.edit_id[:8]}` takes it back.")
    for sentence in report.contradictions:
        typer.echo(f"Note: {sentence}.")


def _say_run(row: RunRow, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(_run_dict(row), default=str))
    else:
        typer.echo(f"Run {row.run_id} is on show: {row.n_clusters:,} clusters of {row.n_items:,} items.")


def _run_dict(row: RunRow) -> dict[str, object]:
    return {**row._asdict(), "churn": row.churn.model_dump() if row.churn else None}


def _at(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"
