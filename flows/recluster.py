"""Group all items of a project anew: what has no vector is embedded first; names and suggested merges come after."""

from __future__ import annotations

from prefect import flow
from pydantic import BaseModel, Field

from soulcaster.models import ReclusterReport
from tasks.artifacts import next_step
from tasks.assign import needs_refit
from tasks.draw import draw
from tasks.embed import embed
from tasks.naming import open_project, run_name
from tasks.recluster import recluster as group_items
from tasks.restate import restate
from tasks.suggest import suggest
from tasks.summarize import summarize


class ReclusterParams(BaseModel):
    """Whose items to group."""

    project: str | None = Field(
        default=None, min_length=1, max_length=64, description="Project; SOULCASTER_PROJECT when empty."
    )
    dry_run: bool = Field(default=False, description="Only report what would be found; write nothing.")
    only_if_needed: bool = Field(default=False, description="Only when enough items came, or the last run is old.")


@flow(name="recluster", flow_run_name=run_name)
def recluster(params: ReclusterParams = ReclusterParams()) -> ReclusterReport | None:
    """What was found; None when nothing was due."""
    project = open_project(params.project)
    if params.only_if_needed and not needs_refit(project):
        next_step("recluster", "Nothing to do: too few new items since the last grouping, and that is young.")
        return None
    restate(project)
    embed(project)
    report = group_items(project, dry_run=params.dry_run)
    if not params.dry_run:
        summarize(project)
        suggest(project)
        draw(project)
    waits = f" **It waits**: `soulcaster runs` says why, `soulcaster publish {report.run_id}` shows it."
    next_step(
        "recluster",
        f"**{report.n_clusters:,} clusters** in {report.n_themes:,} themes from {report.n_items:,} items, "
        f"{report.n_noise:,} stand alone. Look at the largest clusters in the app."
        + ("" if report.published or params.dry_run else waits),
    )
    return report
