"""Delete what is older than the settings keep it."""

from __future__ import annotations

from prefect import flow
from pydantic import BaseModel, Field

from soulcaster.retain import RetainReport
from tasks.naming import resolve_project, run_name
from tasks.retain import retain as keep_for_days


class RetainParams(BaseModel):
    """Whose data, and whether to delete."""

    project: str | None = Field(
        default=None, min_length=1, max_length=64, description="Project; SOULCASTER_PROJECT when empty."
    )
    dry_run: bool = Field(default=True, description="Count only.")


@flow(name="retain", flow_run_name=run_name)
def retain(params: RetainParams = RetainParams()) -> RetainReport:
    """What was too old, by kind."""
    return keep_for_days(resolve_project(params.project), is_dry_run=params.dry_run)
