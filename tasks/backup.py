"""One backup into the folder that settings name. Writers wait while the store's file is copied, nobody else."""

from __future__ import annotations

from prefect import task
from prefect.logging import get_run_logger

from soulcaster.backup import BackupReport
from soulcaster.settings import load_settings
from tasks import artifacts, policies


@task(name="backup", **policies.patient())
def backup() -> BackupReport | None:
    """What was copied, and how many older ones were deleted."""
    from soulcaster.backup import backup as copy

    settings = load_settings()
    if settings.backup_folder is None:
        get_run_logger().info("No backup was made: SOULCASTER_BACKUP_FOLDER names no folder.")
        return None
    with artifacts.progress("backup-progress", "Copying store, vectors, inbox and job folders") as on_progress:
        report = copy(settings, settings.backup_folder, keep=settings.backup_keep, on_progress=on_progress)
    artifacts.counts_table("backup-counts", report, "Backup")
    return report
