"""Deletes what is older than it is kept. Short."""

from __future__ import annotations

from prefect import task

from soulcaster.retain import RetainReport
from soulcaster.settings import load_settings
from tasks import artifacts, policies


@task(name="retain", **policies.patient())
def retain(project: str, *, is_dry_run: bool) -> RetainReport:
    """What was too old."""
    from soulcaster.retain import retain as keep_for_days

    report = keep_for_days(load_settings(), project, actor="flow retain", is_dry_run=is_dry_run)
    artifacts.counts_table("retain-counts", report, f"Retention of project {project}")
    return report
