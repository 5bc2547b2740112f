"""How many rows a page takes out of the store: what it shows, never all items."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
import streamlit as st
from seeding import seed_drawn, seed_map

from soulcaster.settings import Settings

_ITEMS, _CLUSTERS = 12_000, 60
_FETCHED = {"pl", "fetchall", "fetchone", "fetchmany", "arrow", "df", "fetchnumpy", "fetch_arrow_table"}
_GOES_ON = {"cursor", "execute", "sql", "query"}


class Counted:
    """A connection or a result of DuckDB's that counts the rows which leave it."""

    def __init__(self, inner: Any, rows: list[int]) -> None:
        self._inner, self._rows = inner, rows

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name in _GOES_ON:
            return lambda *given, **named: Counted(found(*given, **named), self._rows)
        return self._counting(found) if name in _FETCHED else found

    def _counting(self, fetch: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*given: Any, **named: Any) -> Any:
            result = fetch(*given, **named)
            self._rows.append(1 if isinstance(result, tuple) else 0 if result is None else len(result))
            return result

        return counted


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A home with many more items than any page shows, drawn on a map; and one of its clusters."""
    home = tmp_path_factory.mktemp("large")
    path = Settings(_env_file=None, home=home).duckdb_path
    clusters = seed_drawn(path, n_items=_ITEMS, n_clusters=_CLUSTERS, n_runs=1)
    seed_map(path)
    return home, clusters[0]


@pytest.fixture(scope="module")
def rows() -> Iterator[list[int]]:
    """How many rows each fetch gave, of every connection that is opened meanwhile."""
    counted: list[int] = []
    connect = duckdb.connect
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duckdb, "connect", lambda *given, **named: Counted(connect(*given, **named), counted))
        yield counted


@pytest.mark.parametrize(
    ("page", "parameters"),
    [
        ("overview", {}),
        ("clusters", {}),
        ("clusters", {"q": "crashes"}),
        ("cluster", {"id": ""}),
        ("map", {"q": "crashes"}),
        ("feedback", {"q": "crashes"}),
        ("fixes", {}),
        ("history", {}),
        ("settings", {}),
    ],
)
def test_no_page_reads_all_items(open_page, large, rows, page: str, parameters: dict[str, str]):
    """All rows that a page asks for together are a fraction of the items, also when it searches them."""
    home, cluster_id = large
    st.cache_data.clear()
    rows.clear()

    at = open_page(home, page, **{name: value or cluster_id for name, value in parameters.items()})

    assert not at.exception
    assert 0 < sum(rows) < _ITEMS / 3, sorted(rows)[-5:]
