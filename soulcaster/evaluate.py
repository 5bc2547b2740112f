"""How well the current configuration groups a labelled file, beside what others would do with the same vectors.

Works in a store of its own that is thrown away; only vectors are kept, in the index of the home, so that a second
evaluation of the same texts does not embed them again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import BaseModel, Field

from soulcaster import db, vector_index
from soulcaster.clustering.quality import GroupingQuality, measure
from soulcaster.db.clusters import load_run_input
from soulcaster.db.exports import load_table
from soulcaster.embed import embed_missing
from soulcaster.embedders import make_embedder
from soulcaster.errors import PermanentError
from soulcaster.ingest import import_path
from soulcaster.publish import list_runs
from soulcaster.recluster import recluster
from soulcaster.settings import Settings
from soulcaster.sources.tabular import ColumnMap, read_table

_PROJECT = "evaluation"
_LATE_EVERY = 100
"""One row in this many comes later: "one more percent of items"."""

_GREEDY_SIMILARITY = 0.72
"""Threshold of the product's ancestor, kept as the baseline to beat."""

_FEWEST_ROWS = 2
_FEWEST_TEXTS = 30
"""Below it UMAP and EVoC have fewer neighbours than they ask for, and end in errors of their own."""

_SEED = 42


class Stability(BaseModel):
    """What one more percent of items changes for the others."""

    ids_kept: float = Field(description="Share of clustered items that keep their cluster's id.")
    noise_kept: float = Field(description="Share of noise that stays noise.")


class Evaluation(BaseModel):
    """Figures of one labelled file. `truth_noise_kept` is None when the file has no row without a label."""

    n_rows: int
    n_labels: int
    model_id: str
    seconds: float = Field(description="Grouping alone, without import and embedding.")
    ours: GroupingQuality
    themes: GroupingQuality
    truth_noise_kept: float | None = Field(description="Share of rows that belong to no group and are left as noise.")
    stability: Stability
    baselines: dict[str, GroupingQuality] = Field(
        description="By name; those whose package is not installed, or which need more texts, are left out."
    )


def evaluate(
    settings: Settings,
    path: Path,
    columns: ColumnMap,
    *,
    noise_label: str | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Group the file's rows as the settings say and compare with its label column.

    Rows with an empty label, or with `noise_label`, belong to no group. Of rows that say the same under one id the
    first counts.

    Raises:
        PermanentError: the file cannot be read, has no such label column, or too little in it to compare.
    """
    if columns.label is None:
        raise PermanentError(f"Evaluating {str(path)!r} needs the column with the true group; name it: --label-column.")
    with tempfile.TemporaryDirectory(prefix="soulcaster-evaluate-") as folder:
        home = Path(folder)
        settings.lancedb_path.mkdir(parents=True, exist_ok=True)
        (home / "lancedb").symlink_to(settings.lancedb_path.resolve(), target_is_directory=True)
        own = settings.model_copy(update={"home": home, "project": _PROJECT, "auto_publish_max_churn": 1.0})
        db.migrate(own.duckdb_path)
        truth = _truth(path, columns, noise_label)
        late = pl.int_range(pl.len()) % _LATE_EVERY == _LATE_EVERY - 1
        _group(own, truth.filter(~late), home / "first.parquet", on_progress)
        seconds = _group(own, truth, home / "all.parquet", on_progress)
        items = _grouped_items(own, truth)
        if not items.height:
            raise PermanentError(
                f"Evaluating {str(path)!r} found nothing to group: every row was held back at the door; import it into "
                "a project of its own and see `soulcaster quarantine`."
            )
        right = items["truth"].to_numpy()
        return Evaluation(
            n_rows=items.height,
            n_labels=items.filter(pl.col("truth") >= 0)["truth"].n_unique(),
            model_id=make_embedder(own).model_id,
            seconds=seconds,
            ours=measure(_codes(items["cluster_id"]), right),
            themes=measure(_codes(items["theme_id"]), right),
            truth_noise_kept=_noise_kept(items),
            stability=_stability(own),
            baselines={name: measure(labels, right) for name, labels in _baselines(own, items).items()},
        )


def _truth(path: Path, columns: ColumnMap, noise_label: str | None) -> pl.DataFrame:
    """One row an item: external_id, title, body, created_at, truth (Int64, -1 = in no group)."""
    parts = [
        batch.frame.select("external_id", "title", "body", "created_at").with_columns(label=batch.labels)
        for batch in read_table(path, "manual", columns)
    ]
    rows = pl.concat(parts).unique("external_id", keep="first", maintain_order=True)
    label = pl.col("label").str.strip_chars()
    named = pl.when((label != "") & (label != (noise_label or ""))).then(label)
    truth = rows.with_columns(truth=named.rank("dense").cast(pl.Int64).fill_null(-1)).drop("label")
    n_labelled = (truth["truth"] >= 0).sum()
    if truth.height < _FEWEST_ROWS or not n_labelled:
        raise PermanentError(
            f"Evaluating {str(path)!r} expected at least {_FEWEST_ROWS} rows and a label in {columns.label!r}, got "
            f"{truth.height:,} rows and {n_labelled:,} labels; check file and --label-column."
        )
    return truth


def _group(settings: Settings, rows: pl.DataFrame, path: Path, on_progress: Callable[[int, int], None] | None) -> float:
    """Seconds of grouping these rows, after import and embedding."""
    rows.drop("truth").write_parquet(path)
    columns = ColumnMap(id="external_id", title="title", body="body", time="created_at")
    import_path(settings, _PROJECT, path, "manual", columns)
    embed_missing(settings, _PROJECT, on_progress=on_progress)
    return recluster(settings, _PROJECT).seconds


def _grouped_items(settings: Settings, truth: pl.DataFrame) -> pl.DataFrame:
    """Items that were not held back, with content hash, cluster and theme, in the file's order."""
    table = db.read(settings.duckdb_path, lambda con: load_table(con, _PROJECT, "items"))
    given = db.read(settings.duckdb_path, lambda con: load_run_input(con, _PROJECT))
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)  # noqa: S101  a table never becomes a Series; tells the type checker
    hashes = given.items.select("item_id", "content_hash")
    found = frame.select("external_id", "item_id", "cluster_id", "theme_id").join(hashes, on="item_id", how="left")
    return truth.join(found, on="external_id", how="inner", maintain_order="left")


def _codes(ids: pl.Series) -> npt.NDArray[np.int64]:
    return ids.rank("dense").cast(pl.Int64).fill_null(-1).to_numpy()


def _noise_kept(items: pl.DataFrame) -> float | None:
    noise = items.filter(pl.col("truth") < 0)
    return noise["cluster_id"].null_count() / noise.height if noise.height else None


def _stability(settings: Settings) -> Stability:
    """What the second run changed of the first."""
    churn = list_runs(settings, _PROJECT, limit=1)[0].churn
    assert churn is not None  # noqa: S101  every run made here has one; tells the type checker
    first = list_runs(settings, _PROJECT, limit=2)[-1]
    return Stability(
        ids_kept=churn.n_kept / churn.n_clustered if churn.n_clustered else 1.0,
        noise_kept=1.0 - churn.n_adopted / first.n_noise if first.n_noise else 1.0,
    )


def _baselines(settings: Settings, items: pl.DataFrame) -> dict[str, npt.NDArray[np.int64]]:
    """Labels int64 (n_items,) of other ways over the same vectors."""
    embedder = make_embedder(settings)
    table = vector_index.open_index(settings.lancedb_path, embedder.model_id, embedder.dim)
    hashes = items["content_hash"].drop_nulls().unique(maintain_order=True)
    matrix, _ = vector_index.load_matrix(table, hashes.to_list())
    row = dict(zip(hashes.to_list(), range(len(hashes)), strict=True))
    rows = np.array([row.get(each, -1) for each in items["content_hash"].to_list()])
    ways = {"greedy nearest >= 0.72": _greedy}
    if len(matrix) >= _FEWEST_TEXTS:
        ways |= {"UMAP-5 + HDBSCAN 10": _umap, "EVoC": _evoc}
    found = {}
    for name, way in ways.items():
        try:
            labels = way(matrix)
        except ImportError:
            continue
        found[name] = np.where(rows >= 0, labels[rows], -1)
    return found


def _greedy(matrix: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """In order of arrival: the cluster of the nearest earlier text when it is near enough, else a new one."""
    labels = np.arange(len(matrix))
    for i in range(1, len(matrix)):
        similarity = matrix[:i] @ matrix[i]
        nearest = int(similarity.argmax())
        if similarity[nearest] >= _GREEDY_SIMILARITY:
            labels[i] = labels[nearest]
    sizes = np.bincount(labels, minlength=len(matrix))
    return np.where(sizes[labels] > 1, labels, -1)


def _umap(matrix: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """BERTopic's recipe with its default parameters."""
    import umap
    from sklearn.cluster import HDBSCAN

    reducer = umap.UMAP(n_neighbors=15, n_components=5, min_dist=0.0, metric="cosine", random_state=_SEED)
    reduced = reducer.fit_transform(matrix).astype(np.float64)
    return np.asarray(HDBSCAN(min_cluster_size=10, copy=True).fit(reduced).labels_, dtype=np.int64)


def _evoc(matrix: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    import evoc

    return np.asarray(evoc.EVoC(random_state=_SEED).fit_predict(matrix), dtype=np.int64)
