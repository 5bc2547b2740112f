"""Give every text of a project a vector; texts that have one are not embedded again."""

from __future__ import annotations

from prefect import flow
from pydantic import BaseModel, Field

from soulcaster.models import EmbedReport
from tasks.artifacts import next_step
from tasks.embed import embed as embed_texts
from tasks.naming import open_project, run_name
from tasks.restate import restate


class EmbedParams(BaseModel):
    """Whose texts to embed."""

    project: str | None = Field(
        default=None, min_length=1, max_length=64, description="Project; SOULCASTER_PROJECT when empty."
    )


@flow(name="embed", flow_run_name=run_name)
def embed(params: EmbedParams = EmbedParams()) -> EmbedReport:
    """What the pass did."""
    project = open_project(params.project)
    stated = restate(project)
    report = embed_texts(project)
    waits = f" {stated.n_waiting:,} texts wait for their problem statement." if stated.n_waiting else ""
    next_step(
        "embed",
        f"**{report.n_embedded:,} of {report.n_texts:,}** texts were embedded now with `{report.model_id}`; the next "
        "`recluster` run groups them." + waits,
    )
    return report
