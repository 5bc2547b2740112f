"""Housekeeping of store and index. Short: holds no core for long."""

from __future__ import annotations

from prefect import task

from soulcaster.models import MaintainReport
from soulcaster.settings import load_settings
from tasks import artifacts, policies


@task(name="maintain", **policies.patient())
def maintain(project: str) -> MaintainReport:
    """What was forgotten and put in order."""
    from soulcaster.maintain import maintain as keep_house

    report = keep_house(load_settings(), project, actor="flow maintain")
    artifacts.counts_table("maintain-counts", report, f"Housekeeping of project {project}")
    return report
