"""Vectors for texts that have none. What is embedded stays when a batch fails: the next attempt starts there."""

from __future__ import annotations

from prefect import task
from prefect.concurrency.sync import concurrency

from soulcaster.models import EmbedReport
from soulcaster.settings import load_settings
from tasks import artifacts, policies


@task(name="embed missing", **policies.patient(timeout_seconds=policies.EMBED_TIMEOUT_SECONDS))
def embed(project: str) -> EmbedReport:
    """What one embedding pass did; waits for its turn on the machine's cores."""
    from soulcaster.embed import embed_missing

    settings = load_settings()
    with (
        concurrency(policies.HEAVY_LIMIT, strict=True, raise_on_lease_renewal_failure=False),
        artifacts.progress("embed-progress", "Embedding texts") as on_progress,
    ):
        report = embed_missing(settings, project, on_progress=on_progress)
    artifacts.counts_table("embed-counts", report, f"Embedding pass over project {project}")
    return report
