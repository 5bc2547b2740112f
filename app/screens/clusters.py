"""Clusters: the list, narrowed by filters that live in the address, sorted and paged by the store."""

from __future__ import annotations

from typing import Any

import polars as pl
import streamlit as st

from app import cluster_table, filters, queries
from app.words import SOURCE_NAMES, count, spreadsheet_safe, title_of, told
from soulcaster.db.cluster_screens import ClusterFilters, ClusterSort, list_clusters, list_statuses, list_themes
from soulcaster.priority import POINTS

_PAGE_ROWS = 100
_MOST_EXPORTED = 100_000
_SORTS: dict[str, ClusterSort] = {
    "Most urgent": "priority",
    "Most items": "items",
    "Most people": "people",
    "Growing fastest": "rising",
    "Seen last": "recent",
    "Title": "title",
}


def page() -> None:
    """Draw the page."""
    st.title("Clusters", anchor=False)
    cluster_table.restore_filters()
    with told():
        wanted, sort = _filters()
        project = queries.project()
        number_of_page = queries.asked_page()
        offset = (number_of_page - 1) * _PAGE_ROWS
        frame, n_found = queries.ask(list_clusters, project, wanted, sort=sort, limit=_PAGE_ROWS, offset=offset)
        if n_found == 0:
            _nothing(wanted)
            return
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.caption(f"{count(n_found, 'cluster')} · click a row to open it", width="content")
            _export(project, wanted, sort)
        cluster_table.show(frame, key="clusters")
        n_pages = -(-n_found // _PAGE_ROWS)
        if n_pages > 1 or number_of_page > 1:
            st.pagination(n_pages, key="page", bind="query-params")


def _filters() -> tuple[ClusterFilters, ClusterSort]:
    project = queries.project()
    themes = queries.ask(list_themes, project)
    names: dict[str, str] = {}
    for row in themes.iter_rows(named=True):
        title = row["title"] or "Untitled theme"
        names[title if title not in names else f"{title} ({row['theme_id'][:8]})"] = row["theme_id"]
    statuses = queries.ask(list_statuses, project)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        text = filters.search("words in titles and feedback", width=170)
        sources = filters.pick_many("Sources", list(SOURCE_NAMES), key="source", width=150)
        theme = filters.pick_one("Theme", list(names), key="theme", width=150)
        chosen = filters.pick_many("Status", statuses, key="status", width=130)
        least = st.number_input(
            "Items, at least", 1, 1_000_000, key="min", bind="query-params", width=115, on_change=filters.first_page
        )
        only_bursts = st.toggle("Bursts", key="burst", bind="query-params", on_change=filters.first_page)
        sort = filters.pick_order("Sort by", list(_SORTS), key="sort", width=140)
    wanted = ClusterFilters(
        sources=tuple(SOURCE_NAMES[name] for name in sources),
        theme_id=names[theme] if theme else None,
        statuses=tuple(chosen),
        min_items=int(least),
        text=text,
        only_bursts=only_bursts,
    )
    return wanted, _SORTS[sort]


def _nothing(wanted: ClusterFilters) -> None:
    if wanted == ClusterFilters():
        st.info("No clusters yet: they appear after the first `recluster`.", icon="🗂️")
        st.page_link("screens/overview.py", label="What to do first", icon="🧭")
    else:
        st.info("No cluster passes these filters.", icon="🔍")
        st.page_link("screens/clusters.py", label="Clear the filters", icon="✖️")


def _export(project: str, wanted: ClusterFilters, sort: ClusterSort) -> None:
    def made() -> bytes:
        frame, _ = queries.ask(list_clusters, project, wanted, sort=sort, limit=_MOST_EXPORTED)
        return as_csv(frame)

    st.download_button("Export CSV", made, "clusters.csv", "text/csv", icon="⬇️", on_click="ignore")


def as_csv(frame: pl.DataFrame) -> bytes:
    """The rows of the list as CSV: lists joined by spaces, formulas disarmed, times in ISO 8601 UTC."""
    columns: dict[str, Any] = {
        "title": pl.struct("title", "cluster_id").map_elements(
            lambda row: title_of(row["title"], row["cluster_id"]), return_dtype=pl.String
        ),
        "n_by_source": pl.col("n_by_source")
        .list.eval(pl.format("{} {}", pl.element().struct.field("key"), pl.element().struct.field("value")))
        .list.join(" "),
        "trend": pl.col("trend").list.eval(pl.element().cast(pl.String)).list.join(" "),
        **{f"{name}_points": pl.col("points").list.get(place) for place, name in enumerate(POINTS)},
    }
    return spreadsheet_safe(frame.with_columns(**columns).drop("points")).write_csv().encode()


if __name__ == "__main__":
    page()
