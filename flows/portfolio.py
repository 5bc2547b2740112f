"""Begin the next fixes by priority, trust and routing, within caps and budgets; say why each other cluster waits."""

from __future__ import annotations

from prefect import flow, runtime
from pydantic import BaseModel, Field

from soulcaster.fix_models import PortfolioRow
from tasks.artifacts import next_step
from tasks.fix import portfolio as choose
from tasks.naming import open_project, run_name


class PortfolioParams(BaseModel):
    """Whose clusters, and whether anything is begun."""

    project: str | None = Field(
        default=None, min_length=1, max_length=64, description="Project; SOULCASTER_PROJECT when empty."
    )
    begin: bool = Field(default=False, description="Begin the jobs that are next; otherwise only look.")


@flow(name="portfolio", flow_run_name=run_name)
def portfolio(params: PortfolioParams = PortfolioParams()) -> list[PortfolioRow]:
    """The clusters with what becomes of them; `reconcile` moves the jobs that were begun."""
    actor = f"flow portfolio {runtime.flow_run.id}"
    rows = choose(open_project(params.project), is_begun=params.begin, actor=actor)
    count = {state: sum(row.state == state for row in rows) for state in ("started", "next", "waits")}
    next_step(
        "portfolio",
        f"**{count['started']} begun**, {count['next']} next, {count['waits']} wait: the table `portfolio` says why.",
    )
    return rows
