"""Write titles and summaries of clusters whose members changed, suggest merges, and draw the map of new runs."""

from __future__ import annotations

from prefect import flow
from pydantic import BaseModel, Field

from soulcaster.models import SummarizeReport
from tasks.artifacts import next_step
from tasks.draw import draw
from tasks.naming import open_project, run_name
from tasks.suggest import suggest
from tasks.summarize import summarize as name_clusters


class SummarizeParams(BaseModel):
    """Whose clusters to name."""

    project: str | None = Field(
        default=None, min_length=1, max_length=64, description="Project; SOULCASTER_PROJECT when empty."
    )


@flow(name="summarize", flow_run_name=run_name)
def summarize(params: SummarizeParams = SummarizeParams()) -> SummarizeReport:
    """How many clusters were named."""
    project = open_project(params.project)
    report = name_clusters(project)
    suggest(project)
    draw(project)
    next_step(
        "summarize",
        f"**{report.n_titled:,} of {report.n_clusters:,}** clusters got a new title ({report.method}); read them in "
        "the app and correct what misleads.",
    )
    return report
