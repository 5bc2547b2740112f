"""`soulcaster drill`: poisoned feedback through the real pipeline, to see what stops it here.

As in `commands`: parses words, calls one step, prints; steps are imported inside their command.
"""

from __future__ import annotations

import json
from datetime import UTC
from typing import TYPE_CHECKING, Annotated

import typer

from soulcaster.cli.output import AsJson, open_settings
from soulcaster.errors import PermanentError
from soulcaster.settings import AgentTool

if TYPE_CHECKING:
    from soulcaster.db.drills import DrillResult


def add_commands(app: typer.Typer) -> None:
    """Give `app` the command of this file."""
    app.command()(drill)


def drill(
    case: Annotated[list[str] | None, typer.Option(help="Only this case; may be given more than once.")] = None,
    tool: Annotated[
        AgentTool, typer.Option(help="A real tool (kilo, gemini-cli) has cases of its own: what it would do by itself.")
    ] = "scripted",
    last: Annotated[bool, typer.Option("--last", help="Run nothing: show how the last one ended.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send poisoned clusters through the pipeline of fixes on a repository of its own; exit 1 when one gets through.

    Nothing of yours is touched and nothing leaves the machine: store, repository and secrets are made for the drill.
    The sandbox is the one your settings choose. How it ended is kept in your store.
    """
    from soulcaster.db import read
    from soulcaster.db.drills import list_drills

    settings = open_settings(None)
    if last:
        drills = read(settings.duckdb_path, lambda con: list_drills(con, limit=1))
        if not drills:
            raise PermanentError("No drill was kept in this store yet; `soulcaster drill` runs one.")
        results = drills[0].results
        if not as_json:
            typer.echo(f"{drills[0].began_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC, tool {drills[0].tool}")
            for result in results:
                _show(result)
    else:
        from soulcaster.drill.run import run_drill

        show = (lambda _result: None) if as_json else _show
        results = run_drill(settings, names=case or [], tool=tool, on_result=show)
    n_escaped = sum(bool(result.escapes) for result in results)
    if as_json:
        typer.echo(json.dumps([result.model_dump() for result in results]))
    else:
        sandboxes = sorted({result.sandbox for result in results if result.sandbox})
        typer.echo(f"{n_escaped} escapes in {len(results)} cases; sandbox: {', '.join(sandboxes) or 'not needed'}.")
    if n_escaped:
        raise typer.Exit(1)


def _show(result: DrillResult) -> None:
    end = "ESCAPED: " + "; ".join(result.escapes) if result.escapes else f"stopped by {result.stopped_by}"
    typer.echo(f"{result.name:18} {end:24} {result.about}")
