"""What the run page of a fix shows: brief, diagnosis, log, patch, proof, cost so far. Text of agents stays text.

Prefect renders markdown, and people click: what a model or a stranger wrote stands in a code block that it cannot end.
"""

from __future__ import annotations

import re

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from soulcaster.job_view import JobView, view_job
from soulcaster.settings import Settings

_LONGEST = 60_000


def show_job(settings: Settings, project: str, job_id: str) -> None:
    """Artifacts of the job as it is now; keys are stable, so each keeps its history."""
    view = view_job(settings, project, job_id)
    _cost(view)
    for launch in view.launches:
        for step, prompt in launch.prompts.items():
            title = f"What launch {launch.launch.attempt} was asked ({step})"
            create_markdown_artifact(key="fix-brief", markdown=block(prompt), description=title)
    if view.detail.diagnosis:
        text = "\n".join(f"{key}: {value}" for key, value in view.detail.diagnosis.items())
        create_markdown_artifact(key="fix-diagnosis", markdown=block(text), description="Diagnosis, as the agent tells")
    for launch in [each for each in view.launches if each.log_tail][-1:]:
        title = f"End of the log of launch {launch.launch.attempt} ({launch.launch.purpose})"
        create_markdown_artifact(key="fix-log", markdown=block(launch.log_tail[-_LONGEST:]), description=title)
    if view.patch:
        create_markdown_artifact(key="fix-patch", markdown=block(view.patch), description="The change")
    if view.detail.proof:
        proof = view.detail.proof
        rows = [{key: str(value) for key, value in row.model_dump().items()} for row in proof.rows]
        told = f"{proof.verdict}: {proof.reason}"
        create_table_artifact(key="fix-proof", table=rows or [{"verdict": proof.verdict}], description=told[:500])
    if view.detail.findings:
        rows = [{key: str(value) for key, value in each.model_dump().items()} for each in view.detail.findings]
        create_table_artifact(key="fix-findings", table=rows, description="What policy found")


def block(text: str) -> str:
    """A code block with a fence longer than any in the text."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text[:_LONGEST]}\n{fence}"


def _cost(view: JobView) -> None:
    job = view.job
    names = (
        "status",
        "reason",
        "repository",
        "branch",
        "verdict",
        "tool",
        "model",
        "sandbox",
        "n_requests",
        "n_tokens",
        "pr_url",
    )
    rows = [{"what": name, "value": str(getattr(job, name) or "")} for name in names]
    rows.append({"what": "cost so far (USD)", "value": f"{job.cost_usd:.4f}"})
    create_table_artifact(key="fix-state", table=rows, description=f"Job {job.job_id}")
