"""What the product would have shown, had it run then: stored history, grouped again day by day.

Works in a store of its own that is thrown away; vectors are read from the home's index. Every step groups all that had
been said by then and is put on show, whatever it moves. Edits of people are not replayed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
from pydantic import AwareDatetime, BaseModel, Field

from soulcaster import db
from soulcaster.clustering.quality import GroupingQuality, measure
from soulcaster.db import history
from soulcaster.embed import embed_missing
from soulcaster.errors import PermanentError
from soulcaster.publish import list_runs
from soulcaster.recluster import recluster
from soulcaster.settings import Settings
from soulcaster.sources.tabular import ColumnMap, read_table

MOST_STEPS = 1_000


class Step(BaseModel):
    """One grouping of the replay."""

    at: AwareDatetime = Field(description="Only what was said before is known.")
    n_items: int
    n_new: int = Field(description="Items since the step before.")
    n_clusters: int
    n_noise: int
    ids_kept: float | None = Field(description="Share of clustered items that keep their cluster's id; null at first.")
    seconds: float
    quality: GroupingQuality | None = Field(description="Against the labels, over items that have one.")


class Detection(BaseModel):
    """When a cluster of the last step could have been seen first."""

    cluster_id: str
    n_items: int = Field(description="Items at the last step.")
    first_at: AwareDatetime = Field(description="Its first report.")
    shown_at: AwareDatetime = Field(description="First step that showed it under its id.")
    n_when_shown: int = Field(description="Its items at that step.")

    @property
    def delay_days(self) -> float:
        """From its first report to its first appearance."""
        return (self.shown_at - self.first_at) / timedelta(days=1)


class Backtest(BaseModel):
    """A replay: its steps, and how soon clusters were seen whose first report came after the first step."""

    steps: list[Step]
    detections: list[Detection]
    median_delay_days: float | None
    p90_delay_days: float | None


def backtest(
    settings: Settings,
    project_id: str,
    *,
    start: datetime,
    end: datetime | None = None,
    every: timedelta = timedelta(days=1),
    labels: dict[str, str] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Backtest:
    """Group what was known at `start`, then at every step up to `end`; the last step is at or after `end`.

    Args:
        settings: the store that is read, never written but for missing vectors.
        project_id: whose history.
        start: aware; the first grouping.
        end: aware; just after the newest item when not given.
        every: time between two groupings.
        labels: true group by external id; items without one do not count for quality.
        on_progress: called with (steps done, steps).

    Raises:
        PermanentError: nothing was said by then, the times make no sense, there would be more than 1,000 steps, or no
            label is of an item.
    """
    wait = settings.lock_timeout_seconds
    items = db.read(settings.duckdb_path, lambda con: history.load_items(con, project_id), timeout_seconds=wait)
    times = _times(items, project_id, start, end, every)
    if labels is not None:
        _check_labels(items, project_id, labels)
    embed_missing(settings, project_id)
    with tempfile.TemporaryDirectory(prefix="soulcaster-backtest-") as folder:
        own = _scratch(settings, Path(folder))
        steps: list[Step] = []
        members: list[pl.DataFrame] = []
        before = None
        for number, at in enumerate(times):
            if on_progress is not None:
                on_progress(number, len(times))
            known = items.filter(pl.col("said_at") < at)
            new = known if before is None else known.filter(pl.col("said_at") >= before)
            step, shown = _step(own, project_id, at, known, new, labels)
            steps.append(step)
            members.append(shown)
            before = at
    detections = _detections(items, times, members)
    delays = [each.delay_days for each in detections]
    median, p90 = np.quantile(delays, [0.5, 0.9]).tolist() if delays else (None, None)
    return Backtest(steps=steps, detections=detections, median_delay_days=median, p90_delay_days=p90)


def load_labels(path: Path, id_column: str, label_column: str) -> dict[str, str]:
    """True group by external id, from a file of either kind `import` takes; rows without a group are left out.

    Raises:
        PermanentError: the file cannot be read, or lacks one of the columns.
    """
    columns = ColumnMap(id=id_column, label=label_column, text=id_column)
    found: dict[str, str] = {}
    for batch in read_table(path, "manual", columns):
        pairs = zip(batch.frame["external_id"], batch.labels, strict=True)
        found.update({key: label.strip() for key, label in pairs if label and label.strip()})
    return found


def _check_labels(items: pl.DataFrame, project_id: str, labels: dict[str, str]) -> None:
    if not items["external_id"].is_in(list(labels)).any():
        raise PermanentError(
            f"Replaying project {project_id!r} found none of its items among the {len(labels):,} labels, whose ids "
            f"begin with {next(iter(labels), '')[:40]!r}, where those of items are like "
            f"{items['external_id'][0][:40]!r}; name the column with the source's id: --id-column."
        )


def _times(
    items: pl.DataFrame, project_id: str, start: datetime, end: datetime | None, every: timedelta
) -> list[datetime]:
    said: list[datetime] = [items["said_at"][0], items["said_at"][-1]] if items.height else []
    if not said or start <= said[0]:
        first = f"the first report of {said[0]:%Y-%m-%d %H:%M}" if said else "no report at all"
        raise PermanentError(
            f"Replaying project {project_id!r} from {start:%Y-%m-%d %H:%M} found nothing said before, expected a start "
            f"after {first}."
        )
    last = end or said[1] + timedelta(microseconds=1)
    if every <= timedelta(0) or last < start or (last - start) / every > MOST_STEPS:
        raise PermanentError(
            f"Replaying project {project_id!r} from {start:%Y-%m-%d} to {last:%Y-%m-%d} every {every} expected an end "
            f"after the start and at most {MOST_STEPS:,} steps; choose longer steps."
        )
    times = [start]
    while times[-1] < last:
        times.append(times[-1] + every)
    return times


def _scratch(settings: Settings, home: Path) -> Settings:
    settings.lancedb_path.mkdir(parents=True, exist_ok=True)
    (home / "lancedb").symlink_to(settings.lancedb_path.resolve(), target_is_directory=True)
    own = settings.model_copy(update={"home": home, "auto_publish_max_churn": 1.0})
    db.migrate(own.duckdb_path)
    return own


def _step(
    own: Settings, project_id: str, at: datetime, known: pl.DataFrame, new: pl.DataFrame, labels: dict[str, str] | None
) -> tuple[Step, pl.DataFrame]:
    if new.height:
        db.write(own.duckdb_path, lambda con: history.add_items(con, new))
    report = recluster(own, project_id)
    churn = list_runs(own, project_id, limit=1)[0].churn
    shown = db.read(own.duckdb_path, lambda con: history.list_members(con, project_id))
    step = Step(
        at=at,
        n_items=report.n_items,
        n_new=new.height,
        n_clusters=report.n_clusters,
        n_noise=report.n_noise,
        ids_kept=churn.n_kept / churn.n_clustered if churn and churn.n_clustered else None,
        seconds=report.seconds,
        quality=_quality(known, shown, labels) if labels else None,
    )
    return step, shown


def _quality(known: pl.DataFrame, shown: pl.DataFrame, labels: dict[str, str]) -> GroupingQuality:
    truth = pl.DataFrame(
        {"external_id": labels.keys(), "label": labels.values()}, schema_overrides={"label": pl.String}
    )
    rows = shown.join(known.select("item_id", "external_id"), on="item_id").join(truth, on="external_id")
    codes = [rows[name].rank("dense").cast(pl.Int64).fill_null(-1).to_numpy() for name in ("cluster_id", "label")]
    return measure(codes[0], codes[1])


def _detections(items: pl.DataFrame, times: list[datetime], members: list[pl.DataFrame]) -> list[Detection]:
    """For clusters of the last step whose first report came after the first step, largest first."""
    sizes = [part.drop_nulls("cluster_id").group_by("cluster_id").len("n") for part in members]
    seen = pl.concat(
        [part.with_columns(shown_at=pl.lit(at.astimezone(UTC))) for at, part in zip(times, sizes, strict=True)]
    )
    first = seen.sort("shown_at").group_by("cluster_id", maintain_order=True).first()
    begun = members[-1].drop_nulls("cluster_id").join(items.select("item_id", "said_at"), on="item_id")
    begun = begun.group_by("cluster_id").agg(first_at=pl.col("said_at").min(), n_items=pl.len())
    rows = begun.filter(pl.col("first_at") >= times[0]).join(first, on="cluster_id")
    return [
        Detection(
            cluster_id=row["cluster_id"],
            n_items=row["n_items"],
            first_at=row["first_at"],
            shown_at=row["shown_at"],
            n_when_shown=row["n"],
        )
        for row in rows.sort("n_items", "cluster_id", descending=[True, False]).iter_rows(named=True)
    ]
