"""Titles and summaries of clusters that changed. Clusters named before a failure keep their names."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from soulcaster.models import SummarizeReport
from soulcaster.settings import load_settings
from tasks import artifacts, policies


@task(
    name="summarize",
    retries=policies.RETRIES,
    retry_delay_seconds=policies.RETRY_DELAYS_SECONDS,
    retry_jitter_factor=0.3,
    retry_condition_fn=policies.retry_transient,
    timeout_seconds=policies.STEP_TIMEOUT_SECONDS,
    cache_policy=NO_CACHE,
)
def summarize(project: str) -> SummarizeReport:
    """How many clusters were named, and by what."""
    from soulcaster.summarize import summarize as name_clusters

    settings = load_settings()
    with artifacts.progress("summarize-progress", "Naming clusters") as on_progress:
        report = name_clusters(settings, project, on_progress=on_progress)
    artifacts.counts_table("summarize-counts", report, f"Naming pass over project {project}")
    return report
