"""The map as data: circles, themes, and four ways to colour them, each with a legend of words, marks and colours."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

Plot = dict[str, Any]
"""What `map.js` draws; JSON all the way down."""

MOST_CLUSTERS = 5_000
"""Circles of one map; the smallest clusters beyond that are left out, and the map says so."""

THEME_COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
SOURCES = {
    "reddit": ("Reddit", "R", "#D55E00"),
    "sentry": ("Sentry", "S", "#CC79A7"),
    "github": ("GitHub", "G", "#0072B2"),
    "manual": ("Manual", "M", "#009E73"),
}
"""Told apart with every common kind of colour blindness. Source: Okabe and Ito, Color Universal Design, 2008."""
_MIXED = ("Several, none above 60%", "+", "#777777")
_MOSTLY = 0.6
_OTHER_THEMES = ("other themes", "·", "#9A9A9A")

_STATUSES = {
    "new": ("new", "N", "#56B4E9"),
    "triaged": ("triaged", "T", "#0072B2"),
    "ignored": ("ignored", "I", "#9A9A9A"),
    "fixing": ("being fixed", "F", "#E69F00"),
    "pr_open": ("pull request", "P", "#CC79A7"),
    "fixed": ("fixed", "D", "#009E73"),
    "regressed": ("regressed", "!", "#D55E00"),
}
_AGES = (
    (7, ("last report within a week", "1", "#FEE838")),
    (30, ("within a month", "2", "#BCAE6C")),
    (91, ("within three months", "3", "#7D7C78")),
    (365, ("within a year", "4", "#414D6B")),
    (None, ("longer ago", "5", "#00224E")),
)
"""Lightness falls with age. Source: Nuñez, Anderton and Renslow 2018, cividis."""

_TITLE_CHARS = 160


def plot_map(
    clusters: pl.DataFrame, n_clusters: int, positions: pl.DataFrame, noise: pl.DataFrame, n_noise: int
) -> Plot:
    """The map of `clusters` that have a position.

    Args:
        clusters: rows of `db.cluster_screens.list_clusters`, largest first.
        n_clusters: how many the run has in all.
        positions: columns cluster_id, x, y, radius.
        noise: items that stand alone: x, y, source, snippet, happened_at, similarity.
        n_noise: how many stand alone in all.
    """
    rows = clusters.join(positions, on="cluster_id", maintain_order="left").head(MOST_CLUSTERS)
    themes, theme_of = _themes(rows)
    made: Plot = {
        "clusters": {
            "id": rows["cluster_id"].to_list(),
            "title": [title_of(*pair) for pair in rows.select("title", "cluster_id").iter_rows()],
            "x": rows["x"].round(5).to_list(),
            "y": rows["y"].round(5).to_list(),
            "r": rows["radius"].round(6).to_list(),
            "n": rows["n_items"].to_list(),
            "theme": theme_of,
            "detail": [_detail(*row) for row in rows.select(_DETAILED).iter_rows()],
        },
        "themes": themes,
        "modes": [_by_theme(themes, theme_of), _by_source(rows), _by_age(rows), _by_status(rows)],
        "noise": {
            "x": noise["x"].round(5).to_list(),
            "y": noise["y"].round(5).to_list(),
            "text": noise["snippet"].to_list(),
            "detail": [detail + ", stands alone" for detail in item_details(noise)],
        },
        "sources": [{"label": label, "mark": mark, "color": color} for label, mark, color in SOURCES.values()],
        "dots": {"cluster": [], "x": [], "y": [], "color": [], "mark": [], "text": [], "detail": []},
        "hits": None,
        "has_search": False,
        "alt": f"Map of {rows.height:,} clusters in {len(themes):,} themes; the list beside it names them all",
        "note": _note(n_clusters - rows.height, noise.height, n_noise),
    }
    made["stamp"] = hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()
    return made


def title_of(title: str | None, cluster_id: str) -> str:
    """One line for a cluster, never empty."""
    return " ".join(title.split())[:_TITLE_CHARS] if title and title.strip() else f"Untitled cluster {cluster_id[:8]}"


def item_details(items: pl.DataFrame) -> list[str]:
    """'Reddit, 3 May 2024' of each item (columns source, happened_at)."""
    names = {name: label for name, (label, _, _) in SOURCES.items()}
    named = pl.col("source").replace_strict(names, default=pl.col("source"))
    return items.select(named + ", " + _day("happened_at")).to_series().to_list()


def _day(column: str) -> pl.Expr:
    return pl.col(column).dt.strftime("%-d %b %Y").fill_null("at an unknown time")


_DETAILED = ("n_by_source", "n_items", "n_people", "priority", "status", "is_burst", _day("last_seen_at"))


def _detail(
    n_by_source: list[dict[str, Any]],
    n_items: int,
    n_people: int,
    priority: float,
    status: str,
    is_burst: bool,
    day: str,
) -> str:
    """Lines of the box that shows on hover."""
    sources = sorted(n_by_source, key=lambda entry: -entry["value"])
    named = ", ".join(f"{SOURCES.get(each['key'], (each['key'],))[0]} {each['value']:,}" for each in sources)
    burst = ", bursting" if is_burst else ""
    return (
        f"{n_items:,} items ({named}), {n_people:,} people\n"
        f"Priority {priority:.0f} of 100, {_STATUSES.get(status, (status,))[0]}{burst}, last report {day}"
    )


def _note(n_left_out: int, n_drawn: int, n_noise: int) -> str:
    parts = ["Areas go by items. Drag to move, click the map and scroll to zoom, Shift and drag to select."]
    if n_noise:
        parts.append(f"Grey specks are {n_drawn:,} of {n_noise:,} items that stand alone, beside the nearest cluster.")
    if n_left_out:
        parts.append(f"{n_left_out:,} clusters have no place on this map.")
    return " ".join(parts)


def _themes(rows: pl.DataFrame) -> tuple[list[dict[str, Any]], list[int]]:
    """Themes, those with most items first, with the middle of their clusters; and the theme of every cluster, or -1."""
    placed = rows.filter(pl.col("theme_id").is_not_null())
    themes = [
        {
            "id": part["theme_id"][0],
            "title": " ".join((part["theme"][0] or "Untitled theme").split())[:_TITLE_CHARS],
            "n_items": int(part["n_items"].sum()),
            "x": _weighted_median(part["x"].to_numpy(), part["n_items"].to_numpy()),
            "y": _weighted_median(part["y"].to_numpy(), part["n_items"].to_numpy()),
        }
        for part in placed.partition_by("theme_id", maintain_order=True)
    ]
    themes.sort(key=lambda theme: (-theme["n_items"], theme["id"]))
    for number, theme in enumerate(themes):
        theme["color"] = THEME_COLORS[number] if number < len(THEME_COLORS) else None
    numbers = {theme["id"]: number for number, theme in enumerate(themes)}
    return themes, [numbers.get(theme_id, -1) for theme_id in rows["theme_id"]]


def _weighted_median(places: npt.NDArray[np.float64], weights: npt.NDArray[np.int64]) -> float:
    """Half of the items lie on either side: a cluster far off does not pull the title away."""
    order = np.argsort(places, kind="stable")
    before = np.cumsum(weights[order])
    return round(float(places[order][np.searchsorted(before, before[-1] / 2)]), 5)


def _mode(name: str, legend: list[tuple[str, str, str]], of: list[int]) -> dict[str, Any]:
    """One way of colouring; entries that no cluster has are left out of the legend."""
    used = sorted(set(of))
    place = {old: new for new, old in enumerate(used)}
    counts = np.bincount(np.array(of, dtype=np.int64), minlength=len(legend))
    return {
        "name": name,
        "legend": [
            {"label": f"{legend[at][0]} ({counts[at]:,})", "mark": legend[at][1], "color": legend[at][2]} for at in used
        ],
        "of": [place[each] for each in of],
    }


def _by_theme(themes: list[dict[str, Any]], theme_of: list[int]) -> dict[str, Any]:
    most = len(THEME_COLORS)
    named = [(theme["title"], str(at + 1), THEME_COLORS[at]) for at, theme in enumerate(themes[:most])]
    rest = len(named)
    return _mode("Theme", [*named, _OTHER_THEMES], [at if 0 <= at < most else rest for at in theme_of])


def _by_source(rows: pl.DataFrame) -> dict[str, Any]:
    names = [*SOURCES]
    legend = [*SOURCES.values(), _MIXED]
    of = []
    for entries, n_items in rows.select("n_by_source", "n_items").iter_rows():
        first = max(entries, key=lambda entry: entry["value"])
        is_clear = first["key"] in names and first["value"] >= _MOSTLY * n_items
        of.append(names.index(first["key"]) if is_clear else len(names))
    return _mode("Source", legend, of)


def _by_age(rows: pl.DataFrame) -> dict[str, Any]:
    """Counted back from the newest report on the map, so that an archive has ages too."""
    seconds = rows.select((pl.col("last_seen_at").max() - pl.col("last_seen_at")).dt.total_seconds()).to_series()
    days = [value / 86_400 for value in seconds]
    of = [next(at for at, (limit, _) in enumerate(_AGES) if limit is None or age <= limit) for age in days]
    return _mode("Age", [entry for _, entry in _AGES], of)


def _by_status(rows: pl.DataFrame) -> dict[str, Any]:
    names = [*_STATUSES]
    others = sorted(set(rows["status"]) - set(names))
    legend = [*_STATUSES.values(), *[(name, "?", "#F0E442") for name in others]]
    return _mode("Status", legend, [[*names, *others].index(status) for status in rows["status"]])
