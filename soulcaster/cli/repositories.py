"""`soulcaster repo ...` and `soulcaster switch`: where fixes may go, and whether any may run at all.

As in `commands`: parses words, calls one step, prints; steps are imported inside their command.
"""

from __future__ import annotations

import getpass
import json
import shlex
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from soulcaster.cli.output import AsJson, Project, open_settings, print_table

if TYPE_CHECKING:
    from soulcaster.fix_models import Repository

repository_app = typer.Typer(
    help="The repositories that fixes may be proposed to; no other is ever read or written.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)

Name = Annotated[str, typer.Argument(help="OWNER/NAME.")]
Actor = Annotated[str | None, typer.Option("--actor", help="Who does it; your login when not given.")]


@repository_app.command()
def add(
    name: Name,
    mode: Annotated[
        Literal["off", "plan", "draft"] | None,
        typer.Option(help="off; plan = diagnose and stop (the default); draft = up to a draft pull request."),
    ] = None,
    branch: Annotated[str | None, typer.Option(help="Base branch; main when not given.")] = None,
    path_prefix: Annotated[str | None, typer.Option(help="A patch may touch nothing outside this folder.")] = None,
    setup: Annotated[
        str | None, typer.Option(help="Command that installs what tests need; found if not given.")
    ] = None,
    test: Annotated[str | None, typer.Option(help="Command that runs all tests; found if not given.")] = None,
    test_timeout_seconds: Annotated[int | None, typer.Option(help="Longest run of the tests.")] = None,
    reviewer: Annotated[list[str] | None, typer.Option(help="Asked to review; may be given more than once.")] = None,
    route: Annotated[
        list[str] | None, typer.Option(help="SOURCE:CHANNEL whose clusters belong here, e.g. reddit:notesapp.")
    ] = None,
    token_variable: Annotated[str | None, typer.Option(help="Variable that holds a personal token.")] = None,
    app_id: Annotated[str | None, typer.Option(help="GitHub App, in place of a token.")] = None,
    app_key_variable: Annotated[str | None, typer.Option(help="Variable with the App's private key (PEM).")] = None,
    api_url: Annotated[str | None, typer.Option(help="Other address of the API (Enterprise).")] = None,
    clone_url: Annotated[str | None, typer.Option(help="Other address to clone from and push to.")] = None,
    actor: Actor = None,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """Add a repository, or change the fields that are named. Secrets are given as names of variables."""
    from soulcaster.repositories import change_repository, parse_route

    given: dict[str, Any] = {
        "mode": mode, "base_branch": branch, "path_prefix": path_prefix, "test_timeout_seconds": test_timeout_seconds,
        "setup": None if setup is None else _words("--setup", setup),
        "test": None if test is None else _words("--test", test),
        "reviewers": reviewer, "token_variable": token_variable, "app_id": app_id, "app_key_variable": app_key_variable,
        "api_url": api_url, "clone_url": clone_url, "routes": route and [parse_route(each) for each in route],
    }  # fmt: skip
    settings = open_settings(project)
    who = actor or getpass.getuser()
    repository, is_new = change_repository(settings, settings.project, name, given, actor=who)
    if as_json:
        typer.echo(repository.model_dump_json())
        return
    hint = " It only plans; `--mode draft` lets it propose pull requests." if repository.mode == "plan" else ""
    typer.echo(f"{'Added' if is_new else 'Changed'} {repository.name}, mode {repository.mode}.{hint}")


@repository_app.command("list")
def list_(project: Project = None, as_json: AsJson = False) -> None:
    """Print the project's repositories."""
    from soulcaster.repositories import list_repositories

    settings = open_settings(project)
    found = list_repositories(settings, settings.project)
    if as_json:
        typer.echo(json.dumps({"repositories": [each.model_dump() for each in found]}))
        return
    if not found:
        typer.echo("There are no repositories yet; `soulcaster repo add OWNER/NAME` adds one.")
        return
    cells = [[each.name, each.mode, each.base_branch, each.path_prefix, _routes(each)] for each in found]
    print_table(["repository", "mode", "branch", "folder", "routes"], cells)


@repository_app.command()
def show(name: Name, project: Project = None, as_json: AsJson = False) -> None:
    """Print one repository with all its fields."""
    from soulcaster.repositories import get_repository

    settings = open_settings(project)
    repository = get_repository(settings, settings.project, name)
    if as_json:
        typer.echo(repository.model_dump_json())
        return
    fields = repository.model_dump() | {
        "routes": _routes(repository), "setup": shlex.join(repository.setup), "test": shlex.join(repository.test),
        "reviewers": ", ".join(repository.reviewers),
    }  # fmt: skip
    print_table(["", ""], [[key, str(value)] for key, value in fields.items()])


@repository_app.command()
def remove(name: Name, actor: Actor = None, project: Project = None, as_json: AsJson = False) -> None:
    """Forget a repository; its jobs stay in the history."""
    from soulcaster.repositories import remove_repository

    settings = open_settings(project)
    gone = remove_repository(settings, settings.project, name, actor=actor or getpass.getuser())
    typer.echo(gone.model_dump_json() if as_json else f"Removed {gone.name}; its jobs stay in the history.")


def switch(
    name: Annotated[Literal["launching", "publishing"] | None, typer.Argument(help="Which one.")] = None,
    state: Annotated[Literal["on", "off"] | None, typer.Argument(help="What it becomes.")] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why, for whoever finds it off.")] = "",
    actor: Actor = None,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """Stop or allow launching or publishing of fixes, for all projects at once; without words say how they stand."""
    from soulcaster.repositories import find_switches_off, turn_switch

    if (name is None) != (state is None):
        raise typer.BadParameter("Give both the switch and on or off, or neither.")
    settings = open_settings(project)
    if name and state:
        who = actor or getpass.getuser()
        turn_switch(settings, settings.project, name, is_on=state == "on", reason=reason, actor=who)
    off = find_switches_off(settings)
    if as_json:
        typer.echo(json.dumps({"switches": {each: {"on": not why, "why": why} for each, why in off.items()}}))
    else:
        print_table(["switch", "state", ""], [[each, "off" if why else "on", why] for each, why in off.items()])


def _routes(repository: Repository) -> str:
    return ", ".join(f"{each.source or '*'}:{each.channel}" for each in repository.routes)


def _words(option: str, text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise typer.BadParameter(f"{option} {text!r}: {error}.") from error
