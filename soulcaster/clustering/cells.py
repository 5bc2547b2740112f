"""Where to look for near vectors among very many: in cells of like vectors, nearly all of them found, always the same.

A cell's rows are compared with its own and the most promising other cells' rows, as one product of matrices. So the
work grows with n and not with its square, memory stays small, and nothing depends on threads or chance. Cells are laid
once; rows that come later fall into them by their own vector alone, so they change nothing for the others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from soulcaster.clustering.neighbors import largest_columns, nearest_among, pad_rows
from soulcaster.clustering.sharing import each, n_threads, share

_CELL_ROWS = 64
_LARGEST_CELL = 4 * _CELL_ROWS
SEARCHED_ROWS = 32_768
"""Rows that each row is compared with, about. Source: docs/grouping.md, "Speed"."""
_ROUNDS = 4
_SAMPLE_PER_CELL = 16
_VOTES = 8
_MOST_ALIKE = 0.9
"""Share of a cell's rows in one of its parts above which cutting it by centers is given up."""
_BLOCK_FLOATS = 2**24
_BLOCK_ROWS, _BLOCK_CELLS = 256, 256
_SEED = 1

Rows = npt.NDArray[np.int64]
Matrix = npt.NDArray[np.float32]


class Cells(NamedTuple):
    """Cells and who is compared with whom."""

    centers: Matrix
    """(n_cells, d), L2-normalised; a row belongs to the cell whose center is closest."""
    reach: npt.NDArray[np.int32]
    """(n_cells, m) cells that the rows of each cell are compared with, itself first; filled up with -1."""


def lay_cells(matrix: Matrix, *, searched_rows: int = SEARCHED_ROWS) -> Cells:
    """Cells for the rows of `matrix`, float32 (n, d), L2-normalised, in canonical order, n above 0.

    Those of a cell are compared with the cells that its rows are closest to, until these have `searched_rows` rows.
    """
    n = len(matrix)
    cell = _split_large(matrix, _assign(matrix, _centers(matrix, -(-n // _CELL_ROWS)))[:, 0])
    centers = _means(matrix, cell, int(cell.max()) + 1)
    closest = _assign(matrix, centers, _VOTES)
    sizes = np.bincount(closest[:, 0], minlength=len(centers))
    order = np.argsort(closest[:, 0], kind="stable")
    starts = np.append(0, np.cumsum(sizes))
    found: list[npt.NDArray[np.int32]] = []
    for begin in range(0, len(centers), _BLOCK_CELLS):
        rows = order[starts[begin] : starts[min(begin + _BLOCK_CELLS, len(centers))]]
        votes = (centers[begin : begin + _BLOCK_CELLS] @ centers.T).astype(np.float64)  # below 1: decides among equals
        np.add.at(votes, (np.repeat(closest[rows, 0] - begin, closest.shape[1]), closest[rows].ravel()), 1.0)
        votes[np.arange(len(votes)), begin + np.arange(len(votes))] = np.inf
        ranked = np.argsort(-np.round(votes, 5), axis=1, kind="stable").astype(np.int32)
        n_reached = 1 + (np.cumsum(sizes[ranked], axis=1) < searched_rows).sum(axis=1)
        found += [line[:many] for line, many in zip(ranked, n_reached.tolist(), strict=True)]
    reach = np.full((len(found), max(map(len, found))), -1, dtype=np.int32)
    for number, line in enumerate(found):
        reach[number, : len(line)] = line
    return Cells(centers, reach)


def find_cell(matrix: Matrix, cells: Cells) -> Rows:
    """Cell of every row, int64 (n,)."""
    return _assign(matrix, cells.centers)[:, 0]


def search_cells(
    matrix: Matrix, k: int, cells: Cells, cell: Rows, *, on_progress: Callable[[int, int], None] | None = None
) -> tuple[Rows, Matrix]:
    """The k nearest of the rows in reach of every row, nearest first, and their cosines (6 decimals), both (n, k).

    Where fewer are in reach than that, -1 and -1.0 fill up.

    Args:
        matrix: float32 (n, d), L2-normalised rows in canonical order.
        k: neighbours a row.
        cells: made of these or of earlier rows.
        cell: int64 (n,), see `find_cell`.
        on_progress: called with (rows done, n).
    """
    n = len(matrix)
    order = np.argsort(cell, kind="stable")
    sizes = np.bincount(cell, minlength=len(cells.centers))
    stop = np.cumsum(sizes)
    by_cell = matrix[order]
    near = np.full((n, k), -1, dtype=np.int64)
    similarity = np.full((n, k), -1.0, dtype=np.float32)

    def search(number: int) -> int:
        reached = cells.reach[number]
        parts = [slice(stop[at] - sizes[at], stop[at]) for at in reached[reached >= 0]]
        names = np.concatenate([order[part] for part in parts])
        many = min(k, len(names) - 1)
        padded = pad_rows([by_cell[part] for part in parts], max(many, 1))
        for begin in range(0, int(sizes[number]) if many else 0, _BLOCK_ROWS):
            own = np.arange(begin, min(begin + _BLOCK_ROWS, int(sizes[number])))  # the cell itself comes first
            found = nearest_among(padded[own], padded, own, names, many)
            near[names[own], :many], similarity[names[own], :many] = found
        return int(sizes[number])

    done = 0
    for n_rows in each(search, np.flatnonzero(sizes).tolist()):  # every cell writes its own rows only
        done += n_rows
        if on_progress is not None:
            on_progress(done, n)
    return near, similarity


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
    padded = pad_rows([centers], n_best)

    def find(begin: int) -> None:
        part = slice(begin, begin + rows)
        closeness = matrix[part] @ padded.T
        closeness[:, len(centers) :] = -np.inf
        if n_best == 1:
            best[part, 0] = closeness.argmax(axis=1)
            return
        found, values = largest_columns(closeness, n_best, len(centers))
        best[part] = np.take_along_axis(found, np.lexsort((found, -values), axis=1), axis=1)

    rows = max(2, _BLOCK_FLOATS // (len(padded) * n_threads()))
    share(find, range(0, len(matrix), rows))
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
