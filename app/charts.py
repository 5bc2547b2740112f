"""Charts of feedback over time. Colour-blind readers can tell the colours apart; every bar says its number on hover.

Written as Vega-Lite itself: making a chart through Altair costs 20 ms, and the map has a dozen.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import polars as pl
import streamlit as st

from app.words import SOURCE_COLORS, SOURCE_LABELS, reader_zone
from soulcaster.db.screens import Bucket

_OTHER_COLOR = "#777777"
"""Of services that a mapping reads."""

_DATE_FORMAT = {"day": "%-d %b %Y", "week": "week of %-d %b %Y", "month": "%B %Y", "year": "%Y"}
_AXIS_FORMAT = {"day": "%-d %b", "week": "%-d %b %y", "month": "%b %Y", "year": "%Y"}
_EVERY = {"day": "1d", "week": "1w", "month": "1mo", "year": "1y"}
_ITEMS = {"field": "n", "type": "quantitative", "title": "Items", "format": ","}


def show_by_time(frame: pl.DataFrame, bucket: Bucket, *, height: int, key: str) -> None:
    """Stacked bars of `count_by_time`: one bar a bucket, one colour a source, empty buckets as gaps."""
    present = set(frame["source"])
    sources = [source for source in SOURCE_LABELS if source in present]
    others = sorted(present - set(SOURCE_LABELS))
    data = _with_ends(frame, bucket).with_columns(
        pl.col("source").replace_strict(SOURCE_LABELS, default=pl.col("source"))
    )
    scale = {
        "domain": [SOURCE_LABELS[source] for source in sources] + others,
        "range": [SOURCE_COLORS[source] for source in sources] + [_OTHER_COLOR] * len(others),
    }
    source = {"field": "source", "type": "nominal"}
    spec = {
        "height": height,
        "mark": {"type": "bar", "orient": "vertical", "binSpacing": 1},
        "encoding": {
            "x": _time_axis(bucket, n_ticks=8),
            "x2": {"field": "ends_at"},
            "y": _count_axis(n_ticks=4) | {"stack": "zero"},
            "color": source | {"title": None, "scale": scale, "legend": {"orient": "top", "symbolType": "square"}},
            "order": source,
            "tooltip": [_when(bucket), source | {"title": "Source"}, _ITEMS],
        },
    }
    total = int(frame["n"].sum())
    alt_text = f"Bar chart: {total} items by {bucket} and source, times in {reader_zone()}"
    st.vega_lite_chart(data, spec, width="stretch", key=key, alt=alt_text)


def span_of(frame: pl.DataFrame, bucket: Bucket) -> list[dict[str, int]]:
    """First and last moment of the buckets of `frame` (column starts_at, not empty), for charts that share an axis."""
    ends_at = frame["starts_at"].dt.offset_by(_EVERY[bucket]).max()
    return [
        {"year": at.year, "month": at.month, "date": at.day}
        for at in (frame["starts_at"].min(), ends_at)
        if isinstance(at, datetime)
    ]


def show_small(frame: pl.DataFrame, bucket: Bucket, span: list[dict[str, int]], *, title: str, key: str) -> None:
    """Bars of one theme's `count_theme_trends` (columns starts_at, n) over `span`, small, without a legend."""
    spec = {
        "height": 90,
        "mark": {"type": "bar", "orient": "vertical", "binSpacing": 0, "color": SOURCE_COLORS["github"]},
        "encoding": {
            "x": _time_axis(bucket, n_ticks=3) | {"scale": {"domain": span}},
            "x2": {"field": "ends_at"},
            "y": _count_axis(n_ticks=2),
            "tooltip": [_when(bucket), _ITEMS],
        },
    }
    alt_text = f"Bar chart: {int(frame['n'].sum())} items by {bucket} of theme {title}"
    st.vega_lite_chart(_with_ends(frame, bucket), spec, width="stretch", height=90, key=key, alt=alt_text)


def _with_ends(frame: pl.DataFrame, bucket: Bucket) -> pl.DataFrame:
    """The counts, each bucket with its end, in UTC without saying so, as Vega takes it for the reader's."""
    return frame.with_columns(
        pl.col("starts_at").dt.convert_time_zone("UTC").dt.replace_time_zone(None),
        pl.col("starts_at").dt.offset_by(_EVERY[bucket]).dt.replace_time_zone(None).alias("ends_at"),
    )


def _time_axis(bucket: Bucket, *, n_ticks: int) -> dict[str, Any]:
    axis = {"format": _AXIS_FORMAT[bucket], "grid": False, "labelOverlap": True, "tickCount": n_ticks}
    return {"field": "starts_at", "type": "temporal", "title": None, "axis": axis}


def _count_axis(*, n_ticks: int) -> dict[str, Any]:
    axis = {"tickMinStep": 1, "format": "~s", "tickCount": n_ticks}
    return {"field": "n", "type": "quantitative", "title": None, "axis": axis}


def _when(bucket: Bucket) -> dict[str, Any]:
    return {"field": "starts_at", "type": "temporal", "title": "When", "format": _DATE_FORMAT[bucket]}
