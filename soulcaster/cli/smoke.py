"""`soulcaster smoke`: one real thing, once, on the owner's own accounts.

As in `commands`: parses words, calls one step, prints; steps are imported inside their command.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from soulcaster.cli.output import AsJson, Project, open_settings

if TYPE_CHECKING:
    from soulcaster.smoke import Check

SubjectName = Literal["sandbox", "model", "ecs", "github"]


def add_commands(app: typer.Typer) -> None:
    """Give `app` the command of this file."""
    app.command()(smoke)


def smoke(
    subject: Annotated[SubjectName, typer.Argument(help="What is tried.")],
    repo: Annotated[
        str | None, typer.Option("--repo", help="OWNER/NAME for github, from `soulcaster repo list`.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """Try one real thing once: says what it touches and costs, asks, does it, cleans up. Exit 1 when it failed."""
    from soulcaster.smoke import describe, run_smoke

    settings = open_settings(project)
    if not as_json:
        typer.echo(describe(settings, subject, repo))
    if not yes and not typer.confirm("Go on?", err=as_json):
        raise typer.Exit(1)

    def show(check: Check) -> None:
        if not as_json:
            typer.echo(f"{'pass' if check.is_ok else 'FAIL'}  {check.name}: {check.told}")

    found = run_smoke(settings, subject, repository=repo, on_check=show)
    if as_json:
        typer.echo(json.dumps([check.model_dump() for check in found]))
    if not all(check.is_ok for check in found):
        raise typer.Exit(1)
