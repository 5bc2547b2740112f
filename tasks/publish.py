"""A proposal, or an earlier run, on show: by the wish of a person."""

from __future__ import annotations

from prefect import task

from soulcaster.settings import load_settings
from tasks import policies


@task(name="publish", **policies.patient())
def publish(project: str, run: str, *, actor: str, go_back: bool, force: bool) -> str:
    """Id of the run that is on show now."""
    from soulcaster.publish import publish as show
    from soulcaster.publish import rollback

    if go_back:
        return rollback(load_settings(), project, run, actor=actor).run_id
    return show(load_settings(), project, run, actor=actor, force=force).run_id
