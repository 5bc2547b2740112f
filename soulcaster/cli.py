"""The `soulcaster` command. Parses words, calls one step, prints a table or one JSON object; holds no logic.

Steps are imported inside their command, so that `--help` answers at once. Exit 0 done, 1 our error with one sentence,
2 usage, 130 interrupted.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from soulcaster import __version__
from soulcaster.errors import PermanentError, SoulcasterError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from soulcaster.models import ImportReport
    from soulcaster.settings import Settings

app = typer.Typer(
    name="soulcaster",
    help="Feedback in, a short stable list of fixable problems out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)

Project = Annotated[str | None, typer.Option("--project", help="Project; SOULCASTER_PROJECT when not given.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on the last line.")]
SourceName = Literal["manual", "reddit", "sentry", "github"]
ExportKind = Literal["items", "clusters", "themes", "transitions"]


def main() -> None:
    """Run the command line; print our errors as one sentence and exit with 1."""
    try:
        app()
    except SoulcasterError as error:
        typer.echo(str(error), err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        typer.echo("Stopped; what was already committed stays, the same command continues.", err=True)
        sys.exit(130)


@app.callback()
def _start(
    *, version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)] = False
) -> None:
    if version:
        typer.echo(f"soulcaster {__version__}")
        raise typer.Exit


@app.command()
def up(
    once: Annotated[bool, typer.Option("--once", help="Run the pipeline once, print the clusters, end.")] = False,
    file: Annotated[Path | None, typer.Option("--file", help="Import this file in place of the sample.")] = None,
    source: Annotated[SourceName, typer.Option("--source", help="What the file holds.")] = "manual",
    project: Project = None,
) -> None:
    """Start the whole product on this machine: Prefect server, worker, app, receiver. Ctrl-C ends all of it."""
    from soulcaster.up import up as start

    start(_settings(project), once=once, file=file, source=source, echo=typer.echo)


@app.command("import")
def import_(
    path: Annotated[Path, typer.Argument(help="CSV, JSONL or Parquet; or a file or folder of raw payloads.")],
    source: Annotated[SourceName, typer.Option("--source", help="Where the items come from.")] = "manual",
    id_column: Annotated[str | None, typer.Option("--id-column", help="Column with the source's own id.")] = None,
    text_column: Annotated[str | None, typer.Option("--text-column", help="Column with the whole text.")] = None,
    title_column: Annotated[str | None, typer.Option("--title-column", help="Column with the title.")] = None,
    body_column: Annotated[str | None, typer.Option("--body-column", help="Column with the body.")] = None,
    time_column: Annotated[str | None, typer.Option("--time-column", help="Column with the creation time.")] = None,
    author_column: Annotated[str | None, typer.Option("--author-column", help="Column with the author.")] = None,
    url_column: Annotated[str | None, typer.Option("--url-column", help="Column with a link to the item.")] = None,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """Take a file or a folder into the store. A second import of the same file changes nothing."""
    from soulcaster.ingest import import_path
    from soulcaster.sources.tabular import ColumnMap

    if text_column and (title_column or body_column):
        raise typer.BadParameter("--text-column excludes --title-column and --body-column.")
    settings = _settings(project)
    columns = ColumnMap(
        id=id_column, text=text_column, title=title_column, body=body_column,
        time=time_column, author=author_column, url=url_column,
    )  # fmt: skip
    with _bar("import", as_json=as_json) as on_progress:
        report = import_path(settings, settings.project, path, source, columns, on_progress=on_progress)
    _print_import(report, as_json=as_json)


@app.command()
def demo(project: Project = None, as_json: AsJson = False) -> None:
    """Import the bundled sample, embed, group and name it; print the clusters. Needs no key and no server."""
    from soulcaster.embed import embed_missing
    from soulcaster.ingest import import_sample
    from soulcaster.recluster import recluster as regroup
    from soulcaster.summarize import summarize as name_clusters

    settings = _settings(project)
    with _bar("import", as_json=as_json) as on_progress:
        import_sample(settings, settings.project, on_progress=on_progress)
    with _bar("embed", as_json=as_json) as on_progress:
        embed_missing(settings, settings.project, on_progress=on_progress)
    with _bar("recluster", as_json=as_json) as on_progress:
        report = regroup(settings, settings.project, on_progress=on_progress)
    with _bar("summarize", as_json=as_json) as on_progress:
        name_clusters(settings, settings.project, on_progress=on_progress)
    _print_report(report, as_json=as_json)
    if not as_json:
        clusters(project=project, limit=20, as_json=False)


@app.command()
def ingest(project: Project = None, as_json: AsJson = False) -> None:
    """Drain the inbox of received webhook bodies into the store."""
    from soulcaster.drain import drain_inbox

    settings = _settings(project)
    _print_import(drain_inbox(settings, settings.project), as_json=as_json)


@app.command()
def embed(project: Project = None, as_json: AsJson = False) -> None:
    """Give every text of the project a vector; texts that have one are not embedded again."""
    from soulcaster.embed import embed_missing

    settings = _settings(project)
    with _bar("embed", as_json=as_json) as on_progress:
        report = embed_missing(settings, settings.project, on_progress=on_progress)
    _print_report(report, as_json=as_json)


@app.command()
def reindex(as_json: AsJson = False) -> None:
    """Build the vector index anew from the store and the embedder, for all projects."""
    from soulcaster.embed import reindex as rebuild

    settings = _settings(None)
    with _bar("reindex", as_json=as_json) as on_progress:
        report = rebuild(settings, on_progress=on_progress)
    _print_report(report, as_json=as_json)


@app.command()
def recluster(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Report what would be found; write nothing.")] = False,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """Embed what is missing, group all items anew, name what changed."""
    from soulcaster.embed import embed_missing
    from soulcaster.recluster import recluster as regroup
    from soulcaster.summarize import summarize as name_clusters

    settings = _settings(project)
    with _bar("embed", as_json=as_json) as on_progress:
        embed_missing(settings, settings.project, on_progress=on_progress)
    with _bar("recluster", as_json=as_json) as on_progress:
        report = regroup(settings, settings.project, dry_run=dry_run, on_progress=on_progress)
    if not dry_run:
        with _bar("summarize", as_json=as_json) as on_progress:
            name_clusters(settings, settings.project, on_progress=on_progress)
    _print_report(report, as_json=as_json)


@app.command()
def summarize(project: Project = None, as_json: AsJson = False) -> None:
    """Write titles and summaries of clusters whose members changed."""
    from soulcaster.summarize import summarize as name_clusters

    settings = _settings(project)
    with _bar("summarize", as_json=as_json) as on_progress:
        report = name_clusters(settings, settings.project, on_progress=on_progress)
    _print_report(report, as_json=as_json)


@app.command()
def clusters(
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="Most rows to print.")] = 20,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """Print the largest clusters of the published run."""
    from soulcaster.export import list_clusters

    settings = _settings(project)
    rows = list_clusters(settings, settings.project, limit)
    if as_json:
        typer.echo(json.dumps({"clusters": rows}, ensure_ascii=False, default=str))
        return
    if not rows:
        typer.echo("There are no clusters yet; run `soulcaster import FILE`, then `soulcaster recluster`.")
        return
    cells = [
        [str(row["n_items"]), ", ".join(row["sources"]), row["title"] or "(not named yet)", str(row["cluster_id"])[:8]]
        for row in rows
    ]
    _table(["items", "sources", "title", "cluster"], cells)


@app.command()
def export(
    kind: Annotated[ExportKind, typer.Argument(help="What to export.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="File ending in .parquet, .csv or .jsonl.")],
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """Write a table of the published run. CSV is made safe for spreadsheets; Parquet and JSONL hold the exact text."""
    from soulcaster.export import export as write_file

    settings = _settings(project)
    n_rows = write_file(settings, settings.project, kind, output)
    if as_json:
        typer.echo(json.dumps({"kind": kind, "path": str(output), "n_rows": n_rows}))
    else:
        typer.echo(f"{n_rows:,} {kind} written to {output}")


@app.command()
def migrate(as_json: AsJson = False) -> None:
    """Bring the store's schema up to date."""
    from soulcaster.db import migrate as apply
    from soulcaster.settings import load_settings

    settings = load_settings()
    applied = apply(settings.duckdb_path, timeout_seconds=settings.lock_timeout_seconds)
    if as_json:
        typer.echo(json.dumps({"applied": applied}))
    else:
        typer.echo("Applied " + ", ".join(applied) if applied else "The schema is current.")


@app.command()
def doctor(project: Project = None, as_json: AsJson = False) -> None:
    """Check settings, store, index, embedder, ports and disk; say what to do about each finding."""
    from soulcaster.doctor import examine

    findings = examine(project)
    if as_json:
        typer.echo(json.dumps({"findings": [finding.model_dump() for finding in findings]}))
    else:
        for finding in findings:
            typer.echo(f"{finding.state:5} {finding.subject:18} {finding.message}")
    if any(finding.state == "fail" for finding in findings):
        raise typer.Exit(1)


def _settings(project: str | None) -> Settings:
    """Settings with the store brought up to date, and our log on standard error."""
    from soulcaster.db import migrate as apply
    from soulcaster.settings import load_settings

    settings = load_settings()
    if project:
        if len(project) > 64:  # noqa: PLR2004  the bound of Settings.project
            raise PermanentError(f"Project {project[:20]!r}… is too long: expected at most 64 characters.")
        settings = settings.model_copy(update={"project": project})
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("soulcaster").setLevel(settings.log_level if sys.stderr.isatty() else "WARNING")
    apply(settings.duckdb_path, timeout_seconds=settings.lock_timeout_seconds)
    return settings


@contextmanager
def _bar(step: str, *, as_json: bool) -> Iterator[Callable[[int, int], None] | None]:
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


def _print_report(report: BaseModel, *, as_json: bool) -> None:
    if as_json:
        typer.echo(report.model_dump_json())
        return
    _table(["", ""], [[name, _plain(value)] for name, value in report.model_dump().items()])


def _print_import(report: ImportReport, *, as_json: bool) -> None:
    if as_json:
        typer.echo(report.model_dump_json())
        return
    rows = [["new", f"{report.new:,}"], ["changed", f"{report.changed:,}"], ["unchanged", f"{report.unchanged:,}"]]
    rows += [[f"ignored: {reason}", f"{n:,}"] for reason, n in sorted(report.ignored.items())]
    rows += [[f"quarantined: {reason}", f"{n:,}"] for reason, n in sorted(report.quarantined.items())]
    _table(["", "items"], [*rows, ["seen", f"{report.seen:,}"]])


def _plain(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _table(header: list[str], rows: list[list[str]]) -> None:
    """Aligned columns of plain text: what came from outside is printed without control characters."""
    clean = [["".join(c if c.isprintable() else " " for c in cell) for cell in row] for row in [header, *rows]]
    widths = [max(len(row[i]) for row in clean) for i in range(len(header))]
    for row in clean if any(header) else clean[1:]:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
