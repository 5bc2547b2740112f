"""Tell of bursts, problems that came back, what waits for a person, budgets and blocked sources, each once."""

from __future__ import annotations

from prefect import flow
from pydantic import BaseModel, Field

from tasks.naming import resolve_project, run_name
from tasks.notify import tell


class NotifyParams(BaseModel):
    """Whose project to look at."""

    project: str | None = Field(
        default=None, min_length=1, max_length=64, description="Project; SOULCASTER_PROJECT when empty."
    )


@flow(name="notify", flow_run_name=run_name)
def notify(params: NotifyParams = NotifyParams()) -> int:
    """How many things were told."""
    return tell(resolve_project(params.project))
