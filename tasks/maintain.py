"""Housekeeping of store and index. Short: holds no core for long."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from soulcaster.models import MaintainReport
from soulcaster.settings import load_settings
from tasks import artifacts, policies


@task(
    name="maintain",
    retries=policies.RETRIES,
    retry_delay_seconds=policies.RETRY_DELAYS_SECONDS,
    retry_jitter_factor=0.3,
    retry_condition_fn=policies.retry_transient,
    timeout_seconds=policies.STEP_TIMEOUT_SECONDS,
    cache_policy=NO_CACHE,
)
def maintain(project: str) -> MaintainReport:
    """What was forgotten and put in order."""
    from soulcaster.maintain import maintain as keep_house

    report = keep_house(load_settings(), project, actor="flow maintain")
    artifacts.counts_table("maintain-counts", report, f"Housekeeping of project {project}")
    return report
