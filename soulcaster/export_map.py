"""The map of the run on show as a file: a page that works without a network, or a PNG."""

from __future__ import annotations

from pathlib import Path

import polars as pl
from duckdb import DuckDBPyConnection

from soulcaster.db import maps, read
from soulcaster.db.cluster_screens import ClusterFilters, list_clusters
from soulcaster.errors import PermanentError
from soulcaster.pictures.image import png_image
from soulcaster.pictures.page import html_page
from soulcaster.pictures.plot import MOST_CLUSTERS, Plot, plot_map
from soulcaster.settings import Settings

KINDS = (".html", ".png")


def load_map(con: DuckDBPyConnection, project_id: str) -> tuple[Plot, pl.DataFrame]:
    """The map of the run on show as data, without circles when nothing is drawn; and the rows of `list_clusters`."""
    clusters, n_clusters = list_clusters(con, project_id, ClusterFilters(), limit=MOST_CLUSTERS)
    noise, n_noise = maps.list_map_noise(con, project_id)
    return plot_map(clusters, n_clusters, maps.list_positions(con, project_id), noise, n_noise), clusters


def picture_of(plot: Plot, project_id: str, kind: str) -> bytes:
    """The file of a map; `kind` is '.html' or '.png'."""
    title = f"{project_id}: {len(plot['clusters']['id']):,} clusters in {len(plot['themes']):,} themes"
    return png_image(plot, title) if kind == ".png" else html_page(plot, title).encode()


def export_map(settings: Settings, project_id: str, path: Path) -> int:
    """Write the map to `path`; number of clusters on it.

    Raises:
        PermanentError: the name ends in neither .html nor .png, there is no map yet, or the file cannot be written.
    """
    kind = path.suffix.lower()
    if kind not in KINDS:
        raise PermanentError(f"Exporting the map to {str(path)!r}: expected a name ending in .html or .png.")
    plot, _ = read(
        settings.duckdb_path,
        lambda con: load_map(con, project_id),
        timeout_seconds=settings.lock_timeout_seconds,
    )
    if not plot["clusters"]["id"]:
        raise PermanentError(
            f"Exporting the map of project {project_id!r} found none; run `soulcaster recluster` first."
        )
    try:
        path.write_bytes(picture_of(plot, project_id, kind))
    except OSError as error:
        raise PermanentError(f"Writing the map to {str(path)!r} failed: {error.strerror}; name another.") from error
    return len(plot["clusters"]["id"])
