"""`soulcaster source ...` and `soulcaster ingest`: the sources of a project, and their pulls by hand.

As in `commands`: parses words, calls one step, prints; steps are imported inside their command.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from soulcaster.cli.output import AsJson, Project, bar, open_settings, print_import, print_report, print_table
from soulcaster.errors import SoulcasterError

if TYPE_CHECKING:
    from soulcaster.settings import Settings

source_app = typer.Typer(
    help="The sources a project pulls from.", no_args_is_help=True, rich_markup_mode=None, add_completion=False
)

SourceId = Annotated[str, typer.Argument(help="reddit:SUBREDDIT, github:OWNER/REPO, sentry:ORG/PROJECT, generic:NAME.")]
_ACTOR = "person"


@source_app.command()
def add(
    source: SourceId,
    search: Annotated[str | None, typer.Option(help="Reddit: search terms. Sentry: issue query.")] = None,
    comments: Annotated[bool, typer.Option("--comments", help="Comments become items too (Reddit, GitHub).")] = False,
    discussions: Annotated[bool, typer.Option("--discussions", help="GitHub: discussions become items too.")] = False,
    label: Annotated[list[str] | None, typer.Option(help="GitHub: only issues with all of these.")] = None,
    environment: Annotated[list[str] | None, typer.Option(help="Sentry: any of these environments.")] = None,
    level: Annotated[list[str] | None, typer.Option(help="Sentry: any of these levels.")] = None,
    way: Annotated[Literal["auto", "oauth", "json", "rss"], typer.Option(help="Reddit: how it is read.")] = "auto",
    token_variable: Annotated[
        str | None, typer.Option(help="Variable or block:NAME with the token (GitHub, Sentry).")
    ] = None,
    client_id_variable: Annotated[
        str | None, typer.Option(help="Variable with the client id (Reddit) or app id (GitHub App).")
    ] = None,
    client_secret_variable: Annotated[
        str | None, typer.Option(help="Variable with the secret (Reddit) or private key (GitHub App).")
    ] = None,
    mapping: Annotated[str | None, typer.Option(help="Generic: its mapping; the one of its name if none.")] = None,
    base_url: Annotated[str | None, typer.Option(help="Other address of the API (self-hosted, Enterprise).")] = None,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """Add a source. Secrets are given as names: of environment variables, or block:NAME of Prefect's Secret blocks."""
    from soulcaster.configured import parse_options, parse_source_id
    from soulcaster.pull import add_source

    kind, name = parse_source_id(source)
    given: dict[str, Any] = {
        "search": search, "include_comments": comments, "include_discussions": discussions,
        "labels": label, "environments": environment, "levels": level,
        "way": None if way == "auto" else way, "token_variable": token_variable, "base_url": base_url,
        "mapping": mapping, "client_id_variable": client_id_variable, "client_secret_variable": client_secret_variable,
    }  # fmt: skip
    settings = open_settings(project)
    add_source(settings, settings.project, kind, name, parse_options(kind, given), actor=_ACTOR)
    _say(f"Added {kind}:{name}; `soulcaster source test {kind}:{name}` tries it.", f"{kind}:{name}", as_json=as_json)


@source_app.command("list")
def list_(project: Project = None, as_json: AsJson = False) -> None:
    """Print the project's sources with the state of their last pull."""
    from soulcaster.pull import list_sources

    settings = open_settings(project)
    sources = list_sources(settings, settings.project)
    if as_json:
        rows = [{"source_id": source.source_id, **source.model_dump(mode="json")} for source in sources]
        typer.echo(json.dumps({"sources": rows}, ensure_ascii=False))
        return
    if not sources:
        typer.echo("There are no sources yet; `soulcaster source add github:OWNER/REPO` adds one.")
        return
    cells = [
        [
            source.source_id,
            "paused" if source.is_paused else source.state,
            f"{source.state_since:%Y-%m-%d %H:%M}" if source.state_since else "",
            source.way or "",
            f"{source.pulled_at:%Y-%m-%d %H:%M}" if source.pulled_at else "never",
            source.message,
        ]
        for source in sources
    ]
    print_table(["source", "state", "since (UTC)", "way", "pulled (UTC)", "message"], cells)


@source_app.command()
def remove(source: SourceId, project: Project = None, as_json: AsJson = False) -> None:
    """Forget a source and how far it was read; its items stay."""
    from soulcaster.configured import parse_source_id
    from soulcaster.pull import remove_source

    settings = open_settings(project)
    remove_source(settings, settings.project, *parse_source_id(source), actor=_ACTOR)
    _say(f"Removed {source}; its items stay.", source, as_json=as_json)


@source_app.command()
def pause(source: SourceId, project: Project = None, as_json: AsJson = False) -> None:
    """Leave a source alone until it is resumed."""
    _set_paused(source, project, is_paused=True, as_json=as_json)


@source_app.command()
def resume(source: SourceId, project: Project = None, as_json: AsJson = False) -> None:
    """Pull a paused source again from the next run on."""
    _set_paused(source, project, is_paused=False, as_json=as_json)


@source_app.command("test")
def try_(source: SourceId, project: Project = None, as_json: AsJson = False) -> None:
    """Read the first page of a source and say what is on it; nothing is stored."""
    from soulcaster.configured import parse_source_id
    from soulcaster.pull import probe

    settings = open_settings(project)
    report = probe(settings, settings.project, *parse_source_id(source))
    if as_json:
        print_report(report, as_json=True)
    else:
        typer.echo(f"{report.source_id} works by way of {report.way or 'unchanged pages'}: {report.message}.")


def ingest_sources(settings: Settings, source: str | None, *, as_json: bool) -> None:
    """Pull one source at once, or all that are due, then drain the inbox; one that fails does not stop the others.

    Raises:
        SoulcasterError: one or more sources failed; the message holds their sentences.
    """
    from soulcaster.configured import parse_source_id
    from soulcaster.drain import drain_inbox
    from soulcaster.models import ImportReport
    from soulcaster.pull import list_sources, pull

    chosen = (
        [parse_source_id(source)] if source else [(s.kind, s.name) for s in list_sources(settings, settings.project)]
    )
    report, errors = ImportReport(), []
    for kind, name in chosen:
        try:
            with bar(f"{kind}:{name}", as_json=as_json) as on_progress:
                pulled = pull(settings, settings.project, kind, name, is_forced=bool(source), on_progress=on_progress)
        except SoulcasterError as error:
            errors.append(error)
            continue
        report += pulled.counts
        if not as_json:
            told = pulled.skipped or f"{pulled.counts.seen:,} seen by way of {pulled.way or 'unchanged pages'}"
            typer.echo(f"{pulled.source_id}: {told}. {pulled.message}".strip())
    report += drain_inbox(settings, settings.project)
    print_import(report, as_json=as_json)
    if errors:
        raise type(errors[0])(" ".join(str(error) for error in errors))


def _set_paused(source: str, project: str | None, *, is_paused: bool, as_json: bool) -> None:
    from soulcaster.configured import parse_source_id
    from soulcaster.pull import pause_source

    settings = open_settings(project)
    pause_source(settings, settings.project, *parse_source_id(source), is_paused=is_paused, actor=_ACTOR)
    _say(f"{'Paused' if is_paused else 'Resumed'} {source}.", source, as_json=as_json)


def _say(sentence: str, source_id: str, *, as_json: bool) -> None:
    at = datetime.now(UTC).isoformat(timespec="seconds")
    typer.echo(json.dumps({"source_id": source_id, "done": sentence, "at": at}) if as_json else sentence)
