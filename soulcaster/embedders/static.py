"""One fixed vector per token, averaged: for very large backfills; tens of thousands of texts a second, less sharp.

The vectors are distilled from all-MiniLM-L6-v2 (`distill_static.py`, `assets/README.md`). Each carries its weight in
its length (rare tokens are longer), so a plain sum is model2vec's weighted mean. Texts are never cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from importlib import resources

import numpy as np
import numpy.typing as npt
from scipy import sparse
from tokenizers import Tokenizer

from soulcaster.embedders.wordpiece import N_TOKENS, make_tokenizer
from soulcaster.errors import PermanentError

DIM = 256
_CHUNK = 4096


class StaticEmbedder:
    """`Embedder` over `assets/static.npz`: int8 rows and a scale per token, kept in memory as float32 (31 MB).

    A text without a single known token (empty, or only emoji) gets the unit vector of the last principal axis: such
    texts are equal to each other and close to nothing else (cosine with 13,083 real questions: 0.05 in the mean, at
    most 0.22), and the promise of unit length holds.
    """

    model_id = "minilm-l6-v2-static-256@1"
    dim = DIM

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        return make_tokenizer()

    @cached_property
    def _token_vectors(self) -> npt.NDArray[np.float32]:
        return _load_token_vectors()

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """float32 (len(texts), 256), every row L2-normalised, in the order of `texts`; weighted mean of the tokens."""
        matrix = np.empty((len(texts), DIM), dtype=np.float32)
        for start in range(0, len(texts), _CHUNK):
            chunk = list(texts[start : start + _CHUNK])
            matrix[start : start + len(chunk)] = self._embed_chunk(chunk)
        return matrix

    def _embed_chunk(self, texts: list[str]) -> npt.NDArray[np.float32]:
        ids = [encoding.ids for encoding in self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
        offsets = np.zeros(len(ids) + 1, dtype=np.int64)
        np.cumsum([len(row) for row in ids], out=offsets[1:])
        flat = np.fromiter((token for row in ids for token in row), dtype=np.int64, count=int(offsets[-1]))
        shape = (len(ids), len(self._token_vectors))
        counts = sparse.csr_array((np.ones(len(flat), dtype=np.float32), flat, offsets), shape=shape)
        sums = np.asarray(counts @ self._token_vectors, dtype=np.float32)

        lengths = np.linalg.norm(sums, axis=1)
        unknown = lengths == 0
        sums[unknown, -1] = 1.0
        lengths[unknown] = 1.0
        return np.asarray(sums / lengths[:, None], dtype=np.float32)


def _load_token_vectors() -> npt.NDArray[np.float32]:
    asset = resources.files("soulcaster.embedders.assets").joinpath("static.npz")
    try:
        with asset.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            rows, scales = arrays["rows"], arrays["scales"]
    except (OSError, ValueError, KeyError) as error:
        raise PermanentError("Loading the static model 'static.npz' failed; reinstall soulcaster.") from error
    if rows.shape != (N_TOKENS, DIM) or scales.shape != (N_TOKENS,):
        raise PermanentError(
            f"Loading 'static.npz' gave rows {rows.shape!r}, expected ({N_TOKENS}, {DIM}); reinstall soulcaster."
        )
    return np.asarray(rows * scales[:, None], dtype=np.float32)
