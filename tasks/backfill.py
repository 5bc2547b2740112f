"""The windows of a backfill: planned once, each read as a task of its own that can be tried again alone."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from prefect import task
from prefect.concurrency.sync import concurrency

from soulcaster.settings import load_settings
from soulcaster.windows import BackfillReport, Window
from tasks import artifacts, policies


@task(name="plan backfill", **policies.patient())
def plan(project: str, request: dict[str, Any]) -> list[Window]:
    """The windows, each as far as earlier runs brought it; `request` holds the fields of a `BackfillRequest`."""
    from soulcaster.backfill import BackfillRequest
    from soulcaster.backfill import plan as plan_windows

    return plan_windows(load_settings(), project, BackfillRequest.model_validate(request))


@task(
    task_run_name="window {title}",
    **policies.patient(timeout_seconds=policies.IMPORT_TIMEOUT_SECONDS, retry_condition_fn=policies.retry_soon),
)
def read_window(project: str, window_id: UUID, title: str) -> Window | None:
    """The window when it is done, None when it is another run's.

    It waits for the machine's cores, which live intake never does.
    """
    from soulcaster.backfill import run_window

    with (
        concurrency(policies.HEAVY_LIMIT, strict=True, raise_on_lease_renewal_failure=False),
        artifacts.progress("backfill-window", f"Reading {title}") as on_progress,
    ):
        return run_window(load_settings(), project, window_id, on_progress=on_progress)


def tell(project: str, target: str, report: BackfillReport) -> None:
    """Counts, what failed, and whether the deployment is to be started again, on the run's page."""
    artifacts.import_table("backfill-counts", report.counts, f"Backfill of {target} into project {project}")
    left = f" **{report.n_left:,} are left: start the deployment again.**" if report.n_left else ""
    shared = f", {report.n_elsewhere:,} are another run's" if report.n_elsewhere else ""
    notes = "".join(f"\n- {note}" for note in report.notes)
    artifacts.next_step(
        "backfill",
        f"**{report.counts.new:,} new** and {report.counts.changed:,} changed items in project `{project}` from "
        f"{report.n_read:,} windows of {report.n_windows:,}; {report.n_before:,} were done before{shared}.{left}\n"
        f"{notes}",
    )
