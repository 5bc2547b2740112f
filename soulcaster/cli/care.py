"""Commands of the people who keep the product running.

As in `commands`: parses words, calls one step, prints; steps are imported inside their command.
"""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Annotated, Literal

import typer

from soulcaster.cli.output import AsJson, Project, bar, open_settings, print_report


def add_commands(app: typer.Typer) -> None:
    """Give `app` the commands of this file."""
    for command in (backup, restore, erase, retain):
        app.command()(command)
    app.command("export-all")(export_all)


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


def erase(
    source: Annotated[str, typer.Argument(help="Source of the items: reddit, github, manual, ….")],
    author: Annotated[str, typer.Argument(help="Name or id as it stands at the items; case does not matter.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count; change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """Forget what a person said, here and for good; there is no way back. Names the clusters anew."""
    from soulcaster.erase import erase as forget
    from soulcaster.summarize import summarize

    settings = open_settings(project)
    if not dry_run and not yes:
        typer.confirm(f"Erase all items of that author of {source!r} in project {settings.project!r}?", abort=True)
    report = forget(settings, settings.project, source, author, actor=getpass.getuser(), is_dry_run=dry_run)
    if not dry_run:
        summarize(settings, settings.project)
    print_report(report, as_json=as_json)


def retain(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count; delete nothing.")] = False,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """Delete what is older than the settings keep it: payloads, held rows, answers, log lines, job folders, logs."""
    from soulcaster.retain import retain as keep_for_days

    settings = open_settings(project)
    report = keep_for_days(settings, settings.project, actor=getpass.getuser(), is_dry_run=dry_run)
    print_report(report, as_json=as_json)


def export_all(
    target: Annotated[Path, typer.Argument(help="Folder to make; nothing may be there yet.")],
    file_format: Annotated[Literal["parquet", "jsonl"], typer.Option("--format", help="Of the tables.")] = "parquet",
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """Write everything of the project as plain files with a manifest: tables, payloads, vectors, bundles of fixes."""
    from soulcaster.export_all import export_all as write_folder

    settings = open_settings(project)
    with bar("export", as_json=as_json) as on_progress:
        report = write_folder(settings, settings.project, target, file_format=file_format, on_progress=on_progress)
    print_report(report, as_json=as_json)
