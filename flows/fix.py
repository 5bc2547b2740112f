"""Try to fix a cluster, from diagnosis to draft pull request. Pauses for a person where policy says so."""

from __future__ import annotations

from prefect import flow, runtime
from pydantic import BaseModel, Field

from soulcaster.fix_models import Job
from tasks.approval import actor_of, ask_person, end_job, inert
from tasks.artifacts import next_step
from tasks.fix import start_fix, work_on_fix
from tasks.naming import open_project, run_name


class FixParams(BaseModel):
    """What to fix, or which job to go on with."""

    project: str | None = Field(
        default=None, min_length=1, max_length=64, description="Project; SOULCASTER_PROJECT when empty."
    )
    cluster: str = Field(default="", max_length=64, description="Cluster id, or the beginning of one.")
    repository: str = Field(default="", max_length=201, description="OWNER/NAME; chosen by the routes when empty.")
    dry_run: bool = Field(default=True, description="Stop before publishing; patch and report stay with the job.")
    job: str = Field(default="", max_length=64, description="Go on with this job in place of starting one.")


@flow(name="fix", flow_run_name=run_name, on_cancellation=[end_job])
def fix(params: FixParams = FixParams()) -> Job:
    """The job as far as it came."""
    project, actor = open_project(params.project), actor_of(runtime.flow_run.id)
    job_id = params.job
    if not job_id:
        job_id = start_fix(project, params.cluster, params.repository, dry_run=params.dry_run, actor=actor).job_id
    job = work_on_fix(project, job_id, actor=actor)
    if job.status == "waiting":
        job = ask_person(project, job, actor)
    next_step("fix", f"**{job.status}**: {inert(job.reason)} {inert(job.pr_url or '')}")
    return job
