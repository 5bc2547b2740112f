"""New items into the run on show, and whether a re-clustering is due. Short: holds no core for long."""

from __future__ import annotations

from prefect import task

from soulcaster.models import AssignReport
from soulcaster.settings import load_settings
from tasks import artifacts, policies


@task(name="assign", **policies.patient())
def assign(project: str) -> AssignReport:
    """Where new items went."""
    from soulcaster.assign import assign as place

    report = place(load_settings(), project, actor="flow assign")
    artifacts.counts_table("assign-counts", report, f"New items of project {project}")
    return report


@task(name="needs refit", **policies.patient())
def needs_refit(project: str) -> str:
    """Why a re-clustering is due; '' when it is not."""
    from soulcaster.assign import needs_refit as ask

    return ask(load_settings(), project)
