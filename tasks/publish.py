"""A proposal, or an earlier run, on show: by the wish of a person."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from soulcaster.settings import load_settings
from tasks import policies


@task(
    name="publish",
    retries=policies.RETRIES,
    retry_delay_seconds=policies.RETRY_DELAYS_SECONDS,
    retry_jitter_factor=0.3,
    retry_condition_fn=policies.retry_transient,
    timeout_seconds=policies.STEP_TIMEOUT_SECONDS,
    cache_policy=NO_CACHE,
)
def publish(project: str, run: str, *, actor: str, go_back: bool, force: bool) -> str:
    """Id of the run that is on show now."""
    from soulcaster.publish import publish as show
    from soulcaster.publish import rollback

    if go_back:
        return rollback(load_settings(), project, run, actor=actor).run_id
    return show(load_settings(), project, run, actor=actor, force=force).run_id
