"""Commands about the map of the run on show.

As in `commands`: parses words, calls one step, prints; steps are imported inside their command.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from soulcaster.cli.output import AsJson, Project, bar, open_settings


def add_commands(app: typer.Typer) -> None:
    """Give `app` the commands of this file."""
    app.command("map")(map_)


def map_(
    output: Annotated[Path, typer.Option("-o", "--output", help="File ending in .html or .png.")],
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """Write the map of the clusters on show as a page that needs no network, or as a PNG; draw it first if need be."""
    from soulcaster.draw import draw
    from soulcaster.export_map import export_map

    settings = open_settings(project)
    with bar("draw", as_json=as_json) as on_progress:
        draw(settings, settings.project, on_progress=on_progress)
    n_clusters = export_map(settings, settings.project, output)
    if as_json:
        typer.echo(json.dumps({"path": str(output), "n_clusters": n_clusters}))
    else:
        typer.echo(f"Map of {n_clusters:,} clusters written to {output}")
