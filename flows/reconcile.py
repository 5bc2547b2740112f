"""Bring every fix that has not ended as far as it goes now, whatever crashed before."""

from __future__ import annotations

from prefect import flow
from pydantic import BaseModel, Field

from soulcaster.fix_models import Job
from tasks.artifacts import next_step
from tasks.fix import reconcile as bring_on
from tasks.naming import open_project, run_name


class ReconcileParams(BaseModel):
    """Whose jobs."""

    project: str | None = Field(
        default=None, min_length=1, max_length=64, description="Project; SOULCASTER_PROJECT when empty."
    )


@flow(name="reconcile", flow_run_name=run_name)
def reconcile(params: ReconcileParams = ReconcileParams()) -> list[Job]:
    """Jobs that were open when it began."""
    jobs = bring_on(open_project(params.project))
    waiting = sum(job.status == "waiting" for job in jobs)
    next_step("reconcile", f"**{len(jobs)} open jobs**, {waiting} of them wait for a person: `soulcaster jobs --open`.")
    return jobs
