"""The map as a component: the same code that draws the exported page, here with what the reader picks and looks at."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import polars as pl
import streamlit as st

from soulcaster.clustering.layout import place_items
from soulcaster.pictures.page import read_asset
from soulcaster.pictures.plot import SOURCES, Plot, item_details

_PICKED, _NEAR = "picked", "near"
_KEY = "map"


def show(plot: Plot, items: pl.DataFrame, hits: list[str] | None) -> tuple[list[str], tuple[str, ...]]:
    """Draw the map; ids of the clusters that the reader picked, and of those near enough for their items to show.

    Args:
        plot: what `load_map` gave.
        items: rows of `list_map_items` of the clusters that were near when the page was drawn last.
        hits: ids of the clusters that a search found, None without a search.
    """
    component = st.components.v2.component(
        "soulcaster_map",
        html="<div class='map-root'></div>",
        css=read_asset("map.css"),
        js=read_asset("map.js"),
    )
    state = component(
        key=_KEY,
        data=plot | {"dots": _dots(items), "hits": hits},
        default={_PICKED: [], _NEAR: []},
        on_picked_change=lambda: None,
        on_near_change=lambda: None,
    )
    return _ids(state.get(_PICKED)), tuple(_ids(state.get(_NEAR)))


def near() -> tuple[str, ...]:
    """Ids of the clusters whose items the reader is near enough to see, as told last."""
    state: Any = st.session_state.get(_KEY) or {}
    return tuple(_ids(state.get(_NEAR)))


def _ids(told: object) -> list[str]:
    """What the browser told, when it is a list of texts; a browser may tell anything."""
    return [each for each in told if isinstance(each, str)] if isinstance(told, list | tuple) else []


def _dots(items: pl.DataFrame) -> dict[str, list[Any]]:
    looks = [SOURCES.get(source, (source, "?", "#777777")) for source in items["source"]]
    places = place_items(items["rank"].to_numpy(), items["n_items"].to_numpy())
    return {
        "cluster": items["cluster_id"].to_list(),
        "x": places[:, 0].round(4).tolist(),
        "y": places[:, 1].round(4).tolist(),
        "color": [color for _, _, color in looks],
        "mark": [mark for _, mark, _ in looks],
        "text": items["snippet"].to_list(),
        "detail": item_details(items),
    }


def no_items() -> pl.DataFrame:
    """Rows of `list_map_items` when nobody is near."""
    return pl.DataFrame(
        schema={
            "cluster_id": pl.String,
            "rank": pl.Int64,
            "n_items": pl.Int64,
            "source": pl.String,
            "snippet": pl.String,
            "happened_at": datetime,
        }
    )
