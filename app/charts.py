"""Charts of feedback over time. Colour-blind readers can tell the colours apart; every bar says its number on hover."""

from __future__ import annotations

from datetime import datetime

import altair as alt
import polars as pl
import streamlit as st

from app.words import SOURCE_COLORS, SOURCE_LABELS, reader_zone
from soulcaster.db.screens import Bucket

_OTHER_COLOR = "#777777"
"""Of services that a mapping reads."""

_DATE_FORMAT = {"day": "%-d %b %Y", "week": "week of %-d %b %Y", "month": "%B %Y", "year": "%Y"}
_AXIS_FORMAT = {"day": "%-d %b", "week": "%-d %b %y", "month": "%b %Y", "year": "%Y"}
_EVERY = {"day": "1d", "week": "1w", "month": "1mo", "year": "1y"}


def show_by_time(frame: pl.DataFrame, bucket: Bucket, *, height: int, key: str) -> None:
    """Stacked bars of `count_by_time`: one bar a bucket, one colour a source, empty buckets as gaps."""
    present = set(frame["source"])
    sources = [source for source in SOURCE_LABELS if source in present]
    others = sorted(present - set(SOURCE_LABELS))
    data = frame.select(
        pl.col("starts_at").dt.convert_time_zone("UTC").dt.replace_time_zone(None),
        pl.col("starts_at").dt.offset_by(_EVERY[bucket]).dt.replace_time_zone(None).alias("ends_at"),
        pl.col("source").replace_strict(SOURCE_LABELS, default=pl.col("source")),
        pl.col("n"),
    )
    scale = alt.Scale(
        domain=[SOURCE_LABELS[source] for source in sources] + others,
        range=[SOURCE_COLORS[source] for source in sources] + [_OTHER_COLOR] * len(others),
    )
    chart = (
        alt.Chart(data.to_pandas())
        .mark_bar(orient="vertical", binSpacing=1)
        .encode(
            x=alt.X(
                "starts_at:T",
                title=None,
                axis=alt.Axis(format=_AXIS_FORMAT[bucket], grid=False, labelOverlap=True, tickCount=8),
            ),
            x2="ends_at:T",
            y=alt.Y("n:Q", title=None, stack="zero", axis=alt.Axis(tickMinStep=1, format="~s", tickCount=4)),
            color=alt.Color("source:N", title=None, scale=scale, legend=alt.Legend(orient="top", symbolType="square")),
            order=alt.Order("source:N"),
            tooltip=[
                alt.Tooltip("starts_at:T", title="When", format=_DATE_FORMAT[bucket]),
                alt.Tooltip("source:N", title="Source"),
                alt.Tooltip("n:Q", title="Items", format=","),
            ],
        )
        .properties(height=height)
    )
    total = int(frame["n"].sum())
    alt_text = f"Bar chart: {total} items by {bucket} and source, times in {reader_zone()}"
    st.altair_chart(chart, width="stretch", key=key, alt=alt_text)


def span_of(frame: pl.DataFrame, bucket: Bucket) -> list[alt.DateTime]:
    """First and last moment of the buckets of `frame` (column starts_at, not empty), for charts that share an axis."""
    ends_at = frame["starts_at"].dt.offset_by(_EVERY[bucket]).max()
    return [
        alt.DateTime(year=at.year, month=at.month, date=at.day)
        for at in (frame["starts_at"].min(), ends_at)
        if isinstance(at, datetime)
    ]


def show_small(frame: pl.DataFrame, bucket: Bucket, span: list[alt.DateTime], *, title: str, key: str) -> None:
    """Bars of one theme's `count_theme_trends` (columns starts_at, n) over `span`, small, without a legend."""
    data = frame.select(
        pl.col("starts_at").dt.convert_time_zone("UTC").dt.replace_time_zone(None),
        pl.col("starts_at").dt.offset_by(_EVERY[bucket]).dt.replace_time_zone(None).alias("ends_at"),
        pl.col("n"),
    )
    chart = (
        alt.Chart(data.to_pandas())
        .mark_bar(orient="vertical", color=SOURCE_COLORS["github"], binSpacing=0)
        .encode(
            x=alt.X(
                "starts_at:T",
                title=None,
                scale=alt.Scale(domain=span),
                axis=alt.Axis(format=_AXIS_FORMAT[bucket], grid=False, labelOverlap=True, tickCount=3),
            ),
            x2="ends_at:T",
            y=alt.Y("n:Q", title=None, axis=alt.Axis(tickMinStep=1, format="~s", tickCount=2)),
            tooltip=[
                alt.Tooltip("starts_at:T", title="When", format=_DATE_FORMAT[bucket]),
                alt.Tooltip("n:Q", title="Items", format=","),
            ],
        )
        .properties(height=90)
    )
    total = int(frame["n"].sum())
    st.altair_chart(
        chart, width="stretch", height=90, key=key, alt=f"Bar chart: {total} items by {bucket} of theme {title}"
    )
