"""Restating and embedding texts: the command `restate`, and what every command does that needs vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from soulcaster.cli.output import AsJson, Project, bar, open_settings, print_report

if TYPE_CHECKING:
    from soulcaster.models import EmbedReport
    from soulcaster.settings import Settings


def add_commands(app: typer.Typer) -> None:
    """Register the commands of this module."""
    app.command()(restate)


def restate(
    most: Annotated[int, typer.Option("--most", min=0, max=10_000, help="Most texts of this pass.")] = 200,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """Let the model restate texts as the problem behind them, when SOULCASTER_STATEMENTS is on; `embed` goes on."""
    from soulcaster.restate import restate as state_problems

    settings = open_settings(project)
    with bar("restate", as_json=as_json) as on_progress:
        report = state_problems(settings, settings.project, most=most, on_progress=on_progress)
    print_report(report, as_json=as_json)


def embed_all(settings: Settings, *, as_json: bool) -> EmbedReport:
    """Restate what the settings want restated, then embed what has no vector; says on standard error what waits."""
    from soulcaster.embed import embed_missing
    from soulcaster.restate import restate as state_problems

    with bar("restate", as_json=as_json) as on_progress:
        stated = state_problems(settings, settings.project, on_progress=on_progress)
    if settings.statements == "on" and stated.note:
        typer.echo(stated.note, err=True)
    with bar("embed", as_json=as_json) as on_progress:
        return embed_missing(settings, settings.project, on_progress=on_progress)
