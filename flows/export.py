"""Write a table of the published run to `<home>/exports/`, for other people's scripts."""

from __future__ import annotations

from typing import Literal

from prefect import flow
from pydantic import BaseModel, Field

from tasks.export import export as write_table
from tasks.naming import open_project, run_name


class ExportParams(BaseModel):
    """Which table, and how the file is called."""

    project: str | None = Field(
        default=None, min_length=1, max_length=64, description="Project; SOULCASTER_PROJECT when empty."
    )
    kind: Literal["items", "clusters", "themes", "transitions"] = Field(default="items", description="Which table.")
    file_name: str = Field(
        default="items.parquet",
        max_length=120,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*\.(parquet|csv|jsonl)$",
        description="Name of the file in the folder `exports`; its ending chooses the format.",
    )


@flow(name="export", flow_run_name=run_name)
def export(params: ExportParams = ExportParams()) -> str:
    """Path of the file."""
    return write_table(open_project(params.project), params.kind, params.file_name)
