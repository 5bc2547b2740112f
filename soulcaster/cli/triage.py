"""Commands about what people decide: status, title, owner and comments of a cluster, and the quarantine.

As in `commands`: parses words, calls one step, prints; steps are imported inside their command.
"""

from __future__ import annotations

import getpass
import json
from typing import TYPE_CHECKING, Annotated

import typer

from soulcaster.cli.clusters import Actor, Cluster, Reason
from soulcaster.cli.output import AsJson, Limit, Project, open_settings, print_report, print_table

if TYPE_CHECKING:
    from soulcaster.db.triage import Decided

UntilItems = Annotated[
    int | None, typer.Option("--until-items", min=2, help="Only with ignored: new again when it has so many items.")
]


def add_commands(app: typer.Typer) -> None:
    """Give `app` the commands of this file."""
    for command in (status, rename, owner, comment, quarantine, release):
        app.command()(command)


def status(
    cluster: Cluster,
    to: Annotated[str, typer.Argument(metavar="STATUS", help="new, triaged, ignored or fixed.")],
    until_items: UntilItems = None,
    reason: Reason = "",
    actor: Actor = None,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """Say where a cluster stands."""
    from soulcaster.triage import set_status

    settings = open_settings(project)
    who = actor or getpass.getuser()
    after = set_status(
        settings, settings.project, cluster, to, actor=who, reason=reason, until_items=until_items
    )  # fmt: skip
    _say(after, as_json=as_json)


def rename(
    cluster: Cluster,
    title: Annotated[str, typer.Argument(help="The new title; no later naming replaces it.")],
    actor: Actor = None,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """Give a cluster a title that stays."""
    from soulcaster.triage import rename as give_title

    settings = open_settings(project)
    _say(give_title(settings, settings.project, cluster, title, actor=actor or getpass.getuser()), as_json=as_json)


def owner(
    cluster: Cluster,
    name: Annotated[str, typer.Argument(help="Who looks after it; '' for nobody.")],
    actor: Actor = None,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """Say who looks after a cluster."""
    from soulcaster.triage import set_owner

    settings = open_settings(project)
    _say(set_owner(settings, settings.project, cluster, name, actor=actor or getpass.getuser()), as_json=as_json)


def comment(
    cluster: Cluster,
    text: Annotated[str, typer.Argument(help="What to remember.")],
    actor: Actor = None,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """Add a remark to a cluster's log."""
    from soulcaster.triage import comment as add

    settings = open_settings(project)
    cluster_id = add(settings, settings.project, cluster, text, actor=actor or getpass.getuser())
    typer.echo(json.dumps({"cluster_id": cluster_id}) if as_json else f"Noted on cluster {cluster_id[:8]}.")


def quarantine(
    limit: Limit = 50,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """List what was held back, newest first, with the reason of each."""
    from soulcaster.ingest import list_held

    settings = open_settings(project)
    rows = list_held(settings, settings.project, limit=limit)
    if as_json:
        typer.echo(json.dumps({"rows": rows}, default=str))
        return
    if not rows:
        typer.echo("The quarantine is empty.")
        return
    cells = [[row["quarantine_id"][:8], row["source"], row["reason"], row["detail"][:90]] for row in rows]
    print_table(["row", "source", "reason", "what we saw"], cells)


def release(
    row: Annotated[str, typer.Argument(help="Id of the row, or the beginning of one; see `soulcaster quarantine`.")],
    reason: Reason = "",
    actor: Actor = None,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """Send one row of the quarantine on as if it had just come; embed and assign take it from there."""
    from soulcaster.ingest import release as send_on

    settings = open_settings(project)
    report = send_on(settings, settings.project, row, actor=actor or getpass.getuser(), reason=reason)
    print_report(report, as_json=as_json)


def _say(after: Decided, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(after._asdict()))
        return
    rows = [
        ["cluster", after.cluster_id],
        ["title", after.title or ""],
        ["status", after.status + (f" until it has {after.wakes_at:,} items" if after.wakes_at else "")],
        ["owner", after.owner or "nobody"],
        ["items", f"{after.n_items:,}"],
    ]
    print_table(["", ""], rows)
