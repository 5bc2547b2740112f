"""Texts to themes: the coarse second level, for people who ask "what is this about" before "what do we fix".

Two texts are linked the more strongly the more of their nearest neighbours are the same ones (Jarvis and Patrick 1973):
that says more about topics than the cosine alone. Themes are the communities of that graph.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from soulcaster.clustering.communities import Links, find_communities
from soulcaster.clustering.exact import number_by_first_row
from soulcaster.clustering.features import shared_neighbors

METHOD = "shared-neighbors+paris+held-out-cut+moves-1"
"""Named in every run; changes with whatever changes themes."""

_LINKED, _COMPARED, _ALL_FROM = (4, 20), (6, 30), 5_600
"""Neighbours a text is linked to, and neighbours of both that are compared: the most, from so many texts on; below it
falls with the root of the number of texts, to the least. Source: docs/grouping.md, "Themes"."""
_PARTS = 1_000_000
_MIN_SUPPORT = 0.5
"""Share of a lone text's links that must lie in its theme, else it has none."""


def group_themes(
    near: npt.NDArray[np.int64],
    similarities: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int64],
    is_remote: npt.NDArray[np.bool_],
) -> npt.NDArray[np.int64]:
    """Theme of every text, int64 (n,), -1 for none. A cluster is never split; every theme has a cluster.

    Args:
        near: int64 (n, k), nearest other texts, nearest first.
        similarities: float32 (n, k or more), their cosines, the same whichever side they are measured from: the last of
            six decimals is the coin by which half of all pairs are held out.
        labels: int64 (n,), cluster of every text, -1 noise.
        is_remote: mask (n,) of texts that are like nothing much; alone they have no theme.
    """
    n = len(near)
    linked, compared = _neighbors_asked(n, near.shape[1])
    here, there = np.repeat(np.arange(n), linked), near[:, :linked].ravel()
    share = shared_neighbors(near, here, there, compared).astype(np.float64)
    weight = share / (2 - share) * np.maximum(similarities[:, :linked].ravel(), 0.0)
    node = np.unique(
        np.where(labels >= 0, labels, np.arange(n) + int(labels.max(initial=-1)) + 1), return_inverse=True
    )[1]
    links = Links(int(node.max(initial=-1)) + 1, node[here], node[there], weight)
    is_held_out = np.round(_PARTS * similarities[:, :linked].ravel().astype(np.float64)).astype(np.int64) % 2 == 1
    themes = find_communities(links, is_held_out)[node]
    inside = np.bincount(here, weight * (themes[here] == themes[there]), minlength=n)
    around = np.bincount(here, weight, minlength=n)
    is_lost = (labels < 0) & (is_remote | (inside < _MIN_SUPPORT * np.maximum(around, 1e-9)))
    return _only_with_cluster(np.where(is_lost, -1, themes), labels)


def themes_of_clusters(
    labels: npt.NDArray[np.int64], themes: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Theme of every cluster, (k,), numbered by first cluster, and of every row, (n,), by the same numbers.

    The theme of a cluster is that of most of its rows, the lower one in a tie; a cluster without one gets its own.

    Args:
        labels: int64 (n,), cluster of every row, 0 to k - 1, -1 noise.
        themes: int64 (n,), theme of every row before, -1 none.
    """
    k = int(labels.max(initial=-1)) + 1
    width = int(themes.max(initial=-1)) + 1
    placed = np.flatnonzero((labels >= 0) & (themes >= 0))
    cells, counts = np.unique(labels[placed] * max(width, 1) + themes[placed], return_counts=True)
    order = np.lexsort((cells, -counts))
    chosen = width + np.arange(k)
    first_of, at = np.unique(cells[order] // max(width, 1), return_index=True)
    chosen[first_of] = cells[order][at] % max(width, 1)
    numbered = number_by_first_row(chosen)
    new_number = np.full(width + k, -1, dtype=np.int64)
    new_number[chosen] = numbered
    rows = np.where(themes >= 0, np.append(new_number, -1)[themes], -1)
    return numbered, np.where(labels >= 0, np.append(numbered, -1)[labels], rows)


def _neighbors_asked(n: int, known: int) -> tuple[int, int]:
    """How many neighbours a text is linked to, and how many are compared: fewer where all topics are small."""
    share = min(1.0, float(np.sqrt(n / _ALL_FROM)))
    linked, compared = (max(least, round(all_of_them * share)) for least, all_of_them in (_LINKED, _COMPARED))
    return min(linked, known), min(compared, known)


def _only_with_cluster(themes: npt.NDArray[np.int64], labels: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Themes without a cluster are none: there would be nothing to show under them."""
    return np.where(np.isin(themes, themes[labels >= 0]), themes, -1)
