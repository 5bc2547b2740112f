"""The command that replays stored history.

As in `commands`: parses words, calls one step, prints; steps are imported inside their command.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from soulcaster.cli.output import AsJson, Project, bar, open_settings, print_table

if TYPE_CHECKING:
    from soulcaster.backtest import Backtest

_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_DATES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M"]


def add_commands(app: typer.Typer) -> None:
    """Give `app` the command of this file."""
    app.command()(backtest)


def backtest(
    start: Annotated[datetime, typer.Option("--from", formats=_DATES, help="First grouping (UTC).")],
    end: Annotated[
        datetime | None, typer.Option("--to", formats=_DATES, help="Up to the newest item if missing.")
    ] = None,
    every: Annotated[str, typer.Option("--every", help="Time between two groupings, e.g. 12h, 1d, 4w.")] = "1d",
    labels: Annotated[Path | None, typer.Option("--labels", help="CSV, JSONL or Parquet with true groups.")] = None,
    label_column: Annotated[str, typer.Option("--label-column", help="Its column with the group.")] = "label",
    id_column: Annotated[str, typer.Option("--id-column", help="Its column with the source's id.")] = "external_id",
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """Group stored history again, step by step, and say how soon each cluster would have been seen; writes nothing."""
    from soulcaster.backtest import backtest as replay
    from soulcaster.backtest import load_labels

    found = re.fullmatch(r"([1-9]\d{0,3})([hdw])", every)
    if found is None:
        raise typer.BadParameter(f"--every expected a number and h, d or w, as in 12h, got {every!r}.")
    settings = open_settings(project)
    with bar("backtest", as_json=as_json) as on_progress:
        result = replay(
            settings,
            settings.project,
            start=start.replace(tzinfo=UTC),
            end=end.replace(tzinfo=UTC) if end else None,
            every=int(found[1]) * _UNITS[found[2]],
            labels=load_labels(labels, id_column, label_column) if labels else None,
            on_progress=on_progress,
        )
    if as_json:
        typer.echo(result.model_dump_json())
        return
    _print(result)


def _print(result: Backtest) -> None:
    is_measured = any(step.quality for step in result.steps)
    rows = [
        [
            f"{step.at:%Y-%m-%d %H:%M}", f"{step.n_items:,}", f"{step.n_new:,}", f"{step.n_clusters:,}",
            f"{step.n_noise:,}", "" if step.ids_kept is None else f"{step.ids_kept:.1%}", f"{step.seconds:.1f}",
            *([f"{step.quality.pair_f1:.3f}"] if step.quality else []),
        ]
        for step in result.steps
    ]  # fmt: skip
    header = ["at", "items", "new", "clusters", "noise", "ids kept", "seconds"]
    print_table([*header, *(["pair f1"] if is_measured else [])], rows)
    if result.median_delay_days is None:
        typer.echo("No cluster of the last step began after the first one; choose an earlier --from.")
    else:
        typer.echo(
            f"{len(result.detections):,} clusters began since; half of them were seen at most "
            f"{result.median_delay_days:.1f} days after their first report, nine of ten at most "
            f"{result.p90_delay_days:.1f}."
        )
