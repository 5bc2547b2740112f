"""The table of clusters that several pages show; a click on any cell opens the cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import polars as pl
import streamlit as st

from app.words import (
    BURST_LABEL,
    ROW_PIXELS,
    SOURCE_LABELS,
    STATUS_LABELS,
    WEB_ADDRESS,
    short_number,
    table_height,
    tell_exactly,
    time_columns,
    title_of,
)
from soulcaster.db.cluster_facts import TREND_WEEKS
from soulcaster.priority import POINTS

if TYPE_CHECKING:
    from soulcaster.similar import SimilarCluster

_UNFILTERED: dict[str, Any] = {
    "q": "",
    "meaning": True,
    "source": [],
    "theme": None,
    "status": [],
    "owner": [],
    "kind": [],
    "min": 1,
    "burst": False,
    "sort": "Most urgent",
    "page": 1,
}
FILTER_KEYS = tuple(_UNFILTERED)
"""Names of the list's filters, in the address and in the session."""
_FULL = ["title", "priority", "theme", "n_items", "n_people", "sources", "trend", "last_seen_at", "status"]
_WHEN_KNOWN = ("kind", "owner", "pr_url")
"""Columns that stand there when a row has something in them."""
_FOUND = ["title", "matched_by", *_FULL[1:]]
_MATCHES = {"words": "🔤 words", "meaning": "💡 meaning", "both": "🔤💡 both"}
_NEAR = ["title", "n_items", "shared"]
_ALIKE = ["title", "n_items", "similarity"]


def show(frame: pl.DataFrame, *, key: str) -> None:
    """Draw rows of `list_clusters`; leaves the page when the reader picks one."""
    _draw(_full(frame), _columns_of(frame), key)


def choose(frame: pl.DataFrame, *, key: str) -> pl.DataFrame:
    """The same rows with a box to tick before each; those that are ticked."""
    picked = _table(_full(frame), _columns_of(frame), key, "multi-row", "tick those you mean")
    return frame[[row for row in picked["selection"]["rows"] if row < frame.height]]


def _columns_of(frame: pl.DataFrame) -> list[str]:
    columns = _FOUND if (frame["matched_by"] != "").any() else _FULL
    return [*columns, *(name for name in _WHEN_KNOWN if frame[name].null_count() < frame.height)]


def _full(frame: pl.DataFrame) -> pl.DataFrame:
    return tell_exactly(_titled(frame), "last_seen_at").with_columns(
        pl.col("n_by_source").map_elements(_sources, return_dtype=pl.String).alias("sources"),
        pl.col("points").map_elements(_parts, return_dtype=pl.String).alias("parts"),
        _status().alias("status"),
        pl.col("matched_by").replace_strict(_MATCHES, default=""),
        pl.when(pl.col("pr_url").str.contains(WEB_ADDRESS)).then(pl.col("pr_url")),
    )


def show_near(frame: pl.DataFrame, *, key: str) -> None:
    """Draw rows of `list_siblings`; leaves the page when the reader picks one."""
    shared = pl.col("shared").list.join(", ")
    _draw(
        _titled(frame).with_columns(pl.when(shared == "").then(pl.lit("the theme")).otherwise(shared).alias("shared")),
        _NEAR,
        key,
    )


def show_alike(found: Sequence[SimilarCluster], *, key: str) -> None:
    """Draw clusters with their likeness; leaves the page when the reader picks one."""
    rows = [(each.cluster_id, each.title, each.n_items, each.similarity) for each in found]
    schema: dict[str, type[pl.DataType]] = {
        "cluster_id": pl.String,
        "title": pl.String,
        "n_items": pl.Int64,
        "similarity": pl.Float64,
    }
    _draw(_titled(pl.DataFrame(rows, schema=schema, orient="row")), _ALIKE, key)


def restore_filters() -> None:
    """Give the list its filters back when the reader comes back from a cluster by the browser's button.

    Streamlit 1.67 writes the new page's parameters over the old page's address before it leaves, so the address that
    the browser goes back to names a cluster and no filters.
    """
    if "id" in st.query_params:
        # The address wins in the run that follows the browser's button; the one after it takes what we set.
        del st.query_params["id"]
        st.session_state["is_restoring"] = True
        st.rerun()
    if st.session_state.pop("is_restoring", False):
        for name, value in st.session_state.get("kept_filters", {}).items():
            st.session_state[name] = value


def apply_filters(parameters: Mapping[str, Sequence[str]]) -> None:
    """Filter the list as these parameters of its address say, and by nothing else. For a button's callback."""
    for name, usual in _UNFILTERED.items():
        given = parameters.get(name, [])
        if isinstance(usual, list) or not given:
            st.session_state[name] = list(given) if given else usual
        elif isinstance(usual, bool):
            st.session_state[name] = given[0].lower() == "true"
        elif isinstance(usual, int):
            st.session_state[name] = int(given[0])
        else:
            st.session_state[name] = given[0]


def kept_parameters() -> dict[str, str | list[str]]:
    """The filters with which the reader left the list, as parameters of its address."""
    kept = {
        name: value for name, value in st.session_state.get("kept_filters", {}).items() if value not in (None, "", [])
    }
    return {name: value if isinstance(value, list) else str(value) for name, value in kept.items()}


def _titled(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(
        pl.struct("title", "cluster_id")
        .map_elements(lambda row: title_of(row["title"], row["cluster_id"]), return_dtype=pl.String)
        .alias("title")
    )


def _sources(entries: list[dict[str, Any]]) -> str:
    """'💬 35 🐙 23': the icons of the sources with their counts, largest first; thousands as 9.5k, so that all fit."""
    ordered = sorted(entries, key=lambda entry: -entry["value"])
    return " ".join(
        f"{SOURCE_LABELS.get(entry['key'], entry['key']).split()[0]} {short_number(entry['value'])}"
        for entry in ordered
    )


def _parts(points: list[float]) -> str:
    """'reach 12, severity 19 …': the parts of a priority that count, largest first."""
    counted = sorted(zip(POINTS, points, strict=True), key=lambda part: -abs(part[1]))
    return ", ".join(f"{name} {value:.0f}" for name, value in counted if round(value))


def _status() -> pl.Expr:
    status = pl.col("status").replace(STATUS_LABELS)
    return pl.when("is_burst").then(pl.lit(BURST_LABEL + " · ") + status).otherwise(status)


def _table(
    table: pl.DataFrame, columns: list[str], key: str, mode: Literal["single-cell", "multi-row"], hint: str
) -> Any:  # noqa: ANN401  Streamlit's selection state
    return st.dataframe(
        table,
        key=key,
        hide_index=True,
        row_height=ROW_PIXELS,
        height=table_height(table.height),
        column_order=columns,
        column_config=_config(),
        placeholder="",
        on_select="rerun",
        selection_mode=mode,
        alt=f"Clusters, one a row; {hint}",
    )


def _draw(table: pl.DataFrame, columns: list[str], key: str) -> None:
    key = f"{key}-{st.session_state.get('opened', 0)}"
    picked = _table(table, columns, key, "single-cell", "choose a cell to open its cluster")
    cells = picked["selection"]["cells"]
    if cells:
        # A new key next time: coming back must not find the old choice and leave again.
        st.session_state["opened"] = st.session_state.get("opened", 0) + 1
        st.session_state["kept_filters"] = {
            name: st.session_state[name] for name in FILTER_KEYS if name in st.session_state
        }
        st.switch_page("screens/cluster.py", query_params={"id": table["cluster_id"][cells[0][0]]})


def _config() -> dict[str, Any]:
    config = st.column_config
    legend = ", ".join(SOURCE_LABELS.values())
    return {
        "title": config.TextColumn("Cluster", width=265),
        "priority": config.ProgressColumn(
            "Priority",
            format="%.0f",
            min_value=0,
            max_value=100,
            width=95,
            help="0 to 100: how many, how bad, how fast, how lately, who says so, and what is done about it. "
            "The column *Why urgent* has the parts; the cluster's page says each in a sentence.",
        ),
        "parts": config.TextColumn("Why urgent", width=230),
        "theme": config.TextColumn("Theme", width=120),
        "n_items": config.NumberColumn("Items", format="localized", width=62),
        "n_people": config.NumberColumn(
            "People",
            format="localized",
            width=68,
            help="Distinct authors, and users as far as an error tracker counts.",
        ),
        "sources": config.TextColumn("Sources", width=170, help=f"Items by source: {legend}"),
        "trend": config.LineChartColumn(
            f"{TREND_WEEKS} weeks",
            width=100,
            y_min=0,
            help=f"Items a week over the last {TREND_WEEKS} weeks, up to the newest item of the project.",
        ),
        **time_columns("last_seen_at", "Last seen", 115),
        "status": config.TextColumn("Status", width=100),
        "owner": config.TextColumn("Owner", width=90),
        "kind": config.TextColumn("Kind", width=80, help="As a model or a person says."),
        "pr_url": config.LinkColumn("Pull request", display_text=r"/(\d+)$", width=95),
        "matched_by": config.TextColumn(
            "Found by", width=90, help="Its words, what they mean, or both; the best match is first."
        ),
        "shared": config.TextColumn("Shares", width=160),
        "similarity": config.NumberColumn("Likeness", format="%.2f", width=80, help="Cosine; 1 is the same."),
    }
