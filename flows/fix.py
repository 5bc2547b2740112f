"""Try to fix a cluster, from diagnosis to draft pull request. Pauses for a person where policy says so."""

from __future__ import annotations

from typing import Any

from prefect import Flow, flow, runtime
from prefect.client.schemas.objects import FlowRun, State
from prefect.exceptions import FlowPauseTimeout
from prefect.flow_runs import pause_flow_run
from prefect.input import RunInput
from pydantic import BaseModel, Field

from soulcaster.fix_models import Job
from tasks.artifacts import next_step
from tasks.fix import approve_fix, cancel_fixes, start_fix, work_on_fix
from tasks.naming import resolve_project, run_name
from tasks.policies import APPROVAL_TIMEOUT_SECONDS


class FixParams(BaseModel):
    """What to fix, or which job to go on with."""

    project: str | None = Field(
        default=None, min_length=1, max_length=64, description="Project; SOULCASTER_PROJECT when empty."
    )
    cluster: str = Field(default="", max_length=64, description="Cluster id, or the beginning of one.")
    repository: str = Field(default="", max_length=201, description="OWNER/NAME; chosen by the routes when empty.")
    dry_run: bool = Field(default=True, description="Stop before publishing; patch and report stay with the job.")
    job: str = Field(default="", max_length=64, description="Go on with this job in place of starting one.")


class Approval(RunInput):
    """What a person says to a job that waits."""

    approve: bool = Field(default=False, description="Let the agent try an edit on this evidence.")
    name: str = Field(default="", max_length=100, description="Who you are, for the activity log.")
    reason: str = Field(default="", max_length=500, description="Why.")


def actor_of(flow_run_id: object) -> str:
    """Name under which a flow run acts."""
    return f"flow fix {flow_run_id}"


def end_job(flow: Flow[Any, Any], flow_run: FlowRun, state: State[Any]) -> None:
    """A cancelled run takes its job and its agent with it."""
    del flow, state  # Prefect passes them by name
    params = FixParams.model_validate(flow_run.parameters.get("params") or {})
    cancel_fixes(resolve_project(params.project), actor_of(flow_run.id))


@flow(name="fix", flow_run_name=run_name, on_cancellation=[end_job])
def fix(params: FixParams = FixParams()) -> Job:
    """The job as far as it came."""
    project, actor = resolve_project(params.project), actor_of(runtime.flow_run.id)
    job_id = params.job
    if not job_id:
        job_id = start_fix(project, params.cluster, params.repository, dry_run=params.dry_run, actor=actor).job_id
    job = work_on_fix(project, job_id, actor=actor)
    if job.status == "waiting":
        job = _ask(project, job, actor)
    next_step("fix", f"**{job.status}**: {_inert(job.reason)} {_inert(job.pr_url or '')}")
    return job


def _ask(project: str, job: Job, actor: str) -> Job:
    """Pause with a form; without an answer in time the job keeps waiting for `soulcaster approve`."""
    text = f"Job {job.job_id} for {job.repository}: {_inert(job.reason)}"
    try:
        said = pause_flow_run(
            wait_for_input=Approval.with_initial_data(description=text), timeout=APPROVAL_TIMEOUT_SECONDS
        )
    except FlowPauseTimeout:
        return job
    if not said.approve:
        return job
    approve_fix(project, job.job_id, actor=f"{said.name or 'a person'} (form of {actor})", reason=said.reason)
    return work_on_fix(project, job.job_id, actor=actor)


def _inert(text: str) -> str:
    """A sentence without markup: parts of it may be an agent's words."""
    return "".join(c if c.isalnum() or c in " .,:;/()-_'?=%" else " " for c in text)
