"""Clusters: the list, narrowed by filters that live in the address, sorted and paged by the store."""

from __future__ import annotations

import io
from typing import Any

import polars as pl
import streamlit as st

from app import bulk_actions, cluster_table, filters, queries, saved_views, searching
from app.words import count, offered_sources, spreadsheet_safe, title_of, told
from soulcaster.db.cluster_screens import ClusterFilters, ClusterSort
from soulcaster.priority import POINTS

_PAGE_ROWS = 100
_MOST_EXPORTED = 100_000
_MOST_THEMES = 500
_CHOSEN = ("status", "owner", "kind")
_BEST = "Best match"
_SORTS: dict[str, ClusterSort] = {
    "Most urgent": "priority",
    "Most items": "items",
    "Most people": "people",
    "Growing fastest": "rising",
    "Seen last": "recent",
    "Title": "title",
    _BEST: "match",
}


def page() -> None:
    """Draw the page."""
    st.title("Clusters", anchor=False)
    cluster_table.restore_filters()
    with told():
        wanted, sort = _filters()
        line = st.container(horizontal=True, vertical_alignment="center")
        if wanted.text:
            with line:
                wanted = wanted.model_copy(update={"near": _near(wanted.text)})
        number_of_page = queries.asked_page()
        offset = (number_of_page - 1) * _PAGE_ROWS
        frame, n_found = queries.list_clusters(wanted, sort=sort, limit=_PAGE_ROWS, offset=offset)
        if n_found == 0:
            _nothing(wanted)
            return
        with line:
            st.caption(f"{count(n_found, 'cluster')} · click a row to open it", width="stretch")
            is_choosing = st.toggle(
                "Choose several",
                key="choosing",
                help="To decide about several at once, or to open one with the keyboard.",
            )
            saved_views.show()
            _export(wanted, sort)
        if is_choosing:
            above = st.container()
            picked = cluster_table.choose(frame, key=f"choose-{number_of_page}-{st.session_state.get('chosen', 0)}")
            with above:
                bulk_actions.show(picked)
        else:
            cluster_table.show(frame, key="clusters")
        n_pages = -(-n_found // _PAGE_ROWS)
        if n_pages > 1 or number_of_page > 1:
            st.pagination(n_pages, key="page", bind="query-params")


def _filters() -> tuple[ClusterFilters, ClusterSort]:
    facts = queries.facts()
    names = _themes(facts)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        text = filters.search("what is it about?", width=150, on_change=_searched)
        sources = _sources(facts)
        picked = filters.pick_many("Sources", list(sources), key="source", width=125)
        theme = filters.pick_one("Theme", list(names), key="theme", width=130)
        statuses, owners, kinds = (facts[name].drop_nulls().unique().sort().to_list() for name in _CHOSEN)
        chosen = filters.pick_many("Status", statuses, key="status", width=115)
        owned = filters.pick_many("Owner", owners, key="owner", width=110) if owners else []
        told = filters.pick_many("Kind", kinds, key="kind", width=110) if kinds else []
        least = st.number_input(
            "Items, at least", 1, 1_000_000, key="min", bind="query-params", width=105, on_change=filters.first_page
        )
        only_bursts = st.toggle("Bursts", key="burst", bind="query-params", on_change=filters.first_page)
        sort = filters.pick_order("Sort by", list(_SORTS), key="sort", width=130)
    wanted = ClusterFilters(
        sources=tuple(sources[name] for name in picked),
        theme_id=names[theme] if theme else None,
        statuses=tuple(chosen),
        min_items=int(least),
        owners=tuple(owned),
        kinds=tuple(told),
        text=text,
        only_bursts=only_bursts,
    )
    return wanted, _SORTS[sort]


def _themes(facts: pl.DataFrame) -> dict[str, str]:
    """Ids of the themes by what a reader calls them, the largest first."""
    sizes = facts.drop_nulls("theme_id").group_by("theme_id").agg(pl.col("theme").first(), pl.col("n_items").sum())
    names: dict[str, str] = {}
    for row in sizes.sort("n_items", "theme_id", descending=[True, False]).head(_MOST_THEMES).iter_rows(named=True):
        title = row["theme"] or "Untitled theme"
        names[title if title not in names else f"{title} ({row['theme_id'][:8]})"] = row["theme_id"]
    return names


def _sources(facts: pl.DataFrame) -> dict[str, str]:
    """Sources by what a reader calls them: ours, then those that a mapping reads."""
    return offered_sources(facts["n_by_source"].explode().struct.field("key").drop_nulls().unique().to_list())


def _searched() -> None:
    """A search is answered best first, and what was found no longer is when it ends."""
    filters.first_page()
    if st.session_state.get("q"):
        st.session_state["sort"] = _BEST
    elif st.session_state.get("sort") == _BEST:
        st.session_state["sort"] = next(iter(_SORTS))


def _near(text: str) -> tuple[str, ...]:
    """Ids of the clusters near the text; when meaning cannot be asked now, a sentence says why words alone count."""
    is_wanted = st.toggle(
        "By meaning",
        value=True,
        key="meaning",
        bind="query-params",
        on_change=filters.first_page,
        help="Also what says the same in other words; without it only what has the words.",
    )
    if not is_wanted:
        return ()
    with told():
        return tuple(each.cluster_id for each in searching.find_near(text))
    st.caption("Found by their words only.")
    return ()


def _nothing(wanted: ClusterFilters) -> None:
    if wanted == ClusterFilters():
        st.info("No clusters yet: they appear after the first `recluster`.", icon="🗂️")
        st.page_link("screens/overview.py", label="What to do first", icon="🧭")
    else:
        st.info("No cluster passes these filters.", icon="🔍")
        st.button("Clear the filters", icon="✖️", key="clear", on_click=cluster_table.apply_filters, args=({},))


def _export(wanted: ClusterFilters, sort: ClusterSort) -> None:
    def made() -> bytes:
        frame, _ = queries.list_clusters(wanted, sort=sort, limit=_MOST_EXPORTED)
        return as_csv(frame)

    def columns() -> bytes:
        frame, _ = queries.list_clusters(wanted, sort=sort, limit=_MOST_EXPORTED)
        return as_parquet(frame)

    hint = "All rows that pass the filters, not only this page."
    st.download_button("Export CSV", made, "clusters.csv", "text/csv", icon="⬇️", on_click="ignore", help=hint)
    st.download_button(
        "Parquet", columns, "clusters.parquet", "application/vnd.apache.parquet", icon="⬇️", on_click="ignore", help=hint
    )


def as_csv(frame: pl.DataFrame) -> bytes:
    """The rows of the list as CSV: lists joined by spaces, formulas disarmed, times in ISO 8601 UTC."""
    columns: dict[str, Any] = {
        "title": pl.struct("title", "cluster_id").map_elements(
            lambda row: title_of(row["title"], row["cluster_id"]), return_dtype=pl.String
        ),
        "n_by_source": pl.col("n_by_source")
        .list.eval(pl.format("{} {}", pl.element().struct.field("key"), pl.element().struct.field("value")))
        .list.join(" "),
        "hints": pl.col("hints").list.join(" | "),
        "trend": pl.col("trend").list.eval(pl.element().cast(pl.String)).list.join(" "),
        **{f"{name}_points": pl.col("points").list.get(place) for place, name in enumerate(POINTS)},
    }
    return spreadsheet_safe(frame.with_columns(**columns).drop("points")).write_csv().encode()


def as_parquet(frame: pl.DataFrame) -> bytes:
    """The rows of the list as Parquet: times in UTC, lists as lists, text as it is."""
    file = io.BytesIO()
    frame.write_parquet(file)
    return file.getvalue()


if __name__ == "__main__":
    page()
