"""One piece of feedback on a page, and tables of them. The text itself is always shown as text, never as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import polars as pl
import streamlit as st

from app.words import (
    ROW_PIXELS,
    SOURCE_COLORS,
    SOURCE_LABELS,
    STATE_LABELS,
    ago,
    count,
    exact,
    is_web_link,
    marked,
    plain,
    table_height,
    tell_exactly,
    time_columns,
    web_links,
)

REASON_LABELS = {
    "same-text": "same text",
    "same-source-group": "same issue at the source",
    "same-stack": "same stack trace",
    "declared-duplicate": "declared a duplicate",
    "near-text": "similar text",
    "held": "held from before",
}
_SHORT_CHARACTERS = 420


def show_item(row: dict[str, Any], terms: Sequence[str] = ()) -> None:
    """A bordered card: who, where, when, the text with `terms` marked, a link to the source."""
    with st.container(border=True, gap="xsmall"):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.caption(_byline(row), help=exact(row["happened_at"]), width="content")
            if is_web_link(row["url"]):
                st.link_button("Open at the source", row["url"], icon="↗️", type="tertiary")
        title, body = row["title"].strip(), row["body"].strip()
        if title:
            st.markdown(f"**{plain(title)}**")
        if not title and not body:
            st.caption("No text is left: it was removed at the source.")
        short = body if len(body) <= _SHORT_CHARACTERS else body[:_SHORT_CHARACTERS].rsplit(" ", 1)[0] + " …"
        if short:
            _text(short, terms)
        if short != body:
            with st.expander("Whole text"):
                _text(body, terms)
        if row.get("statement"):
            st.caption("Restated by a model, and embedded in the text's place:")
            st.text(row["statement"])


def _text(text: str, terms: Sequence[str]) -> None:
    if terms:
        st.markdown(marked(text, terms))
    else:
        st.text(text)


def _byline(row: dict[str, Any]) -> str:
    parts = [SOURCE_LABELS.get(row["source"], plain(row["source"]))]
    parts += [plain(row[name]) for name in ("channel", "author") if row[name]]
    parts.append(ago(row["happened_at"]))
    if row["event_count"] > 1:
        parts.append(count(row["event_count"], "event"))
    if row["state"] != "open":
        parts.append(STATE_LABELS.get(row["state"], plain(row["state"])))
    if row.get("reason"):
        parts.append(REASON_LABELS.get(row["reason"], plain(row["reason"])))
    return " · ".join(parts)


def show_items_table(frame: pl.DataFrame, columns: list[str], *, key: str) -> str | None:
    """Rows of items as a table; the id of the item whose row the reader picked, None without one."""
    picked = _draw(frame, columns, key, "single-cell", "choose a cell to read the whole item")
    cells = picked["selection"]["cells"]
    return str(frame["item_id"][cells[0][0]]) if cells and cells[0][0] < frame.height else None


def choose_items(frame: pl.DataFrame, columns: list[str], *, key: str) -> list[str]:
    """The same table with a box to tick before each row; the ids of the items that are ticked."""
    picked = _draw(frame, columns, key, "multi-row", "tick those you mean")
    return [str(frame["item_id"][row]) for row in picked["selection"]["rows"] if row < frame.height]


def _draw(
    frame: pl.DataFrame, columns: list[str], key: str, mode: Literal["single-cell", "multi-row"], hint: str
) -> Any:  # noqa: ANN401  Streamlit's selection state
    table = tell_exactly(web_links(frame), "happened_at").with_columns(
        pl.col("source").replace_strict(SOURCE_LABELS, default=pl.col("source")),
        pl.col("state").replace_strict(STATE_LABELS, default=pl.col("state")),
    )
    return st.dataframe(
        table,
        key=key,
        hide_index=True,
        row_height=ROW_PIXELS,
        height=table_height(table.height),
        column_order=columns,
        column_config=_columns(),
        placeholder="",
        on_select="rerun",
        selection_mode=mode,
        alt=f"Feedback, one item a row; {hint}",
    )


def _columns() -> dict[str, Any]:
    config = st.column_config
    return {
        "source": config.TextColumn("Source", width=100),
        "snippet": config.TextColumn("Feedback", width=320),
        "author": config.TextColumn("Author", width=90),
        "channel": config.TextColumn("Where", width=100),
        **time_columns("happened_at", "When", 105),
        "cluster_title": config.TextColumn("Cluster", width=165),
        "reason": config.TextColumn("Why here", width=130),
        "similarity": config.ProgressColumn(
            "Likeness",
            min_value=0.0,
            max_value=1.0,
            format="%.2f",
            width=105,
            color=SOURCE_COLORS["github"],
            help="Cosine between this text and the mean of the cluster's texts; 1 is the same direction.",
        ),
        "membership_strength": config.NumberColumn("Strength", format="%.2f", width=80),
        "state": config.TextColumn("State", width=75),
        "language": config.TextColumn("Lang.", width=50),
        "url": config.LinkColumn("Link", display_text="open ↗", width=62),
    }
