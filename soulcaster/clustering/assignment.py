"""Between two re-clusterings: the cluster of a new text's nearest member, and how near it has to be to be taken in."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_BLOCK_ROWS = 256
_CANDIDATES = 10
"""Clusters, by their middle, in which a text's nearest member is looked for."""

_MOST_MEMBERS = 512
"""Members of a very large cluster that are asked how near they are to their own; more would not change the answer."""


def nearest_members(
    matrix: npt.NDArray[np.float32], members: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Label of the most similar member of each row, and the cosine to it (6 decimals), both (n,); ties: lowest label.

    Looked for among the members of the ten clusters whose middle is nearest, not among all.

    Args:
        matrix: float32 (n, d), L2-normalised.
        members: float32 (m, d), L2-normalised, m > 0.
        labels: int64 (m,), 0 to k - 1, ascending, none missing.
    """
    starts = np.flatnonzero(np.diff(labels, prepend=-1))
    sizes = np.diff(np.append(starts, len(labels)))
    centers = np.add.reduceat(members, starts, axis=0)
    centers /= np.maximum(np.linalg.norm(centers, axis=1, keepdims=True), 1e-12)
    n_candidates = min(_CANDIDATES, len(starts))
    best = np.empty(len(matrix), dtype=np.int64)
    similarity = np.empty(len(matrix))
    for at in range(0, len(matrix), _BLOCK_ROWS):
        block = matrix[at : at + _BLOCK_ROWS]
        products = block @ centers.T
        clusters = np.sort(np.argpartition(products, -n_candidates, axis=1)[:, -n_candidates:], axis=1).ravel()
        counts = sizes[clusters]
        owner = np.repeat(np.arange(len(block)).repeat(n_candidates), counts)
        offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        row = np.repeat(starts[clusters], counts) + offsets
        values = np.round(np.einsum("nd,nd->n", block[owner], members[row]), 6)
        order = np.lexsort((row, -values, owner))
        first = order[np.flatnonzero(np.diff(owner[order], prepend=-1))]
        best[at : at + len(block)] = labels[row[first]]
        similarity[at : at + len(block)] = values[first]
    return best, similarity


def joining_similarity(
    members: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int64],
    wanted: npt.NDArray[np.int64],
    *,
    min_similarity: float,
) -> npt.NDArray[np.float64]:
    """For each label in `wanted`, how near to a member a text has to be to belong: (len(wanted),) cosine.

    That of the member which is farthest from all others of its cluster, so that every member would be taken in again;
    never below `min_similarity`. A cluster of a single text takes in no other text by nearness: 1.0.

    Args:
        members: float32 (m, d), L2-normalised.
        labels: int64 (m,), 0 to k - 1, ascending, none missing.
        wanted: labels asked for.
        min_similarity: floor.
    """
    starts = np.flatnonzero(np.diff(labels, prepend=-1))
    stops = np.append(starts[1:], len(labels))
    limits: dict[int, float] = {}
    for label in np.unique(wanted).tolist():
        own = members[starts[label] : stops[label]]
        asked = np.unique(np.linspace(0, len(own) - 1, min(len(own), _MOST_MEMBERS)).astype(np.int64))
        products = own[asked] @ own.T
        products[np.arange(len(asked)), asked] = -1.0
        nearest = float(products.max(axis=1).min()) if len(own) > 1 else 1.0
        limits[label] = max(min_similarity, round(nearest, 6))
    return np.array([limits[label] for label in wanted.tolist()])
