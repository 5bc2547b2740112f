"""Makes `assets/static.npz`: one 256-number vector per WordPiece token, distilled from all-MiniLM-L6-v2.

Runs only by hand, in an environment of its own (torch, model2vec); the product never imports it. The exact commands
are in `assets/README.md`. Source of the method: model2vec (MinishLab): each token alone through the model, PCA to
256 dimensions, smooth-inverse-frequency weight by rank in the vocabulary.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

ASSETS = Path(__file__).resolve().parent / "assets"
DIM = 256
SIF_COEFFICIENT = 1e-4
NEVER_MEANT = frozenset({"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"})


def distill_tokens(model_folder: Path, vocabulary: list[str]) -> npt.NDArray[np.float32]:
    """float32 (len(vocabulary), 256): row i is the weighted vector of token i; zeros for tokens that carry no text.

    Args:
        model_folder: a Hugging Face folder of all-MiniLM-L6-v2 with weights and tokenizer.
        vocabulary: BERT's uncased vocabulary in the order of its ids.
    """
    from model2vec.distill import distill

    static = distill(str(model_folder), pca_dims=DIM, sif_coefficient=SIF_COEFFICIENT, quantize_to="float32")
    ids = {token: row for token, row in static.tokenizer.get_vocab().items() if token not in NEVER_MEANT}
    matrix = np.zeros((len(vocabulary), DIM), dtype=np.float32)
    for position, token in enumerate(vocabulary):
        if token in ids:
            matrix[position] = static.embedding[ids[token]]
    return matrix


def quantize(matrix: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """int8 rows in [-127, 127] and a float32 scale per row, so that `rows * scales[:, None]` gives `matrix` back."""
    scales = np.abs(matrix).max(axis=1) / np.float32(127.0)
    divisor = np.where(scales > 0, scales, np.float32(1.0))
    return np.rint(matrix / divisor[:, None]).astype(np.int8), scales.astype(np.float32)


def main() -> None:
    """Distils, writes the asset and prints what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model_folder", type=Path, help="folder with model.safetensors, config.json, tokenizer.json")
    parser.add_argument("--out", type=Path, default=ASSETS / "static.npz")
    arguments = parser.parse_args()

    vocabulary = (ASSETS / "vocab.txt").read_text(encoding="utf-8").split("\n")[:-1]
    matrix = distill_tokens(arguments.model_folder, vocabulary)
    rows, scales = quantize(matrix)
    np.savez(arguments.out, rows=rows, scales=scales)

    worst = float(np.abs(matrix - rows * scales[:, None]).max())
    digest = hashlib.sha256(arguments.out.read_bytes()).hexdigest()
    sys.stdout.write(
        f"{arguments.out}: {len(vocabulary)} tokens, {int((scales > 0).sum())} with a vector, "
        f"largest rounding error {worst:.2e}, {arguments.out.stat().st_size} bytes, sha256 {digest}\n"
    )


if __name__ == "__main__":
    main()
