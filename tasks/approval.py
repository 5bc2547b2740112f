"""How a fix waits for a person, and what the cancellation of its run means."""

from __future__ import annotations

from typing import Any

from prefect import Flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.exceptions import FlowPauseTimeout
from prefect.flow_runs import pause_flow_run
from prefect.input import RunInput
from pydantic import Field

from soulcaster.fix_models import Job
from tasks.fix import approve_fix, cancel_fixes, work_on_fix
from tasks.naming import resolve_project
from tasks.policies import APPROVAL_TIMEOUT_SECONDS


class Approval(RunInput):
    """What a person says to a job that waits."""

    approve: bool = Field(default=False, description="Let the agent try an edit on this evidence.")
    name: str = Field(default="", max_length=100, description="Who you are, for the activity log.")
    reason: str = Field(default="", max_length=500, description="Why.")


def actor_of(flow_run_id: object) -> str:
    """Name under which a flow run acts."""
    return f"flow fix {flow_run_id}"


def end_job(flow: Flow[Any, Any], flow_run: FlowRun, state: State[Any]) -> None:
    """A cancelled run takes its job and its agent with it, also one that somebody else had started."""
    del flow, state  # Prefect passes them by name
    params = flow_run.parameters.get("params") or {}
    cancel_fixes(resolve_project(params.get("project")), actor_of(flow_run.id), params.get("job", ""))


def ask_person(project: str, job: Job, actor: str) -> Job:
    """Pause with a form; without an answer in time the job keeps waiting for `soulcaster approve`."""
    text = f"Job {job.job_id} for {job.repository}: {inert(job.reason)}"
    form = Approval.with_initial_data(description=text)
    try:
        said = pause_flow_run(wait_for_input=form, timeout=APPROVAL_TIMEOUT_SECONDS)
    except FlowPauseTimeout:
        return job
    if not said.approve:
        return job
    approve_fix(project, job.job_id, actor=f"{said.name or 'a person'} (form of {actor})", reason=said.reason)
    return work_on_fix(project, job.job_id, actor=actor)


def inert(text: str) -> str:
    """A sentence without markup: parts of it may be an agent's words."""
    return "".join(c if c.isalnum() or c in " .,:;/()-_'?=%" else " " for c in text)
