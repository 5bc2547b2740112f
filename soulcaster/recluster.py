"""A full re-clustering: load, group outside any lock, match to the run on show, write everything in one transaction.

Owns the way from items to lasting cluster ids. Does not embed: items without a vector are noise of this run. The new
run is a proposal: it shows itself when it changes little for people who know the old one, else it waits for a person.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version

import numpy as np
import numpy.typing as npt
import polars as pl

from soulcaster import logs, vector_index
from soulcaster.clustering import grouping as groups
from soulcaster.clustering import holding, matching, neighborhood, themes
from soulcaster.clustering.churn import measure_churn, why_wait
from soulcaster.clustering.constraints import enforce, from_frame, resolve
from soulcaster.clustering.identity import make_id
from soulcaster.clustering.keys import KEYS, exact_keys
from soulcaster.clustering.regroup import relabel
from soulcaster.clustering.remembered import recall_neighborhood
from soulcaster.db import clusters as store
from soulcaster.db import embedding, read, runs, write
from soulcaster.embedders import Embedder, make_embedder
from soulcaster.models import ChurnReport, ReclusterReport
from soulcaster.settings import Settings
from soulcaster.traces import traced

logger = logging.getLogger(__name__)

_REASONS = ("near-text", "same-text", *KEYS, "held", "edited")
"""Names of `Grouping.reasons`, which begin at -1; the last is a person's edit."""

_DAY_MICROSECONDS = 86_400_000_000
_EDITED = len(_REASONS) - 2


@traced("recluster")
def recluster(
    settings: Settings,
    project_id: str,
    *,
    dry_run: bool = False,
    actor: str = "recluster",
    on_progress: Callable[[int, int], None] | None = None,
) -> ReclusterReport:
    """Group all items of the project anew, obey people's edits, store the result; with `dry_run` only report it.

    The result is published when its churn is at most `auto_publish_max_churn` and no cluster that is being fixed is
    cut, swallowed or lost; the first always is. Without items the run is empty. Ids live on where their items do.

    Raises:
        TransientError: another re-clustering published meanwhile; nothing was written.
        PermanentError: there is no store, or the embedder that the settings name cannot be made.
    """
    started = time.monotonic()
    wait = settings.lock_timeout_seconds
    given = read(settings.duckdb_path, lambda con: store.load_run_input(con, project_id), timeout_seconds=wait)
    embedder = make_embedder(settings)
    hashes = given.items["content_hash"].drop_nulls().unique(maintain_order=True)
    matrix, missing = _load_vectors(settings, embedder.model_id, embedder.dim, hashes)
    known = hashes.filter(~hashes.is_in(pl.Series(missing, dtype=pl.String).implode()))
    text_of_item = _text_rows(given.items, known)
    texts = read(settings.duckdb_path, lambda con: embedding.list_texts(con, known.to_list()), timeout_seconds=wait)
    found = groups.group_items(
        matrix,
        text_of_item,
        exact_keys(given.items),
        titles=texts["title"].to_list(),
        bodies=texts["body"].to_list(),
        days=_text_days(given.items, known),
        min_cluster_size=settings.min_cluster_size,
        min_similarity=settings.min_similarity,
        around=_recall(settings, project_id, embedder, known, matrix, keep=not dry_run, on_progress=on_progress),
        previous=_known_before(given),
    )
    found, contradictions = _obey(given, found, matrix, text_of_item)
    rows = _run_rows(project_id, given, found, embedder.model_id, _parameters(settings, len(missing)), started)
    churn = _churn(settings, given, rows, contradictions)
    if not dry_run:
        base = given.published_run_id
        write(
            settings.duckdb_path,
            lambda con: runs.write_run(con, project_id, rows, churn, expected_run_id=base, actor=actor),
            timeout_seconds=wait,
        )
    return _report(project_id, rows, started, published=not dry_run and not churn.waits_because)


def _recall(
    settings: Settings,
    project_id: str,
    embedder: Embedder,
    known: pl.Series,
    matrix: npt.NDArray[np.float32],
    *,
    keep: bool,
    on_progress: Callable[[int, int], None] | None,
) -> neighborhood.Neighborhood:
    memory = settings.neighbors_path / f"{make_id(project_id, embedder.model_id, [], ())}.npy"
    return recall_neighborhood(memory, embedder.model_id, known.to_list(), matrix, keep=keep, on_progress=on_progress)


def _report(project_id: str, rows: runs.RunRows, started: float, *, published: bool) -> ReclusterReport:
    """What was found; told to the log too."""
    seconds, n_clusters = time.monotonic() - started, rows.run_clusters.height
    with logs.bound(project=project_id, run_id=rows.run_id):
        logger.info("grouped %d items into %d clusters in %.1f s", rows.n_items, n_clusters, seconds)
    return ReclusterReport(
        run_id=rows.run_id,
        n_items=rows.n_items,
        n_clusters=n_clusters,
        n_themes=rows.themes.height,
        n_noise=rows.n_noise,
        published=published,
        seconds=seconds,
    )


def _load_vectors(
    settings: Settings, model_id: str, dim: int, hashes: pl.Series
) -> tuple[npt.NDArray[np.float32], pl.Series]:
    """One row for each hash that has a vector, in their order; and the hashes that have none."""
    table = vector_index.find_index(settings.lancedb_path, model_id, dim)
    if table is None:
        return np.empty((0, dim), dtype=np.float32), hashes
    matrix, missing = vector_index.load_matrix(table, hashes.to_list())
    return matrix, pl.Series(missing, dtype=pl.String)


def _parameters(settings: Settings, n_missing: int) -> str:
    """JSON of everything that decides the partition, stored with the run."""
    return json.dumps(
        {
            "algorithm": groups.ALGORITHM,
            "matcher_version": matching.MATCHER_VERSION,
            "n_neighbors": neighborhood.N_NEIGHBORS,
            "n_texts_compared_exactly": neighborhood.EXACT_UP_TO,
            "min_cluster_size": settings.min_cluster_size,
            "min_similarity": settings.min_similarity,
            "past_counts": [holding.HELD, holding.APART],
            "theme_method": themes.METHOD,
            "n_texts_without_vector": n_missing,
            "libraries": {name: version(name) for name in ("numpy", "scipy")},
        }
    )


def _text_rows(items: pl.DataFrame, known: pl.Series) -> npt.NDArray[np.int64]:
    """Row of the matrix for every item, -1 where its text has no vector or it has no text."""
    rows = pl.DataFrame({"content_hash": known, "row": np.arange(len(known), dtype=np.int64)})
    joined = items.select("content_hash").join(rows, on="content_hash", how="left", maintain_order="left")
    return joined["row"].fill_null(-1).to_numpy()


def _text_days(items: pl.DataFrame, known: pl.Series) -> npt.NDArray[np.float64]:
    """When each known text first came, in days since 1970, NaN where no item says."""
    first = items.group_by("content_hash").agg(pl.col("created_at").min().dt.epoch("us"))
    joined = known.to_frame("content_hash").join(first, on="content_hash", how="left", maintain_order="left")
    days: npt.NDArray[np.float64] = (joined["created_at"] / _DAY_MICROSECONDS).fill_null(float("nan")).to_numpy()
    return days


def _obey(
    given: store.RunInput,
    found: groups.Grouping,
    matrix: npt.NDArray[np.float32],
    text_of_item: npt.NDArray[np.int64],
) -> tuple[groups.Grouping, list[str]]:
    """The grouping with people's edits laid over it, and one sentence for every two edits that cannot both hold.

    Items without text are outside of edits: there is nothing left that belongs anywhere.
    """
    rows = given.items.with_row_index("row").filter(pl.col("content_hash").is_not_null()).select("item_id", "row")
    demands = given.constraints.join(rows, on="item_id", how="inner", maintain_order="left")
    constraints = from_frame(demands)
    if not constraints:
        return found, []
    held, contradictions = resolve(constraints)
    said_by = dict(demands.select("edit", "said_by").unique().iter_rows())
    labels = enforce(found.labels, _shown_before(given), held, matrix, text_of_item)
    sentences = [f"{said_by[older]} gives way to {said_by[newer]}" for older, newer in contradictions]
    if np.array_equal(labels, found.labels):
        return found, sentences
    return relabel(found, labels, matrix, text_of_item, _EDITED), sentences


def _shown_before(given: store.RunInput) -> npt.NDArray[np.int64]:
    """Which of `previous_cluster_ids` each item is shown in, by position, int64 (n_items,), -1 for none."""
    position = {cluster: number for number, cluster in enumerate(given.previous_cluster_ids)}
    shown = given.items.select("item_id").join(given.previous, on="item_id", how="left", maintain_order="left")
    return shown["cluster_id"].replace_strict(position, default=-1, return_dtype=pl.Int64).to_numpy()


def _known_before(given: store.RunInput) -> npt.NDArray[np.int64]:
    """The same with `holding.NEW` for those in none that no grouping has judged: they only waited in the noise lane."""
    was_judged = given.items.select("item_id").join(given.previous, on="item_id", how="left", maintain_order="left")
    shown = _shown_before(given)
    is_new = ~was_judged["was_judged"].fill_null(value=False).to_numpy()
    return np.where((shown < 0) & is_new, holding.NEW, shown)


def _churn(settings: Settings, given: store.RunInput, rows: runs.RunRows, contradictions: list[str]) -> ChurnReport:
    """What the run changes for those who know the one on show, and whether that has to wait for a person."""
    named = given.constraints.group_by("item_id").agg(edit_ids=pl.col("edit_id").unique())
    both = (
        given.items.filter(pl.col("content_hash").is_not_null())
        .select("item_id")
        .join(given.previous.select("item_id", cluster_id_before="cluster_id"), on="item_id")
        .join(rows.memberships.select("item_id", cluster_id_after="cluster_id"), on="item_id")
        .join(named, on="item_id", how="left")
    )
    churn = measure_churn(both, rows.transitions, given.work)
    reason = why_wait(churn, settings.auto_publish_max_churn) if given.published_run_id else ""
    return churn.model_copy(update={"contradictions": contradictions, "waits_because": reason})


def _run_rows(
    project_id: str, given: store.RunInput, found: groups.Grouping, model_id: str, parameters: str, started: float
) -> runs.RunRows:
    """Everything the run writes, with lasting ids."""
    items = given.items
    item_ids = items["item_id"]
    n_clusters, n_themes = len(found.themes), int(found.themes.max(initial=-1)) + 1
    theme_of_item = found.theme_of_item
    known = given.items.select("item_id").join(given.previous, on="item_id", how="left", maintain_order="left")
    in_both = item_ids.is_in(given.previous["item_id"].implode()).to_numpy()
    cluster_ids, changes = _lasting_ids(
        project_id, "cluster", found.labels, n_clusters, item_ids, in_both, known["cluster_id"],
        given.previous_cluster_ids,
    )  # fmt: skip
    theme_ids, _ = _lasting_ids(
        project_id, "theme", theme_of_item, n_themes, item_ids, in_both, known["theme_id"], given.previous_theme_ids
    )
    memberships = pl.DataFrame(
        {
            "item_id": item_ids,
            "label": found.labels.astype(np.int32),
            "cluster_id": _named(found.labels, cluster_ids),
            "theme_id": _named(theme_of_item, theme_ids),
            "membership_strength": found.strengths,
            "is_exemplar": found.is_exemplar,
            "similarity": pl.Series(found.similarities).set(pl.Series(found.labels < 0), None),
            "reason": _named(found.reasons + 1, _REASONS),
        }
    )
    return runs.RunRows(
        run_id=str(uuid.uuid4()),
        created_at=datetime.now(UTC),
        model_id=model_id,
        parameters=parameters,
        n_items=items.height,
        n_noise=int((found.labels < 0).sum()),
        memberships=memberships,
        run_clusters=_cluster_rows(items, found, cluster_ids, theme_ids),
        themes=_theme_rows(found, theme_of_item, theme_ids),
        transitions=_transition_rows(changes, cluster_ids, given.previous_cluster_ids),
        seconds=time.monotonic() - started,
    )


def _lasting_ids(
    project_id: str,
    kind: str,
    labels: npt.NDArray[np.int64],
    n_new: int,
    item_ids: pl.Series,
    in_both: npt.NDArray[np.bool_],
    previous: pl.Series,
    previous_ids: list[str],
) -> tuple[list[str], list[matching.Transition]]:
    """Id of every label: that of its predecessor, else one made from its members; and what became of the old ones.

    Made from members, so that two stores with the same items give the same ids; an id that is still in use is never
    given twice.
    """
    position = pl.DataFrame(
        {"id": pl.Series(previous_ids, dtype=pl.String), "number": np.arange(len(previous_ids), dtype=np.int64)}
    )
    old = pl.DataFrame({"id": previous}).join(position, on="id", how="left", maintain_order="left")["number"]
    numbers = old.fill_null(-1).to_numpy()
    predecessor, changes = matching.match_clusters(labels[in_both], numbers[in_both], n_new, len(previous_ids))
    members = _members(labels, n_new, item_ids)
    ids: list[str] = []
    taken = set(previous_ids)
    for label in range(n_new):
        if predecessor[label] >= 0:
            ids.append(previous_ids[predecessor[label]])
            continue
        ids.append(make_id(project_id, kind, members[label], taken))
        taken.add(ids[-1])
    return ids, changes


def _members(labels: npt.NDArray[np.int64], n: int, values: pl.Series) -> list[list[str]]:
    """`values` of each label, in the order of rows."""
    result: list[list[str]] = [[] for _ in range(n)]
    for label, value in zip(labels.tolist(), values.to_list(), strict=True):
        if label >= 0:
            result[label].append(value)
    return result


def _named(numbers: npt.NDArray[np.int64], names: Sequence[str]) -> pl.Series:
    """The name of each number, null where it is negative."""
    at = pl.Series(numbers, dtype=pl.Int64)
    return pl.Series(names, dtype=pl.String).gather(at.set(at < 0, None))


def _cluster_rows(
    items: pl.DataFrame, found: groups.Grouping, cluster_ids: list[str], theme_ids: list[str]
) -> pl.DataFrame:
    marks = items.select(pl.concat_str("item_id", pl.col("content_hash").fill_null(""), separator=":")).to_series()
    members = _members(found.labels, len(cluster_ids), marks)
    return pl.DataFrame(
        {
            "cluster_id": pl.Series(cluster_ids, dtype=pl.String),
            "theme_id": _named(found.themes, theme_ids),
            "label": np.arange(len(cluster_ids), dtype=np.int32),
            "n_items": pl.Series([len(marks) for marks in members], dtype=pl.Int64),
            "membership_hash": pl.Series(
                [hashlib.sha256("\n".join(sorted(marks)).encode()).hexdigest() for marks in members], dtype=pl.String
            ),
        }
    )


def _theme_rows(found: groups.Grouping, theme_of_item: npt.NDArray[np.int64], theme_ids: list[str]) -> pl.DataFrame:
    n = len(theme_ids)
    return pl.DataFrame(
        {
            "theme_id": pl.Series(theme_ids, dtype=pl.String),
            "label": np.arange(n, dtype=np.int32),
            "title": pl.Series([None] * n, dtype=pl.String),
            "n_clusters": np.bincount(found.themes, minlength=n),
            "n_items": np.bincount(theme_of_item[theme_of_item >= 0], minlength=n),
        }
    )


def _transition_rows(
    changes: Sequence[matching.Transition], cluster_ids: list[str], previous_ids: list[str]
) -> pl.DataFrame:
    """One row per change; for a survivor and a lost cluster there is no second cluster to name."""
    return pl.DataFrame(
        [
            {
                "kind": change.kind,
                "cluster_id": previous_ids[change.old] if change.old >= 0 else cluster_ids[change.new],
                "other_cluster_id": cluster_ids[change.new] if change.kind in ("split", "absorbed") else None,
                "overlap": change.overlap,
            }
            for change in changes
        ],
        schema={"kind": pl.String, "cluster_id": pl.String, "other_cluster_id": pl.String, "overlap": pl.Float64},
    )
