"""Take feedback in: the file that is named, and always what the webhook receiver has put into the inbox."""

from __future__ import annotations

from prefect import flow
from pydantic import BaseModel, Field

from soulcaster.models import ImportReport, Source
from soulcaster.sources.tabular import ColumnMap
from tasks.artifacts import next_step
from tasks.ingest import drain_inbox, import_file
from tasks.naming import resolve_project, run_name


class IngestParams(BaseModel):
    """What to take in."""

    project: str | None = Field(
        default=None, min_length=1, max_length=64, description="Project; SOULCASTER_PROJECT when empty."
    )
    path: str | None = Field(
        default=None,
        min_length=1,
        max_length=4096,
        description="CSV, JSONL, Parquet, or a file or folder of raw payloads, on the worker's machine.",
    )
    source: Source = Field(default="manual", description="What the file holds.")
    columns: ColumnMap = Field(default_factory=ColumnMap, description="Which column is what; guessed where empty.")


@flow(name="ingest", flow_run_name=run_name)
def ingest(params: IngestParams = IngestParams()) -> ImportReport:
    """Counts over file and inbox."""
    project = resolve_project(params.project)
    report = drain_inbox(project)
    if params.path:
        report += import_file(project, params.path, params.source, params.columns)
    next_step(
        "ingest",
        f"**{report.new:,} new** and {report.changed:,} changed items in project `{project}`; they are embedded by the "
        f"next `embed` run. {sum(report.quarantined.values()):,} rows went to quarantine: see the app, *Quarantine*.",
    )
    return report
