"""How time and memory of grouping grow with the number of texts, and how well the search among many finds neighbours.

    python benchmarks/recluster_scale.py --sizes 10000 30000 100000 300000

Vectors and titles are drawn (384 axes; problems lie around themes, 40 % of the texts share one with another), so it
runs anywhere. Every size runs in a process of its own: "of process" is its peak memory, "memory" what grouping added.
"Refit" is the next grouping, of one text in a hundred more, with what the first one remembered.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
_AXES, _MEANING_AXES, _WORDS = 384, 64, 30_000
_ALONE = 0.6
_SEARCHED_FOR_RECALL = 300
_BLOCK_ROWS = 50_000

_NEW_SHARE = 0.01

_WORK = """
import json, re, sys, tempfile, time
from pathlib import Path
import numpy as np
from benchmarks.recluster_scale import draw, recall_of
from soulcaster.clustering.grouping import group_items
from soulcaster.clustering.remembered import recall_neighborhood
def peak_mb():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
def group(rows, vectors, words, memory):
    started = time.perf_counter(), time.process_time()
    around = recall_neighborhood(memory, "drawn", [f"{row:064x}" for row in rows.tolist()], vectors)
    found = group_items(vectors, np.arange(len(rows)), titles=words, bodies=[""] * len(rows), min_similarity=0.5,
                        around=around)
    return found, around, time.perf_counter() - started[0], time.process_time() - started[1]
n, n_new = int(sys.argv[1]), int(int(sys.argv[1]) * float(sys.argv[2]))
matrix, titles = draw(n + n_new)
group_items(matrix[:500], np.arange(500), titles=titles[:500], bodies=[""] * 500, min_similarity=0.5)
old = np.setdiff1d(np.arange(n + n_new), np.arange(n_new) * ((n + n_new) // max(n_new, 1)))
vectors, words = matrix[old], [titles[row] for row in old]
Path("/proc/self/clear_refs").write_text("5")  # the peak from here on, not that of drawing
idle_mb = peak_mb()
with tempfile.TemporaryDirectory() as folder:
    memory = Path(folder) / "memory.npy"
    found, around, seconds, cpu_seconds = group(old, vectors, words, memory)
    figures = {"n": n, "seconds": seconds, "cpu_seconds": cpu_seconds, "mb": peak_mb() - idle_mb,
               "process_mb": peak_mb(),
               "clusters": int(found.labels.max()) + 1, "noise": float((found.labels < 0).mean()),
               "recall": recall_of(vectors, around.near)}
    del found, around
    _, _, seconds, cpu_seconds = group(np.arange(n + n_new), matrix, titles, memory)
print(json.dumps({**figures, "refit_seconds": seconds, "refit_cpu_seconds": cpu_seconds}))
"""


def draw(n: int, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    """Unit vectors float32 (n, 384) and as many titles; texts of one problem share most of their words."""
    rng = np.random.default_rng(seed)
    n_problems, n_themes = n // 5 + 1, n // 400 + 1
    turn = rng.normal(size=(_MEANING_AXES, _AXES)) * (1 + np.arange(_MEANING_AXES))[:, None] ** -0.4
    themes = rng.normal(size=(n_themes, _MEANING_AXES))
    problems = themes[rng.integers(0, n_themes, n_problems)] + 0.8 * rng.normal(size=(n_problems, _MEANING_AXES))
    problem = rng.integers(0, n_problems, n)
    distance = np.where(rng.random(n) < _ALONE, 1.2, 0.3)  # a lone text is about a theme only
    meaning = problems[problem] + distance[:, None] * rng.normal(size=(n, _MEANING_AXES))
    matrix = np.empty((n, _AXES), dtype=np.float32)
    for start in range(0, n, _BLOCK_ROWS):  # a million at once would take more memory than their grouping
        part = slice(start, min(start + _BLOCK_ROWS, n))
        matrix[part] = meaning[part] @ turn + 0.3 * rng.normal(size=(part.stop - start, _AXES))
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    problem = np.where(distance > 1, n_problems + np.arange(n), problem)
    common = rng.zipf(1.3, (n_problems + n, 5)) % _WORDS
    own = rng.zipf(1.2, (n, 4)) % _WORDS
    words = np.concatenate([common[problem], own], axis=1)
    return matrix, [" ".join(f"w{word}" for word in row) for row in words.tolist()]


def recall_of(matrix: np.ndarray, near: np.ndarray) -> float:
    """Share of the true nearest rows, by plain cosine, that `near` names, over some drawn rows."""
    rows = np.sort(np.random.default_rng(1).choice(len(matrix), _SEARCHED_FOR_RECALL, replace=False))
    products = matrix[rows] @ matrix.T
    products[np.arange(len(rows)), rows] = -np.inf
    k = near.shape[1]
    true = np.argpartition(products, products.shape[1] - k, axis=1)[:, -k:]
    return float(np.mean([len(set(a) & set(b)) / k for a, b in zip(true, near[rows], strict=True)]))


def main() -> None:
    """Print the table and the exponent of growth."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 30_000, 100_000, 300_000])
    sizes = parser.parse_args().sizes
    print(
        f"{'texts':>9} {'time':>10} {'processor':>11} {'memory':>10} {'of process':>10}"
        f" {'groups':>8} {'noise':>6} {'recall':>7} {'refit':>9} {'processor':>11}"
    )
    rows = []
    for n in sizes:
        command = [sys.executable, "-c", _WORK, str(n), str(_NEW_SHARE)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
        row = json.loads(done.stdout.splitlines()[-1])
        rows.append(row)
        refit = f"{row['refit_seconds']:7.1f} s {row['refit_cpu_seconds']:9.1f} s"
        print(
            f"{n:9,} {row['seconds']:8.1f} s {row['cpu_seconds']:9.1f} s {row['mb']:7,.0f} MB"
            f" {row['process_mb']:7,.0f} MB {row['clusters']:8,} {row['noise']:6.1%} {row['recall']:7.3f} {refit}",
            flush=True,
        )
    if len(rows) > 1:
        logs = np.log([[row["n"], row["seconds"], row["mb"]] for row in rows])
        growth = [np.polyfit(logs[:, 0], logs[:, column], 1)[0] for column in (1, 2)]
        print(f"growth exponent {sizes[0]:,} to {sizes[-1]:,}: time {growth[0]:.2f}, memory {growth[1]:.2f}")


if __name__ == "__main__":
    main()
