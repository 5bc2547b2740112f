"""Gemini embeddings through google-genai: multilingual, needs a key, sends the texts to Google.

Owns chunking, pacing and the translation of errors; the key never appears in an error. Source of the limits: Gemini API
reference, "Embeddings" (100 texts a call; sizes below 3072 come unnormalised).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import httpx
import numpy as np
import numpy.typing as npt

from soulcaster.errors import PermanentError, SoulcasterError, TransientError

if TYPE_CHECKING:
    from google import genai

DIM = 768
TASK_TYPE = "CLUSTERING"
MAX_TEXTS_PER_CALL = 100
MAX_CHARS = 8_000
"""About the 2,048 tokens the model reads; cut here so that what is left out does not depend on the service."""

_RETRIED_STATUS = [408, 429, 500, 502, 503, 504]
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
        self._seconds_between_calls = 60.0 / requests_per_minute
        self._next_call_at = 0.0  # time.monotonic()
        self._pace = threading.Lock()
        self._client = _make_client(api_key, base_url, timeout_seconds, attempts, first_delay_seconds)

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
            self._wait_for_turn()
            matrix[start : start + len(chunk)] = self._embed_chunk(chunk)
        return matrix

    def _wait_for_turn(self) -> None:
        with self._pace:
            wait_seconds = self._next_call_at - time.monotonic()
            if wait_seconds > 0:
                time.sleep(wait_seconds)
            self._next_call_at = time.monotonic() + self._seconds_between_calls

    def _embed_chunk(self, texts: list[str]) -> npt.NDArray[np.float32]:
        from google.genai import errors, types

        # One Content a text: gemini-embedding-2 reads a plain list of strings as the parts of a single text.
        contents = [types.Content(parts=[types.Part(text=text)]) for text in texts]
        config = types.EmbedContentConfig(task_type=TASK_TYPE, output_dimensionality=DIM)
        try:
            response = self._client.models.embed_content(model=self._model, contents=contents, config=config)
        except errors.APIError as error:
            raise self._translate(error, len(texts)) from None  # the original could quote the key
        except httpx.TransportError as error:
            raise TransientError(
                f"Embedding {len(texts)} texts with {self._model!r} got no answer: {type(error).__name__}; "
                "check the connection and run the same command again."
            ) from None
        except ValueError:
            raise TransientError(
                f"Embedding {len(texts)} texts with {self._model!r} was answered with something that is not the API's "
                "JSON; check SOULCASTER_GEMINI_BASE_URL and proxies, then run the same command again."
            ) from None
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

    def _translate(self, error: Exception, n_texts: int) -> SoulcasterError:
        code = int(getattr(error, "code", 0) or 0)
        reason = str(getattr(error, "message", None) or "no reason given").replace(self._api_key, "[key]")
        what = f"Embedding {n_texts} texts with {self._model!r} answered {code}, expected 200"
        if code in _RETRIED_STATUS or code >= 500:  # noqa: PLR2004 -- the border of HTTP's server errors
            return TransientError(
                f"{what}; wait and run the same command again, or lower SOULCASTER_GEMINI_REQUESTS_PER_MINUTE."
            )
        hint = "check SOULCASTER_GEMINI_API_KEY" if code in (400, 401, 403) else "check the name of the model"
        return PermanentError(f"{what} ({' '.join(reason.split())[:200]}); {hint}.")


def _make_client(
    api_key: str, base_url: str | None, timeout_seconds: float, attempts: int, first_delay_seconds: float
) -> genai.Client:
    from google import genai
    from google.genai import types

    return genai.Client(
        api_key=api_key,
        vertexai=False,
        http_options=types.HttpOptions(
            base_url=base_url,
            api_version="v1beta",  # without it the SDK calls /v1, which lacks features
            timeout=int(timeout_seconds * 1000),
            # Our own client settles which HTTP library raises; the SDK would take whichever is installed.
            httpx_client=httpx.Client(timeout=timeout_seconds),
            # The SDK never retries unless told to. It ignores Retry-After: pacing above is what keeps the ceiling.
            retry_options=types.HttpRetryOptions(
                attempts=attempts,
                initial_delay=first_delay_seconds,
                max_delay=30.0,
                exp_base=2.0,
                jitter=first_delay_seconds,
                http_status_codes=_RETRIED_STATUS,
            ),
        ),
    )
