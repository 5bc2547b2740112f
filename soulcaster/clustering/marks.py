"""A number of every vector, by which it is known again: equal for equal ones, to the last bit, and else by chance."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from soulcaster.clustering.sharing import share

_BLOCK_ROWS = 512


def checksums(matrix: npt.NDArray[np.float32]) -> npt.NDArray[np.uint64]:
    """uint64 (n,) of the rows of `matrix`, float32 (n, d)."""
    weights = np.random.default_rng(0).integers(1, 2**63, matrix.shape[1], dtype=np.uint64) | np.uint64(1)
    result = np.empty(len(matrix), dtype=np.uint64)

    def fill(start: int) -> None:
        part = np.ascontiguousarray(matrix[start : start + _BLOCK_ROWS]).view(np.uint32).astype(np.uint64)
        part *= weights
        result[start : start + _BLOCK_ROWS] = part.sum(axis=1, dtype=np.uint64)

    share(fill, range(0, len(matrix), _BLOCK_ROWS))
    return result
