"""Bring erasures of people to their end; begun by `soulcaster erase`, which alone is told the name."""

from __future__ import annotations

from prefect import flow
from pydantic import BaseModel, Field

from tasks.erase import finish_erasures
from tasks.naming import resolve_project, run_name
from tasks.summarize import summarize


class EraseParams(BaseModel):
    """Whose erasures. No person is named here: Prefect keeps parameters."""

    project: str | None = Field(
        default=None, min_length=1, max_length=64, description="Project; SOULCASTER_PROJECT when empty."
    )


@flow(name="erase", flow_run_name=run_name)
def erase(params: EraseParams = EraseParams()) -> int:
    """How many erasures were brought to their end; the clusters they took words from are named anew."""
    project = resolve_project(params.project)
    n_ended = finish_erasures(project)
    if n_ended:
        summarize(project)
    return n_ended
