"""The table of clusters that several pages show; a click on any cell opens the cluster."""

from __future__ import annotations

from typing import Any

import polars as pl
import streamlit as st

from app.words import SOURCE_COLORS, SOURCE_LABELS, reader_zone, title_of
from soulcaster.db.cluster_screens import TREND_WEEKS

_ROW_PIXELS = 38
_MOST_PIXELS = 760


def show(frame: pl.DataFrame, *, key: str, is_short: bool = False) -> None:
    """Draw rows of `list_clusters`; leaves the page when the reader picks one."""
    table = frame.with_columns(
        pl.struct("title", "cluster_id")
        .map_elements(lambda row: title_of(row["title"], row["cluster_id"]), return_dtype=pl.String)
        .alias("title"),
        pl.col("last_seen_at").dt.convert_time_zone(reader_zone()).alias("last_seen"),
        pl.col("last_seen_at").dt.convert_time_zone(reader_zone()).alias("last_seen_exact"),
    )
    short = ["title", "n_items", "trend", "last_seen"]
    full = ["title", "theme", "n_items", "n_people", "sources", "trend", "last_seen", "status"]
    picked = st.dataframe(
        table,
        key=f"{key}-{st.session_state.get('opened', 0)}",
        hide_index=True,
        row_height=_ROW_PIXELS,
        height=min(_MOST_PIXELS, (table.height + 1) * _ROW_PIXELS + 3),
        column_order=short if is_short else full,
        column_config=_columns(is_short=is_short),
        placeholder="",
        on_select="rerun",
        selection_mode="single-cell",
        alt="Clusters, one a row; choose a cell to open its cluster",
    )
    cells = picked["selection"]["cells"]
    if cells:
        # A new key next time: coming back must not find the old choice and leave again.
        st.session_state["opened"] = st.session_state.get("opened", 0) + 1
        st.switch_page("screens/cluster.py", query_params={"id": table["cluster_id"][cells[0][0]]})


def _columns(*, is_short: bool) -> dict[str, Any]:
    config = st.column_config
    return {
        "title": config.TextColumn("Cluster", width="medium" if is_short else "large", pinned=not is_short),
        "theme": config.TextColumn("Theme", width="medium"),
        "n_items": config.NumberColumn("Items", format="localized", width=64),
        "n_people": config.NumberColumn(
            "People",
            format="localized",
            width=70,
            help="Distinct authors, and users as far as an error tracker counts.",
        ),
        "sources": config.MultiselectColumn(
            "Sources",
            width="medium",
            options=list(SOURCE_LABELS),
            color=list(SOURCE_COLORS.values()),
            format_func=lambda name: SOURCE_LABELS.get(name, name),
        ),
        "trend": config.LineChartColumn(
            f"{TREND_WEEKS} weeks",
            width=110,
            y_min=0,
            help=f"Items a week over the last {TREND_WEEKS} weeks, up to the newest item of the project.",
        ),
        "last_seen": config.DatetimeColumn("Last seen", format="distance", width=120),
        "status": config.TextColumn("Status", width="small"),
    }
