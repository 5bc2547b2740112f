"""The texts around every text, by plain and by whitened cosine. Few texts are all compared, many are searched in cells.

Among many, one search finds candidates for both cosines, see `candidates`. The same vectors give the same neighbours
on every run, and vectors that come later change nothing but the lists they belong into.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from soulcaster.clustering.candidates import Candidates, closest, find_candidates, fit_frame, from_parts, measure
from soulcaster.clustering.neighbors import nearest_neighbors
from soulcaster.clustering.whitening import whiten

N_NEIGHBORS = 30
"""Neighbours by cosine. 30 gave the partition of dense HDBSCAN on every set tried (docs/decisions.md)."""
N_WHITENED = 15

EXACT_UP_TO = 25_000
"""Texts up to which every pair is compared."""

Rows = npt.NDArray[np.int64]
Matrix = npt.NDArray[np.float32]


class Neighborhood(NamedTuple):
    """What lies around each of n texts."""

    near: Rows
    """(n, k) nearest other rows by cosine, nearest first."""
    similarities: Matrix
    """(n, k) their cosines."""
    near_whitened: Rows
    """(n, l) nearest other rows by whitened cosine, see `whiten`."""
    cosine: Matrix
    """(n, k + l) cosine to all of `near` and `near_whitened`, the same whichever side it is measured from,"""
    whitened: Matrix
    """(n, k + l) and whitened cosine to them."""


def find_neighborhood(
    matrix: Matrix, *, exact_up_to: int = EXACT_UP_TO, on_progress: Callable[[int, int], None] | None = None
) -> Neighborhood:
    """Neighbours of all rows, by both cosines.

    Args:
        matrix: float32 (n, d), L2-normalised rows in canonical order.
        exact_up_to: rows up to which every pair is compared; beyond, one neighbour in twenty-five is missed at 100,000.
        on_progress: called with (rows done, n).
    """
    if len(matrix) <= exact_up_to:
        whitened = whiten(matrix)
        near, similarities = nearest_neighbors(matrix, N_NEIGHBORS, on_progress=on_progress)
        near_whitened, _ = nearest_neighbors(whitened, N_WHITENED)
        both = np.hstack([near, near_whitened])
        return Neighborhood(
            near, similarities, near_whitened, *(from_parts(measure(v, both)) for v in (matrix, whitened))
        )
    frame = fit_frame(matrix)
    return describe(find_candidates(matrix, frame, on_progress=on_progress))


def describe(candidates: Candidates) -> Neighborhood:
    """The neighbourhood that candidates make: of each row's the closest by either cosine."""
    by_cosine = closest(candidates.rows, candidates.cosine, N_NEIGHBORS)
    both = np.hstack([by_cosine, closest(candidates.rows, candidates.whitened, N_WHITENED)])
    rows, cosine, whitened = (
        np.take_along_axis(values, both, axis=1) for values in (candidates.rows, candidates.cosine, candidates.whitened)
    )
    near = rows.astype(np.int64)
    cosines = from_parts(cosine)
    return Neighborhood(
        near[:, :N_NEIGHBORS], cosines[:, :N_NEIGHBORS], near[:, N_NEIGHBORS:], cosines, from_parts(whitened)
    )
