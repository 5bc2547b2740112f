"""Problem statements, before texts are embedded. What was answered before a failure is kept and not asked again."""

from __future__ import annotations

from prefect import task

from soulcaster.models import RestateReport
from soulcaster.settings import load_settings
from tasks import artifacts, policies


@task(name="restate", **policies.patient())
def restate(project: str) -> RestateReport:
    """How many texts were restated, and how many wait."""
    from soulcaster.restate import restate as state_problems

    settings = load_settings()
    with artifacts.progress("restate-progress", "Restating texts as problems") as on_progress:
        report = state_problems(settings, project, on_progress=on_progress)
    if settings.statements == "on":
        artifacts.counts_table("restate-counts", report, f"Problem statements of project {project}")
    return report
