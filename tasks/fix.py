"""Jobs moved by flows. A task that dies loses nothing: the row says where the job is, whoever comes next goes on."""

from __future__ import annotations

from prefect import task

from soulcaster.fix_models import Job, PortfolioRow
from soulcaster.settings import load_settings
from tasks import artifacts, fix_artifacts, policies


@task(name="start fix", **policies.patient())
def start_fix(project: str, cluster: str, repository: str, *, dry_run: bool, actor: str) -> Job:
    """A new job, as a row."""
    from soulcaster.fix import start

    return start(load_settings(), project, cluster, actor=actor, repository=repository or None, dry_run=dry_run)


@task(name="approve fix", **policies.patient())
def approve_fix(project: str, job_id: str, *, actor: str, reason: str) -> Job:
    """The job, allowed to go on."""
    from soulcaster.fix import approve

    return approve(load_settings(), project, job_id, actor=actor, reason=reason)


@task(
    name="work on fix",
    **policies.patient(timeout_seconds=policies.FIX_TIMEOUT_SECONDS, retry_condition_fn=policies.retry_soon),
)
def work_on_fix(project: str, job_id: str, *, actor: str) -> Job:
    """The job when it has ended, or waits for a person, a switch or a budget; the run page shows every step."""
    from soulcaster.fix import follow_job
    from soulcaster.launching import make_launcher

    settings = load_settings()

    def show(_job: Job) -> None:
        fix_artifacts.show_job(settings, project, job_id)

    fix_artifacts.show_job(settings, project, job_id)
    return follow_job(settings, project, job_id, make_launcher(settings), actor=actor, on_change=show)


@task(name="reconcile", **policies.patient())
def reconcile(project: str) -> list[Job]:
    """All open jobs, as far as they go now."""
    from soulcaster.fix import reconcile as bring_on
    from soulcaster.launching import make_launcher

    settings = load_settings()
    found = bring_on(settings, project, make_launcher(settings), actor="flow reconcile")
    artifacts.jobs_table("reconcile", found, f"Open jobs of project {project}")
    return found


@task(name="portfolio", **policies.patient())
def portfolio(project: str, *, is_begun: bool, actor: str) -> list[PortfolioRow]:
    """Which clusters are next, begun when wanted, and why each other one waits."""
    from soulcaster.portfolio import begin, plan

    rows = (begin if is_begun else plan)(load_settings(), project, actor=actor)
    artifacts.portfolio_table("portfolio", rows, f"Clusters of project {project}, the next first")
    return rows


def cancel_fixes(project: str, actor: str, job_id: str = "") -> list[str]:
    """Ids of the open jobs that the actor started, and of the one named, each ended now with its agent."""
    from soulcaster.errors import SoulcasterError
    from soulcaster.fix import cancel
    from soulcaster.run_bundle import list_jobs

    settings = load_settings()
    ended = []
    for job in list_jobs(settings, project, is_open=True, limit=1000):
        if job.actor == actor or job.job_id == job_id:
            try:
                cancel(settings, project, job.job_id, actor=actor, reason="its flow run was cancelled")
            except SoulcasterError:
                continue  # it ended by itself meanwhile, or `reconcile` will stop its agent
            ended.append(job.job_id)
    return ended
