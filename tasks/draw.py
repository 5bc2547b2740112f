"""The map of the run on show. Written once a run, in one transaction; a second attempt finds it there."""

from __future__ import annotations

from prefect import task
from prefect.concurrency.sync import concurrency

from soulcaster.models import DrawReport
from soulcaster.settings import load_settings
from tasks import artifacts, policies


@task(name="draw", **policies.patient())
def draw(project: str) -> DrawReport:
    """How many clusters were laid out; waits for its turn on the machine's cores."""
    from soulcaster.draw import draw as lay_out

    settings = load_settings()
    with (
        concurrency(policies.HEAVY_LIMIT, strict=True, raise_on_lease_renewal_failure=False),
        artifacts.progress("draw-progress", "Drawing the map") as on_progress,
    ):
        report = lay_out(settings, project, on_progress=on_progress)
    artifacts.counts_table("draw-counts", report, f"Map of project {project}")
    return report
