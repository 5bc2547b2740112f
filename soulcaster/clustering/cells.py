"""Nearest neighbours of very many vectors, nearly all of them found: in cells of like vectors, always the same.

A cell's rows are compared with its own and the most promising other cells' rows, as one product of matrices. So the
work grows with n and not with its square, memory stays small, and nothing depends on threads or chance.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from soulcaster.clustering.neighbors import nearest_among, pad_rows

_CELL_ROWS = 64
_LARGEST_CELL = 4 * _CELL_ROWS
_SEARCHED_ROWS = 32_768
"""Rows that each row is compared with, at least. Source: docs/grouping.md, "Speed"."""
_ROUNDS = 4
_SAMPLE_PER_CELL = 16
_VOTES = 8
_MOST_ALIKE = 0.9
"""Share of a cell's rows in one of its parts above which cutting it by centers is given up."""
_BLOCK_FLOATS = 2**24
_MOST_THREADS = 4
_SEED = 1

Rows = npt.NDArray[np.int64]
Matrix = npt.NDArray[np.float32]


def search_cells(
    matrix: Matrix,
    k: int,
    *,
    searched_rows: int = _SEARCHED_ROWS,
    on_progress: Callable[[int, int], None] | None = None,
) -> Rows:
    """The k nearest of at least `searched_rows` promising rows to every row, int64 (n, k), nearest first.

    Args:
        matrix: float32 (n, d), L2-normalised rows in canonical order, n above k.
        k: neighbours a row.
        searched_rows: rows each row is compared with; more is slower and finds more.
        on_progress: called with (rows done, n).
    """
    n = len(matrix)
    cell, promising = find_cells(matrix)
    order = np.argsort(cell, kind="stable")
    sizes = np.bincount(cell, minlength=len(promising))
    stop = np.cumsum(sizes)
    by_cell = matrix[order]
    near = np.empty((n, k), dtype=np.int64)

    def search(number: int) -> int:
        others = promising[number]
        n_cells = 1 + int(np.searchsorted(np.cumsum(sizes[others]), max(searched_rows, k + 1)))
        parts = [slice(stop[at] - sizes[at], stop[at]) for at in others[:n_cells]]
        names = np.concatenate([order[part] for part in parts])
        padded = pad_rows([by_cell[part] for part in parts], k)
        own = np.arange(sizes[number])  # the cell itself comes first among those searched
        near[names[own]] = nearest_among(padded[own], padded, own, names, k)[0]
        return len(own)

    done = 0
    with ThreadPoolExecutor(n_threads()) as pool:  # every cell writes its own rows only
        for n_rows in pool.map(search, range(len(promising))):
            done += n_rows
            if on_progress is not None:
                on_progress(done, n)
    return near


def n_threads() -> int:
    """Threads that share work whose parts do not depend on one another."""
    return min(_MOST_THREADS, os.cpu_count() or 1)


def find_cells(matrix: Matrix) -> tuple[Rows, list[Rows]]:
    """Cell of every row, int64 (n,), none empty or larger than `_LARGEST_CELL`; and for each cell all cells, itself
    first, then those that its rows are closest to.
    """
    n = len(matrix)
    cell = _split_large(matrix, _assign(matrix, _centers(matrix, -(-n // _CELL_ROWS)))[:, 0])
    centers = _means(matrix, cell, int(cell.max()) + 1)
    closest = _assign(matrix, centers, _VOTES)
    votes = (centers @ centers.T).astype(np.float64)  # below 1 and only between cells that have equally many votes
    np.add.at(votes, (np.repeat(cell, closest.shape[1]), closest.ravel()), 1.0)
    np.fill_diagonal(votes, np.inf)
    return cell, list(np.argsort(-np.round(votes, 5), axis=1, kind="stable"))


def _centers(matrix: Matrix, n_cells: int) -> Matrix:
    """Spherical k-means on a sample, from drawn rows: (n_cells or fewer, d)."""
    rng = np.random.default_rng(_SEED)
    n_sampled = min(len(matrix), n_cells * _SAMPLE_PER_CELL)
    sample = matrix[np.sort(rng.choice(len(matrix), n_sampled, replace=False))]
    centers = sample[np.sort(rng.choice(n_sampled, min(n_cells, n_sampled), replace=False))]
    for _ in range(_ROUNDS):
        nearest = np.unique(_assign(sample, centers)[:, 0], return_inverse=True)[1]
        centers = _means(sample, nearest, int(nearest.max()) + 1)
    return centers


def _assign(matrix: Matrix, centers: Matrix, n_best: int = 1) -> Rows:
    """The `n_best` closest centers of every row, closest first, (n, n_best or as many as there are)."""
    n_best = min(n_best, len(centers))
    best = np.empty((len(matrix), n_best), dtype=np.int64)
    rows = max(1, _BLOCK_FLOATS // len(centers))
    for begin in range(0, len(matrix), rows):
        part = slice(begin, begin + rows)
        closeness = matrix[part] @ centers.T
        if n_best == 1:
            best[part, 0] = closeness.argmax(axis=1)
            continue
        found = np.argpartition(closeness, len(centers) - n_best, axis=1)[:, len(centers) - n_best :]
        nearest_first = np.argsort(-np.take_along_axis(closeness, found, axis=1), axis=1, kind="stable")
        best[part] = np.take_along_axis(found, nearest_first, axis=1)
    return best


def _means(matrix: Matrix, cell: Rows, n_cells: int) -> Matrix:
    """L2-normalised mean row of every cell."""
    order = np.argsort(cell, kind="stable")
    starts = np.searchsorted(cell[order], np.arange(n_cells))
    total: Matrix = np.add.reduceat(matrix[order], starts, axis=0)
    length = np.linalg.norm(total, axis=1, keepdims=True)
    centers: Matrix = total / np.maximum(length, np.float32(1e-12))
    return centers


def _split_large(matrix: Matrix, cell: Rows) -> Rows:
    """Cells of at most `_LARGEST_CELL` rows, numbered without gaps: the larger ones are cut by their own centers, and
    where their rows are all alike, by row.
    """
    result = np.unique(cell, return_inverse=True)[1].astype(np.int64)
    pending = np.flatnonzero(np.bincount(result) > _LARGEST_CELL).tolist()
    n_cells = int(result.max()) + 1
    while pending:
        rows = np.flatnonzero(result == pending.pop())
        n_parts = -(-len(rows) // _CELL_ROWS)
        part = np.unique(_assign(matrix[rows], _centers(matrix[rows], n_parts))[:, 0], return_inverse=True)[1]
        if part.max() == 0 or np.bincount(part).max() > _MOST_ALIKE * len(rows):
            part = np.arange(len(rows)) // _CELL_ROWS
        result[rows[part > 0]] = n_cells - 1 + part[part > 0]
        sizes = np.bincount(part)
        pending += [int(result[rows[part == at][0]]) for at in np.flatnonzero(sizes > _LARGEST_CELL)]
        n_cells += len(sizes) - 1
    return result
