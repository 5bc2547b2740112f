"""The map as data, as a page and as an image: what each says, and what hostile text cannot do in it."""

from __future__ import annotations

import io
import json
import re
from datetime import UTC, datetime, timedelta

import polars as pl
from PIL import Image

from soulcaster.pictures.image import png_image
from soulcaster.pictures.page import html_page
from soulcaster.pictures.plot import THEME_COLORS, plot_map

_NOW = datetime(2026, 5, 1, tzinfo=UTC)
_NASTY = "</script><script>window.pwned = 1</script><!-- & \u2028 {style} {data}"


def cluster(number: int, **rest: object) -> dict[str, object]:
    """A row as `list_clusters` gives it."""
    return {
        "cluster_id": f"c{number}", "title": f"Cluster {number}", "theme": "Theme", "theme_id": "t", "status": "new",
        "n_items": 10, "n_people": 4, "n_by_source": [{"key": "reddit", "value": 10}], "last_seen_at": _NOW,
        "priority": 40.0, "is_burst": False, **rest,
    }  # fmt: skip


def plot_of(clusters: list[dict[str, object]], *, without: int = 0, noise: list[dict[str, object]] | None = None):
    """The map of those clusters in a row; the last `without` of them have no place on it."""
    frame = pl.DataFrame(clusters)
    placed = frame.head(frame.height - without)
    numbers = [float(number) for number in range(placed.height)]
    positions = placed.select("cluster_id", x=pl.Series(numbers, dtype=pl.Float64), y=pl.lit(0.0), radius=pl.lit(0.4))
    schema = {
        "x": pl.Float64, "y": pl.Float64, "source": pl.String, "snippet": pl.String,
        "happened_at": pl.Datetime("us", "UTC"),
    }  # fmt: skip
    rows = pl.DataFrame(noise or [], schema=schema)
    return plot_map(frame, frame.height, positions, rows, rows.height)


def labels(plot, name: str) -> list[str]:
    """Words of the legend entry of every cluster in one of the colourings."""
    [mode] = [mode for mode in plot["modes"] if mode["name"] == name]
    return [mode["legend"][at]["label"].rsplit(" (", 1)[0] for at in mode["of"]]


def test_largest_themes_have_colours_of_their_own_and_the_rest_share_one():
    """Nine themes, seven colours; marks tell them apart without colour."""
    clusters = [cluster(n, theme_id=f"t{n}", theme=f"Theme {n}", n_items=100 - n) for n in range(9)]

    plot = plot_of(clusters)

    legend = plot["modes"][0]["legend"]
    assert [*THEME_COLORS] == [entry["color"] for entry in legend[:7]]
    assert 8 == len(legend) == len({entry["mark"] for entry in legend})
    assert ["other themes", "other themes"] == labels(plot, "Theme")[7:]
    assert [f"Theme {n}" for n in range(9)] == [theme["title"] for theme in plot["themes"]]


def test_source_is_the_one_that_most_items_come_from():
    """Sixty in a hundred make a majority; below that it says 'several'."""
    shares = [[("reddit", 6), ("github", 4)], [("reddit", 5), ("github", 5)], [("carrier pigeon", 10)]]
    clusters = [
        cluster(n, n_by_source=[{"key": key, "value": value} for key, value in share]) for n, share in enumerate(shares)
    ]

    found = labels(plot_of(clusters), "Source")

    assert "Reddit" == found[0]
    assert found[1] == found[2] == "Several, none above 60%"


def test_age_counts_from_the_newest_report_on_the_map():
    """An archive of 2014 has new and old clusters too."""
    clusters = [cluster(n, last_seen_at=_NOW - timedelta(days=days)) for n, days in enumerate((0, 20, 60, 300, 900))]

    assert [
        "last report within a week", "within a month", "within three months", "within a year", "longer ago",
    ] == labels(plot_of(clusters), "Age")  # fmt: skip


def test_status_says_a_word_for_each_and_knows_no_unknown_one():
    """A status that this version does not know is shown by its name."""
    clusters = [cluster(0, status="pr_open"), cluster(1, status="resting")]

    assert ["pull request", "resting"] == labels(plot_of(clusters), "Status")


def test_clusters_without_a_place_are_counted():
    """As after an edit that made a new cluster."""
    plot = plot_of([cluster(n) for n in range(5)], without=2)

    assert 3 == len(plot["clusters"]["id"])
    assert "2 clusters have no place" in plot["note"]


def test_a_map_of_nothing_is_a_map():
    """No cluster, no theme, no legend entry; page and image can still be made."""
    plot = plot_of([cluster(0)], without=1)

    assert [] == plot["clusters"]["id"] == plot["themes"]
    assert "mountMap" in html_page(plot, "nothing")
    assert (100, 118) == Image.open(io.BytesIO(png_image(plot, "nothing", pixels=100))).size


def test_hostile_text_stays_inside_the_data_of_the_page():
    """It can end neither the data nor the script, and comes out as it went in."""
    noise = [{"x": 0.0, "y": 0.0, "source": "reddit", "snippet": _NASTY, "happened_at": _NOW}]

    page = html_page(plot_of([cluster(0, title=_NASTY, theme=_NASTY)], noise=noise), _NASTY)

    [data] = re.findall(r'<script type="application/json" id="plot">(.*?)</script>', page, re.DOTALL)
    plot = json.loads(data)
    assert _NASTY == plot["noise"]["text"][0]
    assert plot["clusters"]["title"] == [plot["themes"][0]["title"]] == [" ".join(_NASTY.split())]
    assert 2 == page.count("<script")
    assert "<!--" not in page


def test_the_page_may_ask_nothing_of_any_network():
    """Its own policy forbids it, and nothing in it points outside."""
    page = html_page(plot_of([cluster(0)]), "map")

    assert "default-src 'none'" in page
    assert [] == re.findall(r"https?://|\bimport\b|\bfetch\(|src=|url\(", page)


def test_the_image_shows_every_cluster_in_the_colour_of_its_theme():
    """Pixels in the middle of the circles."""
    plot = plot_of([cluster(n, theme_id=f"t{n}", theme=f"Theme {n}", n_items=100 - n) for n in range(4)])

    image = Image.open(io.BytesIO(png_image(plot, "four", pixels=800))).convert("RGB")

    middle_row = image.height // 2 - 30
    seen = {"#{:02X}{:02X}{:02X}".format(*image.getpixel((x, middle_row))) for x in range(image.width)}
    assert set(THEME_COLORS[:4]) <= seen
