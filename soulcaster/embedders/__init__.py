"""Texts to vectors. `Embedder` is one of the house's two Protocols: it has three real implementations.

The choice is made by settings, is stored with every vector (`model_id`) and never changes silently.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from soulcaster.errors import PermanentError
from soulcaster.gemini_client import find_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    from soulcaster.settings import Settings


class Embedder(Protocol):
    """Anything that turns texts into comparable vectors."""

    @property
    def model_id(self) -> str:
        """Name, version and precision of the model; part of a vector's key."""
        ...

    @property
    def dim(self) -> int:
        """Length of a vector."""
        ...

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """float32 (len(texts), dim), every row L2-normalised, in the order of `texts`."""
        ...


def make_embedder(settings: Settings) -> Embedder:
    """The embedder that `settings` name.

    'auto' is Gemini when a key is set, else MiniLM; nothing else decides, and nothing changes the choice later. Models
    are loaded at the first `embed`, so asking for `model_id` is cheap.

    Raises:
        PermanentError: Gemini was asked for and there is no key.
    """
    key = find_key(settings.gemini_api_key)
    name = settings.embedder
    if name == "auto":
        name = "gemini" if key else "minilm"
    if name == "static":
        from soulcaster.embedders.static import StaticEmbedder

        return StaticEmbedder()
    if name == "minilm":
        from soulcaster.embedders.minilm import MiniLMEmbedder

        return MiniLMEmbedder()
    if not key:
        raise PermanentError(
            "Making the embedder 'gemini' found no key; set SOULCASTER_GEMINI_API_KEY or SOULCASTER_EMBEDDER=minilm."
        )
    from soulcaster.embedders.gemini import GeminiEmbedder

    return GeminiEmbedder(
        api_key=key,
        model=settings.gemini_embedding_model,
        base_url=settings.gemini_base_url,
        requests_per_minute=settings.gemini_requests_per_minute,
    )
