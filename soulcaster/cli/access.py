"""`soulcaster person ...` and `soulcaster token ...`: who may do what in a project.

As in `commands`: parses words, calls one step, prints; steps are imported inside their command. Whoever runs these
commands can open the store's file, so no role is asked of them.
"""

from __future__ import annotations

import getpass
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from soulcaster.cli.clusters import Actor
from soulcaster.cli.output import AsJson, Project, open_settings, print_table

if TYPE_CHECKING:
    from soulcaster.db.access import Token

person_app = typer.Typer(
    help="People with a role in a project, by their sign-in.", no_args_is_help=True, rich_markup_mode=None,
    add_completion=False,
)  # fmt: skip
token_app = typer.Typer(
    help="Tokens with which programs use the HTTP API.", no_args_is_help=True, rich_markup_mode=None,
    add_completion=False,
)  # fmt: skip

RoleName = Annotated[Literal["viewer", "triager", "fixer", "admin"], typer.Option("--role", help="What they may do.")]
Subject = Annotated[str, typer.Argument(help="Verified e-mail address, or sub: and the id that the sign-in shows.")]


@person_app.command("add")
def add_person(
    subject: Subject, role: RoleName = "viewer", actor: Actor = None, project: Project = None, as_json: AsJson = False
) -> None:
    """Give somebody a role, in place of any other."""
    from soulcaster.access import add_person as add

    settings = open_settings(project)
    made = add(settings, settings.project, subject, role, actor=actor or getpass.getuser())
    typer.echo(
        json.dumps({"subject": made.subject, "role": made.role})
        if as_json
        else f"{made.subject} is {made.role} in project {settings.project}."
    )


@person_app.command("list")
def list_people(project: Project = None, as_json: AsJson = False) -> None:
    """Print who has a role in the project."""
    from soulcaster.access import list_people as load

    settings = open_settings(project)
    people = load(settings, settings.project)
    if as_json:
        typer.echo(json.dumps({"people": [each._asdict() for each in people]}, default=str))
        return
    if not people:
        typer.echo("Nobody has a role yet; `soulcaster person add you@example.org --role admin` gives the first.")
        return
    cells = [[each.subject, each.role, f"{each.added_at:%Y-%m-%d %H:%M}", each.added_by] for each in people]
    print_table(["person", "role", "since (UTC)", "by"], cells)


@person_app.command("remove")
def remove_person(subject: Subject, actor: Actor = None, project: Project = None, as_json: AsJson = False) -> None:
    """Take somebody's role away."""
    from soulcaster.access import remove_person as remove

    settings = open_settings(project)
    remove(settings, settings.project, subject, actor=actor or getpass.getuser())
    typer.echo(json.dumps({"removed": subject}) if as_json else f"{subject} has no role any more.")


@token_app.command("add")
def add_token(
    name: Annotated[str, typer.Argument(help="What it is for; its name in the activity log.")],
    role: RoleName = "viewer",
    days: Annotated[int, typer.Option("--days", min=1, max=3650, help="How long it is good for.")] = 90,
    actor: Actor = None,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """Make a token for one project and print it, this once."""
    from soulcaster.access import add_token as make

    settings = open_settings(project)
    token, text = make(settings, settings.project, name, role, actor=actor or getpass.getuser(), days=days)
    if as_json:
        typer.echo(json.dumps({"token_id": token.token_id, "token": text, "expires_at": token.expires_at.isoformat()}))
        return
    typer.echo(text)
    typer.echo(
        f"Token {token.token_id}, {token.role} in project {settings.project} until {token.expires_at:%Y-%m-%d}. It is "
        "shown this once: keep it where secrets are kept.",
        err=True,
    )


@token_app.command("list")
def list_tokens(project: Project = None, as_json: AsJson = False) -> None:
    """Print the project's tokens with what they may do, until when, and when they were used last."""
    from soulcaster.access import list_tokens as load

    settings = open_settings(project)
    tokens = load(settings, settings.project)
    if as_json:
        typer.echo(json.dumps({"tokens": [each._asdict() for each in tokens]}, default=str))
        return
    if not tokens:
        typer.echo("There are no tokens yet; `soulcaster token add NAME --role viewer` makes one.")
        return
    cells = [
        [
            f"sc_{each.token_id}_…", each.name, each.role, _state(each),
            f"{each.used_at:%Y-%m-%d %H:%M}" if each.used_at else "never", each.created_by,
        ]
        for each in tokens
    ]  # fmt: skip
    print_table(["token", "name", "role", "state", "used (UTC)", "made by"], cells)


@token_app.command("revoke")
def revoke_token(
    token: Annotated[str, typer.Argument(metavar="TOKEN", help="Its id, or the beginning of it.")],
    actor: Actor = None,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """End a token at once."""
    from soulcaster.access import revoke_token as revoke

    settings = open_settings(project)
    gone = revoke(settings, settings.project, token, actor=actor or getpass.getuser())
    typer.echo(json.dumps({"revoked": gone.token_id}) if as_json else f"Token {gone.token_id} opens nothing any more.")


def mcp(
    role: Annotated[
        Literal["viewer", "fixer"], typer.Option("--role", help="viewer only reads; fixer may start fixes too.")
    ] = "fixer",
    project: Project = None,
) -> None:
    """Serve a coding assistant on standard input and output (MCP): the project's clusters, feedback, runs and jobs."""
    from soulcaster.assistant import serve

    settings = open_settings(project)
    serve(settings, settings.project, role)


def _state(token: Token) -> str:
    if token.revoked_at:
        return f"revoked {token.revoked_at:%Y-%m-%d}"
    over = token.expires_at <= datetime.now(UTC)
    return f"over since {token.expires_at:%Y-%m-%d}" if over else f"until {token.expires_at:%Y-%m-%d}"
