"""Items to clusters and themes: exact joins first, then linkage by probability. The same items, the same groups.

Rows must come in a canonical order (the caller sorts by content hash and id); then nothing depends on how they came in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from soulcaster.clustering.exact import join_exact, number_by_first_row
from soulcaster.clustering.exemplars import centroids, pick_exemplars, similarity_to_centroid
from soulcaster.clustering.features import measure_pairs
from soulcaster.clustering.holding import former_clusters
from soulcaster.clustering.neighborhood import Neighborhood, find_neighborhood
from soulcaster.clustering.neighbors import Edges
from soulcaster.clustering.problems import edges_between_units, find_remote, link_units, same_problem_probability
from soulcaster.clustering.scorer import Scorer
from soulcaster.clustering.sharing import both
from soulcaster.clustering.themes import group_themes, themes_of_clusters

Scalar = TypeVar("Scalar", bound=np.generic)

ALGORITHM = "exact-joins+pair-scorer-3+average-linkage-1+hold-3"
SAME_TEXT = 0
"""Position of the reason "same text"; the positions of `keys` follow it, and "held from before" follows those."""
NEAR_TEXT, NOISE = -1, -2
"""Reasons that are no exact key: density put the item there, or nothing did."""


class Grouping(NamedTuple):
    """One grouping of n items into k clusters."""

    labels: npt.NDArray[np.int64]
    """(n,) 0 to k - 1 by first row, -1 noise."""
    themes: npt.NDArray[np.int64]
    """(k,) 0 to n_themes - 1 by first cluster."""
    theme_of_item: npt.NDArray[np.int64]
    """(n,) that of its cluster; noise has one where its neighbourhood agrees on it, else -1."""
    strengths: npt.NDArray[np.float64]
    """(n,) in [0, 1], noise 0."""
    similarities: npt.NDArray[np.float64]
    """(n,) cosine to the mean of the cluster's texts, noise -1."""
    reasons: npt.NDArray[np.int64]
    """(n,) SAME_TEXT, 1 + position in `keys`, 1 + their number when held from before, NEAR_TEXT or NOISE."""
    is_exemplar: npt.NDArray[np.bool_]
    """(n,) up to five a cluster, each with another text."""


def group_items(
    matrix: npt.NDArray[np.float32],
    text_of_item: npt.NDArray[np.int64],
    keys: Sequence[npt.NDArray[np.int64]] = (),
    *,
    titles: Sequence[str] | None = None,
    bodies: Sequence[str] | None = None,
    days: npt.NDArray[np.float64] | None = None,
    min_cluster_size: int = 2,
    min_similarity: float,
    scorer: Scorer | None = None,
    around: Neighborhood | None = None,
    previous: npt.NDArray[np.int64] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Grouping:
    """Clusters and themes of all items.

    Items with the same text or an equal code in one of `keys` always share a cluster, and `min_cluster_size` of them
    are one even when nothing else is near. `matrix` is float32 (n_texts, d), L2-normalised; `text_of_item` int64
    (n_items,), its row, -1 where an item has no vector: such items are noise. `keys` are int64 (n_items,) codes each,
    -1 = none, the strongest first. `titles` and `bodies` are n_texts strings; without them only the vectors speak.
    `days` are float64 (n_texts,), when each came, NaN where nobody knows. Texts below `min_similarity` (cosine) are
    never neighbours. Without a `scorer` the package's weights are taken, without `around` the neighbours are searched
    for. `previous`, int64 (n_items,), is the cluster people know each item in, `ALONE` or `NEW`: see `hold_groups`.
    """
    present = np.flatnonzero(text_of_item >= 0)
    text = text_of_item[present]
    units, why = _join_exact(text, [key[present] for key in keys])
    around = around or find_neighborhood(matrix, on_progress=on_progress)
    is_remote = find_remote(around.similarities)
    pairs = measure_pairs(around, titles, bodies, days)
    probability = same_problem_probability(pairs, is_remote, min_similarity=min_similarity, scorer=scorer)
    edges = edges_between_units(pairs, probability, _place(units, text, len(matrix), 0))
    known = None if previous is None else former_clusters(units, previous[present])
    unit_labels, strengths, is_held = _link(units, edges, min_cluster_size, known)
    why = np.where((why == NEAR_TEXT) & is_held[units], 1 + len(keys), why)
    labels = _place(number_by_first_row(unit_labels[units]), present, len(text_of_item))
    text_labels = _place(labels[present], text, len(matrix))
    theme_of_text, closeness = _look_at_texts(matrix, around, text_labels, is_remote)
    themes, theme_of_item = themes_of_clusters(labels, _place(theme_of_text[text], present, len(text_of_item)))
    return Grouping(
        labels=labels,
        themes=themes,
        theme_of_item=theme_of_item,
        strengths=_spread(strengths[units], present, labels, 0.0),
        similarities=_spread(closeness[text], present, labels, -1.0),
        reasons=_spread(why, present, labels, NOISE),
        is_exemplar=_first_items(text_of_item, pick_exemplars(text_labels, closeness)),
    )


def _look_at_texts(
    matrix: npt.NDArray[np.float32],
    around: Neighborhood,
    labels: npt.NDArray[np.int64],
    is_remote: npt.NDArray[np.bool_],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Theme of every text, and its cosine to the middle of its cluster."""
    return both(
        lambda: group_themes(matrix, around.near, around.cosine, labels, is_remote),
        lambda: similarity_to_centroid(matrix, labels, centroids(matrix, labels)),
    )


def _link(
    units: npt.NDArray[np.int64], edges: Edges, min_cluster_size: int, previous: npt.NDArray[np.int64] | None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Label and strength of every unit, and whether it is held; a unit of several items is as strong as can be."""
    n_units = int(units.max(initial=-1)) + 1
    labels, strengths, is_held = link_units(n_units, edges, min_cluster_size=min_cluster_size, previous=previous)
    strengths[np.bincount(units, minlength=n_units) > 1] = 1.0
    return _keep_exact(labels, units, min_cluster_size), strengths, is_held


def _join_exact(
    text: npt.NDArray[np.int64], keys: list[npt.NDArray[np.int64]]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Unit and reason of every item. Units are numbered by first text: the order of items decides not even a tie."""
    units, why = join_exact(len(text), [text, *keys])
    first = np.full(int(units.max(initial=-1)) + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, units, text)
    number = np.empty(len(first), dtype=np.int64)
    number[np.argsort(first)] = np.arange(len(first))
    return number[units], why


def _keep_exact(
    labels: npt.NDArray[np.int64], units: npt.NDArray[np.int64], min_cluster_size: int
) -> npt.NDArray[np.int64]:
    """Labels (n_units,) in which a unit of enough items is a cluster of its own where density left it alone."""
    n_items = np.bincount(units, minlength=len(labels))
    alone = np.flatnonzero((labels < 0) & (n_items >= min_cluster_size))
    kept = labels.copy()
    kept[alone] = int(labels.max(initial=-1)) + 1 + np.arange(len(alone))
    return kept


def _place(
    values: npt.NDArray[np.int64], at: npt.NDArray[np.int64], size: int, empty: int = -1
) -> npt.NDArray[np.int64]:
    """`values` at the rows `at` of `size` rows."""
    result = np.full(size, empty, dtype=np.int64)
    result[at] = values
    return result


def _spread(
    values: npt.NDArray[Scalar], present: npt.NDArray[np.int64], labels: npt.NDArray[np.int64], noise: float
) -> npt.NDArray[Scalar]:
    """`values` of the items that are `present` on all items; `noise` where an item is in no cluster."""
    result: npt.NDArray[Scalar] = np.full(len(labels), noise, dtype=values.dtype)
    result[present] = values
    result[labels < 0] = noise
    return result


def _first_items(text_of_item: npt.NDArray[np.int64], is_exemplar_text: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Mask over items: of every exemplar text its first item."""
    texts, first = np.unique(text_of_item, return_index=True)
    chosen = np.zeros(len(text_of_item), dtype=bool)
    kept = texts >= 0
    chosen[first[kept]] = is_exemplar_text[texts[kept]]
    return chosen
