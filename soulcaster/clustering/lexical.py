"""Words of texts as sparse TF-IDF vectors: what two reports share, and how rare it is.

Words are runs of letters and digits, inner dots, dashes and the like included (`libx-1.2`, `foo.bar`); in scripts
without blanks every character is a word. Words that stand in every text (a report template) weigh nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.sparse import csr_array

_WORD = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]|[\p{L}\p{N}_]+(?:[.+#'-][\p{L}\p{N}_]+)*"
_MOST_CHARS = 4000
_MOST_WORDS = 48
"""Heaviest words kept of a text; more changed no figure of docs/grouping.md and cost time."""


class WordVectors(NamedTuple):
    """TF-IDF of n texts over v words that two texts or more share."""

    weights: csr_array
    """float32 (n, v); rows had length 1 before words of one text alone and the lightest ones were dropped."""
    rarity: npt.NDArray[np.float32]
    """(v,) log((n + 1) / (texts with the word + 1))."""


def word_vectors(texts: Sequence[str]) -> WordVectors:
    """TF-IDF vectors, sublinear in the count of a word within a text."""
    n = len(texts)
    words = pl.Series(texts, dtype=pl.String).str.slice(0, _MOST_CHARS).str.to_lowercase().str.extract_all(_WORD)
    many = words.list.len().to_numpy().astype(np.int64)
    word = words.filter(words.list.len() > 0).explode().to_frame("word")
    known = word.unique().sort("word").with_row_index("column")
    column = word.join(known, on="word", how="left", maintain_order="left")["column"].to_numpy().astype(np.int64)
    keys = np.sort(np.repeat(np.arange(n), many) * known.height + column)
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    count = np.diff(np.append(starts, len(keys)))
    row, column = np.divmod(keys[starts], max(known.height, 1))
    n_texts = np.bincount(column, minlength=known.height)
    rarity = np.log((n + 1.0) / (n_texts + 1.0))
    weight = (1.0 + np.log(count)) * rarity[column]
    length = np.sqrt(np.bincount(row, weight**2, minlength=n))
    weight /= np.maximum(length[row], 1e-9)
    shared = np.flatnonzero((n_texts[column] > 1) & (weight > 0))
    kept = np.sort(shared[_heaviest(row[shared], np.round(weight[shared], 9), n)])
    bounds = np.append(0, np.cumsum(np.bincount(row[kept], minlength=n)))
    matrix = csr_array((weight[kept].astype(np.float32), column[kept], bounds), shape=(n, known.height))
    return WordVectors(matrix, rarity.astype(np.float32))


def _heaviest(row: npt.NDArray[np.int64], weight: npt.NDArray[np.float64], n: int) -> npt.NDArray[np.int64]:
    """Positions of the heaviest words of every row, ties by position."""
    is_long = np.bincount(row, minlength=n)[row] > _MOST_WORDS
    long = np.flatnonzero(is_long)
    order = long[np.lexsort((long, -weight[long], row[long]))]
    start = np.zeros(n + 1, dtype=np.int64)
    np.cumsum(np.bincount(row[long], minlength=n), out=start[1:])
    kept = order[np.arange(len(order)) - start[row[order]] < _MOST_WORDS]
    return np.concatenate([np.flatnonzero(~is_long), kept])
