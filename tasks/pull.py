"""One configured source into the store. What was committed before a failure stays, and its cursor with it."""

from __future__ import annotations

from prefect import task

from soulcaster.configured import Kind, PullReport
from soulcaster.settings import load_settings
from tasks import artifacts, policies


@task(name="list sources", **policies.patient())
def list_sources(project: str) -> list[tuple[Kind, str]]:
    """Kind and name of the project's sources that are not paused."""
    from soulcaster.pull import list_sources as find

    return [(source.kind, source.name) for source in find(load_settings(), project) if not source.is_paused]


@task(
    task_run_name="pull {kind}:{name}",
    **policies.patient(retry_condition_fn=policies.retry_soon),
)
def pull(project: str, kind: Kind, name: str, *, is_forced: bool = False) -> PullReport:
    """What one source brought; one that asked to be left alone is, until the time it named, unless `is_forced`."""
    from soulcaster.pull import pull as pull_source

    settings = load_settings()
    with artifacts.progress("pull-progress", f"Pulling {kind} {name}") as on_progress:
        report = pull_source(settings, project, kind, name, is_forced=is_forced, on_progress=on_progress)
    artifacts.import_table("pull-counts", report.counts, f"Pull of {kind} {name} into project {project}")
    return report


@task(name="tell sources", **policies.patient())
def tell_sources(project: str) -> str:
    """A sentence on the sources that need a person, '' when none does; all of them go into a table artifact."""
    from soulcaster.pull import list_sources as find

    sources = find(load_settings(), project)
    artifacts.sources_table("sources", sources, f"Sources of project {project}")
    blocked = [source.source_id for source in sources if source.state == "blocked" and not source.is_paused]
    return f" **Blocked: {', '.join(blocked)}**; `soulcaster doctor` says what to do." if blocked else ""
