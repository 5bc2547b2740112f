"""Erasures that were begun and not ended. Waits for the slot of heavy work: a grouping must not read meanwhile."""

from __future__ import annotations

from prefect import task
from prefect.concurrency.sync import concurrency

from soulcaster.settings import load_settings
from tasks import artifacts, policies


@task(name="finish erasures", **policies.patient())
def finish_erasures(project: str) -> int:
    """How many were brought to their end."""
    from soulcaster.erase import finish_erasures as finish

    with concurrency(policies.HEAVY_LIMIT, strict=True, raise_on_lease_renewal_failure=False):
        reports = finish(load_settings(), project, actor="flow erase")
    for report in reports:
        artifacts.counts_table("erase-counts", report, f"Erasure {report.erasure_id} in project {project}")
    return len(reports)
