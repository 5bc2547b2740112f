"""Our pull requests in one repository, looked at; a forge that asked to be left alone is, until the time it named."""

from __future__ import annotations

from prefect import task

from soulcaster.fix_models import FollowReport, Regression
from soulcaster.settings import load_settings
from tasks import artifacts, policies


@task(name="list followed", **policies.patient())
def list_followed(project: str) -> list[str]:
    """Repositories in which something of ours is open or waits."""
    from soulcaster.follow import list_followed as find

    return find(load_settings(), project)


@task(
    task_run_name="follow {repository}",
    **policies.patient(retry_condition_fn=policies.retry_soon),
)
def follow(project: str, repository: str) -> FollowReport:
    """What became of our pull requests there."""
    from soulcaster.follow import follow as look

    report = look(load_settings(), project, repository)
    artifacts.counts_table("follow-counts", report, f"Pull requests in {repository}")
    return report


@task(name="note regressions", **policies.patient())
def note_regressions(project: str) -> list[Regression]:
    """Fixed clusters that people report again."""
    from soulcaster.follow import note_regressions as note

    return note(load_settings(), project)
