"""The map of the run on show: where every cluster lies, written once, on top of the map before."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import polars as pl

from soulcaster import vector_index
from soulcaster.clustering import layout
from soulcaster.clustering.exemplars import centroids
from soulcaster.db import maps as store
from soulcaster.db import read, write
from soulcaster.embedders import make_embedder
from soulcaster.models import DrawReport
from soulcaster.settings import Settings

MOST_NOISE = 3_000
"""Items that stand alone and are drawn, of a run; the same ones in every run while they stand alone."""

_BLOCK_ROWS = 1_024


def draw(settings: Settings, project_id: str, *, on_progress: Callable[[int, int], None] | None = None) -> DrawReport:
    """Lay out the clusters of the run on show, unless that is done; what earlier maps show stays where it was.

    Positions are never changed once they are written. A run whose vectors are not those of the embedder that the
    settings name is left alone: its clusters are then shown where the newest map has them.

    Raises:
        PermanentError: there is no store, or the embedder that the settings name cannot be made.
    """
    started = time.monotonic()
    wait = settings.lock_timeout_seconds
    given = read(
        settings.duckdb_path,
        lambda con: store.load_draw_input(con, project_id, most_noise=MOST_NOISE),
        timeout_seconds=wait,
    )
    vectors = None if given is None else _load_vectors(settings, given)
    if given is None or vectors is None:
        return DrawReport(n_clusters=0, n_kept=0, n_noise=0, seconds=time.monotonic() - started)
    matrix, position = vectors
    members = given.members.join(position, on="content_hash", maintain_order="left")
    numbers = given.clusters.select("cluster_id").with_row_index("number")
    rows = members.join(numbers, on="cluster_id", maintain_order="left")
    centers = np.zeros((given.clusters.height, matrix.shape[1]))
    found = centroids(matrix[rows["row"].to_numpy()], rows["number"].cast(pl.Int64).to_numpy())
    centers[: len(found)] = found
    previous = given.clusters.select("x_before", "y_before").to_numpy().astype(np.float64)
    middles, radii = layout.place_clusters(centers, given.clusters["n_items"].to_numpy(), previous)
    noise = _noise_rows(given, matrix, position, centers, middles, radii)
    positions = given.clusters.select("cluster_id", x=middles[:, 0], y=middles[:, 1], radius=radii)
    write(
        settings.duckdb_path,
        lambda con: store.write_map(con, project_id, given.run_id, positions, noise),
        timeout_seconds=wait,
    )
    if on_progress is not None:
        on_progress(positions.height, positions.height)
    return DrawReport(
        n_clusters=positions.height,
        n_kept=int(given.clusters["x_before"].is_not_null().sum()),
        n_noise=noise.height,
        seconds=time.monotonic() - started,
    )


def _load_vectors(settings: Settings, given: store.DrawInput) -> tuple[npt.NDArray[np.float32], pl.DataFrame] | None:
    """Vectors of the texts that the map is made of, and columns content_hash, row; None without any."""
    embedder = make_embedder(settings)
    table = vector_index.find_index(settings.lancedb_path, embedder.model_id, embedder.dim)
    if table is None or embedder.model_id != given.model_id:
        return None
    hashes = pl.concat([given.members["content_hash"], given.noise["content_hash"]]).unique(maintain_order=True)
    matrix, missing = vector_index.load_matrix(table, hashes.to_list())
    if not len(matrix):
        return None
    known = hashes.filter(~hashes.is_in(pl.Series(missing, dtype=pl.String).implode()))
    return matrix, pl.DataFrame({"content_hash": known, "row": np.arange(len(known), dtype=np.int64)})


def _noise_rows(
    given: store.DrawInput,
    matrix: npt.NDArray[np.float32],
    position: pl.DataFrame,
    centers: npt.NDArray[np.float64],
    middles: npt.NDArray[np.float64],
    radii: npt.NDArray[np.float64],
) -> pl.DataFrame:
    """Columns item_id, cluster_id, similarity, x, y: the sampled noise, each item beside its nearest cluster."""
    alone = given.noise.join(position, on="content_hash", maintain_order="left")
    wanted = matrix[alone["row"].to_numpy()].astype(np.float64)
    nearest = np.empty(len(wanted), dtype=np.int64)
    similarity = np.empty(len(wanted))
    for at in range(0, len(wanted), _BLOCK_ROWS):
        products = wanted[at : at + _BLOCK_ROWS] @ centers.T
        nearest[at : at + len(products)] = products.argmax(axis=1)
        similarity[at : at + len(products)] = np.round(products.max(axis=1), 6)
    places = layout.place_noise(nearest, middles, radii)
    return pl.DataFrame(
        {
            "item_id": alone["item_id"],
            "cluster_id": given.clusters["cluster_id"].gather(nearest),
            "similarity": similarity,
            "x": places[:, 0],
            "y": places[:, 1],
        }
    )
