"""What is particular to the two local models: batching, pooling, the asset and the text without a known token."""

import hashlib
from importlib import resources

import numpy as np

from soulcaster.embedders.distill_static import quantize
from soulcaster.embedders.minilm import MiniLMEmbedder, plan_batches
from soulcaster.embedders.static import StaticEmbedder


def test_batches_cover_every_text_once_within_the_budget() -> None:
    """No text is lost or run twice, and padding never exceeds 512 tokens unless a single text does."""
    lengths = [3, 256, 7, 7, 600, 2, 100, 100, 100, *([12] * 200)]
    batches = list(plan_batches(lengths))
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[index] for index in batch) <= 512


def test_minilm_reads_256_tokens_and_no_more() -> None:
    """A change after the cut changes nothing, one before it does."""
    embedder = MiniLMEmbedder()
    base, late, early = embedder.embed(["word " * 300, "word " * 299 + "different", "different " + "word " * 299])
    np.testing.assert_array_equal(base, late)
    assert base @ early < 0.999


def test_minilm_is_the_published_model() -> None:
    """Cosines of known pairs are those of all-MiniLM-L6-v2 in full precision (recorded with torch), within 0.02."""
    matrix = MiniLMEmbedder().embed(
        ["The app crashes when I export my trip.", "Export of a trip ends in a crash", "Dark mode please"]
    )
    assert abs(float(matrix[0] @ matrix[1]) - 0.7320) < 0.02
    assert abs(float(matrix[0] @ matrix[2]) - 0.0666) < 0.02


def test_one_thread_and_two_give_the_same_vectors() -> None:
    """The number of cores is no part of the key of a vector."""
    texts = [f"report {index} " + "detail " * (index % 25) for index in range(60)]
    np.testing.assert_array_equal(MiniLMEmbedder(n_threads=1).embed(texts), MiniLMEmbedder(n_threads=2).embed(texts))


def test_static_texts_without_a_known_token_share_a_vector_far_from_the_others() -> None:
    """Empty and emoji-only texts stay unit vectors and look like nothing else."""
    matrix = StaticEmbedder().embed(["", "🚀", "The app crashes when I export my trip.", "Dark mode please"])
    np.testing.assert_array_equal(matrix[0], matrix[1])
    assert float(matrix[0] @ matrix[2]) < 0.2
    assert float(matrix[0] @ matrix[3]) < 0.2


def test_static_reads_a_text_to_its_end() -> None:
    """What comes after 256 tokens still counts."""
    base, changed = StaticEmbedder().embed(["word " * 400, "word " * 390 + "database " * 10])
    assert base @ changed < 0.999


def test_the_static_asset_is_the_one_its_readme_describes() -> None:
    """File and provenance cannot drift apart; the asset stays below 16 MB."""
    assets = resources.files("soulcaster.embedders.assets")
    readme = assets.joinpath("README.md").read_text()
    for name in ("static.npz", "vocab.txt"):
        raw = assets.joinpath(name).read_bytes()
        assert len(raw) < 16_000_000
        assert hashlib.sha256(raw).hexdigest() in readme


def test_quantized_rows_give_the_matrix_back() -> None:
    """int8 with a scale a row loses less than one step, and a zero row stays zero."""
    matrix = np.random.default_rng(0).normal(size=(50, 16)).astype(np.float32)
    matrix[3] = 0
    rows, scales = quantize(matrix)
    assert rows.dtype == np.int8
    assert np.abs(rows * scales[:, None] - matrix).max() <= scales.max()
    assert not rows[3].any()
