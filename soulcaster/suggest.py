"""Merges that a model suggests: near clusters that one change would fix. People decide; nothing is merged by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import polars as pl

from soulcaster import vector_index
from soulcaster.asking import Asker, make_writer
from soulcaster.clustering.plain import plain_text
from soulcaster.db import read, write
from soulcaster.db import suggestions as store
from soulcaster.embedders import make_embedder
from soulcaster.errors import SoulcasterError
from soulcaster.llm import pairs
from soulcaster.llm.names import Report
from soulcaster.llm.pairs import SameProblem, Side
from soulcaster.models import SuggestReport
from soulcaster.settings import Settings

_URGENT = 300
"""Only pairs with one of the most urgent clusters are asked about: a merge far down the list helps nobody."""

_NEAREST = 3
_MIN_SIMILARITY = 0.5
_TEXTS, _CHARS = 3, 1_000
_SCHEMA = {"cluster_id": pl.String, "other_cluster_id": pl.String, "similarity": pl.Float64, "reason": pl.String}


def suggest(
    settings: Settings, project_id: str, *, most: int = 50, on_progress: Callable[[int, int], None] | None = None
) -> SuggestReport:
    """Ask about the nearest pairs of clusters on show and keep those that the model takes for one problem.

    Pairs that people keep apart are left out, as are clusters that are fixed or ignored. Without a model nothing is
    asked, and suggestions made before stay.

    Args:
        settings: budget, store and index.
        project_id: whose clusters.
        most: questions of this pass at most; answers that are kept cost nothing.
        on_progress: called with (done, total).

    Raises:
        PermanentError: settings ask for a model and have no key, or the index is damaged.
        TransientError: the store is busy.
    """
    wait = settings.lock_timeout_seconds
    writer = make_writer(settings)
    if writer is None:
        return SuggestReport(n_pairs=0, n_suggested=0, n_calls=0, note="No model is set, so nothing was asked.")
    given = read(
        settings.duckdb_path,
        lambda con: store.load_pair_input(con, project_id, most_texts=_TEXTS, most_chars=_CHARS),
        timeout_seconds=wait,
    )
    near = _near_pairs(settings, given)
    asker = Asker(
        settings, project_id, writer, kind="same", rules=pairs.rules(), version=pairs.PROMPT, shape=SameProblem,
        check=lambda answer, question: pairs.check(answer, question, plain_text),
    )  # fmt: skip
    found, note = _ask(asker, given.texts, near, most, on_progress)
    write(
        settings.duckdb_path,
        lambda con: store.replace_suggestions(con, project_id, found, now=datetime.now(UTC)),
        timeout_seconds=wait,
    )
    return SuggestReport(
        n_pairs=len(near), n_suggested=found.height, n_calls=asker.n_calls, cost_usd=asker.cost_usd, note=note
    )


def _near_pairs(settings: Settings, given: store.PairInput) -> list[tuple[str, str, float]]:
    """Pairs (smaller id, larger id, cosine of their means), nearest first."""
    ids, means = _means(settings, given.texts)
    row = {cluster_id: number for number, cluster_id in enumerate(ids)}
    urgent = [row[each] for each in given.urgent if each in row][:_URGENT]
    found: dict[tuple[str, str], float] = {}
    similarity = means[urgent] @ means.T
    similarity[np.arange(len(urgent)), urgent] = -1.0
    for place, cosines in zip(urgent, similarity, strict=True):
        for other in np.argsort(-cosines, kind="stable")[:_NEAREST]:
            pair = (min(ids[place], ids[other]), max(ids[place], ids[other]))
            if cosines[other] >= _MIN_SIMILARITY and pair not in given.apart:
                found[pair] = float(cosines[other])
    return sorted(((*pair, value) for pair, value in found.items()), key=lambda each: (-each[2], each[0], each[1]))


def _means(settings: Settings, texts: pl.DataFrame) -> tuple[list[str], npt.NDArray[np.float32]]:
    """Ids of the clusters whose typical texts have vectors, and the normalised mean of each, float32 (n, dim)."""
    embedder = make_embedder(settings)
    table = vector_index.find_index(settings.lancedb_path, embedder.model_id, embedder.dim)
    if table is None or not texts.height:
        return [], np.empty((0, embedder.dim), dtype=np.float32)
    hashes = texts["content_hash"].unique(maintain_order=True).to_list()
    matrix, missing = vector_index.load_matrix(table, hashes)
    known = pl.Series("content_hash", hashes, dtype=pl.String)
    known = known.filter(~known.is_in(pl.Series(missing, dtype=pl.String).implode()))
    place = pl.DataFrame({"content_hash": known, "row": np.arange(len(known))})
    rows = texts.join(place, on="content_hash", maintain_order="left").group_by("cluster_id", maintain_order=True)
    grouped = rows.agg(pl.col("row"))
    means = np.array([matrix[part].mean(axis=0) for part in grouped["row"].to_list()], dtype=np.float32)
    means = means.reshape(-1, embedder.dim)
    return grouped["cluster_id"].to_list(), means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-9)


def _ask(
    asker: Asker[SameProblem],
    texts: pl.DataFrame,
    near: list[tuple[str, str, float]],
    most: int,
    on_progress: Callable[[int, int], None] | None,
) -> tuple[pl.DataFrame, str]:
    sides = dict(_sides(texts))
    rows: list[tuple[str, str, float, str]] = []
    note = ""
    for done, (first, second, similarity) in enumerate(near):
        if on_progress is not None:
            on_progress(done, len(near))
        if asker.n_calls >= most:
            note = f"{len(near) - done:,} pairs wait for the next pass: this one asked {most:,} questions."
            break
        try:
            answer = asker.ask(pairs.make_question(sides[first], sides[second]))
        except SoulcasterError as error:
            note = f"{error} {len(near) - done:,} pairs wait."
            break
        if answer is not None and answer.same:
            rows.append((first, second, similarity, answer.reason))
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row"), note


def _sides(texts: pl.DataFrame) -> Iterator[tuple[str, Side]]:
    for (cluster_id,), part in texts.partition_by("cluster_id", as_dict=True, maintain_order=True).items():
        reports = [Report(plain_text(title), plain_text(body)) for title, body in part.select("title", "body").rows()]
        yield str(cluster_id), Side(part["cluster_title"][0] or "", reports)
