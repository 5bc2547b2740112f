"""What every `Embedder` promises, asked of all three real ones; Gemini answers through the stand-in on loopback."""

from collections.abc import Iterator

import numpy as np
import pytest
from gemini_server import API_KEY, running_gemini

from soulcaster.embedders import Embedder
from soulcaster.embedders.gemini import GeminiEmbedder
from soulcaster.embedders.minilm import MiniLMEmbedder
from soulcaster.embedders.static import StaticEmbedder

TEXTS = [
    "The app crashes when I export my trip.",
    "Dark mode please",
    "Export of a trip ends in a crash",
    "приложение падает при экспорте",
    "落ちる 🚀 Straße naïve",
    "Segmentation fault in libfoo.so at 0x00007f",
]


@pytest.fixture(scope="module", params=["minilm", "static", "gemini"])
def embedder(request: pytest.FixtureRequest) -> Iterator[Embedder]:
    """Each real embedder in turn."""
    if request.param == "minilm":
        yield MiniLMEmbedder()
    elif request.param == "static":
        yield StaticEmbedder()
    else:
        with running_gemini() as server:
            yield GeminiEmbedder(
                api_key=API_KEY, model="gemini-embedding-001", base_url=server.url, requests_per_minute=10_000
            )


def assert_unit_rows(matrix: np.ndarray, embedder: Embedder, n_texts: int) -> None:
    """float32, (n, dim), every row of length one."""
    assert matrix.dtype == np.float32
    assert matrix.shape == (n_texts, embedder.dim)
    np.testing.assert_allclose(np.linalg.norm(matrix, axis=1), 1.0, atol=1e-5)


def test_rows_are_float32_of_the_stated_length_and_norm(embedder: Embedder) -> None:
    """Shape, type and length of the rows are as promised."""
    assert_unit_rows(embedder.embed(TEXTS), embedder, len(TEXTS))


def test_no_texts_give_an_empty_matrix_of_the_right_width(embedder: Embedder) -> None:
    """An empty list is no special case for the caller."""
    matrix = embedder.embed([])
    assert matrix.shape == (0, embedder.dim)
    assert matrix.dtype == np.float32


@pytest.mark.parametrize(
    "text", ["", "   \n\t ", "🚀🚀", "\u200b", "[SEP] [CLS] [PAD]", "x" * 10_000, "log line 17 " * 900]
)
def test_odd_texts_get_a_unit_vector_too(embedder: Embedder, text: str) -> None:
    """Empty, blank, unknown, control-like and 10,000-character texts keep the promise."""
    assert_unit_rows(embedder.embed([text]), embedder, 1)


def test_order_of_the_vectors_is_the_order_of_the_texts(embedder: Embedder) -> None:
    """Sorting by length inside must not show outside."""
    mixed = ["b " * 90, "a", "c " * 30, "d d", "e " * 200]
    together = embedder.embed(mixed)
    for row, text in zip(together, mixed, strict=True):
        np.testing.assert_allclose(row, embedder.embed([text])[0], atol=1e-5)


def test_a_vector_does_not_depend_on_the_rest_of_the_batch(embedder: Embedder) -> None:
    """A text alone, among 120 others and in another order has the same vector."""
    others = [f"filler number {index} " + "word " * (index % 30) for index in range(120)]
    alone = embedder.embed(TEXTS)
    among = embedder.embed([*others[:50], *TEXTS, *others[50:]])[50 : 50 + len(TEXTS)]
    backwards = embedder.embed([*TEXTS[::-1], *others])[: len(TEXTS)][::-1]
    np.testing.assert_allclose(among, alone, atol=1e-5)
    np.testing.assert_allclose(backwards, alone, atol=1e-5)


def test_the_same_text_twice_gives_the_same_vector(embedder: Embedder) -> None:
    """Within one call and from call to call."""
    matrix = embedder.embed(["same text", "other", "same text"])
    np.testing.assert_allclose(matrix[0], matrix[2], atol=1e-6)
    np.testing.assert_allclose(matrix[0], embedder.embed(["same text"])[0], atol=1e-6)


def test_related_texts_are_closer_than_unrelated_ones(embedder: Embedder) -> None:
    """Two reports of the export crash are nearer to each other than to the wish for dark mode."""
    matrix = embedder.embed(TEXTS[:3])
    assert matrix[0] @ matrix[2] > matrix[0] @ matrix[1] + 0.1


def test_the_model_id_names_model_and_version(embedder: Embedder) -> None:
    """Different models never share a key."""
    assert embedder.model_id.endswith("@1")
    assert len({MiniLMEmbedder().model_id, StaticEmbedder().model_id, embedder.model_id}) in (2, 3)
