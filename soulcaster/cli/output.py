"""What all commands share: opening the settings, bars, tables, and the words of options.

Owns how a report looks on a terminal; knows no step.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from soulcaster import logs
from soulcaster.errors import PermanentError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from soulcaster.models import ImportReport
    from soulcaster.settings import Settings

Project = Annotated[str | None, typer.Option("--project", help="Project; SOULCASTER_PROJECT when not given.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=10_000, help="Most rows to print.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on the last line.")]


def open_settings(project: str | None) -> Settings:
    """Settings with the store brought up to date, and our log on standard error."""
    from soulcaster.db import migrate as apply
    from soulcaster.settings import load_settings

    settings = load_settings()
    if project:
        if len(project) > 64:  # noqa: PLR2004  the bound of Settings.project
            raise PermanentError(f"Project {project[:20]!r}… is too long: expected at most 64 characters.")
        settings = settings.model_copy(update={"project": project})
    is_wanted = sys.stderr.isatty() or settings.log_format == "json"
    logs.start(settings.log_format, settings.log_level if is_wanted else "WARNING")
    apply(settings.duckdb_path, timeout_seconds=settings.lock_timeout_seconds)
    return settings


@contextmanager
def bar(step: str, *, as_json: bool) -> Iterator[Callable[[int, int], None] | None]:
    """A bar with rate and time left on standard error; none where nobody looks."""
    if as_json or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    rate = TextColumn("{task.fields[rate]}")
    with Progress(*columns, rate, console=Console(stderr=True)) as progress:
        task = progress.add_task(step, total=None, rate="")

        def on_progress(done: int, total: int) -> None:
            speed = progress.tasks[0].speed
            rate_text = f"{speed:,.0f}/s" if speed else ""
            progress.update(task, completed=done, total=total or None, rate=rate_text)

        yield on_progress


def print_report(report: BaseModel, *, as_json: bool) -> None:
    """A report as two columns, or as JSON."""
    if as_json:
        typer.echo(report.model_dump_json())
        return
    print_table(["", ""], [[name, _plain(value)] for name, value in report.model_dump().items()])


def print_import(report: ImportReport, *, as_json: bool) -> None:
    """Counts by outcome and reason, or as JSON."""
    if as_json:
        typer.echo(report.model_dump_json())
        return
    rows = [["new", f"{report.new:,}"], ["changed", f"{report.changed:,}"], ["unchanged", f"{report.unchanged:,}"]]
    rows += [[f"ignored: {reason}", f"{n:,}"] for reason, n in sorted(report.ignored.items())]
    rows += [[f"quarantined: {reason}", f"{n:,}"] for reason, n in sorted(report.quarantined.items())]
    print_table(["", "items"], [*rows, ["seen", f"{report.seen:,}"]])


def _plain(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def print_table(header: list[str], rows: list[list[str]]) -> None:
    """Aligned columns of plain text: what came from outside is printed without control characters."""
    clean = [["".join(c if c.isprintable() else " " for c in cell) for cell in row] for row in [header, *rows]]
    widths = [max(len(row[i]) for row in clean) for i in range(len(header))]
    for row in clean if any(header) else clean[1:]:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
