"""`soulcaster source mappings` and `soulcaster source try`: services that a declared mapping reads.

As in `commands`: parses words, calls one step, prints; steps are imported inside their command.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from soulcaster.cli.output import AsJson, Project, bar, open_settings, print_import, print_table
from soulcaster.errors import PermanentError

if TYPE_CHECKING:
    from soulcaster.settings import Settings

_SHOWN_CHARS = 200


def add_commands(app: typer.Typer) -> None:
    """Hang the commands of this module into `source`."""
    app.command("mappings")(list_)
    app.command("try")(try_)


def list_(as_json: AsJson = False) -> None:
    """Print the mappings there are: shipped ones, and your own in the folder `mappings` of SOULCASTER_HOME."""
    from soulcaster.mappings import list_mappings

    found = list_mappings(open_settings(None))
    if as_json:
        typer.echo(json.dumps({"mappings": [each.model_dump() for each in found]}, ensure_ascii=False))
        return
    rows = [
        [each.name, each.title, ", ".join(each.ways), " ".join(each.variables), each.error or each.file or "shipped"]
        for each in found
    ]
    print_table(["mapping", "service", "ways", "variables", "from"], rows)


def try_(
    mapping: Annotated[str, typer.Argument(help="Name of a mapping, or a file that is one.")],
    sample: Annotated[
        Path | None, typer.Argument(help="JSON as the service sends it; the shipped sample if none.")
    ] = None,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """Print what a mapping makes of a payload: items, what is ignored, what is quarantined and why. Stores nothing."""
    from soulcaster.mappings import find_mapping, try_mapping

    settings = open_settings(project)
    trial = try_mapping(settings, find_mapping(settings, mapping), _read(sample) if sample else None)
    if as_json:
        typer.echo(json.dumps(trial.model_dump(mode="json"), ensure_ascii=False))
        return
    for item in trial.items:
        print_table(["", ""], [[name, _short(value)] for name, value in item.items()])
        typer.echo()
    rows = [["ignored", reason, f"{n:,}"] for reason, n in trial.ignored.items()]
    rows += [["quarantined", each["reason"], each["detail"]] for each in trial.quarantined]
    if rows:
        print_table(["outcome", "reason", ""], rows)
    n_ignored = sum(trial.ignored.values())
    typer.echo(f"{trial.n_items:,} items, {n_ignored:,} ignored, {len(trial.quarantined):,} quarantined.")


def import_with(settings: Settings, path: Path, mapping: str, *, as_json: bool) -> None:
    """`soulcaster import --mapping`: take in a file that a mapping reads."""
    from soulcaster.mappings import find_mapping, import_mapped

    found = find_mapping(settings, mapping)
    with bar("import", as_json=as_json) as on_progress:
        report = import_mapped(settings, settings.project, path, found, on_progress=on_progress)
    print_import(report, as_json=as_json)


def _read(sample: Path) -> bytes:
    from soulcaster.mappings import MAX_SAMPLE_BYTES

    try:
        with sample.open("rb") as file:
            return file.read(MAX_SAMPLE_BYTES + 1)
    except OSError as error:
        raise PermanentError(f"Reading the sample {str(sample)!r} failed: {error.strerror}; check the path.") from error


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + " …"
