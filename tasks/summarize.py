"""Titles and summaries of clusters that changed. Clusters named before a failure keep their names."""

from __future__ import annotations

from prefect import task

from soulcaster.models import SummarizeReport
from soulcaster.settings import load_settings
from tasks import artifacts, policies


@task(name="summarize", **policies.patient())
def summarize(project: str) -> SummarizeReport:
    """How many clusters were named, and by what."""
    from soulcaster.summarize import summarize as name_clusters

    settings = load_settings()
    with artifacts.progress("summarize-progress", "Naming clusters") as on_progress:
        report = name_clusters(settings, project, on_progress=on_progress)
    artifacts.counts_table("summarize-counts", report, f"Naming pass over project {project}")
    return report
