"""Clusters to themes: the coarse second level, for people who ask "what is this about" before "what do we fix"."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.cluster.hierarchy import fcluster, linkage

from soulcaster.clustering.exact import number_by_first_row

THEME_SIMILARITY = 0.45
"""Mean cosine similarity at which clusters still share a theme. Source: docs/decisions.md, "Themes"."""

_BLOCK_ROWS = 256


def group_themes(
    centers: npt.NDArray[np.float64], *, min_similarity: float = THEME_SIMILARITY
) -> npt.NDArray[np.int64]:
    """Theme of every cluster, int64 (k,), numbered by first cluster; a cluster that is like no other is its own theme.

    Average linkage on the clusters' centroids, cut at `min_similarity`. Memory grows with k squared (20,000 clusters:
    1.6 GB).

    Args:
        centers: float64 (k, d), L2-normalised rows; a row of zeros is similar to nothing.
        min_similarity: cosine, in [-1, 1].
    """
    k = len(centers)
    themes = np.arange(k, dtype=np.int64)
    real = np.flatnonzero(np.any(centers != 0, axis=1))
    if len(real) > 1:
        tree = linkage(_condensed_distances(centers[real]), method="average")
        themes[real] = k + fcluster(tree, 1.0 - min_similarity, criterion="distance")
    return number_by_first_row(themes)


def _condensed_distances(centers: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Cosine distances in scipy's condensed form; by matrix products, ten times faster than scipy's own `pdist`."""
    k = len(centers)
    distances = np.empty(k * (k - 1) // 2, dtype=np.float64)
    at = 0
    for start in range(0, k, _BLOCK_ROWS):
        block = np.clip(1.0 - np.round(centers[start : start + _BLOCK_ROWS] @ centers.T, 9), 0.0, 2.0)
        for row, values in enumerate(block, start=start):
            distances[at : at + k - row - 1] = values[row + 1 :]
            at += k - row - 1
    return distances
