"""Vectors turned and scaled so that what all texts share loses weight. Fitted on many, applied to any.

Source: Su et al. 2021 (whitening), docs/grouping.md.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from soulcaster.clustering.sharing import share

WHITENING = -0.25
_NO_LENGTH = np.float32(1e-6)
_BLOCK_ROWS = 1_024
"""Rows turned at a time, so that what is made on the way stays small; decides nothing else."""

Matrix = npt.NDArray[np.float32]


class Axes(NamedTuple):
    """Principal axes of a corpus, the widest last."""

    mean: Matrix
    """(d,)"""
    directions: npt.NDArray[np.float64]
    """(d, d), one a column."""
    spread: npt.NDArray[np.float64]
    """(d,) variances, shrunk to their mean as far as there were few rows."""


def principal_axes(matrix: Matrix) -> Axes:
    """Axes of the rows of `matrix`, float32 (n, d), n above 0."""
    n, d = matrix.shape
    mean = matrix.mean(axis=0, dtype=np.float64).astype(np.float32)
    centred = matrix - mean
    spread, directions = np.linalg.eigh((centred.T @ centred).astype(np.float64) / n)
    spread = np.maximum(spread, 0.0)
    return Axes(mean, directions, (n * spread + d * spread.mean()) / (n + d))


def scaled_axes(axes: Axes, power: float = WHITENING, most_axes: int | None = None) -> Matrix:
    """What to multiply centred rows with, (d, axes kept).

    Args:
        axes: of the corpus.
        power: of the spread (a variance) that scales each axis: -0.5 would be full whitening.
        most_axes: only so many leading axes; None = all.
    """
    scaled = (axes.directions * np.maximum(axes.spread, 1e-12) ** power).astype(np.float32)
    return scaled if most_axes is None else scaled[:, -most_axes:]


def turn(matrix: Matrix, mean: Matrix, scaled: Matrix) -> Matrix:
    """Rows centred, turned, scaled and L2-normalised; what lies at the mean becomes 0."""
    result = np.empty((len(matrix), scaled.shape[1]), dtype=np.float32)
    bounds = np.linspace(0, len(matrix), max(1, len(matrix) // _BLOCK_ROWS) + 1).astype(np.int64)

    def fill(block: int) -> None:
        part = slice(bounds[block], bounds[block + 1])
        turned = (matrix[part] - mean) @ scaled
        length = np.linalg.norm(turned, axis=1, keepdims=True)
        turned[length[:, 0] <= _NO_LENGTH] = 0.0
        np.divide(turned, np.maximum(length, _NO_LENGTH), out=result[part])

    share(fill, range(len(bounds) - 1))
    return result


def whiten(matrix: Matrix) -> Matrix:
    """Rows centred, their principal axes divided by the root of their spread, L2-normalised; the mean row becomes 0.

    Half way to equal spread: the axes all texts share (product, template) lose weight, the small ones gain no noise.
    """
    if len(matrix) == 0:
        return matrix
    axes = principal_axes(matrix)
    return turn(matrix, axes.mean, scaled_axes(axes))
