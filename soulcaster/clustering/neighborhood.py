"""The texts around every text, by plain and by whitened cosine. Few texts are all compared, many are searched in cells.

Among many, one search finds candidates for both cosines: it goes through the leading axes, whitened half as far, and
what it finds is then measured by both. The same vectors give the same neighbours on every run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from soulcaster.clustering.cells import n_threads, search_cells
from soulcaster.clustering.neighbors import nearest_neighbors, round_similarities

N_NEIGHBORS = 30
"""Neighbours by cosine. 30 gave the partition of dense HDBSCAN on every set tried (docs/decisions.md)."""
N_WHITENED = 15

EXACT_UP_TO = 25_000
"""Texts up to which every pair is compared."""
_SEARCH_AXES, _SEARCH_CANDIDATES = 192, 80
"""Leading axes that the search among many looks at, and the candidates it keeps. Source: docs/grouping.md, "Speed"."""
_WHITENING = -0.25
_NO_LENGTH = 1e-6
_BLOCK_ROWS = 64

Rows = npt.NDArray[np.int64]
Matrix = npt.NDArray[np.float32]


class Neighborhood(NamedTuple):
    """What lies around each of n texts."""

    near: Rows
    """(n, k) nearest other rows by cosine, nearest first."""
    similarities: Matrix
    """(n, k) their cosines."""
    whitened: Matrix
    """(n, d), see `whiten`."""
    near_whitened: Rows
    """(n, l) nearest other rows by whitened cosine."""


def find_neighborhood(
    matrix: Matrix, *, exact_up_to: int = EXACT_UP_TO, on_progress: Callable[[int, int], None] | None = None
) -> Neighborhood:
    """Neighbours of all rows, by both cosines.

    Args:
        matrix: float32 (n, d), L2-normalised rows in canonical order.
        exact_up_to: rows up to which every pair is compared; beyond, one neighbour in twenty-five is missed at 100,000.
        on_progress: called with (rows done, n).
    """
    whitened = whiten(matrix)
    if len(matrix) <= exact_up_to:
        near, similarities = nearest_neighbors(matrix, N_NEIGHBORS, on_progress=on_progress)
        return Neighborhood(near, similarities, whitened, nearest_neighbors(whitened, N_WHITENED)[0])
    searched = whiten(matrix, power=_WHITENING / 2, most_axes=_SEARCH_AXES)
    candidates = search_cells(searched, _SEARCH_CANDIDATES, on_progress=on_progress)
    near, similarities = _closest_of(matrix, candidates, N_NEIGHBORS)
    return Neighborhood(near, similarities, whitened, _closest_of(whitened, candidates, N_WHITENED)[0])


def whiten(matrix: Matrix, *, power: float = _WHITENING, most_axes: int | None = None) -> Matrix:
    """Rows centred, their principal axes divided by the root of their spread, L2-normalised; the mean row becomes 0.

    Half way to equal spread: the axes all texts share (product, template) lose weight, the small ones gain no noise.
    Spreads are shrunk to their mean as far as there are few rows. Source: Su et al. 2021 (whitening), docs/grouping.md.

    Args:
        matrix: float32 (n, d).
        power: of the spread (a variance) that scales each axis: -0.5 would be full whitening.
        most_axes: only so many leading axes; None = all.
    """
    n, d = matrix.shape
    if n == 0:
        return matrix
    centred = matrix - matrix.mean(axis=0, dtype=np.float64).astype(np.float32)
    spread, axes = np.linalg.eigh((centred.T @ centred).astype(np.float64) / n)
    spread = np.maximum(spread, 0.0)
    spread = (n * spread + d * spread.mean()) / (n + d)
    scaled = (axes * np.maximum(spread, 1e-12) ** power).astype(np.float32)
    turned = centred @ (scaled if most_axes is None else scaled[:, -most_axes:])
    length = np.linalg.norm(turned, axis=1, keepdims=True)
    result: Matrix = np.divide(turned, length, out=np.zeros_like(turned), where=length > _NO_LENGTH)
    return result


def _closest_of(matrix: Matrix, candidates: Rows, k: int) -> tuple[Rows, Matrix]:
    """The k candidates of every row with the highest cosine, nearest first, ties by row; and their cosines."""
    n = len(matrix)
    near = np.empty((n, k), dtype=np.int64)
    similarities = np.empty((n, k), dtype=np.float32)

    def measure(start: int) -> None:
        part = slice(start, start + _BLOCK_ROWS)
        found = candidates[part]
        closeness = round_similarities(np.matmul(matrix[found], matrix[part, :, None])[:, :, 0])
        order = np.lexsort((found, -closeness), axis=1)[:, :k]
        near[part] = np.take_along_axis(found, order, axis=1)
        similarities[part] = np.take_along_axis(closeness, order, axis=1)

    with ThreadPoolExecutor(n_threads()) as pool:
        deque(pool.map(measure, range(0, n, _BLOCK_ROWS)), maxlen=0)
    return near, similarities
