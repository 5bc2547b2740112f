"""Everything in one run: take in, embed, group, name. The first run of a fresh install, and the nightly one."""

from __future__ import annotations

from prefect import flow
from pydantic import BaseModel, Field

from soulcaster.models import ReclusterReport, Source
from soulcaster.sources.tabular import ColumnMap
from tasks.artifacts import next_step
from tasks.draw import draw
from tasks.embed import embed
from tasks.ingest import drain_inbox, import_bundled_sample, import_file
from tasks.naming import open_project, run_name
from tasks.recluster import recluster
from tasks.restate import restate
from tasks.suggest import suggest
from tasks.summarize import summarize


class RefreshParams(BaseModel):
    """What to take in before grouping."""

    project: str | None = Field(
        default=None, min_length=1, max_length=64, description="Project; SOULCASTER_PROJECT when empty."
    )
    sample: bool = Field(default=False, description="Take in the bundled sample first.")
    path: str | None = Field(
        default=None, min_length=1, max_length=4096, description="Take in this file or folder on the worker's machine."
    )
    source: Source = Field(default="manual", description="What the file holds.")
    columns: ColumnMap = Field(default_factory=ColumnMap, description="Which column is what; guessed where empty.")


@flow(name="refresh", flow_run_name=run_name)
def refresh(params: RefreshParams = RefreshParams()) -> ReclusterReport:
    """What the grouping found."""
    project = open_project(params.project)
    drain_inbox(project)
    if params.sample:
        import_bundled_sample(project)
    if params.path:
        import_file(project, params.path, params.source, params.columns)
    restate(project)
    embed(project)
    report = recluster(project, dry_run=False)
    named = summarize(project)
    suggest(project)
    draw(project)
    next_step(
        "refresh",
        f"**{report.n_clusters:,} clusters** from {report.n_items:,} items in project `{project}`, {named.n_titled:,} "
        f"of them newly named, {report.n_noise:,} items stand alone. Look at the largest clusters in the app.",
    )
    return report
