"""History into the store, window by window. Started again it goes on with the windows that are not done."""

from __future__ import annotations

from prefect import flow
from pydantic import AwareDatetime, BaseModel, Field

from soulcaster.models import Source
from soulcaster.sources.tabular import ColumnMap
from soulcaster.windows import BackfillReport
from tasks.artifacts import progress
from tasks.backfill import plan, read_window, tell
from tasks.naming import open_project, run_name


class BackfillParams(BaseModel):
    """What to fetch."""

    project: str | None = Field(
        default=None, min_length=1, max_length=64, description="Project; SOULCASTER_PROJECT when empty."
    )
    target: str = Field(
        default="",
        max_length=4096,
        description="A configured source such as github:owner/repo, or a file or folder on the worker's machine.",
    )
    start: AwareDatetime | None = Field(default=None, description="From this time on; a source needs it.")
    end: AwareDatetime | None = Field(default=None, description="To before this time; now when empty, for a source.")
    window: str | None = Field(
        default=None, max_length=10, description="Length of a source's windows: 12h, 7d or 2w; 7d when empty."
    )
    source: Source = Field(default="manual", description="What an archive holds.")
    mapping: str | None = Field(
        default=None, min_length=2, max_length=40, description="Mapping that reads an archive, in place of the source."
    )
    columns: ColumnMap = Field(
        default_factory=ColumnMap, description="Which column of an archive's tables is what; guessed where empty."
    )


@flow(name="backfill", flow_run_name=run_name)
def backfill(params: BackfillParams = BackfillParams()) -> BackfillReport:
    """Counts of this run. A window that fails is a failed task; a source that refuses is asked no further."""
    from soulcaster.backfill import read_windows

    project = open_project(params.project)
    windows = plan(project, params.model_dump(exclude={"project"}))
    with progress("backfill-progress", f"Windows of {params.target}") as on_progress:
        report = read_windows(windows, lambda each: read_window(project, each.window_id, each.title), on_progress)
    tell(project, params.target, report)
    return report
