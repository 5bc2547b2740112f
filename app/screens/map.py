"""Map: all clusters of the run on show in one picture, themes beside it, what was picked below, themes over time."""

from __future__ import annotations

from functools import partial

import polars as pl
import streamlit as st

from app import charts, cluster_table, filters, launch, map_view, queries
from app.words import count, number, plain, told
from soulcaster.db.cluster_screens import ClusterFilters
from soulcaster.db.maps import count_theme_trends, list_map_items
from soulcaster.export_map import load_map, picture_of
from soulcaster.pictures.plot import MOST_CLUSTERS, Plot

_MOST_LISTED = 200
_MOST_DOTS, _MOST_DOTS_EACH = 3_000, 600
_TRENDS = 12


def page() -> None:
    """Draw the page."""
    st.title("Map", anchor=False)
    with told():
        plot, clusters = queries.ask(load_map, queries.project())
        if not plot["clusters"]["id"]:
            _nothing(clusters.height)
            return
        with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
            text = filters.search("words in titles and feedback", width=260)
            _exports(plot)
        hits = _hits(text)
        _map(plot, clusters, hits)
        _trends(plot, clusters)
    launch.show_started_run()


def _nothing(n_clusters: int) -> None:
    """What to do before there is a map."""
    if n_clusters == 0:
        st.info("No clusters yet, so there is nothing to draw: they appear after the first `recluster`.", icon="🗺️")
        st.page_link("screens/overview.py", label="What to do first", icon="🧭")
        return
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.markdown(f"🗺️ Not on a map yet: **{count(n_clusters, 'cluster')}**.", width="stretch")
        launch.start_button("Draw the map", "summarize", {"params": {"project": queries.project()}}, key="draw")
    st.caption("Without Prefect:")
    st.code("soulcaster map -o map.html", language=None)
    launch.show_started_run()


def _hits(text: str) -> list[str] | None:
    """Ids of the clusters in which the words stand; None when nothing is looked for."""
    if not text.strip():
        return None
    found, n_found = queries.list_clusters(ClusterFilters(text=text), limit=MOST_CLUSTERS)
    st.caption(f"{count(n_found, 'cluster')} with these words; the others are dimmed.")
    return list(found["cluster_id"])


def _exports(plot: Plot) -> None:
    project = queries.project()
    with st.container(horizontal=True, width="content"):
        for kind, label, mime in ((".png", "PNG", "image/png"), (".html", "HTML", "text/html")):
            st.download_button(
                label,
                partial(picture_of, plot, project, kind),
                f"map{kind}",
                mime,
                icon="⬇️",
                on_click="ignore",
                help="The whole map as one file, made from the run on show; the page works without a network.",
            )


@st.fragment
def _map(plot: Plot, clusters: pl.DataFrame, hits: list[str] | None) -> None:
    """The map and the list of what is picked on it; only these two are drawn again when the reader picks."""
    with told():
        near = map_view.near()
        items = map_view.no_items()
        if near:
            items = queries.ask(list_map_items, queries.project(), near, each=_MOST_DOTS_EACH, limit=_MOST_DOTS)
        picked, _ = map_view.show(plot, items, hits)
        if items.height == _MOST_DOTS:
            st.caption(f"The {number(_MOST_DOTS)} most typical items of these clusters are drawn, not all.")
        _picked(clusters, picked)


def _picked(clusters: pl.DataFrame, picked: list[str]) -> None:
    if not picked:
        st.caption("Pick a circle, or select a region: the clusters are listed here.")
        return
    found = clusters.filter(pl.col("cluster_id").is_in(picked)).sort("priority", descending=True, maintain_order=True)
    n_items = int(found["n_items"].sum())
    st.subheader(f"Picked: {count(found.height, 'cluster')}, {count(n_items, 'item')}", anchor=False)
    if found.height > _MOST_LISTED:
        st.caption(f"The {_MOST_LISTED} most urgent of them; select a smaller region for the others.")
    cluster_table.show(found.head(_MOST_LISTED), key="picked")


def _trends(plot: Plot, clusters: pl.DataFrame) -> None:
    """A small chart for each of the largest themes, all on the same span."""
    themes = plot["themes"][:_TRENDS]
    if not themes:
        return
    seen = clusters.select(pl.col("first_seen_at").min(), pl.col("last_seen_at").max())
    bucket = queries.bucket_for(*seen.row(0))
    theme_ids = tuple(theme["id"] for theme in themes)
    frame = queries.ask(count_theme_trends, queries.project(), bucket, theme_ids)
    st.subheader("Themes over time", anchor=False, help="Items of the largest themes; every chart has its own height.")
    span = charts.span_of(frame, bucket)
    with st.container(horizontal=True, gap="small"):
        for theme in themes:
            with st.container(border=True, width=250, gap="xsmall"):
                st.caption(f"**{plain(theme['title'][:70])}** · {count(theme['n_items'], 'item')}")
                own = frame.filter(pl.col("theme_id") == theme["id"])
                charts.show_small(own, bucket, span, title=theme["title"], key=f"trend-{theme['id']}")


if __name__ == "__main__":
    page()
