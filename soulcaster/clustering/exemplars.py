"""The middle of every cluster, how near each text is to it, and the few texts that show it best."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

_BLOCK_AXES, _BLOCK_ROWS = 32, 4_096
"""What is held at once in double precision; decides nothing else."""


def centroids(matrix: npt.NDArray[np.float32], labels: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """float64 (labels.max() + 1, d): L2-normalised mean of each label's rows of `matrix`; noise (-1) is left out.

    A mean of opposite vectors has no direction and stays zero.
    """
    inside = np.flatnonzero(labels >= 0)
    sums = np.zeros((int(labels.max(initial=-1)) + 1, matrix.shape[1]), dtype=np.float64)
    shape = (len(sums), len(labels))
    members = csr_array((np.ones(len(inside)), (labels[inside], inside)), shape=shape)
    for start in range(0, matrix.shape[1], _BLOCK_AXES):
        part = slice(start, start + _BLOCK_AXES)
        sums[:, part] = members @ matrix[:, part].astype(np.float64)
    length = np.linalg.norm(sums, axis=1, keepdims=True)
    np.divide(sums, length, out=sums, where=length > 0)
    return sums


def similarity_to_centroid(
    matrix: npt.NDArray[np.float32], labels: npt.NDArray[np.integer], centers: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """float64 (n,): cosine similarity of each row to the centroid of its label, 6 decimals; -1.0 for noise.

    With unit vectors the row nearest to the centroid is also the one with the largest mean similarity to all others,
    the medoid.
    """
    result = np.full(len(labels), -1.0)
    inside = np.flatnonzero(labels >= 0)
    for start in range(0, len(inside), _BLOCK_ROWS):
        rows = inside[start : start + _BLOCK_ROWS]
        own = matrix[rows].astype(np.float64)
        result[rows] = np.round(np.einsum("nd,nd->n", own, centers[labels[rows]]), 6)
    return result


def pick_exemplars(
    labels: npt.NDArray[np.integer], similarities: npt.NDArray[np.float64], *, limit: int = 5
) -> npt.NDArray[np.bool_]:
    """Mask (n,): the `limit` rows of each label nearest to its centroid, ties by row."""
    order = np.lexsort((np.arange(len(labels)), -similarities, labels))
    ordered = labels[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=ordered[0] - 1)) if len(ordered) else np.empty(0, dtype=np.int64)
    sizes = np.diff(np.append(starts, len(ordered)))
    position = np.arange(len(ordered)) - np.repeat(starts, sizes)
    chosen = np.zeros(len(labels), dtype=bool)
    chosen[order] = (position < limit) & (ordered >= 0)
    return chosen
