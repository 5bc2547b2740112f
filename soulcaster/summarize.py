"""Names for the clusters and themes of the published run; only what changed is named anew."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from soulcaster.clustering import naming
from soulcaster.db import clusters as store
from soulcaster.db import read, write
from soulcaster.models import SummarizeReport
from soulcaster.settings import Settings

PERSON = "person"
"""Method of a title that a person gave, as `db.triage` stores it."""

_MOST_TEXTS = 5
_MOST_CHARS = 1_500


def summarize(
    settings: Settings, project_id: str, *, on_progress: Callable[[int, int], None] | None = None
) -> SummarizeReport:
    """Title, summary and terms for every cluster whose members changed since it was named, and titles for new themes.

    Reads once, writes once; a kill in between leaves the old names, and the next pass makes up for it.
    """
    wait = settings.lock_timeout_seconds
    run_id, clusters, texts = read(
        settings.duckdb_path,
        lambda con: store.load_summary_input(con, project_id, most_texts=_MOST_TEXTS, most_chars=_MOST_CHARS),
        timeout_seconds=wait,
    )
    changed = pl.col("summarized_hash").is_null() | (pl.col("summarized_hash") != pl.col("membership_hash"))
    stale = set(clusters.filter(changed | pl.col("title").is_null())["cluster_id"])
    if run_id is not None and clusters.height:
        plain = naming.with_plain_text(texts)
        named = _with_given_titles(naming.name_clusters(clusters, plain, stale), clusters)
        titled = clusters.update(named.select("cluster_id", "title"), on="cluster_id")
        themes = naming.name_themes(titled, plain)
        write(
            settings.duckdb_path,
            lambda con: store.update_summaries(con, project_id, run_id, named, themes),
            timeout_seconds=wait,
        )
    if on_progress is not None:
        on_progress(len(stale), len(stale))
    return SummarizeReport(n_clusters=clusters.height, n_titled=len(stale), method=naming.METHOD)


def _with_given_titles(named: pl.DataFrame, clusters: pl.DataFrame) -> pl.DataFrame:
    """New names, but for the titles that people gave: these stay, with their method; summary and terms are new."""
    given = clusters.filter(pl.col("summary_method") == PERSON).select("cluster_id", given="title")
    is_given = pl.col("given").is_not_null()
    return (
        named.join(given, on="cluster_id", how="left", maintain_order="left")
        .with_columns(
            title=pl.coalesce("given", "title"),
            summary_method=pl.when(is_given).then(pl.lit(PERSON)).otherwise(pl.col("summary_method")),
        )
        .drop("given")
    )
