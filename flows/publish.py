"""Show a grouping that waits for a person, or go back to an earlier one; clusters that are new get names."""

from __future__ import annotations

from prefect import flow
from pydantic import BaseModel, Field

from tasks.artifacts import next_step
from tasks.draw import draw
from tasks.naming import open_project, run_name
from tasks.publish import publish as show
from tasks.summarize import summarize


class PublishParams(BaseModel):
    """Which run to show."""

    project: str | None = Field(
        default=None, min_length=1, max_length=64, description="Project; SOULCASTER_PROJECT when empty."
    )
    run: str = Field(default="", max_length=36, description="Id of the run, or the beginning of one.")
    actor: str = Field(default="flow publish", min_length=1, max_length=100, description="Who wants it.")
    go_back: bool = Field(default=False, description="It was on show before: show it again.")
    force: bool = Field(default=False, description="Also when it was made on top of a run that is no longer shown.")


@flow(name="publish", flow_run_name=run_name)
def publish(params: PublishParams = PublishParams()) -> str:
    """Id of the run that is on show now."""
    project = open_project(params.project)
    run_id = show(project, params.run, actor=params.actor, go_back=params.go_back, force=params.force)
    summarize(project)
    draw(project)
    next_step("publish", f"Run `{run_id}` of project `{project}` is on show. Look at the largest clusters in the app.")
    return run_id
