"""Names of clusters by a model, within the day's budget: asks what is not kept, keeps what it pays for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from soulcaster.asking import Asker
from soulcaster.clustering.naming import unique_title
from soulcaster.clustering.plain import plain_text
from soulcaster.errors import SoulcasterError
from soulcaster.llm import names
from soulcaster.llm.names import ClusterWords
from soulcaster.llm.writer import Writer
from soulcaster.settings import Settings


class Unnamed(NamedTuple):
    """A cluster that wants words."""

    cluster_id: str
    reports: list[names.Report]
    terms: list[str]
    siblings: list[str]
    """Titles of the other clusters of its theme."""


class Named(NamedTuple):
    """What one pass of the model gave."""

    words: dict[str, ClusterWords]
    """By cluster id."""
    n_calls: int
    cost_usd: float
    note: str
    """Why some have no words, in one sentence; empty when all have."""


def method(writer: Writer) -> str:
    """How these names are told from others: model and version of the rules."""
    return f"{writer.model}@{names.PROMPT}"


def name_by_model(
    settings: Settings,
    project_id: str,
    writer: Writer,
    clusters: Sequence[Unnamed],
    titles: Mapping[str, str],
    *,
    on_progress: Callable[[int, int], None] | None = None,
) -> Named:
    """Words for as many of `clusters` as the day's budget pays for, in their order; no title twice, nor one that a
    cluster has which waits for its own.

    An answer that is of no use costs its cluster's words; a model that is away, refuses the key, or a spent budget ends
    the pass with a note. Every answer is stored before the next question, so that a kill loses one.

    Args:
        settings: budget and store.
        project_id: whose clusters they are.
        writer: the model.
        clusters: most important first.
        titles: what all clusters are called so far, by their ids.
        on_progress: called with (done, total).
    """
    asked = Asker(
        settings, project_id, writer, kind="name", rules=names.rules(), version=names.PROMPT, shape=ClusterWords,
        check=lambda words, question: names.check(words, question, plain_text),
    )  # fmt: skip
    found: dict[str, ClusterWords] = {}
    taken = Counter(title.casefold() for title in titles.values())
    note = ""
    for done, cluster in enumerate(clusters):
        if on_progress is not None:
            on_progress(done, len(clusters))
        own = titles.get(cluster.cluster_id, "").casefold()
        taken[own] -= 1
        try:
            words = _name(asked, cluster, taken)
        except SoulcasterError as error:
            note = f"{error} {len(clusters) - done:,} clusters wait for their words."
            break
        taken[own if words is None else words.title.casefold()] += 1
        if words is not None:
            found[cluster.cluster_id] = words
    n_useless = len(clusters) - len(found)
    if not note and n_useless:
        note = f"The model gave nothing of use for {n_useless:,} clusters; they keep the names picked from their texts."
    return Named(found, asked.n_calls, asked.cost_usd, note)


def _name(asked: Asker[ClusterWords], cluster: Unnamed, taken: Counter[str]) -> ClusterWords | None:
    words = asked.ask(names.make_question(cluster.reports, cluster.terms))
    if words is None or taken[words.title.casefold()] < 1:
        return words
    others = [words.title, *(title for title in cluster.siblings if title != words.title)]
    again = asked.ask(names.make_question(cluster.reports, cluster.terms, others)) or words
    return again.model_copy(update={"title": unique_title(again.title, cluster.terms, set(+taken))})
