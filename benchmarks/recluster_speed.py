"""Seconds and memory of grouping real texts: ours, dense HDBSCAN, UMAP + HDBSCAN; and whether ours equals dense.

    python benchmarks/recluster_speed.py --n 20000 --dense-n 5000 [--peer-python PYTHON_WITH_UMAP]

Texts are titles of GitHub issues, then of Reddit posts, out of ../shared/data; vectors are kept in benchmarks/out:
embedding is not timed. "One percent more" groups all when the rest was grouped and its neighbours remembered.
Every way runs in a process of its own (peak memory is that process's); dense HDBSCAN needs minutes above 10,000 rows,
hence --dense-n. UMAP runs only in an interpreter that has it, with the settings that BERTopic ships.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "benchmarks" / "out"
DATA = ROOT.parent / "shared" / "data"

_FRAME = """
import json, re, sys, time
import numpy as np
def peak_mb():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
matrix = np.load(sys.argv[1])[: int(sys.argv[2])]
n = len(matrix)
{prepare}
idle_mb = peak_mb()
started = time.perf_counter(), time.process_time()
{work}
seconds, cpu_seconds = time.perf_counter() - started[0], time.process_time() - started[1]
np.save(sys.argv[3], labels)
print(json.dumps({{"seconds": seconds, "cpu_seconds": cpu_seconds, "peak_mb": peak_mb(), "idle_mb": idle_mb}}))
"""
_TITLES = """
import polars as pl
from soulcaster.clustering.grouping import group_items
titles = np.array(pl.read_parquet(sys.argv[1].replace(".npy", ".parquet"))["text"].to_list()[:n], dtype=object)
def grouped(rows, **rest):
    told = {"titles": titles[rows].tolist(), "bodies": [""] * len(rows)}
    return group_items(matrix[rows], np.arange(len(rows)), min_similarity=0.5, **told, **rest).labels
"""
_OURS = (_TITLES, "labels = grouped(np.arange(n))")
_OURS_MORE = (
    f"""{_TITLES}
import tempfile
from pathlib import Path
from soulcaster.clustering.holding import NEW
from soulcaster.clustering.remembered import recall_neighborhood
folder = tempfile.TemporaryDirectory()
names = [f"{{row:064d}}" for row in range(n)]
def grouped_again(rows, previous):
    around = recall_neighborhood(Path(folder.name) / "neighbors", "m", [names[row] for row in rows], matrix[rows])
    return grouped(rows, around=around, previous=previous)
old = np.sort(np.random.default_rng(0).permutation(n)[n // 100 :])
shown = np.full(n, NEW)
shown[old] = grouped_again(old, None)""",
    "labels = grouped_again(np.arange(n), shown)",
)
_OURS_WITHOUT_FLOOR = (
    """from soulcaster.clustering.density import leaf_clusters
from soulcaster.clustering.neighbors import edges_from_neighbors, nearest_neighbors""",
    "labels, _ = leaf_clusters(len(matrix), edges_from_neighbors(*nearest_neighbors(matrix)))",
)
_DENSE = (
    "import hdbscan",
    """tree = hdbscan.HDBSCAN(min_cluster_size=2, min_samples=1, cluster_selection_method="leaf")
labels = tree.fit(matrix.astype(np.float64)).labels_""",
)
_UMAP = (
    "import hdbscan, umap",
    """reducer = umap.UMAP(n_neighbors=15, n_components=5, min_dist=0.0, metric="cosine", random_state=42)
labels = hdbscan.HDBSCAN(min_cluster_size=10).fit(reducer.fit_transform(matrix).astype(np.float64)).labels_""",
)


def read_titles(data_dir: Path, n: int) -> pl.DataFrame:
    """The first `n` distinct titles, column text: of GitHub issues, and behind them of Reddit posts."""
    github = pl.read_parquet(data_dir / "volume_github_issue_titles" / "data.parquet", columns=["text"])
    reddit = pl.read_parquet(data_dir / "volume_reddit_posts_2013" / "data.parquet", columns=["title"])
    both = pl.concat([github, reddit.select(text="title")])
    return both.drop_nulls().unique(maintain_order=True).head(n)


def vectors(n: int, model: str) -> Path:
    """File of float32 (n, d) vectors of the first `n` titles, embedded once; the titles lie beside it as Parquet."""
    path = OUT / f"titles_{model}_{n}.npy"
    if not DATA.exists():
        sys.exit(f"{DATA} is absent: this benchmark needs the recorded data beside the project.")
    texts = read_titles(DATA, n)
    OUT.mkdir(parents=True, exist_ok=True)
    texts.write_parquet(path.with_suffix(".parquet"))
    if not path.exists():
        from soulcaster.embedders import make_embedder
        from soulcaster.settings import Settings

        np.save(path, make_embedder(Settings(embedder=model)).embed(texts["text"].to_list()))
    return path


def run(name: str, way: tuple[str, str], path: Path, n: int, python: str) -> tuple[dict[str, float], np.ndarray]:
    """Figures and labels of one way, in a process of its own."""
    labels = OUT / f"labels_{name}.npy"
    code = _FRAME.format(prepare=way[0], work=way[1])
    done = subprocess.run(
        [python, "-W", "ignore", "-c", code, str(path), str(n), str(labels)],
        stdout=subprocess.PIPE, text=True, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1]), np.load(labels)


def has_umap(python: str) -> bool:
    """Whether `python` can import umap and hdbscan."""
    return subprocess.run([python, "-c", "import umap, hdbscan"], capture_output=True, check=False).returncode == 0


def report(name: str, n: int, figures: dict[str, float], labels: np.ndarray, ours_seconds: float) -> None:
    """One line of the table."""
    print(
        f"{name:34} {n:7,} {figures['seconds']:9.2f} s {figures['cpu_seconds']:9.2f} s"
        f" {figures['seconds'] / ours_seconds:7.1f} x"
        f" {figures['peak_mb'] - figures['idle_mb']:8,.0f} MB {labels.max() + 1:7,} {(labels < 0).mean():6.1%}",
        flush=True,
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=20_000, help="texts to group")
    parser.add_argument("--dense-n", type=int, default=5_000, help="texts for dense HDBSCAN; 0 leaves it out")
    parser.add_argument("--model", choices=["minilm", "static"], default="minilm")
    parser.add_argument("--peer-python", default=sys.executable, help="interpreter that has umap-learn and hdbscan")
    asked = parser.parse_args()
    path = vectors(asked.n, asked.model)
    dense_n = min(asked.n, asked.dense_n)

    print(f"{'way':34} {'n':>7} {'time':>11} {'processor':>11} {'ratio':>9} {'memory':>11} {'groups':>7} {'noise':>6}")
    ours, labels = run("ours", _OURS, path, asked.n, sys.executable)
    report("ours, clusters and themes", len(labels), ours, labels, ours["seconds"])
    more, more_labels = run("more", _OURS_MORE, path, asked.n, sys.executable)
    report("ours, one percent more", len(labels), more, more_labels, ours["seconds"])
    if has_umap(asked.peer_python):
        peer, peer_labels = run("umap", _UMAP, path, asked.n, asked.peer_python)
        report("UMAP-5 + HDBSCAN size 10", len(labels), peer, peer_labels, ours["seconds"])
    else:
        print(f"UMAP-5 + HDBSCAN: not run, {asked.peer_python} has no umap")
    if dense_n:
        from sklearn.metrics import adjusted_rand_score

        bare, bare_labels = run("bare", _OURS_WITHOUT_FLOOR, path, dense_n, sys.executable)
        report("ours, no floor, clusters only", dense_n, bare, bare_labels, bare["seconds"])
        dense, dense_labels = run("dense", _DENSE, path, dense_n, sys.executable)
        report("hdbscan package, full dimension", dense_n, dense, dense_labels, bare["seconds"])
        print(f"ARI of ours (no floor) against dense HDBSCAN: {adjusted_rand_score(dense_labels, bare_labels):.4f}")


if __name__ == "__main__":
    main()
