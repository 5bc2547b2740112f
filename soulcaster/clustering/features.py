"""Candidate pairs of texts and what is measured on each: the evidence the scorer weighs.

Everything is relative to the corpus at hand (whitened vectors, similarity above the neighbourhood's, ranks), so that
the same weights serve another embedder or another tracker. Order-free: rows decide nothing but their own numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from soulcaster.clustering.lexical import WordVectors, word_vectors
from soulcaster.clustering.neighborhood import Neighborhood
from soulcaster.clustering.sharing import both, each, share
from soulcaster.clustering.standing import Standing, find_standings

Column = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

FEATURES: dict[str, int] = {
    "whitened": 1,
    "whitened_local": 1,
    "whitened_local_wide": 1,
    "whitened_lead": 1,
    "whitened_lead_best": 1,
    "whitened_rank": -1,
    "cosine_local": 1,
    "cosine_local_wide": 1,
    "cosine_lead": 1,
    "shared_neighbors": 1,
    "words": 1,
    "words_local": 1,
    "words_lead": 1,
    "words_rank": -1,
    "words_rarest": 1,
    "words_sum": 1,
    "title": 1,
    "title_local": 1,
    "title_rank": -1,
    "title_rarest": 1,
    "length": 0,
}
"""Name of every column, and whether more of it speaks for (1) or against (-1) the same problem; 0: either way."""

_WORD_FEATURES = frozenset(name for name in FEATURES if name.startswith(("words", "title", "length")))
_TITLE_FEATURES = tuple(name for name in FEATURES if name.startswith("title"))
_SHARED_NEIGHBORS = 10
_CHUNK_PAIRS = 200_000
_TITLE_CHARS = 120
_MARKED_TEXTS, _TEXTS_A_TASK = 16, 4_096
"""Texts whose neighbours are marked at a time, few enough for the processor's cache, and those one thread takes."""
_ONE_A_BYTE = np.uint64(0x0101010101010101)


class Pairs(NamedTuple):
    """Candidate pairs, each once with left < right, ordered."""

    left: Rows
    right: Rows
    cosine: Column
    values: npt.NDArray[np.float32]
    """(m, len(FEATURES)); NaN where a column says nothing, as words do when there is no text."""
    days_apart: Column
    """(m,) days between the two; NaN where a time is not known."""


class _Words(NamedTuple):
    """Words of n texts."""

    whole: WordVectors
    title: WordVectors | None
    """None where all words are the title's."""
    size: Column
    """(n,) log of the number of characters."""


def measure_pairs(
    around: Neighborhood,
    titles: Sequence[str] | None = None,
    bodies: Sequence[str] | None = None,
    days: npt.NDArray[np.float64] | None = None,
) -> Pairs:
    """Candidate pairs of n texts and their features.

    Args:
        around: neighbours of the texts.
        titles: n titles, '' where a text has none: its first words stand in. None: words are left out.
        bodies: n bodies.
        days: float64 (n,), when each text came, in days since whenever, NaN unknown; None: of no text it is known.
    """
    n = len(around.near)
    (left, right, at), words = both(lambda: _candidates(around), lambda: _read(titles, bodies))
    values = np.empty((len(FEATURES), len(left)), dtype=np.float32).T  # a column lies together
    column = {name: values[:, position] for position, name in enumerate(FEATURES)}
    cosine = around.cosine.ravel()[at]
    column["whitened"][:] = around.whitened.ravel()[at]
    column["shared_neighbors"][:] = shared_neighbors(around.near, left, right, _SHARED_NEIGHBORS)
    compared = {"whitened": column["whitened"], "cosine": cosine}
    if words is None:
        values[:, columns_of("words")] = np.nan
    else:
        _measure_words(words.whole, n, left, right, column, "words")
        compared["words"] = column["words"]
        if words.title is not None:
            _measure_words(words.title, n, left, right, column, "title")
            compared["title"] = column["title"]
        column["length"][:] = np.minimum(words.size[left], words.size[right])
    standings = dict(zip(compared, find_standings(n, left, right, list(compared.values())), strict=True))
    share(lambda name: _compare(left, right, compared[name], standings[name], column, name), list(compared))
    if "words" in compared and "title" not in compared:  # all words are the title's
        share(lambda name: np.copyto(column[name], column[name.replace("title", "words")]), _TITLE_FEATURES)
    times = np.full(n, np.nan) if days is None else days
    return Pairs(left, right, cosine, values, np.abs(times[left] - times[right]).astype(np.float32))


def shared_neighbors(near: Rows, left: Rows, right: Rows, most: int) -> Column:
    """Share of the `most` nearest neighbours (and of the texts themselves) that both sides have, float32 (m,).

    `left`, int64 (m,), ascends. The neighbours of a few left texts are marked at a time and looked up for the right
    ones; eight marks are added at once, as the bytes of one number.
    """
    n, k = len(near), min(near.shape[1], most)
    around = np.full((n, -(-(k + 1) // 8) * 8), n, dtype=np.int64)  # filled up with a text that nobody marks
    around[:, 0] = np.arange(n)
    around[:, 1 : k + 1] = np.where(near[:, :k] >= 0, near[:, :k], n)
    result = np.empty(len(left), dtype=np.float32)

    def count(first: int) -> None:
        marks = np.zeros((_MARKED_TEXTS, n + 1), dtype=np.uint8)
        starts = np.arange(first, min(first + _TEXTS_A_TASK, n), _MARKED_TEXTS)
        bounds = np.searchsorted(left, np.append(starts, min(first + _TEXTS_A_TASK, n)))
        for start, begin, end in zip(starts.tolist(), bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            own = around[start : start + _MARKED_TEXTS, : k + 1]
            marked = (own + (n + 1) * np.arange(len(own))[:, None]).ravel()
            marks.ravel()[marked] = 1
            marks[:, n] = 0
            places = around[right[begin:end]]
            places += ((n + 1) * (left[begin:end] - start))[:, None]
            found = marks.ravel().take(places).view(np.uint64).sum(axis=1)
            result[begin:end] = (found * _ONE_A_BYTE) >> np.uint64(56)
            marks.ravel()[marked] = 0

    share(count, list(range(0, n, _TEXTS_A_TASK)))
    return result / np.float32(k + 1)


def _candidates(around: Neighborhood) -> tuple[Rows, Rows, Rows]:
    """Both texts of every candidate pair, and where `around` measured it, as a flat position.

    One number holds a pair, and where it was measured: in the list of the left text or of the right one, and which
    slot. So sorting moves nothing else, a few texts at a time.
    """
    n = len(around.near)
    found = np.hstack([around.near, around.near_whitened])
    k = found.shape[1]
    text_bits, slot_bits = n.bit_length(), k.bit_length()
    near = np.arange(n)[:, None]
    is_turned = (found < near) & (found >= 0)
    turned = ((found << text_bits | near) << 1 | 1) << slot_bits | np.arange(k)
    starts = np.append(0, np.cumsum(is_turned.sum(axis=1)))
    by_left = csr_array((turned[is_turned], found[is_turned], starts), shape=(n, n)).tocsc()

    def sort(start: int) -> tuple[Rows, Rows, Rows]:
        stop = min(start + _TEXTS_A_TASK, n)
        own = (near[start:stop] << text_bits | found[start:stop]) << slot_bits + 1 | np.arange(k)
        others = by_left.data[by_left.indptr[start] : by_left.indptr[stop]]
        keys = np.sort(np.append(own[found[start:stop] > near[start:stop]], others))
        keys = keys[np.diff(keys >> slot_bits + 1, prepend=-1) > 0]
        left, right = keys >> text_bits + slot_bits + 1, keys >> slot_bits + 1 & (1 << text_bits) - 1
        measured_by = np.where(keys >> slot_bits & 1, right, left)
        return left, right, measured_by * k + (keys & (1 << slot_bits) - 1)

    parts = list(each(sort, range(0, n, _TEXTS_A_TASK)))
    if not parts:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64)
    left, right, at = (np.concatenate(column) for column in zip(*parts, strict=True))
    return left, right, at


def _compare(
    left: Rows, right: Rows, similarity: Column, among: Standing, column: dict[str, Column], name: str
) -> None:
    """Fill the columns that say how `similarity` stands among all pairs of either side."""
    column[f"{name}_local"][:] = 2 * similarity - among.level[left] - among.level[right]
    if f"{name}_local_wide" in column:
        column[f"{name}_local_wide"][:] = 2 * similarity - among.level_wide[left] - among.level_wide[right]
    if f"{name}_lead" in column:
        rivals = [
            np.where(rank == 0, among.top[1][text], among.top[0][text])  # the best that a side has with somebody else
            for rank, text in ((among.rank_left, left), (among.rank_right, right))
        ]
        column[f"{name}_lead"][:] = similarity - np.maximum(*rivals)
        if f"{name}_lead_best" in column:
            column[f"{name}_lead_best"][:] = similarity - np.minimum(*rivals)
    if f"{name}_rank" in column:
        rank = np.maximum(among.rank_left, among.rank_right)
        column[f"{name}_rank"][:] = np.log1p(np.arange(int(rank.max(initial=0)) + 1)).astype(np.float32)[rank]


def _chunks(n_pairs: int, size: int = _CHUNK_PAIRS) -> Iterator[slice]:
    return (slice(start, start + size) for start in range(0, n_pairs, size))


def _read(titles: Sequence[str] | None, bodies: Sequence[str] | None) -> _Words | None:
    """Words of the texts; None where there are no texts."""
    if titles is None or bodies is None:
        return None
    heads, rests = _split(titles, bodies)
    size = np.log1p(np.array([len(a) + len(b) for a, b in zip(heads, rests, strict=True)], dtype=np.float32))
    whole = word_vectors([f"{head}\n{rest}" for head, rest in zip(heads, rests, strict=True)])
    return _Words(whole, word_vectors(heads) if any(rests) else None, size)


def _split(titles: Sequence[str], bodies: Sequence[str]) -> tuple[list[str], list[str]]:
    """Title and the rest of every text; where there is no title the text's first characters are it."""
    heads = [title if title.strip() else body[:_TITLE_CHARS] for title, body in zip(titles, bodies, strict=True)]
    rests = [body if title.strip() else body[_TITLE_CHARS:] for title, body in zip(titles, bodies, strict=True)]
    return heads, rests


def _measure_words(vectors: WordVectors, n: int, left: Rows, right: Rows, column: dict[str, Column], name: str) -> None:
    """Fill the columns on shared words."""

    def measure(part: slice) -> None:
        shared = csr_array(vectors.weights[left[part]].multiply(vectors.weights[right[part]]))
        column[name][part] = np.round(shared.sum(axis=1), 6)
        shared.data = vectors.rarity[shared.indices]
        column[f"{name}_rarest"][part] = _row_maxima(shared) / np.float32(np.log(n + 1))
        if f"{name}_sum" in column:
            column[f"{name}_sum"][part] = np.log1p(shared.sum(axis=1))

    share(measure, list(_chunks(len(left))))


def _row_maxima(matrix: csr_array) -> Column:
    """Largest entry of every row, 0 where there is none."""
    result = np.zeros(matrix.shape[0], dtype=np.float32)
    filled = np.flatnonzero(np.diff(matrix.indptr))
    if len(filled):
        result[filled] = np.maximum.reduceat(matrix.data, matrix.indptr[filled])
    return result


def columns_of(group: str) -> list[int]:
    """Positions of the columns of a group of signals: 'words' or 'vectors'; what the ablation leaves out."""
    wanted = _WORD_FEATURES if group == "words" else FEATURES.keys() - _WORD_FEATURES
    return [position for position, name in enumerate(FEATURES) if name in wanted]
