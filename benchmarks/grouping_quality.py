"""How well groups agree with the truth: ours with the scorer fitted without the judged set, beside other ways.

    python benchmarks/grouping_quality.py DATA_DIR [--ablate] [--plot docs/images/calibration.png]
        [--peer-python .venv-peers/bin/python] [--most-rows 6000]

DATA_DIR holds the labelled sets. Those of intents were never seen by the scorer: they are judged with the shipped one,
and so are 20,000 titles each of GitHub and Reddit, whose project and forum stand in for topics that nobody labelled.
Vectors are kept in benchmarks/out. UMAP + HDBSCAN and EVoC run in an interpreter that has them: `make peers`, or
infra/install-peers.sh.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from soulcaster.clustering import train_scorer
from soulcaster.clustering.density import leaf_clusters
from soulcaster.clustering.features import FEATURES
from soulcaster.clustering.grouping import group_items
from soulcaster.clustering.neighbors import edges_from_neighbors, nearest_neighbors
from soulcaster.clustering.quality import measure
from soulcaster.clustering.scorer import Scorer, correct_base_rate, log_odds, weigh_time
from soulcaster.embedders.minilm import MiniLMEmbedder

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from benchmarks.recluster_speed import OUT, has_umap, vectors

THEME_SETS = ("labelled_banking77", "labelled_clinc150", "labelled_stackoverflow20")
TITLE_SETS = {"volume_github_issue_titles": "text", "volume_reddit_posts_2013": "title"}
"""Column of the titles, whose label is where they were written."""
_DRAWN_TITLES, _ALL_TITLES = 20_000, 100_000
_PEER = """
import sys
import numpy as np
matrix = np.load(sys.argv[1])
{work}
np.save(sys.argv[2], labels)
"""
PEERS = {
    "UMAP-5 + HDBSCAN 10": """import hdbscan, umap
reducer = umap.UMAP(n_neighbors=15, n_components=5, min_dist=0.0, metric="cosine", random_state=42)
labels = hdbscan.HDBSCAN(min_cluster_size=10).fit_predict(reducer.fit_transform(matrix).astype(np.float64))""",
    "EVoC": """from evoc import EVoC
labels = EVoC(random_state=42).fit_predict(matrix)""",
}
SIGNALS = {
    "whitened vectors": ("whitened",),
    "cosine above the neighbourhood": ("cosine",),
    "shared neighbours": ("shared_neighbors",),
    "words": ("words",),
    "title words": ("title",),
    "length": ("length",),
    "leads and ranks": tuple(name for name in FEATURES if "lead" in name or "rank" in name),
}


def embed_cached(name: str) -> Callable[[list[str]], np.ndarray]:
    """An embedder that keeps the vectors of a set in a file."""

    def embed(texts: list[str]) -> np.ndarray:
        path = OUT / f"{name}_{len(texts)}.npy"
        if not path.exists():
            OUT.mkdir(parents=True, exist_ok=True)
            np.save(path, MiniLMEmbedder().embed(texts))
        vectors: np.ndarray = np.load(path)
        return vectors

    return embed


def without(pairs: train_scorer.TrainingPairs, columns: list[int]) -> train_scorer.TrainingPairs:
    """The pairs with these columns blinded."""
    values = pairs.values.copy()
    values[:, columns] = 0.0
    return pairs._replace(values=values)


def greedy(matrix: np.ndarray) -> np.ndarray:
    """In order of arrival: the cluster of the nearest earlier text with cosine 0.72 or more."""
    labels = np.arange(len(matrix))
    for row in range(1, len(matrix)):
        products = matrix[:row] @ matrix[row]
        best = int(products.argmax())
        if products[best] >= 0.72:
            labels[row] = labels[best]
    found: np.ndarray = np.where(np.bincount(labels)[labels] > 1, labels, -1)
    return found


def leaf(matrix: np.ndarray) -> np.ndarray:
    """HDBSCAN's leaves in full dimension, floor 0.5."""
    return leaf_clusters(len(matrix), edges_from_neighbors(*nearest_neighbors(matrix), min_similarity=0.5))[0]


def show(name: str, labels: np.ndarray, truth: np.ndarray) -> None:
    """One line of the table."""
    found = measure(labels, truth)
    print(
        f"  {name:34} pair {found.pair_precision:.3f} {found.pair_recall:.3f} {found.pair_f1:.3f}"
        f"  B-cubed {found.bcubed_f1:.3f}  AMI {found.ami:.3f}"
        f"  groups {found.n_clusters:6,}  noise {found.noise_share:.2f}",
        flush=True,
    )


def show_peers(matrix: np.ndarray, truth: np.ndarray, peer_python: str | None) -> None:
    """The other ways on the same vectors."""
    show("greedy >= 0.72", greedy(matrix), truth)
    show("HDBSCAN leaf", leaf(matrix), truth)
    if peer_python is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        vectors, labels = Path(folder) / "vectors.npy", Path(folder) / "labels.npy"
        np.save(vectors, matrix)
        for name, work in PEERS.items():
            script = _PEER.format(work=work)
            subprocess.run([peer_python, "-W", "ignore", "-c", script, vectors, labels], check=True)
            show(name, np.load(labels), truth)


def ours(given: train_scorer.LabelledSet, scorer: Scorer, *, with_times: bool = True) -> np.ndarray:
    """Our clusters of a set."""
    return group_items(
        given.matrix, np.arange(len(given.matrix)), titles=given.titles, bodies=given.bodies,
        days=given.days if with_times else None, min_similarity=0.5, scorer=scorer,
    ).labels  # fmt: skip


def judge(scorer: Scorer, pairs: train_scorer.TrainingPairs) -> tuple[np.ndarray, np.ndarray]:
    """Probability and truth of every pair."""
    probability = correct_base_rate(scorer, log_odds(scorer, pairs.values))
    return weigh_time(scorer, probability, pairs.days_apart), pairs.is_same


def show_duplicates(
    sets: dict[str, train_scorer.LabelledSet],
    pairs: dict[str, list[train_scorer.TrainingPairs]],
    *,
    ablate: bool,
    peer_python: str | None,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Table of the sets of duplicates; probabilities and truth of every judged pair."""
    judged = []
    for name in train_scorer.DUPLICATE_SETS:
        print(name)
        given = sets[name]
        rest = [copy for other, copies in pairs.items() if other != name for copy in copies]

        scorer = train_scorer.fit(rest, "without")
        show("ours", ours(given, scorer), given.truth)
        show("ours without times", ours(given, scorer, with_times=False), given.truth)
        judged.append(judge(scorer, pairs[name][0]))
        show_peers(given.matrix, given.truth, peer_python)
        for signal, starts in SIGNALS.items() if ablate else ():
            columns = [at for at, column in enumerate(FEATURES) if column.startswith(starts)]
            blind = train_scorer.fit([without(copy, columns) for copy in rest], "blind")
            steps = blind.steps.copy()
            steps[columns] = 0.0
            show(f"ours without {signal}", ours(given, blind._replace(steps=steps)), given.truth)
    return judged


def read_intents(data_dir: Path, name: str) -> tuple[pl.DataFrame, np.ndarray]:
    """A set of intents, columns row, text, label; and the vectors of its rows."""
    frame = pl.read_parquet(data_dir / name / "data.parquet").select("text", pl.col("label").cast(pl.String))
    return frame.with_row_index("row"), embed_cached(f"{name}_all")(frame["text"].to_list())


def read_titles_of(data_dir: Path, name: str) -> tuple[pl.DataFrame, np.ndarray]:
    """Drawn titles of one set, columns row, text, label; and the vectors of the rows of both sets."""
    labels = pl.read_parquet(data_dir / name / "data.parquet").select(text=TITLE_SETS[name], label="label")
    labels = labels.unique("text", keep="first", maintain_order=True)
    path = vectors(_ALL_TITLES, "minilm")
    texts = pl.read_parquet(path.with_suffix(".parquet")).with_row_index("row")
    return texts.join(labels, on="text", maintain_order="left").sample(_DRAWN_TITLES, seed=0), np.load(path)


def show_themes(data_dir: Path, peer_python: str | None, most_rows: int | None) -> None:
    """Table of the intent sets, by the shipped scorer: themes, and how much of what is no intent is left alone."""
    for name in (*THEME_SETS, *TITLE_SETS):
        frame, vectors_of_set = read_titles_of(data_dir, name) if name in TITLE_SETS else read_intents(data_dir, name)
        frame = frame.sample(min(most_rows or frame.height, frame.height), seed=0, shuffle=True)
        print(f"{name}, {frame.height:,} rows")
        texts, label, matrix = frame["text"].to_list(), frame["label"], vectors_of_set[frame["row"].to_numpy()]
        alone = (label == "oos").to_numpy()
        truth = np.where(alone, -1, label.rank("dense").cast(pl.Int64).to_numpy())
        found = group_items(matrix, np.arange(len(matrix)), titles=[""] * len(texts), bodies=texts, min_similarity=0.5)
        show("ours, themes", found.theme_of_item, truth)
        show("ours, clusters", found.labels, truth)
        if alone.any():
            in_none = (found.labels[alone] < 0).mean(), (found.theme_of_item[alone] < 0).mean()
            print(f"  'oos' left as noise: {in_none[0]:.2f} of clusters, {in_none[1]:.2f} of themes")
        show_peers(matrix, truth, peer_python)


def plot(judged: list[tuple[np.ndarray, np.ndarray]], path: Path) -> None:
    """Calibration of the held-out probabilities as PNG, drawn by plotly in Chromium."""
    import plotly.graph_objects as go

    figure = go.Figure(go.Scatter(x=[0, 1], y=[0, 1], mode="lines", name="perfect", line={"dash": "dot"}))
    for name, (probability, is_same) in zip(train_scorer.DUPLICATE_SETS, judged, strict=True):
        edges = np.array([0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
        place = np.clip(np.searchsorted(edges, probability, side="right") - 1, 0, len(edges) - 2)
        bins = [at for at in range(len(edges) - 1) if (place == at).sum() >= 10]
        figure.add_scatter(
            x=[probability[place == at].mean() for at in bins], y=[is_same[place == at].mean() for at in bins],
            mode="lines+markers", name=name.removeprefix("labelled_dup_"),
        )  # fmt: skip
    figure.update_layout(
        template="plotly_white", width=720, height=480, xaxis_title="probability the scorer gives",
        yaxis_title="share that is the same problem", margin={"t": 20, "r": 20},
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        figure.write_html(page, include_plotlyjs=True, config={"staticPlot": True})
        subprocess.run(
            ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--window-size=740,500", "--hide-scrollbars",
             "--virtual-time-budget=5000", f"--screenshot={path.resolve()}", page.as_uri()],
            check=True, capture_output=True,
        )  # fmt: skip
    print(f"wrote {path}")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--ablate", action="store_true", help="also without each signal in turn")
    parser.add_argument("--peer-python", help="interpreter with umap-learn, hdbscan and evoc, to show them too")
    parser.add_argument("--most-rows", type=int, help="of each set of intents only so many, drawn")
    parser.add_argument("--plot", type=Path, help="write the calibration plot here")
    parser.add_argument("--themes", action=argparse.BooleanOptionalAction, default=True)
    asked = parser.parse_args()
    peer_python = asked.peer_python
    if peer_python is not None and not has_umap(peer_python):
        print(f"UMAP + HDBSCAN and EVoC are left out: {peer_python} has no umap.")
        peer_python = None
    sets, pairs = {}, {}
    for name in train_scorer.DUPLICATE_SETS:
        whole = sets[name] = train_scorer.read_set(asked.data_dir / name, embed_cached(name))
        titles = train_scorer.without_bodies(whole, embed_cached(f"{name}_titles"))
        pairs[name] = train_scorer.training_pairs(whole) + train_scorer.training_pairs(titles)
    judged = show_duplicates(sets, pairs, ablate=asked.ablate, peer_python=peer_python)
    if asked.plot:
        plot(judged, asked.plot)
    if asked.themes:
        show_themes(asked.data_dir, peer_python, asked.most_rows)


if __name__ == "__main__":
    main()
