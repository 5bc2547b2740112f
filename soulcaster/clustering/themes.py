"""Texts to themes: the coarse second level, for people who ask "what is this about" before "what do we fix".

Two texts are linked the more strongly the more of their nearest neighbours are the same ones (Jarvis and Patrick 1973):
that says more about topics than the cosine alone. Themes are the communities of that graph. Among many texts those of a
sample are found, and the others go where most of their neighbours are: however many texts there are, a text's
neighbours in the sample reach equally far, so more texts do not make finer themes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from soulcaster.clustering.communities import Links, find_communities
from soulcaster.clustering.exact import number_by_first_row
from soulcaster.clustering.features import shared_neighbors
from soulcaster.clustering.marks import checksums
from soulcaster.clustering.neighbors import nearest_neighbors
from soulcaster.clustering.sharing import both

METHOD = "sample+shared-neighbors+paris+held-out-cut+moves-2"
"""Named in every run; changes with whatever changes themes."""

_SAMPLED = 5_600
"""Texts among which themes are looked for. Source: docs/grouping.md, "Themes"."""
_LINKED, _COMPARED = (4, 20), (6, 30)
"""Neighbours a text is linked to, and neighbours of both that are compared: the most, in a full sample; among fewer
texts it falls with the root of their number, to the least."""
_PARTS, _DECIMALS = 1_000_000, 9
_ROUNDS = 3
"""In which the rest asks its neighbours; more gained nothing with one text in eighteen told (docs/decisions.md)."""
_MIN_SUPPORT = 0.5
"""Share of a lone text's links that must lie in its theme, else it has none."""

Rows = npt.NDArray[np.int64]
Matrix = npt.NDArray[np.float32]


def group_themes(
    matrix: Matrix, near: Rows, similarities: Matrix, labels: Rows, is_remote: npt.NDArray[np.bool_]
) -> Rows:
    """Theme of every text, int64 (n,), -1 for none. A cluster is never split; every theme has a cluster.

    Args:
        matrix: float32 (n, d), L2-normalised; a vector itself, never its row, decides whether its text is sampled.
        near: int64 (n, k), nearest other texts, nearest first.
        similarities: float32 (n, k or more), their cosines, the same whichever side they are measured from: the last of
            six decimals is the coin by which half of all pairs are held out.
        labels: int64 (n,), cluster of every text, -1 noise.
        is_remote: mask (n,) of texts that are like nothing much; alone they have no theme.
    """
    n = len(near)
    node = np.unique(
        np.where(labels >= 0, labels, np.arange(n) + int(labels.max(initial=-1)) + 1), return_inverse=True
    )[1].astype(np.int64)
    if n <= _SAMPLED:
        links = _link(near, similarities, node)
        of_node = _communities(links, similarities)
    else:
        known, links = both(lambda: _themes_of_sample(matrix, node), lambda: _link(near, similarities, node))
        of_node = _spread(links, known)
    themes = of_node[node]
    text = np.repeat(np.arange(n), len(links.here) // max(n, 1))
    inside = np.bincount(text, links.weight * (of_node[links.here] == of_node[links.there]), minlength=n)
    around = np.bincount(text, links.weight, minlength=n)
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
    share = min(1.0, float(np.sqrt(n / _SAMPLED)))
    linked, compared = (max(least, round(all_of_them * share)) for least, all_of_them in (_LINKED, _COMPARED))
    return min(linked, known), min(compared, known)


def _link(near: Rows, similarities: Matrix, node: Rows) -> Links:
    """From every text to its nearest, as many from each, text by text; `node`, (n,), says which texts are one."""
    linked, compared = _neighbors_asked(*near.shape)
    here, there = np.repeat(np.arange(len(near)), linked), near[:, :linked].ravel()
    share = shared_neighbors(near, here, there, compared).astype(np.float64)
    weight = share / (2 - share) * np.maximum(similarities[:, :linked].ravel(), 0.0)
    return Links(int(node.max(initial=-1)) + 1, node[here], node[there], weight)


def _communities(links: Links, similarities: Matrix) -> Rows:
    """Of all nodes. Half of the links, both directions of a pair or none, are held out: the last decimal is a coin."""
    linked = len(links.here) // max(len(similarities), 1)
    decimals = np.round(_PARTS * similarities[:, :linked].ravel().astype(np.float64)).astype(np.int64)
    return find_communities(links, decimals % 2 == 1)


def _themes_of_sample(matrix: Matrix, node: Rows) -> Rows:
    """Theme of every node that a sampled text belongs to, -1 of the others."""
    rows = np.sort(np.argsort(checksums(matrix), kind="stable")[:_SAMPLED])
    sampled, own = np.unique(node[rows], return_inverse=True)
    near, similarities = nearest_neighbors(matrix[rows], _COMPARED[1])
    themes = np.full(int(node.max()) + 1, -1, dtype=np.int64)
    themes[sampled] = _communities(_link(near, similarities, own), similarities)
    return themes


def _spread(links: Links, themes: Rows) -> Rows:
    """Theme of every node, where `themes`, (n,), -1 unknown, tells that of some: that of most of its links.

    All choose anew in every round, also those that were told. What no link leads to stays alone.
    """
    ends = np.append(links.here, links.there), np.append(links.there, links.here)
    around = csr_array((np.append(links.weight, links.weight), ends), shape=(links.n, links.n))
    for _ in range(_ROUNDS):
        known = np.append(0, np.cumsum(themes >= 0))
        told = csr_array((np.ones(known[-1]), themes[themes >= 0], known), shape=(links.n, int(themes.max()) + 1))
        votes = csr_array(around @ told)
        reached = np.flatnonzero(np.diff(votes.indptr))
        starts, many = votes.indptr[reached], np.diff(votes.indptr)[reached]
        weight = np.round(votes.data, _DECIMALS)
        is_most = weight == np.repeat(np.maximum.reduceat(weight, starts), many)
        themes = themes.copy()
        themes[reached] = np.minimum.reduceat(np.where(is_most, votes.indices, links.n), starts)
    return np.where(themes >= 0, themes, links.n + np.arange(links.n))


def _only_with_cluster(themes: npt.NDArray[np.int64], labels: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Themes without a cluster are none: there would be nothing to show under them."""
    return np.where(np.isin(themes, themes[labels >= 0]), themes, -1)
