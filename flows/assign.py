"""Give new items their place in the grouping on show; what has no vector is embedded first."""

from __future__ import annotations

from prefect import flow
from pydantic import BaseModel, Field

from soulcaster.models import AssignReport
from tasks.artifacts import next_step
from tasks.assign import assign as place
from tasks.embed import embed
from tasks.naming import open_project, run_name
from tasks.restate import restate


class AssignParams(BaseModel):
    """Whose new items to assign."""

    project: str | None = Field(
        default=None, min_length=1, max_length=64, description="Project; SOULCASTER_PROJECT when empty."
    )


@flow(name="assign", flow_run_name=run_name)
def assign(params: AssignParams = AssignParams()) -> AssignReport:
    """Where new items went."""
    project = open_project(params.project)
    restate(project)
    embed(project)
    report = place(project)
    next_step(
        "assign",
        f"**{report.n_exact + report.n_nearest:,} of {report.n_new:,}** new items found their cluster, "
        f"{report.n_noise:,} wait as noise beside their nearest one until the next `recluster`.",
    )
    return report
