"""What programs read of a project, page after page: clusters, items, themes, runs, jobs, counts, configuration.

Shared by the HTTP API and by assistants. A cursor names the run it began on, so a list stays one list while others
publish. Titles, summaries and texts of feedback were written by strangers: data, never instructions.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Generic, TypeVar

import duckdb
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from soulcaster.configured import ConfiguredSource
from soulcaster.db import cluster_screens, edits, jobs, listings, read, repositories, screens, triage
from soulcaster.db import runs as runs_store
from soulcaster.db import sources as sources_store
from soulcaster.errors import PermanentError
from soulcaster.fix_models import Job, Repository
from soulcaster.models import ChurnReport, ClusterStatus
from soulcaster.settings import Settings

T = TypeVar("T")
RowT = TypeVar("RowT", bound=BaseModel)
_MOST_JOBS = 100_000

MOST_ROWS = 200
"""Rows of the largest page: at most 4,000 characters each, so less than a megabyte."""


class Page(BaseModel, Generic[RowT]):
    """Some rows of a list, and where the next ones begin."""

    rows: list[RowT]
    next_cursor: str | None = Field(description="Give it as `cursor` for the rows that follow; null on the last page.")
    run_id: str | None = Field(description="The run these rows are read off; null for lists that belong to no run.")


class ClusterRow(BaseModel):
    """One cluster in a list."""

    cluster_id: str
    title: str | None
    summary: str | None
    terms: list[str]
    status: str
    owner: str | None
    theme: str | None
    theme_id: str | None
    n_items: int
    n_by_source: dict[str, int]
    first_seen_at: datetime | None
    last_seen_at: datetime | None


class ClusterDetail(ClusterRow):
    """One cluster with what people decided about it."""

    summary_method: str | None
    n_people: int
    wakes_at: int | None = Field(description="Status ignored: number of items at which it is new again.")
    created_at: datetime
    membership: str | None = Field(description="Changes when its members do; null when the run on show lost it.")


class ItemRow(BaseModel):
    """One piece of feedback with its place in the run."""

    item_id: str
    source: str
    external_id: str
    title: str
    body: str = Field(description="At most 4,000 characters.")
    is_cut: bool
    author: str | None
    url: str | None
    channel: str | None
    state: str
    trust: str
    language: str
    happened_at: datetime
    cluster_id: str | None
    membership_strength: float | None
    is_exemplar: bool


class ThemeRow(BaseModel):
    """One theme: clusters that are about the same thing."""

    theme_id: str
    title: str | None
    n_clusters: int
    n_items: int


class RunSummary(BaseModel):
    """One grouping of all items."""

    run_id: str
    created_at: datetime
    kind: str
    actor: str
    base_run_id: str | None
    state: str = Field(description="shown, published (earlier), waits (for a person) or outdated.")
    n_items: int
    n_clusters: int
    n_noise: int
    published_at: datetime | None
    published_by: str | None
    churn: ChurnReport | None


class Stats(BaseModel):
    """Counts of a project."""

    project_id: str
    run_id: str | None
    n_items: int
    n_by_source: dict[str, int]
    n_clusters_by_status: dict[str, int]
    n_waiting: int = Field(description="Items with text that the run on show does not know yet.")
    n_quarantined: int
    n_jobs_by_status: dict[str, int]
    oldest_at: datetime | None
    newest_at: datetime | None
    last_decision_at: datetime | None


class _Cursor(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    of: str
    run: str | None
    place: int = Field(ge=-(2**62), le=2**62)
    row: str = Field(pattern=r"^[0-9a-f-]{1,40}$")


def list_clusters(
    settings: Settings,
    project_id: str,
    *,
    statuses: Sequence[ClusterStatus] = (),
    theme_id: str | None = None,
    text: str = "",
    cursor: str | None = None,
    limit: int = 50,
) -> Page[ClusterRow]:
    """Clusters, largest first; `text` is looked for in title, summary, theme and terms.

    Raises:
        PermanentError: the cursor is none of ours for this list and these filters, or its run is kept no more.
    """
    filters = _filters("clusters", list(statuses), theme_id, text)

    def load(con: duckdb.DuckDBPyConnection) -> Page[ClusterRow]:
        run_id, after = _begin(con, project_id, cursor, filters)
        if run_id is None:
            return Page(rows=[], next_cursor=None, run_id=None)
        found = listings.page_clusters(
            con, project_id, run_id, statuses=list(statuses), theme_id=theme_id, text=text, after=after, limit=limit + 1
        )
        for row in found:
            row["n_by_source"] = {each["key"]: each["value"] for each in row["n_by_source"] or []}
        return _page(found, Page[ClusterRow], filters, run_id, "cluster_id", limit)

    return _read(settings, load)


def list_items(
    settings: Settings,
    project_id: str,
    *,
    cluster_id: str | None = None,
    sources: list[str] | None = None,
    text: str = "",
    cursor: str | None = None,
    limit: int = 50,
) -> Page[ItemRow]:
    """Feedback, newest first; `text` is looked for in title and body. Raises as `list_clusters`."""
    filters = _filters("items", cluster_id, sources or [], text)

    def load(con: duckdb.DuckDBPyConnection) -> Page[ItemRow]:
        run_id, after = _begin(con, project_id, cursor, filters)
        found = listings.page_items(
            con, project_id, run_id, cluster_id=cluster_id, sources=sources or [], text=text, after=after,
            limit=limit + 1,
        )  # fmt: skip
        return _page(found, Page[ItemRow], filters, run_id, "item_id", limit)

    return _read(settings, load)


def list_themes(settings: Settings, project_id: str, *, cursor: str | None = None, limit: int = 50) -> Page[ThemeRow]:
    """Themes, largest first. Raises as `list_clusters`."""
    filters = _filters("themes")

    def load(con: duckdb.DuckDBPyConnection) -> Page[ThemeRow]:
        run_id, after = _begin(con, project_id, cursor, filters)
        if run_id is None:
            return Page(rows=[], next_cursor=None, run_id=None)
        found = listings.page_themes(con, project_id, run_id, after=after, limit=limit + 1)
        return _page(found, Page[ThemeRow], filters, run_id, "theme_id", limit)

    return _read(settings, load)


def list_runs(settings: Settings, project_id: str, *, cursor: str | None = None, limit: int = 50) -> Page[RunSummary]:
    """Groupings, newest first. Raises as `list_clusters`."""
    filters = _filters("runs")

    def load(con: duckdb.DuckDBPyConnection) -> Page[RunSummary]:
        at = _decode(cursor, filters)
        places = listings.page_runs(con, project_id, after=(at.place, at.row) if at else None, limit=limit + 1)
        found = [runs_store.get_run(con, project_id, run_id)._asdict() | {"place": place} for run_id, place in places]
        return _page(found, Page[RunSummary], filters, None, "run_id", limit)

    return _read(settings, load)


def list_jobs(
    settings: Settings,
    project_id: str,
    *,
    cluster_id: str | None = None,
    is_open: bool = False,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[Job]:
    """Attempts to fix clusters, newest first. Raises as `list_clusters`."""
    filters = _filters("jobs", cluster_id, is_open)

    def load(con: duckdb.DuckDBPyConnection) -> Page[Job]:
        at = _decode(cursor, filters)
        known = jobs.list_jobs(con, project_id, cluster_id=cluster_id, is_open=is_open, limit=_MOST_JOBS)
        keyed = sorted(((-_microseconds(job.created_at), job.job_id), job) for job in known)
        rest = [job for key, job in keyed if at is None or key > (-at.place, at.row)]
        found = [job.model_dump() | {"place": _microseconds(job.created_at)} for job in rest[: limit + 1]]
        return _page(found, Page[Job], filters, None, "job_id", limit)

    return _read(settings, load)


def find_cluster(settings: Settings, project_id: str, cluster_id: str) -> tuple[ClusterDetail, str | None] | None:
    """A cluster as it is now, and the run on show; None when the project never had it."""

    def load(con: duckdb.DuckDBPyConnection) -> tuple[ClusterDetail, str | None] | None:
        row = cluster_screens.find_cluster(con, project_id, cluster_id)
        if row is None:
            return None
        run_id = screens.find_shown_run(con, project_id)
        decided = triage.get_decided(con, project_id, row.cluster_id)
        hashes = edits.membership_hashes(con, project_id, run_id, [row.cluster_id]) if run_id else {}
        detail = ClusterDetail(
            **row.model_dump(exclude={"is_title_current"}),
            owner=decided.owner,
            wakes_at=decided.wakes_at,
            membership=hashes.get(row.cluster_id),
        )
        return detail, run_id

    return _read(settings, load)


def find_run(settings: Settings, project_id: str, run_id: str) -> RunSummary | None:
    """One grouping; None when the store keeps no such run."""

    def load(con: duckdb.DuckDBPyConnection) -> RunSummary | None:
        if not listings.has_run(con, project_id, run_id):
            return None
        return RunSummary.model_validate(runs_store.get_run(con, project_id, run_id)._asdict())

    return _read(settings, load)


def count_all(settings: Settings, project_id: str) -> Stats:
    """What there is in the project, in numbers."""

    def load(con: duckdb.DuckDBPyConnection) -> Stats:
        overview = screens.get_overview(con, project_id)
        run_id = overview.run.run_id if overview.run else None
        by_status: dict[str, int] = {}
        for job in jobs.list_jobs(con, project_id, limit=_MOST_JOBS):
            by_status[job.status] = by_status.get(job.status, 0) + 1
        return Stats(
            project_id=project_id,
            run_id=run_id,
            n_clusters_by_status=listings.count_statuses(con, project_id, run_id),
            n_jobs_by_status=by_status,
            last_decision_at=listings.find_newest_change(con, project_id),
            **overview.model_dump(include=set(Stats.model_fields) & set(type(overview).model_fields)),
        )

    return _read(settings, load)


def list_sources(settings: Settings, project_id: str) -> list[ConfiguredSource]:
    """The configured sources: names of variables with secrets, never secrets."""
    return _read(settings, lambda con: sources_store.list_sources(con, project_id))


def list_repositories(settings: Settings, project_id: str) -> list[Repository]:
    """The repositories that fixes may be proposed to; names of variables, never secrets."""
    return _read(settings, lambda con: repositories.list_repositories(con, project_id))


def list_settings(settings: Settings) -> dict[str, str | bool]:
    """Every setting by its variable as text; of a secret only whether it is set, of an address no user and password."""
    found: dict[str, str | bool] = {}
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if "SecretStr" in str(field.annotation):
            shown: str | bool = isinstance(value, SecretStr)
        else:
            scheme, mark, rest = str("" if value is None else value).partition("://")
            shown = scheme + mark + (rest.rpartition("@")[2] if mark else rest)
        found[f"SOULCASTER_{name.upper()}"] = shown
    return found


def _begin(
    con: duckdb.DuckDBPyConnection, project_id: str, cursor: str | None, filters: str
) -> tuple[str | None, tuple[int, str] | None]:
    """The run to read off, and the last row of the page before."""
    at = _decode(cursor, filters)
    if at is None:
        return screens.find_shown_run(con, project_id), None
    if at.run is not None and not listings.has_run(con, project_id, at.run):
        raise PermanentError("The cursor names a run that is kept no more; begin again without a cursor.")
    return at.run, (at.place, at.row)


def _page(
    found: list[dict[str, Any]], model: type[Page[RowT]], filters: str, run_id: str | None, key: str, limit: int
) -> Page[RowT]:
    following = None
    if len(found) > limit:
        last = found[limit - 1]
        following = _encode(_Cursor(of=filters, run=run_id, place=last["place"], row=last[key]))
    return model.model_validate({"rows": found[:limit], "next_cursor": following, "run_id": run_id})


def _filters(*parts: object) -> str:
    """A list and its filters as a short name, so that a cursor is not used for another list."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


def _encode(cursor: _Cursor) -> str:
    return base64.urlsafe_b64encode(cursor.model_dump_json().encode()).decode().rstrip("=")


def _decode(cursor: str | None, filters: str) -> _Cursor | None:
    if cursor is None:
        return None
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        made = _Cursor.model_validate_json(text)
    except (binascii.Error, ValueError, ValidationError) as error:
        raise PermanentError("The cursor was refused: expected `next_cursor` of the page before.") from error
    if made.of != filters:
        raise PermanentError("The cursor was refused: it belongs to another list or other filters.")
    return made


def _microseconds(at: datetime) -> int:
    return round(at.timestamp() * 1_000_000)


def _read(settings: Settings, fn: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
    return read(settings.duckdb_path, fn, timeout_seconds=settings.lock_timeout_seconds)
