"""Cached reads of the store: open, read, close. A cached result is thrown away as soon as the file has changed.

Never keeps a connection, so that flows can write at any time; waits only briefly, so that a busy store costs a
sentence on the page and not a hanging page.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import duckdb
import polars as pl
import streamlit as st

from soulcaster.db import cluster_facts, screens
from soulcaster.db.cluster_screens import ClusterFilters, ClusterSort, narrow
from soulcaster.settings import Settings, load_settings

P = ParamSpec("P")
T = TypeVar("T")
_WAIT_SECONDS = 4.0
"""Longest wait of a page for the store; a flow's transaction takes well under a second."""

_MOST_DIGITS = 8

Query = Callable[Concatenate[duckdb.DuckDBPyConnection, P], T]


def project() -> str:
    """The project the reader looks at."""
    chosen: str | None = st.session_state.get("project")
    return chosen or load_settings().project


def brief_settings() -> Settings:
    """The settings, with a wait for the store that a page can afford: for steps that a page reads by.

    Raises:
        PermanentError: a variable has a value it cannot have.
    """
    settings = load_settings()
    wait = min(_WAIT_SECONDS, settings.lock_timeout_seconds)
    return settings.model_copy(update={"lock_timeout_seconds": wait})


def ask(query: Query[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Result of a function of `soulcaster.db.screens` or `cluster_screens`, from the cache while the store is the same.

    Raises:
        TransientError, PermanentError: as `screens.read_screen`.
    """
    settings = brief_settings()
    path, wait = settings.duckdb_path.resolve(), settings.lock_timeout_seconds
    name = f"{query.__module__}.{query.__qualname__}"
    answer: T = _read(str(path), stamp(path), name, repr((args, kwargs)), lambda con: query(con, *args, **kwargs), wait)
    return answer


def facts() -> pl.DataFrame:
    """What the list of clusters says of each cluster on show; see `cluster_facts.load_facts`. Raises as `ask`."""
    return ask(cluster_facts.load_facts, project())


def list_clusters(
    filters: ClusterFilters, *, sort: ClusterSort = "items", limit: int, offset: int = 0
) -> tuple[pl.DataFrame, int]:
    """As `cluster_screens.list_clusters`, off the facts that are kept: a filter costs no query. Raises as `ask`."""
    text = filters.text.strip()
    words = ask(cluster_facts.count_words, project(), text) if text else cluster_facts.NO_WORDS
    return narrow(facts(), words, filters, sort=sort, limit=limit, offset=offset)


@st.cache_data(ttl="10m", max_entries=500, show_spinner=False)
def _read(
    path: str,
    version: tuple[int, ...],  # noqa: ARG001  part of the key
    name: str,  # noqa: ARG001  part of the key
    arguments: str,  # noqa: ARG001  part of the key
    _fn: Callable[[duckdb.DuckDBPyConnection], Any],
    _wait_seconds: float,
) -> Any:  # noqa: ANN401  whatever the query answers
    return screens.read_screen(Path(path), _fn, timeout_seconds=_wait_seconds)


def stamp(path: Path) -> tuple[int, ...]:
    """Time and size of the store's files: every commit changes one of them."""
    found: list[int] = []
    for file in (path, path.with_name(path.name + ".wal")):
        try:
            status = file.stat()
        except FileNotFoundError:
            found += [0, 0]
        else:
            found += [status.st_mtime_ns, status.st_size]
    return tuple(found)


def asked_page() -> int:
    """Number of the page of a list that the reader asked for, from 1; by the address before the control is drawn."""
    asked = str(st.session_state.get("page") or st.query_params.get("page") or "1")
    return max(1, int(asked)) if asked.isascii() and asked.isdigit() and len(asked) < _MOST_DIGITS else 1


def bucket_for(oldest_at: datetime | None, newest_at: datetime | None) -> screens.Bucket:
    """The bucket that gives a chart of that span between about ten and eighty bars."""
    span = (newest_at - oldest_at) if oldest_at and newest_at else timedelta(0)
    if span <= timedelta(days=60):
        return "day"
    if span <= timedelta(days=500):
        return "week"
    return "month" if span <= timedelta(days=365 * 7) else "year"


def since(days: int | None, newest_at: datetime | None) -> datetime | None:
    """Start of the last `days` days before now, or before the newest item of an archive; None for all time."""
    if days is None or newest_at is None:
        return None
    return min(newest_at, datetime.now(UTC)) - timedelta(days=days)
