"""Where each candidate pair stands among all pairs of its two texts: ranks, levels, rivals.

Texts are dealt into blocks of about as many pairs each, and every block sorts its rows at once; so nothing as long as
all pairs is ever sorted, and the blocks do not depend on one another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from soulcaster.clustering.sharing import both, share

LOCAL, WIDE = 10, 30
"""A text's level is the mean of so many of its highest similarities."""
_BLOCK_SIDES = 2**17
_LOW = 2**32 - 1
_LAST = np.iinfo(np.int64).max

Column = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]


class Standing(NamedTuple):
    """How one similarity of m pairs stands among n texts."""

    level: Column
    """(n,) mean of the `LOCAL` highest similarities of every text; 0 for a text without pairs."""
    level_wide: Column
    """(n,) the same over `WIDE`."""
    top: npt.NDArray[np.float32]
    """(2, n) the highest two, 0 where there are fewer."""
    rank_left: npt.NDArray[np.int32]
    """(m,) how many pairs of the left side are more similar."""
    rank_right: npt.NDArray[np.int32]


def find_standings(n: int, left: Rows, right: Rows, similarities: Sequence[Column]) -> list[Standing]:
    """A standing for each of `similarities`, float32 (m,), of the pairs `left` and `right`, int64 (m,), of n texts.

    `left` ascends.
    """
    m = len(left)
    n_left, n_right = np.bincount(left, minlength=n), np.bincount(right, minlength=n)
    degree = n_left + n_right
    start = np.cumsum(degree) - degree
    sides = np.empty(2 * m, dtype=np.int64)  # by text, left sides first

    def place_left() -> None:
        sides[np.arange(m) + np.repeat(np.cumsum(n_right) - n_right, n_left)] = np.arange(m)

    def place_right() -> None:
        by_right = csr_array((np.arange(m), right, np.append(0, np.cumsum(n_left))), shape=(n, n)).tocsc().data
        sides[np.arange(m) + np.repeat(np.cumsum(n_left), n_right)] = by_right + m

    both(place_left, place_right)
    ranks = [np.empty(2 * m, dtype=np.int32) for _ in similarities]
    levels = [np.zeros((4, n), dtype=np.float32) for _ in similarities]

    def work(texts: Rows) -> None:
        places = np.arange(degree[texts[0]])
        is_side = places < degree[texts][:, None]
        own = sides[np.where(is_side, start[texts][:, None] + places, 0)]
        pair = np.where(own < m, own, own - m)
        for similarity, rank, level in zip(similarities, ranks, levels, strict=True):
            values, at, ranked = _sort_rows(similarity[pair], is_side)
            rank[np.take_along_axis(own, at, axis=1)[is_side]] = ranked[is_side]
            level[:, texts] = _describe_rows(values, degree[texts])

    share(work, _blocks(degree))
    return [
        Standing(level[0], level[1], level[2:], rank[:m], rank[m:]) for rank, level in zip(ranks, levels, strict=True)
    ]


def _blocks(degree: Rows) -> list[Rows]:
    """Texts that have pairs, those with most first, in blocks of at most so many sides, filled up."""
    order = np.argsort(-degree, kind="stable")[: int((degree > 0).sum())]
    found: list[Rows] = []
    while len(order):
        n_rows = max(1, _BLOCK_SIDES // int(degree[order[0]]))
        found.append(order[:n_rows])
        order = order[n_rows:]
    return found


def _sort_rows(
    values: npt.NDArray[np.float32], is_side: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.float32], Rows, npt.NDArray[np.int32]]:
    """Every row's values from the highest, 0 behind them; the columns they came from; their ranks, equals share one."""
    bits = (np.float32(0) - values).view(np.int32)
    bits ^= (bits >> 31) & np.int32(2**31 - 1)  # floats sort as their bits, negative ones reversed
    columns = np.arange(values.shape[1])
    keys = np.where(is_side, (bits.astype(np.int64) << 32) + columns, _LAST)
    keys.sort(axis=1)
    sorted_bits = (keys >> 32).astype(np.int32)
    is_new = np.ones(values.shape, dtype=bool)
    is_new[:, 1:] = sorted_bits[:, 1:] != sorted_bits[:, :-1]
    rank = np.maximum.accumulate(np.where(is_new, columns.astype(np.int32), np.int32(0)), axis=1)
    at = np.where(is_side, keys & _LOW, 0)
    sorted_bits ^= (sorted_bits >> 31) & np.int32(2**31 - 1)
    return np.where(is_side, np.float32(0) - sorted_bits.view(np.float32), np.float32(0)), at, rank


def _describe_rows(values: npt.NDArray[np.float32], degree: Rows) -> npt.NDArray[np.float32]:
    """(4, rows): both levels and the two highest values."""
    result = np.zeros((4, len(values)), dtype=np.float32)
    for line, k in enumerate((LOCAL, WIDE)):
        result[line] = values[:, :k].sum(axis=1, dtype=np.float64) / np.minimum(degree, k)
    result[2] = values[:, 0]
    if values.shape[1] > 1:
        result[3] = values[:, 1]
    return result
