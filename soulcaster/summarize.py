"""Names for the clusters and themes of the published run; only what changed is named anew.

Words come from a model when there is one, else they are picked from the texts; each cluster says which.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import polars as pl

from soulcaster.asking import make_writer
from soulcaster.clustering import naming
from soulcaster.db import clusters as store
from soulcaster.db import read, write
from soulcaster.llm.names import Report
from soulcaster.llm.writer import Writer
from soulcaster.model_names import Named, Unnamed, method, name_by_model
from soulcaster.models import SummarizeReport
from soulcaster.settings import Settings
from soulcaster.traces import traced

PERSON = "person"
"""Method of a title that a person gave, as `db.triage` stores it."""

_MOST_TEXTS = 5
_MOST_CHARS = 1_500
_GROWN, _KEPT = 1.5, 0.5
"""A model's words stay while the cluster is within this factor of the size it was named at, and this share of the texts
they were written from is still in it: titles people have learnt do not change with every new report."""


class _Plan(NamedTuple):
    """Ids of clusters by who names them in this pass."""

    picked: set[str]
    """Their texts do, because the members changed."""
    by_model: list[str]
    """A model does, largest first; those that it fails keep or get the name picked from their texts."""


@traced("summarize")
def summarize(
    settings: Settings, project_id: str, *, on_progress: Callable[[int, int], None] | None = None
) -> SummarizeReport:
    """Title, summary and terms for every cluster whose members changed since it was named, and titles for new themes.

    With a model also hints, severity and kind. Reads once, writes once, but for the model's answers, which are kept as
    they come; a kill in between leaves the old names, and the next pass makes up for it.

    Raises:
        PermanentError: settings ask for a model and have no key.
    """
    wait = settings.lock_timeout_seconds
    writer = make_writer(settings)
    run_id, clusters, texts = read(
        settings.duckdb_path,
        lambda con: store.load_summary_input(con, project_id, most_texts=_MOST_TEXTS, most_chars=_MOST_CHARS),
        timeout_seconds=wait,
    )
    plan = _plan(clusters, has_model=writer is not None)
    named = clusters.clear()
    told = Named({}, 0, 0.0, "")
    if run_id is not None and clusters.height:
        plain = naming.with_plain_text(texts)
        picked = naming.name_clusters(clusters, plain, plan.picked | set(plan.by_model))
        if writer is not None:
            wanting = _wanting(clusters, plain, picked, plan.by_model)
            titles = dict(clusters.drop_nulls("title").select("cluster_id", "title").iter_rows())
            told = name_by_model(settings, project_id, writer, wanting, titles, on_progress=on_progress)
        named = _with_given_titles(_join(clusters, texts, picked, plan, told, writer), clusters)
        titled = clusters.update(named.select("cluster_id", "title"), on="cluster_id")
        themes = naming.name_themes(titled, plain)
        write(
            settings.duckdb_path,
            lambda con: store.update_summaries(con, project_id, run_id, named, themes),
            timeout_seconds=wait,
        )
    if on_progress is not None:
        on_progress(named.height, named.height)
    return SummarizeReport(
        n_clusters=clusters.height,
        n_titled=named.height,
        method=naming.METHOD if writer is None else method(writer),
        n_by_model=len(told.words),
        n_calls=told.n_calls,
        cost_usd=told.cost_usd,
        note=told.note,
    )


def _plan(clusters: pl.DataFrame, *, has_model: bool) -> _Plan:
    how = pl.col("summary_method")
    is_changed = pl.col("title").is_null() | pl.col("summarized_hash").ne_missing(pl.col("membership_hash"))
    is_models = how.is_not_null() & ~how.is_in([naming.METHOD, PERSON])
    growth = pl.col("n_items") / pl.col("named_items")
    is_drifted = (growth > _GROWN) | (growth < 1 / _GROWN) | (pl.col("kept_share") < _KEPT)
    if not has_model:
        return _Plan(set(clusters.filter(is_changed & (~is_models | is_drifted))["cluster_id"]), [])
    wanting = clusters.filter((is_models & is_drifted) | how.is_null() | (how == naming.METHOD))
    return _Plan(
        set(clusters.filter(is_changed & ~is_models)["cluster_id"]),
        wanting.sort("n_items", "label", descending=[True, False])["cluster_id"].to_list(),
    )


def _wanting(clusters: pl.DataFrame, plain: pl.DataFrame, picked: pl.DataFrame, ids: list[str]) -> list[Unnamed]:
    reports = {
        key: [Report(*row) for row in part.select("plain_title", "plain_body").iter_rows()]
        for (key,), part in plain.partition_by("cluster_id", as_dict=True, maintain_order=True).items()
    }
    terms = dict(picked.select("cluster_id", "terms").iter_rows())
    theme = dict(clusters.select("cluster_id", "theme_id").iter_rows())
    titles = clusters.filter(pl.col("title").is_not_null()).select("cluster_id", "theme_id", "title").rows()
    of_theme: dict[str, list[tuple[str, str]]] = {}
    for cluster_id, theme_id, title in titles:
        of_theme.setdefault(theme_id, []).append((cluster_id, title))
    return [
        Unnamed(
            each,
            reports.get(each, []),
            terms[each],
            [title for other, title in of_theme.get(theme[each], []) if other != each],
        )
        for each in ids
    ]


def _join(
    clusters: pl.DataFrame,
    texts: pl.DataFrame,
    picked: pl.DataFrame,
    plan: _Plan,
    told: Named,
    writer: Writer | None,
) -> pl.DataFrame:
    """What is to be stored: the model's words where it gave some, else what was picked for clusters that changed.

    A picked title differs from the model's, and from those that stay: unchanged ones, waiting ones, a person's.
    """
    shown = dict(
        texts.group_by("cluster_id", maintain_order=True).agg(pl.col("item_id")).select("cluster_id", "item_id").rows()
    )
    size = dict(clusters.select("cluster_id", "n_items").iter_rows())
    is_renamed = pl.col("cluster_id").is_in([*told.words, *plan.picked])
    staying = clusters.filter(~is_renamed | (pl.col("summary_method") == PERSON).fill_null(value=False))
    titles = [*staying["title"].drop_nulls(), *(words.title for words in told.words.values())]
    taken = {title.casefold() for title in titles}
    rows = []
    for row in picked.iter_rows(named=True):
        cluster_id = row["cluster_id"]
        words = told.words.get(cluster_id)
        if words is not None and writer is not None:
            rows.append({
                **row, **words.model_dump(), "summary_method": method(writer), "named_items": size[cluster_id],
                "named_from": shown[cluster_id],
            })  # fmt: skip
        elif cluster_id in plan.picked:
            rows.append({**row, "title": naming.unique_title(row["title"], row["terms"], taken)})
    return pl.DataFrame(rows, schema=store.NAMES)


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
