"""Between two re-clusterings: the cluster of a new text's nearest member, and how near it has to be to be taken in."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

_BLOCK_ROWS = 256
_GROUP_COLUMNS = 16
_CANDIDATES = 10
"""Clusters, by their middle, in which a text's nearest member is looked for."""

_MOST_MEMBERS = 512
"""Members of a very large cluster that are asked how near they are to their own; more would not change the answer."""


def nearest_members(
    wanted: npt.NDArray[np.float32],
    matrix: npt.NDArray[np.float32],
    rows: npt.NDArray[np.int64],
    labels: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Label of the most similar member of each vector, and the cosine to it (6 decimals), both (n,).

    Looked for among the members of the ten clusters whose middle is nearest, not among all; ties: lowest label.

    Args:
        wanted: float32 (n, d), L2-normalised.
        matrix: float32 (n_texts, d), L2-normalised.
        rows: int64 (m,), the members as rows of `matrix`, m > 0.
        labels: int64 (m,), 0 to k - 1, ascending, none missing.
    """
    starts = np.flatnonzero(np.diff(labels, prepend=-1))
    sizes = np.diff(np.append(starts, len(labels)))
    sums = csr_array((np.ones(len(rows), np.float32), rows, np.append(starts, len(rows))), (len(starts), len(matrix)))
    centers = np.asarray(sums @ matrix)
    centers /= np.maximum(np.linalg.norm(centers, axis=1, keepdims=True), 1e-12)
    best = np.empty(len(wanted), dtype=np.int64)
    similarity = np.empty(len(wanted))
    for at in range(0, len(wanted), _BLOCK_ROWS):
        block = wanted[at : at + _BLOCK_ROWS]
        candidates = np.sort(_largest(block @ centers.T, _CANDIDATES), axis=1)
        clusters, counts = candidates.ravel(), sizes[candidates.ravel()]
        owner = np.repeat(np.arange(len(block)).repeat(candidates.shape[1]), counts)
        offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        member = np.repeat(starts[clusters], counts) + offsets
        values = np.round(np.einsum("nd,nd->n", block[owner], matrix[rows[member]]), 6)
        order = np.lexsort((member, -values, owner))
        first = order[np.flatnonzero(np.diff(owner[order], prepend=-1))]
        best[at : at + len(block)] = labels[member[first]]
        similarity[at : at + len(block)] = values[first]
    return best, similarity


def _largest(products: npt.NDArray[np.float32], k: int) -> npt.NDArray[np.int64]:
    """Columns (rows, min(k, columns)) of the largest entries of each row, in no order.

    They lie in the k groups of columns with the largest maxima, so only those are searched.
    """
    n_rows, n_columns = products.shape
    if n_columns <= k:
        return np.tile(np.arange(n_columns), (n_rows, 1))
    n_groups = max(k, n_columns // _GROUP_COLUMNS)
    width = -(-n_columns // n_groups)
    padded = np.full((n_rows, width * n_groups), -np.inf, dtype=np.float32)
    padded[:, :n_columns] = products
    highest = padded.reshape(n_rows, width, n_groups).max(axis=1)
    groups = np.argpartition(highest, n_groups - k, axis=1)[:, n_groups - k :]
    columns = (groups[:, :, None] + n_groups * np.arange(width)).reshape(n_rows, -1)
    values = np.take_along_axis(padded, columns, axis=1)
    chosen = np.argpartition(values, values.shape[1] - k, axis=1)[:, values.shape[1] - k :]
    return np.take_along_axis(columns, chosen, axis=1)


def joining_similarity(
    matrix: npt.NDArray[np.float32],
    rows: npt.NDArray[np.int64],
    labels: npt.NDArray[np.int64],
    wanted: npt.NDArray[np.int64],
    *,
    min_similarity: float,
) -> npt.NDArray[np.float64]:
    """For each label in `wanted`, how near to a member a text has to be to belong: (len(wanted),) cosine.

    That of the member which is farthest from all others of its cluster, so that every member would be taken in again;
    never below `min_similarity`. A cluster of a single text takes in no other text by nearness: 1.0.

    Args:
        matrix: float32 (n_texts, d), L2-normalised.
        rows: int64 (m,), the members as rows of `matrix`.
        labels: int64 (m,), 0 to k - 1, ascending, none missing.
        wanted: labels asked for.
        min_similarity: floor.
    """
    starts = np.flatnonzero(np.diff(labels, prepend=-1))
    stops = np.append(starts[1:], len(labels))
    limits: dict[int, float] = {}
    for label in np.unique(wanted).tolist():
        own = matrix[rows[starts[label] : stops[label]]]
        asked = np.arange(len(own))
        if len(own) > _MOST_MEMBERS:
            asked = np.unique(np.linspace(0, len(own) - 1, _MOST_MEMBERS).astype(np.int64))
        products = own[asked] @ own.T
        products[np.arange(len(asked)), asked] = -1.0
        nearest = float(products.max(axis=1).min()) if len(own) > 1 else 1.0
        limits[label] = max(min_similarity, round(nearest, 6))
    return np.array([limits[label] for label in wanted.tolist()])
