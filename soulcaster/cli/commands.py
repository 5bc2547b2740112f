"""The `soulcaster` command. Parses words, calls one step, prints a table or one JSON object; holds no logic.

Steps are imported inside their command, so that `--help` answers at once. Exit 0 done, 1 our error with one sentence,
2 usage, 130 interrupted.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from soulcaster import __version__
from soulcaster.cli import backtest as backtest_commands
from soulcaster.cli import care as care_commands
from soulcaster.cli import clusters as clusters_commands
from soulcaster.cli import drill as drill_commands
from soulcaster.cli import embedding as embedding_commands
from soulcaster.cli import fixes as fixes_commands
from soulcaster.cli import map as map_commands
from soulcaster.cli import mappings as mappings_commands
from soulcaster.cli import smoke as smoke_commands
from soulcaster.cli import triage as triage_commands
from soulcaster.cli.access import mcp, person_app, token_app
from soulcaster.cli.backfill import backfill
from soulcaster.cli.embedding import embed_all
from soulcaster.cli.output import AsJson, Limit, Project, bar, open_settings, print_import, print_report, print_table
from soulcaster.cli.repositories import repository_app, switch
from soulcaster.cli.sources import source_app
from soulcaster.errors import SoulcasterError

app = typer.Typer(
    name="soulcaster",
    help="Feedback in, a short stable list of fixable problems out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)

mappings_commands.add_commands(source_app)
app.add_typer(source_app, name="source")
app.add_typer(person_app, name="person")
app.add_typer(token_app, name="token")
app.command()(mcp)
app.add_typer(repository_app, name="repo")
app.command()(switch)
app.command()(backfill)
clusters_commands.add_commands(app)
embedding_commands.add_commands(app)
fixes_commands.add_commands(app)
triage_commands.add_commands(app)
map_commands.add_commands(app)
drill_commands.add_commands(app)
smoke_commands.add_commands(app)
backtest_commands.add_commands(app)
care_commands.add_commands(app)

SourceName = Literal["manual", "reddit", "sentry", "github"]
ExportKind = Literal["items", "clusters", "themes", "transitions"]
PastRun = Annotated[str | None, typer.Option("--run", help="Id of another run, or the beginning of one.")]


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

    start(open_settings(project), once=once, file=file, source=source, echo=typer.echo)


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
    mapping: Annotated[str | None, typer.Option("--mapping", help="Mapping (name or file) that reads it.")] = None,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """Take a file or a folder into the store. A second import of the same file changes nothing."""
    from soulcaster.ingest import import_path
    from soulcaster.sources.tabular import ColumnMap

    if text_column and (title_column or body_column):
        raise typer.BadParameter("--text-column excludes --title-column and --body-column.")
    settings = open_settings(project)
    if mapping:
        if any((id_column, text_column, title_column, body_column, time_column, author_column, url_column)):
            raise typer.BadParameter("--mapping names the fields itself: give no columns beside it.")
        mappings_commands.import_with(settings, path, mapping, as_json=as_json)
        return
    columns = ColumnMap(
        id=id_column, text=text_column, title=title_column, body=body_column,
        time=time_column, author=author_column, url=url_column,
    )  # fmt: skip
    with bar("import", as_json=as_json) as on_progress:
        report = import_path(settings, settings.project, path, source, columns, on_progress=on_progress)
    print_import(report, as_json=as_json)


@app.command()
def add(
    text: Annotated[str, typer.Argument(help="What somebody said; the first line is its title.")],
    author: Annotated[str | None, typer.Option("--author", help="Who said it; your login when not given.")] = None,
    url: Annotated[str | None, typer.Option("--url", help="Where it was said.")] = None,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """Take in one typed text. The same words by the same person count once."""
    import getpass

    from soulcaster.ingest import add_typed

    settings = open_settings(project)
    title, _, body = text.strip().partition("\n")
    who = author or getpass.getuser()
    external_id, report = add_typed(settings, settings.project, title=title, body=body, author=who, url=url)
    if not as_json:
        typer.echo(f"Taken in as {external_id}; `soulcaster assign` finds its cluster.")
    print_import(report, as_json=as_json)


@app.command()
def demo(project: Project = None, as_json: AsJson = False) -> None:
    """Import the bundled sample, embed, group and name it; print the clusters. Needs no key and no server."""
    from soulcaster.draw import draw as lay_out
    from soulcaster.ingest import import_sample
    from soulcaster.recluster import recluster as regroup
    from soulcaster.summarize import summarize as name_clusters

    settings = open_settings(project)
    with bar("import", as_json=as_json) as on_progress:
        import_sample(settings, settings.project, on_progress=on_progress)
    embed_all(settings, as_json=as_json)
    with bar("recluster", as_json=as_json) as on_progress:
        report = regroup(settings, settings.project, on_progress=on_progress)
    with bar("summarize", as_json=as_json) as on_progress:
        name_clusters(settings, settings.project, on_progress=on_progress)
    with bar("draw", as_json=as_json) as on_progress:
        lay_out(settings, settings.project, on_progress=on_progress)
    print_report(report, as_json=as_json)
    if not as_json:
        clusters(project=project, limit=20, as_json=False)


@app.command()
def ingest(
    source: Annotated[str | None, typer.Argument(help="Pull this one, at once; all when not given.")] = None,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """Pull the configured sources, then drain the inbox of received webhook bodies."""
    from soulcaster.cli.sources import ingest_sources

    ingest_sources(open_settings(project), source, as_json=as_json)


@app.command()
def embed(project: Project = None, as_json: AsJson = False) -> None:
    """Give every text of the project a vector; texts that have one are not embedded again."""
    settings = open_settings(project)
    print_report(embed_all(settings, as_json=as_json), as_json=as_json)


@app.command()
def reindex(as_json: AsJson = False) -> None:
    """Build the vector index anew from the store and the embedder, for all projects."""
    from soulcaster.embed import reindex as rebuild

    settings = open_settings(None)
    with bar("reindex", as_json=as_json) as on_progress:
        report = rebuild(settings, on_progress=on_progress)
    print_report(report, as_json=as_json)


@app.command()
def recluster(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Report what would be found; write nothing.")] = False,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """Embed what is missing, group all items anew, name what changed, draw the map."""
    from soulcaster.draw import draw as lay_out
    from soulcaster.recluster import recluster as regroup
    from soulcaster.summarize import summarize as name_clusters

    settings = open_settings(project)
    embed_all(settings, as_json=as_json)
    with bar("recluster", as_json=as_json) as on_progress:
        report = regroup(settings, settings.project, dry_run=dry_run, on_progress=on_progress)
    if not dry_run:
        with bar("summarize", as_json=as_json) as on_progress:
            name_clusters(settings, settings.project, on_progress=on_progress)
        with bar("draw", as_json=as_json) as on_progress:
            lay_out(settings, settings.project, on_progress=on_progress)
    print_report(report, as_json=as_json)
    if not dry_run and not report.published:
        typer.echo(
            f"It waits: `soulcaster runs` says why, `soulcaster publish {report.run_id[:8]}` shows it.", err=True
        )


@app.command()
def summarize(project: Project = None, as_json: AsJson = False) -> None:
    """Write titles and summaries of clusters whose members changed."""
    from soulcaster.summarize import summarize as name_clusters

    settings = open_settings(project)
    with bar("summarize", as_json=as_json) as on_progress:
        report = name_clusters(settings, settings.project, on_progress=on_progress)
    print_report(report, as_json=as_json)


@app.command()
def clusters(
    limit: Limit = 20,
    run: PastRun = None,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """Print the most urgent clusters of the published run, or of any other, with the parts of their priority."""
    from soulcaster.export import list_clusters

    settings = open_settings(project)
    rows = list_clusters(settings, settings.project, limit, run=run)
    if as_json:
        typer.echo(json.dumps({"clusters": rows}, ensure_ascii=False, default=str))
        return
    if not rows:
        typer.echo("There are no clusters yet; run `soulcaster import FILE`, then `soulcaster recluster`.")
        return
    cells = [
        [
            f"{row['priority']:.1f}",
            *(f"{part['points']:.0f}" for part in row["parts"]),
            row["status"] + (", burst" if row["is_burst"] else ""),
            str(row["n_items"]),
            ", ".join(row["sources"]),
            row["title"] or "(not named yet)",
            str(row["cluster_id"])[:8],
        ]
        for row in rows
    ]
    names = [part["name"] for part in rows[0]["parts"]]
    print_table(["priority", *names, "status", "items", "sources", "title", "cluster"], cells)


@app.command()
def export(
    kind: Annotated[ExportKind, typer.Argument(help="What to export.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="File ending in .parquet, .csv or .jsonl.")],
    run: PastRun = None,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """Write a table of the published run, or of any other.

    CSV is made safe for spreadsheets; Parquet and JSONL hold the exact text.
    """
    from soulcaster.export import export as write_file

    settings = open_settings(project)
    n_rows = write_file(settings, settings.project, kind, output, run=run)
    if as_json:
        typer.echo(json.dumps({"kind": kind, "path": str(output), "n_rows": n_rows}))
    else:
        typer.echo(f"{n_rows:,} {kind} written to {output}")


@app.command()
def evaluate(
    path: Annotated[Path, typer.Argument(help="CSV, JSONL or Parquet with the true group of each row.")],
    label_column: Annotated[str, typer.Option("--label-column", help="Column with the true group.")],
    noise_label: Annotated[str | None, typer.Option("--noise-label", help="Label of rows in no group.")] = None,
    id_column: Annotated[str | None, typer.Option("--id-column", help="Column with the row's id.")] = None,
    text_column: Annotated[str | None, typer.Option("--text-column", help="Column with the whole text.")] = None,
    title_column: Annotated[str | None, typer.Option("--title-column", help="Column with the title.")] = None,
    body_column: Annotated[str | None, typer.Option("--body-column", help="Column with the body.")] = None,
    time_column: Annotated[str | None, typer.Option("--time-column", help="Column with the creation time.")] = None,
    as_json: AsJson = False,
) -> None:
    """Score the current configuration on a labelled file, beside other ways over the same vectors."""
    from soulcaster.evaluate import evaluate as score
    from soulcaster.sources.tabular import ColumnMap

    columns = ColumnMap(
        id=id_column, text=text_column, title=title_column, body=body_column, time=time_column, label=label_column
    )
    with bar("embed", as_json=as_json) as on_progress:
        result = score(open_settings(None), path, columns, noise_label=noise_label, on_progress=on_progress)
    if as_json:
        typer.echo(result.model_dump_json())
        return
    ways = {"ours": result.ours, "ours, themes": result.themes, **result.baselines}
    figures = ("pair_precision", "pair_recall", "pair_f1", "bcubed_f1", "ami", "noise_share")
    header = ["way", "clusters", *(name.replace("_", " ") for name in figures)]
    print_table(
        header,
        [[n, f"{q.n_clusters:,}", *(f"{getattr(q, name):.3f}" for name in figures)] for n, q in ways.items()],
    )
    kept = "no row is noise" if result.truth_noise_kept is None else f"{result.truth_noise_kept:.1%} of noise kept"
    typer.echo(
        f"{result.n_rows:,} rows, {result.n_labels:,} labels, {result.model_id}, grouped in {result.seconds:.1f} s; "
        f"{kept}; one more percent of items keeps {result.stability.ids_kept:.1%} of ids and "
        f"{result.stability.noise_kept:.1%} of the noise."
    )


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
