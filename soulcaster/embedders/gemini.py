"""Gemini embeddings through google-genai: multilingual, needs a key, sends the texts to Google.

Owns chunking and what an answer must look like. Source of the limits: Gemini API reference, "Embeddings" (100 texts a
call; sizes below 3072 come unnormalised).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from soulcaster.errors import PermanentError
from soulcaster.gemini_client import Pace, call, make_client

DIM = 768
TASK_TYPE = "CLUSTERING"
MAX_TEXTS_PER_CALL = 100
MAX_CHARS = 8_000
"""About the 2,048 tokens the model reads; cut here so that what is left out does not depend on the service."""

_NO_TEXT = "(no text)"


class GeminiEmbedder:
    """`Embedder` over one Gemini embedding model; holds an HTTP client and the time of its last call.

    Args:
        api_key: Gemini API key.
        model: e.g. 'gemini-embedding-001'.
        base_url: other address of the API (proxy, stand-in); None for Google's.
        requests_per_minute: ceiling kept by waiting between calls; the SDK's own retries come on top.
        timeout_seconds: for one HTTP call.
        attempts: HTTP tries for one chunk before `TransientError`.
        first_delay_seconds: wait before the second try, doubled for each further one.
    """

    dim = DIM

    def __init__(
        self,
        *,
        api_key: str,
        model: str,
        base_url: str | None = None,
        requests_per_minute: int = 90,
        timeout_seconds: float = 60.0,
        attempts: int = 4,
        first_delay_seconds: float = 1.0,
    ) -> None:
        self.model_id = f"{model}-{DIM}-{TASK_TYPE.lower()}@1"
        self._api_key = api_key
        self._model = model
        self._pace = Pace(requests_per_minute)
        self._client = make_client(
            api_key,
            base_url,
            timeout_seconds=timeout_seconds,
            attempts=attempts,
            first_delay_seconds=first_delay_seconds,
        )

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """float32 (len(texts), 768), every row L2-normalised, in the order of `texts`, cut at 8,000 characters.

        An empty text is sent as '(no text)', because the API refuses empty ones.

        Raises:
            TransientError: 429, 5xx, time-out or no connection, after the tries are used up.
            PermanentError: the key or the request was refused, or the answer does not fit the question.
        """
        matrix = np.empty((len(texts), DIM), dtype=np.float32)
        for start in range(0, len(texts), MAX_TEXTS_PER_CALL):
            chunk = [
                text[:MAX_CHARS] if text.strip() else _NO_TEXT for text in texts[start : start + MAX_TEXTS_PER_CALL]
            ]
            self._pace.wait()
            matrix[start : start + len(chunk)] = self._embed_chunk(chunk)
        return matrix

    def _embed_chunk(self, texts: list[str]) -> npt.NDArray[np.float32]:
        from google.genai import types

        # One Content a text: gemini-embedding-2 reads a plain list of strings as the parts of a single text.
        contents = [types.Content(parts=[types.Part(text=text)]) for text in texts]
        config = types.EmbedContentConfig(task_type=TASK_TYPE, output_dimensionality=DIM)
        response = call(
            f"Embedding {len(texts)} texts with {self._model!r}",
            self._api_key,
            lambda: self._client.models.embed_content(model=self._model, contents=contents, config=config),
        )
        return self._checked([embedding.values or [] for embedding in response.embeddings or []], len(texts))

    def _checked(self, rows: list[list[float]], n_texts: int) -> npt.NDArray[np.float32]:
        sizes = sorted({len(row) for row in rows})
        if len(rows) != n_texts or sizes != [DIM]:
            raise PermanentError(
                f"Embedding {n_texts} texts with {self._model!r} gave {len(rows)} vectors of sizes {sizes!r}, "
                f"expected {n_texts} of {DIM}; check SOULCASTER_GEMINI_EMBEDDING_MODEL."
            )
        matrix = np.asarray(rows, dtype=np.float64)
        lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
        if not np.isfinite(lengths).all() or (lengths == 0).any():
            raise PermanentError(
                f"Embedding {n_texts} texts with {self._model!r} gave a vector without a direction; "
                "check SOULCASTER_GEMINI_EMBEDDING_MODEL."
            )
        return np.asarray(matrix / lengths, dtype=np.float32)
