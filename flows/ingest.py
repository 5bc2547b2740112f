"""Take feedback in: pull every configured source, drain the webhook inbox, import the file that is named."""

from __future__ import annotations

from prefect import flow
from pydantic import BaseModel, Field

from soulcaster.configured import PullReport, parse_source_id
from soulcaster.models import ImportReport, Source
from soulcaster.sources.tabular import ColumnMap
from tasks.artifacts import next_step
from tasks.ingest import drain_inbox, import_file
from tasks.naming import open_project, run_name
from tasks.pull import list_sources, pull, tell_sources


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
    only: str | None = Field(
        default=None, min_length=1, max_length=200, description="Pull this source and no other, at once: 'kind:name'."
    )
    source: Source = Field(default="manual", description="What the file holds.")
    columns: ColumnMap = Field(default_factory=ColumnMap, description="Which column is what; guessed where empty.")


@flow(name="ingest", flow_run_name=run_name)
def ingest(params: IngestParams = IngestParams()) -> ImportReport:
    """Counts over inbox, sources and file. A source that fails is a failed task of its own and stops nobody."""
    project = open_project(params.project)
    drained = drain_inbox(project, return_state=True)
    chosen = [parse_source_id(params.only)] if params.only else list_sources(project)
    pulls = [pull(project, kind, name, is_forced=bool(params.only), return_state=True) for kind, name in chosen]
    pulled = [state.result(raise_on_failure=False) for state in pulls]
    report = sum((each.counts for each in pulled if isinstance(each, PullReport)), ImportReport())
    needs_a_person = tell_sources(project) if pulls else ""
    if params.path:
        report += import_file(project, params.path, params.source, params.columns)
    report += drained.result()
    next_step(
        "ingest",
        f"**{report.new:,} new** and {report.changed:,} changed items in project `{project}`; they are embedded by the "
        f"next `embed` run. {sum(report.quarantined.values()):,} rows went to quarantine: see the app, *Quarantine*."
        + needs_a_person,
    )
    return report
