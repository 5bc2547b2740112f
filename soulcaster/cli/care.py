"""Commands of the people who keep the product running.

As in `commands`: parses words, calls one step, prints; steps are imported inside their command.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from soulcaster.cli.output import AsJson, bar, open_settings, print_report


def add_commands(app: typer.Typer) -> None:
    """Give `app` the commands of this file."""
    for command in (backup, restore):
        app.command()(command)


def backup(
    target: Annotated[Path, typer.Argument(help="Folder of backups; a new one is made inside it.")],
    keep: Annotated[int, typer.Option("--keep", min=1, max=10_000, help="Newest backups that stay.")] = 7,
    as_json: AsJson = False,
) -> None:
    """Copy store, vectors, inbox and job folders of all projects while everything runs."""
    from soulcaster.backup import backup as copy

    settings = open_settings(None)
    with bar("backup", as_json=as_json) as on_progress:
        report = copy(settings, target, keep=keep, on_progress=on_progress)
    print_report(report, as_json=as_json)


def restore(
    source: Annotated[Path, typer.Argument(help="One backup: a folder that `soulcaster backup` made.")],
    as_json: AsJson = False,
) -> None:
    """Put a backup into the home; what is there is moved aside. Stop everything that runs over it first."""
    from soulcaster.backup import restore as put_back
    from soulcaster.settings import load_settings

    with bar("restore", as_json=as_json) as on_progress:
        report = put_back(load_settings(), source, on_progress=on_progress)
    print_report(report, as_json=as_json)
