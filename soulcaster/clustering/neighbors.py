"""Nearest neighbours of every vector and the candidate edges they make. Exact, in blocks, the same on every run.

Good to about 25,000 vectors (the work grows with their square); `neighborhood` knows the way beyond that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from soulcaster.clustering.sharing import each, n_threads

_BLOCK_BYTES = 64 * 2**20
_SIMILARITY_DECIMALS = 6
_MOST_WIDTH = 64


class Edges(NamedTuple):
    """Undirected edges, each pair once with left < right."""

    left: npt.NDArray[np.int64]
    right: npt.NDArray[np.int64]
    distance: npt.NDArray[np.float64]
    """Euclidean distance of the unit vectors, in [0, 2]: sqrt(2 - 2 * cosine similarity)."""


def nearest_neighbors(
    matrix: npt.NDArray[np.float32],
    k: int = 30,
    *,
    block_bytes: int = _BLOCK_BYTES,
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Indices int64 and cosine similarities float32, both (n, min(k, n - 1)), of the nearest other rows.

    Rows are ordered nearest first, ties by index. Similarities are rounded to 6 decimals: the last bits of a float32
    product depend on the block it was computed in, and must not decide who belongs together.

    Args:
        matrix: float32 (n, d), L2-normalised rows.
        k: neighbours a row. 30 gave the partition of dense HDBSCAN on every set tried (docs/decisions.md).
        block_bytes: bound of the products held at once; decides nothing else.
        on_progress: called with (rows done, n).
    """
    n = len(matrix)
    k = max(0, min(k, n - 1))
    indices = np.empty((n, k), dtype=np.int64)
    similarities = np.empty((n, k), dtype=np.float32)
    if k == 0:
        return indices, similarities
    padded = pad_rows([matrix], k)
    block = max(1, block_bytes // (4 * len(padded) * n_threads()))
    rows = np.arange(n)

    def search(start: int) -> int:
        part = slice(start, min(start + block, n))
        indices[part], similarities[part] = nearest_among(matrix[part], padded, rows[part], rows, k)
        return part.stop

    for done in each(search, range(0, n, block)):
        if on_progress is not None:
            on_progress(done, n)
    return indices, similarities


def pad_rows(parts: Sequence[npt.NDArray[np.float32]], k: int) -> npt.NDArray[np.float32]:
    """All rows of `parts`, and as many empty ones as `nearest_among` needs to search them in groups."""
    n = sum(len(part) for part in parts)
    empty = np.zeros((padded_size(n, k) - n, parts[0].shape[1]), dtype=np.float32)
    return np.concatenate([*parts, empty])


def padded_size(n: int, k: int) -> int:
    """How many rows `pad_rows` makes of n."""
    return n + -n % _width(n, k)


def round_similarities(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """To 6 decimals: the last bits of a float32 product depend on the block it was computed in, and must not decide."""
    return np.round(values, _SIMILARITY_DECIMALS)


def nearest_among(
    queries: npt.NDArray[np.float32],
    padded: npt.NDArray[np.float32],
    own: npt.NDArray[np.int64],
    names: npt.NDArray[np.int64],
    k: int,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Names and similarities, both (rows, k), of the k rows nearest to each query, nearest first, ties by name.

    Args:
        queries: float32 (rows, d).
        padded: result of `pad_rows` for the rows to search, more than k.
        own: int64 (rows,), position of each query itself among the rows to search; it is no neighbour of its own.
        names: int64 (m,), what each row to search is called.
        k: neighbours a query.
    """
    products = queries @ padded.T
    products[:, len(names) :] = -np.inf
    products[np.arange(len(queries)), own] = -np.inf
    chosen, values = largest_columns(products, k, len(names))
    values = round_similarities(values)
    found = names[chosen]
    order = np.lexsort((found, -values), axis=1)
    return np.take_along_axis(found, order, axis=1), np.take_along_axis(values, order, axis=1)


def _width(n: int, k: int) -> int:
    return max(1, min(_MOST_WIDTH, int((n / k) ** 0.5)))


def largest_columns(
    products: npt.NDArray[np.float32], k: int, n: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Columns and values, both (rows, k), of the k largest entries of each row, in no order.

    `products` has a column for each row of `pad_rows` of n rows, -inf in those that fill up. Columns are dealt into
    groups of `width`. The k largest entries lie in the k groups with the largest maxima, so only those are searched;
    that is a tenth of the time of searching whole rows.
    """
    rows, n_columns = products.shape
    width = _width(n, k)
    n_groups = n_columns // width
    if n_groups <= k:
        chosen = np.argpartition(products, n_columns - k, axis=1)[:, n_columns - k :]
        return chosen, np.take_along_axis(products, chosen, axis=1)
    grouped = products.reshape(rows, width, n_groups)
    groups = np.argpartition(grouped.max(axis=1), n_groups - k, axis=1)[:, n_groups - k :]
    columns = (groups[:, :, None] + n_groups * np.arange(width)).reshape(rows, k * width)
    values = np.take_along_axis(products, columns, axis=1)
    best = np.argpartition(values, k * width - k, axis=1)[:, k * width - k :]
    return np.take_along_axis(columns, best, axis=1), np.take_along_axis(values, best, axis=1)


def edges_from_neighbors(
    indices: npt.NDArray[np.int64],
    similarities: npt.NDArray[np.float32],
    units: npt.NDArray[np.int64] | None = None,
    *,
    min_similarity: float = -1.0,
) -> Edges:
    """Every pair in which one side is a near neighbour of the other, once, with its smallest distance.

    Args:
        indices: int64 (n, k), -1 where a row has fewer neighbours.
        similarities: float32 (n, k), cosine.
        units: int64 (n,), which rows count as one point (texts that are known to belong together); None = each row.
        min_similarity: pairs below it are left out.
    """
    n, k = indices.shape
    units = np.arange(n) if units is None else units
    found = (indices >= 0) & (similarities >= min_similarity)
    near = units[np.repeat(np.arange(n), k).reshape(n, k)[found]]
    far = units[indices[found]]
    distance = np.sqrt(np.maximum(0.0, 2.0 - 2.0 * similarities[found].astype(np.float64)))
    left, right = np.minimum(near, far), np.maximum(near, far)
    proper = left < right
    left, right, distance = left[proper], right[proper], distance[proper]
    order = np.lexsort((distance, right, left))
    left, right, distance = left[order], right[order], distance[order]
    first = np.ones(len(left), dtype=bool)
    first[1:] = (left[1:] != left[:-1]) | (right[1:] != right[:-1])
    return Edges(left[first], right[first], distance[first])
