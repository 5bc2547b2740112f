"""One re-clustering of a project. All or nothing: its run is written in one transaction at the end."""

from __future__ import annotations

from prefect import task
from prefect.concurrency.sync import concurrency

from soulcaster.models import ReclusterReport
from soulcaster.settings import load_settings
from tasks import artifacts, policies


@task(name="recluster", **policies.patient())
def recluster(project: str, *, dry_run: bool) -> ReclusterReport:
    """What was found; waits for its turn on the machine's cores."""
    from soulcaster.recluster import recluster as regroup

    settings = load_settings()
    with (
        concurrency(policies.HEAVY_LIMIT, strict=True, raise_on_lease_renewal_failure=False),
        artifacts.progress("recluster-progress", "Grouping items") as on_progress,
    ):
        report = regroup(settings, project, dry_run=dry_run, on_progress=on_progress)
    artifacts.counts_table("recluster-counts", report, f"Re-clustering of project {project}")
    return report
