"""For every text among very many, the others that may be its neighbours; kept and mended when few texts come or go.

One search serves both cosines: it goes through the leading axes, whitened half as far, and what it finds is then
measured by both. Axes and cells are a frame that is fitted once and kept while the corpus grows a little. In one frame
a text's candidates depend on nothing but the texts in its reach, so mending lists gives what searching anew would give.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from soulcaster.clustering.cells import SEARCHED_ROWS, Cells, find_cell, lay_cells, search_cells
from soulcaster.clustering.neighbors import largest_columns, padded_size, round_similarities
from soulcaster.clustering.sharing import each, n_threads, share
from soulcaster.clustering.whitening import WHITENING, principal_axes, scaled_axes, turn

SEARCH_AXES, N_CANDIDATES = 192, 80
"""Leading axes that the search looks at, and the candidates it keeps. Source: docs/grouping.md, "Speed"."""
_LEAST_SEARCHED, _SEARCHED_SHARE = 8_192, 1 / 3
"""A third of the rows holds nearly all neighbours as well among 30,000 as among 100,000; see docs/grouping.md."""
_PARTS = 1_000_000
_PLACE_BITS = 7
_BLOCK_FLOATS = 2**24
_BLOCK_ROWS = 64

Rows = npt.NDArray[np.int64]
Matrix = npt.NDArray[np.float32]
Parts = npt.NDArray[np.int32]


class Frame(NamedTuple):
    """What a corpus is searched in."""

    n_texts: int
    """Texts it was fitted on."""
    mean: Matrix
    """(d,)"""
    whitening: Matrix
    """(d, d) axes of whitened cosines."""
    axes: Matrix
    """(d, a) axes of the search."""
    cells: Cells


class Candidates(NamedTuple):
    """Candidates of n texts, in no order, -1 where there are fewer; similarities in millionths."""

    rows: Parts
    """(n, c)"""
    searched: Matrix
    """(n, c) cosine by the axes of the search."""
    cosine: Parts
    """(n, c)"""
    whitened: Parts
    """(n, c)"""
    cell: Parts
    """(n,) cell of the frame that each text is in."""


def fit_frame(matrix: Matrix, *, searched_rows: int | None = None) -> Frame:
    """The frame of these texts, float32 (n, d), L2-normalised, in canonical order, n above 0.

    Each row is compared with about `searched_rows` others; None: as many as find nearly all neighbours.
    """
    axes = principal_axes(matrix)
    search = scaled_axes(axes, WHITENING / 2, SEARCH_AXES)
    most = min(SEARCHED_ROWS, max(_LEAST_SEARCHED, int(len(matrix) * _SEARCHED_SHARE)))
    cells = lay_cells(turn(matrix, axes.mean, search), searched_rows=searched_rows or most)
    return Frame(len(matrix), axes.mean, scaled_axes(axes), search, cells)


def find_candidates(
    matrix: Matrix, frame: Frame, *, on_progress: Callable[[int, int], None] | None = None
) -> Candidates:
    """Candidates of all rows of `matrix`, float32 (n, d), L2-normalised, in canonical order."""
    axes = turn(matrix, frame.mean, frame.axes)
    cell = find_cell(axes, frame.cells)
    rows, searched = search_cells(axes, N_CANDIDATES, frame.cells, cell, on_progress=on_progress)
    whitened = turn(matrix, frame.mean, frame.whitening)
    measured = measure(matrix, rows), measure(whitened, rows)
    return Candidates(rows.astype(np.int32), searched, *measured, cell.astype(np.int32))


def mend_candidates(matrix: Matrix, frame: Frame, before: Candidates, place: Rows) -> Candidates:
    """What `find_candidates` would give, from the candidates of an earlier corpus in the same frame.

    Texts that are new, and those that lost a candidate, are searched for; the others only take in who is new.

    Args:
        matrix: float32 (n, d), as in `find_candidates`.
        frame: the one that `before` was found in.
        before: candidates of m texts.
        place: int64 (m,), row of `matrix` that each of those texts is now, -1 where it is gone; ascending.
    """
    mended, worst = _move(before, place, len(matrix))
    axes = turn(matrix, frame.mean, frame.axes)
    is_new = np.ones(len(matrix), dtype=bool)
    is_new[place[place >= 0]] = False
    mended.cell[is_new] = find_cell(axes[is_new], frame.cells)
    lost = np.flatnonzero(worst == np.inf)
    found = _search_few(axes, frame.cells, mended.cell, lost, is_new, worst)
    mended.rows[lost], mended.searched[lost] = found.rows, found.searched
    mended.cosine[lost] = measure(matrix, found.rows, lost)
    is_asked = np.zeros(len(matrix), dtype=bool)  # few are measured: the others need not be whitened
    for asked in (lost, found.rows[found.rows >= 0], found.hit, found.hit_by):
        is_asked[asked] = True
    whitened = turn(matrix[is_asked], frame.mean, frame.whitening)
    at = np.append(np.cumsum(is_asked) - 1, -1)
    mended.whitened[lost] = measure(whitened, at[found.rows], at[lost])
    cosine = _products(matrix, found.hit, found.hit_by)
    return _take_in(mended, found, cosine, _products(whitened, at[found.hit], at[found.hit_by]))


def closest(rows: Parts, similarity: Parts, k: int) -> Rows:
    """Which candidates of every row are most similar, nearest first, ties by row: positions among them, int64 (n, k).

    Args:
        rows: int32 (n, c), c at most 128.
        similarity: int32 (n, c), in millionths.
        k: up to c.
    """
    places = np.arange(rows.shape[1])
    found = np.empty((len(rows), k), dtype=np.int64)

    def pick(start: int) -> None:
        part = slice(start, start + _BLOCK_ROWS * 16)
        order = (2 * _PARTS - similarity[part].astype(np.int64) << 32) + rows[part] + 1 << _PLACE_BITS
        order += places
        order.sort(axis=1)
        found[part] = order[:, :k] & (2**_PLACE_BITS - 1)

    share(pick, range(0, len(rows), _BLOCK_ROWS * 16))
    return found


def from_parts(parts: Parts) -> Matrix:
    """Similarities out of millionths."""
    similarities: Matrix = parts.astype(np.float32) / np.float32(_PARTS)
    return similarities


def measure(matrix: Matrix, candidates: npt.NDArray[np.integer], own: Rows | None = None) -> Parts:
    """Cosine to each candidate, int32 (m, c), in millionths; -1,000,000 where there is none.

    Args:
        matrix: float32 (n, d), L2-normalised.
        candidates: (m, c) rows of it, -1 for none.
        own: int64 (m,), the row that each line of candidates is for; None: all, in order.
    """
    own = np.arange(len(matrix)) if own is None else own
    result = np.empty(candidates.shape, dtype=np.int32)

    def multiply(start: int) -> None:
        part = slice(start, start + _BLOCK_ROWS)
        found = candidates[part]
        products = np.einsum("bkd,bd->bk", matrix[found], matrix[own[part]])
        result[part] = np.where(found >= 0, _to_parts(products), -_PARTS)

    share(multiply, range(0, len(own), _BLOCK_ROWS))
    return result


class _Found(NamedTuple):
    """What searching for a few rows brought."""

    rows: Rows
    """(m, c) candidates of those rows."""
    searched: Matrix
    hit: Rows
    """(h,) other rows, ascending, that take a new row in,"""
    hit_by: Rows
    """(h,) which,"""
    hit_searched: Matrix
    """(h,) and their cosine by the axes of the search."""


def _search_few(
    axes: Matrix, cells: Cells, cell: Parts, wanted: Rows, is_new: npt.NDArray[np.bool_], worst: Matrix
) -> _Found:
    """Candidates of the rows `wanted`, and who of the others takes in those of them that are new.

    Args:
        axes: float32 (n, a), the rows as they are searched.
        cells: of the frame.
        cell: int32 (n,), cell of every row.
        wanted: rows to search for.
        is_new: mask (n,).
        worst: float32 (n,), cosine that a new row has to exceed to be taken in.
    """
    n, n_cells = len(axes), len(cells.centers)
    is_reached = np.zeros((n_cells, n_cells), dtype=bool)
    line, at = np.nonzero(cells.reach >= 0)
    is_reached[line, cells.reach[line, at]] = True
    out_of_reach = np.where(is_reached, np.float32(0), np.float32(-np.inf))
    width = padded_size(n, N_CANDIDATES)
    rows = np.empty((len(wanted), N_CANDIDATES), dtype=np.int64)
    searched = np.empty((len(wanted), N_CANDIDATES), dtype=np.float32)

    def search(start: int) -> tuple[Rows, Rows, Matrix]:
        own = wanted[start : start + block]
        asked = own if len(own) > 1 else np.repeat(own, 2)  # a single row would be multiplied in another order
        products = np.empty((len(asked), width), dtype=np.float32)
        np.matmul(axes[asked], axes.T, out=products[:, :n])
        products[:, n:] = -np.inf
        products = products[: len(own)]
        products[np.arange(len(own)), own] = -np.inf
        by, other = np.divmod(np.flatnonzero(products[:, :n] > worst), n)
        taken = is_new[own[by]] & is_reached[cell[other], cell[own[by]]]
        by, other = by[taken], other[taken]
        values = round_similarities(products[by, other])
        products[:, :n] += np.take(out_of_reach[cell[own]], cell, axis=1)  # a third of the time of a mask
        part = slice(start, start + block)
        rows[part], found = largest_columns(products, N_CANDIDATES, n)
        searched[part] = round_similarities(found)
        is_better = values > worst[other]
        return other[is_better], own[by[is_better]], values[is_better]

    block = max(2, _BLOCK_FLOATS // (width * n_threads()))
    hits = [np.concatenate(part) for part in zip(*each(search, range(0, len(wanted), block)), strict=True)]
    if not hits:
        return _Found(rows, searched, np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))
    order = np.argsort(hits[0], kind="stable")
    return _Found(rows, searched, hits[0][order], hits[1][order], hits[2][order])


def _take_in(mended: Candidates, found: _Found, cosine: Parts, whitened: Parts) -> Candidates:
    """`mended` with the new rows in place of the least similar ones; `cosine` and `whitened` are (h,), of the hits."""
    rows, starts, counts = np.unique(found.hit, return_index=True, return_counts=True)
    new: tuple[npt.NDArray[Any], ...] = (found.hit_by, found.hit_searched, cosine, whitened)

    def take(first: int) -> None:
        lines, n_new = rows[first : first + _BLOCK_ROWS * 16], counts[first : first + _BLOCK_ROWS * 16]
        hits = starts[first] + np.arange(n_new.sum())
        line = np.repeat(np.arange(len(lines)), n_new)
        at = hits - np.repeat(starts[first : first + len(lines)], n_new)
        most = int(n_new.max())
        wide: list[npt.NDArray[Any]] = []
        for values, added in zip(mended[:-1], new, strict=True):
            extra = np.full((len(lines), most), -2 if values is mended.searched else -1, dtype=values.dtype)
            extra[line, at] = added[hits]
            wide.append(np.hstack([values[lines], extra]))
        stays = np.argpartition(wide[1], most, axis=1)[:, most:]  # as many go as came
        for values, both in zip(mended[:-1], wide, strict=True):
            values[lines] = np.take_along_axis(both, stays, axis=1)

    share(take, range(0, len(rows), _BLOCK_ROWS * 16))
    return mended


def _move(before: Candidates, place: Rows, n: int) -> tuple[Candidates, Matrix]:
    """Candidates at their new places, and what a new one has to exceed, float32 (n,).

    That is infinite for texts that are new or lost a candidate: these have to be searched for, and their lines hold
    anything.
    """
    moved = Candidates(*(np.empty((n, *values.shape[1:]), dtype=values.dtype) for values in before))
    worst = np.empty(n, dtype=np.float32)
    gone_last = np.append(place, -1).astype(np.int32)
    source = np.full(n, -1, dtype=np.int64)
    source[place[place >= 0]] = np.flatnonzero(place >= 0)

    def move(start: int) -> None:
        part = slice(start, start + _BLOCK_ROWS * 16)
        for values, old in zip(moved[1:], before[1:], strict=True):
            values[part] = old[source[part]]
        moved.rows[part] = gone_last[before.rows[source[part]]]
        is_lost = (source[part] < 0) | (moved.rows[part] < 0).any(axis=1)
        worst[part] = np.where(is_lost, np.inf, moved.searched[part].min(axis=1))

    share(move, range(0, n, _BLOCK_ROWS * 16))
    return moved, worst


def _products(matrix: Matrix, left: Rows, right: Rows) -> Parts:
    """Cosine of each pair of rows in millionths, the same to the last bit as `measure` gives."""
    result = np.empty(len(left), dtype=np.int32)
    for start in range(0, len(left), _BLOCK_ROWS * 16):
        part = slice(start, start + _BLOCK_ROWS * 16)
        result[part] = _to_parts(np.einsum("nd,nd->n", matrix[left[part]], matrix[right[part]]))
    return result


def _to_parts(products: Matrix) -> Parts:
    parts: Parts = np.rint(products * np.float32(_PARTS)).astype(np.int32)
    return parts
