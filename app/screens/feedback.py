"""Feedback: every item, the noise lane, what waits for the next grouping, and the quarantine. Paged by the store."""

from __future__ import annotations

import functools
from typing import Any

import polars as pl
import streamlit as st

from app import acting, filters, people, queries, take_in
from app.item_card import show_item, show_items_table
from app.words import (
    ROW_PIXELS,
    SOURCE_LABELS,
    ago,
    count,
    exact,
    number,
    offered_sources,
    plain,
    table_height,
    tell_exactly,
    time_columns,
    title_of,
    told,
)
from soulcaster.db.screens import (
    ItemFilters,
    Lane,
    count_quarantine,
    find_item,
    list_item_values,
    list_items,
    list_quarantine,
)
from soulcaster.ingest import release
from soulcaster.settings import load_settings

_PAGE_ROWS = 50
_QUARANTINE = "Quarantine"
_LANES: dict[str, Lane] = {"All": "all", "In clusters": "clustered", "Noise": "noise", "Waiting": "waiting"}
_DETAILS = [
    *["external_id", "trust", "state_reason", "source_group", "duplicate_of", "exception_type", "culprit", "frames"],
    *["release", "environment", "level", "labels", "user_count", "language", "notes", "first_seen_at", "changed_at"],
]
_VIEW_NOTES = {
    "All": "Everything that came in.",
    "In clusters": "What the run on show put into a cluster.",
    "Noise": "What stands alone: nothing else says the same, so far.",
    "Waiting": "What came in after the run on show; the next grouping takes it in.",
    _QUARANTINE: "What we could not or would not take in. Nothing is dropped: each row keeps its reason.",
}


def page() -> None:
    """Draw the page."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.title("Feedback", anchor=False, width="content")
        take_in.show()
    view = st.segmented_control(
        "View",
        [*_LANES, _QUARANTINE],
        default="All",
        key="view",
        bind="query-params",
        label_visibility="collapsed",
        on_change=filters.first_page,
        required=True,
    )
    st.caption(_VIEW_NOTES[view])
    with told():
        if view == _QUARANTINE:
            _quarantine()
        else:
            _items(_LANES[view])


def _items(lane: Lane) -> None:
    project = queries.project()
    wanted = _filters(lane)
    page_number = queries.asked_page()
    frame, n_found = queries.ask(list_items, project, wanted, limit=_PAGE_ROWS, offset=(page_number - 1) * _PAGE_ROWS)
    if n_found == 0:
        _nothing(wanted, lane)
        return
    st.caption(f"{count(n_found, 'item')} · click a row to read it")
    columns = ["source", "snippet", "channel", "author", "happened_at", "cluster_title", "state", "language", "url"]
    if lane in ("noise", "waiting"):
        columns.remove("cluster_title")
    picked = show_items_table(_with_cluster_names(frame), columns, key=f"items-{lane}-{page_number}")
    n_pages = -(-n_found // _PAGE_ROWS)
    if n_pages > 1 or page_number > 1:
        st.pagination(n_pages, key="page", bind="query-params")
    if picked is not None:
        _whole_item(picked)


def _with_cluster_names(frame: pl.DataFrame) -> pl.DataFrame:
    named = pl.struct("cluster_title", "cluster_id").map_elements(
        lambda row: None if row["cluster_id"] is None else title_of(row["cluster_title"], row["cluster_id"]),
        return_dtype=pl.String,
    )
    return frame.with_columns(named.alias("cluster_title"))


def _filters(lane: Lane) -> ItemFilters:
    values = queries.ask(list_item_values, queries.project())
    with st.container(horizontal=True, vertical_alignment="bottom"):
        text = filters.search("words in title or text", width=280)
        offered = offered_sources(values["sources"])
        sources = filters.pick_many("Sources", list(offered), key="source", width=240)
        states = filters.pick_many("State", values["states"], key="state", width=180)
        languages = filters.pick_many("Language", values["languages"], key="language", width=160)
        order = filters.pick_order("Order", ["Newest first", "Oldest first"], key="order", width=150)
    return ItemFilters(
        lane=lane,
        sources=tuple(offered[name] for name in sources),
        states=tuple(states),
        languages=tuple(languages),
        text=text,
        is_oldest_first=order == "Oldest first",
    )


def _nothing(wanted: ItemFilters, lane: Lane) -> None:
    if wanted != ItemFilters(lane=lane, is_oldest_first=wanted.is_oldest_first):
        st.info("No item passes these filters.", icon="🔍")
    elif lane == "all":
        st.info("No feedback yet.", icon="💬")
        st.page_link("screens/overview.py", label="What to do first", icon="🧭")
    else:
        st.info("Nothing here.", icon="✅")


def _whole_item(item_id: str) -> None:
    item = queries.ask(find_item, queries.project(), item_id)
    if item is None:
        return
    st.subheader("The whole item", anchor=False)
    show_item(item)
    with st.container(horizontal=True, vertical_alignment="center"):
        if item["cluster_id"] is not None:
            st.page_link(
                "screens/cluster.py",
                label=f"Cluster: {plain(title_of(item['cluster_title'], item['cluster_id']))}",
                icon="🗂️",
                query_params={"id": item["cluster_id"]},
            )
        else:
            st.caption("In no cluster: " + ("stands alone." if item["is_grouped"] else "not grouped yet."))
    with st.expander("Details"):
        st.code("\n".join(f"{name}: {item[name]}" for name in _DETAILS if item[name] not in (None, [])), language=None)


def _quarantine() -> None:
    project = queries.project()
    by_reason = queries.ask(count_quarantine, project)
    if not by_reason:
        st.info("The quarantine is empty.", icon="✅")
        return
    reasons: list[str] = []
    if len(by_reason) > 1:
        reasons = st.pills(
            "Reasons",
            list(by_reason),
            selection_mode="multi",
            key="reason",
            bind="query-params",
            on_change=filters.first_page,
        )
    st.caption(" · ".join(f"{plain(reason)}: {number(n)}" for reason, n in by_reason.items()))
    n_found = sum(by_reason[reason] for reason in reasons or by_reason)
    page_number = queries.asked_page()
    frame = queries.ask(
        list_quarantine, project, tuple(sorted(reasons)), limit=_PAGE_ROWS, offset=(page_number - 1) * _PAGE_ROWS
    )
    picked = _show_quarantine(frame, key=f"quarantine-{page_number}")
    n_pages = -(-n_found // _PAGE_ROWS)
    if n_pages > 1 or page_number > 1:
        st.pagination(n_pages, key="page", bind="query-params")
    if picked is not None:
        _quarantined_row(frame.row(picked, named=True))


def _show_quarantine(frame: pl.DataFrame, *, key: str) -> int | None:
    """Draw the rows; the place of the one that the reader picked."""
    table = tell_exactly(frame, "quarantined_at").with_columns(
        pl.col("source").replace_strict(SOURCE_LABELS, default=pl.col("source"))
    )
    config = st.column_config
    picked = st.dataframe(
        table,
        key=key,
        hide_index=True,
        row_height=ROW_PIXELS,
        height=table_height(table.height),
        column_order=["source", "reason", "detail", "location", "external_id", "quarantined_at"],
        column_config={
            "source": config.TextColumn("Source", width=105),
            "reason": config.TextColumn("Reason", width=140),
            "detail": config.TextColumn("What we saw", width="large"),
            "location": config.TextColumn("Where", width=180),
            "external_id": config.TextColumn("Id at the source", width=130),
            **time_columns("quarantined_at", "When", 120),
        },
        placeholder="",
        on_select="rerun",
        selection_mode="single-cell",
        alt="Quarantined rows; choose a cell to see the whole row",
    )
    cells = picked["selection"]["cells"]
    return int(cells[0][0]) if cells and cells[0][0] < frame.height else None


def _quarantined_row(row: dict[str, Any]) -> None:
    st.subheader("The row as we saw it", anchor=False)
    with st.container(border=True):
        at = row["quarantined_at"]
        st.caption(f"{plain(str(row['reason']))} · {ago(at)}", help=exact(at))
        st.code(str(row["detail"]), language=None, wrap_lines=True)
        if row["payload"]:
            st.caption("As received (at most 4,000 characters):")
            st.code(str(row["payload"]), language=None, wrap_lines=True)
        _release(row)


def _release(row: dict[str, Any]) -> None:
    if not row["is_rule_only"]:
        st.caption("It could not be read as an item: mend it at its source and take it in again.")
        return
    reason = st.text_input("Why it is harmless", key="release-reason", max_chars=500)
    if people.button("take in", "Release it", icon="🔓", key="release"):
        do = functools.partial(
            release, load_settings(), queries.project(), row["quarantine_id"], actor=people.actor(), reason=reason
        )
        acting.act(do, "Released: it finds its cluster with the next assignment")


if __name__ == "__main__":
    page()
