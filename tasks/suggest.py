"""Merges that a model suggests. What was answered before a failure is kept and not asked again."""

from __future__ import annotations

from prefect import task

from soulcaster.models import SuggestReport
from soulcaster.settings import load_settings
from tasks import artifacts, policies


@task(name="suggest", **policies.patient())
def suggest(project: str) -> SuggestReport:
    """How many near pairs of clusters may be one problem."""
    from soulcaster.suggest import suggest as ask

    settings = load_settings()
    with artifacts.progress("suggest-progress", "Asking about near clusters") as on_progress:
        report = ask(settings, project, on_progress=on_progress)
    artifacts.counts_table("suggest-counts", report, f"Suggested merges in project {project}")
    return report
