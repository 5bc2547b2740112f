"""Texts to vectors. `Embedder` is one of the house's two Protocols: it has three real implementations.

The choice is made by settings, is stored with every vector (`model_id`) and never changes silently.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

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

    Raises:
        PermanentError: Gemini was asked for and there is no key.
    """
    raise NotImplementedError
