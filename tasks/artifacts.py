"""What a run page shows: a table of counts, a bar that moves, a sentence on what to look at next.

Keys are stable, so that Prefect keeps every key's history over runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from pydantic import BaseModel

from soulcaster.configured import ConfiguredSource
from soulcaster.fix_models import Job, PortfolioRow
from soulcaster.models import ImportReport

_SECONDS_BETWEEN_UPDATES = 1.0


@contextmanager
def progress(key: str, what: str) -> Iterator[Callable[[int, int], None]]:
    """`on_progress(done, total)` that moves a progress artifact, at most once a second; made by the first call.

    A total of 0 means unknown: the bar stays where it is and the text counts. What has nothing to do has no bar.
    """
    artifact: UUID | None = None
    last_at = 0.0
    latest = (0, 0)

    def on_progress(done: int, total: int) -> None:
        nonlocal artifact, last_at, latest
        latest = (done, total)
        now = time.monotonic()
        if artifact is None:
            made = create_progress_artifact(progress=0.0, key=key, description=what)
            assert isinstance(made, UUID)  # noqa: S101  a coroutine only inside async code; tells the type checker
            artifact = made
        if now - last_at < _SECONDS_BETWEEN_UPDATES:
            return
        last_at = now
        percent = min(100.0, 100.0 * done / total) if total else 0.0
        text = f"{what}: {done:,} of {total:,}" if total else f"{what}: {done:,} so far"
        update_progress_artifact(artifact, progress=percent, description=text)

    yield on_progress
    if artifact is not None:
        update_progress_artifact(artifact, progress=100.0, description=f"{what}: done, {latest[0]:,}")


def counts_table(key: str, report: BaseModel, what: str) -> None:
    """A step's report as a table artifact, one row a figure."""
    rows = [{"figure": name, "value": str(value)} for name, value in report.model_dump().items()]
    create_table_artifact(table=rows, key=key, description=what)


def import_table(key: str, report: ImportReport, what: str) -> None:
    """The counts of an import as a table artifact; ignored and quarantined rows by their reason."""
    rows = [{"outcome": name, "items": getattr(report, name)} for name in ("new", "changed", "unchanged")]
    rows += [{"outcome": f"ignored: {reason}", "items": n} for reason, n in sorted(report.ignored.items())]
    rows += [{"outcome": f"quarantined: {reason}", "items": n} for reason, n in sorted(report.quarantined.items())]
    create_table_artifact(table=rows, key=key, description=what)


def sources_table(key: str, sources: list[ConfiguredSource], what: str) -> None:
    """Configured sources with their state, one row each."""
    names = ("source_id", "state", "state_since", "way", "pulled_at", "is_paused", "message")
    rows = [{name: str(getattr(source, name) or "") for name in names} for source in sources]
    create_table_artifact(table=rows, key=key, description=what)


def jobs_table(key: str, jobs: list[Job], what: str) -> None:
    """Jobs with their status, one row each."""
    names = ("job_id", "status", "cluster_id", "repository", "verdict", "cost_usd", "pr_url", "reason")
    rows = [{name: str(getattr(job, name) or "") for name in names} for job in jobs]
    create_table_artifact(table=rows, key=key, description=what)


def portfolio_table(key: str, rows: list[PortfolioRow], what: str) -> None:
    """Clusters with what becomes of them, one row each; their titles may be strangers' words and are left out."""
    names = ("state", "priority", "trust", "repository", "cluster_id", "job_id", "reason")
    table = [{name: str(getattr(row, name)) for name in names} for row in rows]
    create_table_artifact(table=table, key=key, description=what)


def next_step(key: str, sentence: str) -> None:
    """A sentence, as markdown, on what a person should look at now."""
    create_markdown_artifact(markdown=sentence, key=key, description="What to look at next")
