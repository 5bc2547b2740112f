"""Two groupings side by side on the page of runs: what stayed, what moved, and the items that did."""

from __future__ import annotations

import polars as pl
import streamlit as st

from app import queries
from app.words import ROW_PIXELS, SOURCE_LABELS, ago, count, exact, number, table_height, title_of
from soulcaster.db.comparing import FEWEST_ITEMS, Comparison, compare_runs, list_moved
from soulcaster.db.screens import RunRow

_FEWEST_RUNS = 2
_MOST_ROWS = 100


def show(found: list[RunRow]) -> None:
    """Two choices among the groupings, the newest two at first, and how they differ."""
    if len(found) < _FEWEST_RUNS:
        return
    st.subheader("Compare two groupings", anchor=False)
    names = {run.run_id: _name(run) for run in found}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        before = st.selectbox("From", list(names), 1, format_func=names.__getitem__, key="compare-from", width=330)
        after = st.selectbox("To", list(names), 0, format_func=names.__getitem__, key="compare-to", width=330)
        is_asked = st.toggle("Compare", key="compare")
    if not is_asked:
        return
    if before == after:
        st.info("Choose two different groupings.", icon="⚖️")
        return
    both = queries.ask(compare_runs, queries.project(), before, after)
    _items(both)
    _clusters(both)
    _moved(queries.ask(list_moved, queries.project(), before, after, limit=_MOST_ROWS), both)


def _name(run: RunRow) -> str:
    shown = " · on show" if run.is_shown else ""
    return (
        f"{ago(run.created_at)}, {exact(run.created_at)} · {count(run.n_clusters, 'cluster')} · {run.run_id[:8]}{shown}"
    )


def _items(both: Comparison) -> None:
    cells = {
        "Stay": (both.n_kept, "Items in the cluster of the same lasting id."),
        "Move": (both.n_moved, "Items in another cluster than before."),
        "Fall out": (both.n_dropped, "Items that had a cluster and now stand alone."),
        "Find one": (both.n_adopted, "Items that stood alone and now have a cluster."),
        "Alone in both": (both.n_alone, "Items that stand alone in both."),
        "Only in one": (both.n_only_before + both.n_only_after, "Items that one of the two did not know."),
    }
    with st.container(horizontal=True):
        for label, (value, hint) in cells.items():
            st.metric(label, number(value), help=hint, border=True, width=150)


def _clusters(both: Comparison) -> None:
    told = {
        "keep their id": both.n_same_id,
        "are new": both.n_new,
        "are gone": both.n_gone,
        "are split": both.n_split,
        "take in parts of several": both.n_merged,
    }
    st.markdown(
        "Clusters: " + " · ".join(f"**{number(n)}** {what}" for what, n in told.items()),
        help=f"Parts of {FEWEST_ITEMS} items or more count; a cluster may be counted in several ways.",
    )


def _moved(frame: pl.DataFrame, both: Comparison) -> None:
    if frame.is_empty():
        st.caption("No item that both know is elsewhere.")
        return
    n_all = both.n_moved + both.n_dropped + both.n_adopted
    if n_all > frame.height:
        st.caption(f"The {number(frame.height)} of {count(n_all, 'item')} that moved in the largest company:")
    table = frame.with_columns(
        pl.col("source").replace_strict(SOURCE_LABELS, default=pl.col("source")),
        _titles("before").alias("before"),
        _titles("after").alias("after"),
    )
    config = st.column_config
    st.dataframe(
        table,
        key="moved",
        hide_index=True,
        row_height=ROW_PIXELS,
        height=table_height(table.height, most=12),
        column_order=["snippet", "source", "before", "after", "n_together"],
        column_config={
            "snippet": config.TextColumn("Feedback", width=330),
            "source": config.TextColumn("Source", width=100),
            "before": config.TextColumn("Was in", width=230),
            "after": config.TextColumn("Is in", width=230),
            "n_together": config.NumberColumn("Together", format="localized", width=80, help="Went the same way."),
        },
        placeholder="",
        alt="Items that are elsewhere in the second grouping",
    )


def _titles(side: str) -> pl.Expr:
    return pl.struct(pl.col(f"{side}_title").alias("title"), pl.col(f"{side}_id").alias("id")).map_elements(
        lambda row: title_of(row["title"], row["id"]) if row["id"] else "— alone —", return_dtype=pl.String
    )
