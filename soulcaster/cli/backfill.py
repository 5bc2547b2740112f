"""`soulcaster backfill`: history of a source or an archive, window by window, by hand.

As in `commands`: parses words, calls one step, prints; steps are imported inside their command.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from soulcaster.cli.output import AsJson, Project, bar, open_settings, print_import
from soulcaster.errors import TransientError

_FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]


def backfill(
    target: Annotated[str, typer.Argument(help="A configured source (github:OWNER/REPO), or a file or folder.")],
    from_: Annotated[
        datetime | None, typer.Option("--from", formats=_FORMATS, help="From this time on, UTC; a source needs it.")
    ] = None,
    to: Annotated[
        datetime | None, typer.Option("--to", formats=_FORMATS, help="To before this time, UTC; now when not given.")
    ] = None,
    window: Annotated[
        str | None, typer.Option(help="Length of a source's windows: 12h, 7d, 2w; 7d when not given.")
    ] = None,
    source: Annotated[
        Literal["manual", "reddit", "sentry", "github"], typer.Option("--source", help="What an archive holds.")
    ] = "manual",
    mapping: Annotated[
        str | None, typer.Option("--mapping", help="Mapping that reads an archive, in place of --source.")
    ] = None,
    id_column: Annotated[str | None, typer.Option("--id-column", help="Column with the source's own id.")] = None,
    text_column: Annotated[str | None, typer.Option("--text-column", help="Column with the whole text.")] = None,
    time_column: Annotated[str | None, typer.Option("--time-column", help="Column with the creation time.")] = None,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """Fetch the past, window by window; the same command again does what is left."""
    from soulcaster.backfill import BackfillRequest
    from soulcaster.backfill import backfill as fetch
    from soulcaster.configured import KINDS
    from soulcaster.sources.tabular import ColumnMap

    settings = open_settings(project)
    request = BackfillRequest(
        target=target if target.partition(":")[0] in KINDS else str(Path(target).expanduser()),
        start=from_.replace(tzinfo=UTC) if from_ else None, end=to.replace(tzinfo=UTC) if to else None,
        window=window, source=source, mapping=mapping,
        columns=ColumnMap(id=id_column, text=text_column, time=time_column),
    )  # fmt: skip
    with bar("windows", as_json=as_json) as on_progress:
        report = fetch(settings, settings.project, request, on_progress=on_progress)
    if as_json:
        typer.echo(report.model_dump_json())
    else:
        typer.echo(f"{report.n_windows:,} windows: {report.n_before:,} done before, {report.n_read:,} now.")
        if report.n_elsewhere:
            typer.echo(f"{report.n_elsewhere:,} are another run's, which reads them at the same time.")
        print_import(report.counts, as_json=False)
        for note in report.notes:
            typer.echo(note)
    if report.n_left:
        raise TransientError(f"{report.n_left:,} windows are left; the same command goes on with them.")
