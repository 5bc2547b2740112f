"""Forget groupings that never were on show and are old, and put the vector index in order."""

from __future__ import annotations

from prefect import flow
from pydantic import BaseModel, Field

from soulcaster.models import MaintainReport
from tasks.maintain import maintain as keep_house
from tasks.naming import open_project, run_name


class MaintainParams(BaseModel):
    """Whose house to keep."""

    project: str | None = Field(
        default=None, min_length=1, max_length=64, description="Project; SOULCASTER_PROJECT when empty."
    )


@flow(name="maintain", flow_run_name=run_name)
def maintain(params: MaintainParams = MaintainParams()) -> MaintainReport:
    """What was forgotten and put in order."""
    return keep_house(open_project(params.project))
