"""Feedback into the store: from a file, the sample, the inbox. Redone whole after a failure, which doubles nothing."""

from __future__ import annotations

from pathlib import Path

from prefect import task

from soulcaster.models import ImportReport, Source
from soulcaster.settings import load_settings
from soulcaster.sources.tabular import ColumnMap
from tasks import artifacts, policies


@task(
    task_run_name="import {path}",
    **policies.patient(timeout_seconds=policies.IMPORT_TIMEOUT_SECONDS),
)
def import_file(project: str, path: str, source: Source, columns: ColumnMap) -> ImportReport:
    """Counts of one file or folder; a file that cannot be what it says fails the task with one sentence."""
    from soulcaster.ingest import import_path

    settings = load_settings()
    with artifacts.progress("import-progress", f"Importing {Path(path).name}") as on_progress:
        report = import_path(settings, project, Path(path), source, columns, on_progress=on_progress)
    artifacts.import_table("import-counts", report, f"Import of {Path(path).name} into project {project}")
    return report


@task(name="import sample", **policies.patient())
def import_bundled_sample(project: str) -> ImportReport:
    """Counts of the bundled sample."""
    from soulcaster.ingest import import_sample

    settings = load_settings()
    with artifacts.progress("import-progress", "Importing the bundled sample") as on_progress:
        report = import_sample(settings, project, on_progress=on_progress)
    artifacts.import_table("import-counts", report, f"Bundled sample into project {project}")
    return report


@task(name="drain inbox", **policies.patient(retry_condition_fn=policies.retry_soon))
def drain_inbox(project: str) -> ImportReport:
    """Counts of what the receiver has taken in since the last drain."""
    from soulcaster.drain import drain_inbox as drain

    settings = load_settings()
    with artifacts.progress("drain-progress", "Draining the inbox") as on_progress:
        report = drain(settings, project, on_progress=on_progress)
    artifacts.import_table("drain-counts", report, f"Received bodies into project {project}")
    return report
