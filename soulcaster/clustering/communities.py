"""Parts of a graph that are denser inside than chance, without being told how many there are or how dense.

The tree is that of Bonald et al. 2018 (Paris): average linkage with the weighted degrees as sizes. Half of
the edges make a tree, and the cut is taken by which the other half is likeliest (planted partition, Newman 2016), or
rather the simplest cut within one standard error of that (Breiman et al. 1984). What linkage joined too early may move
afterwards (Blondel et al. 2008).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array, csr_array

from soulcaster.clustering.linkage import Merges, average_linkage, cut_tree

UNCUT = 0.0
RESOLUTIONS: tuple[float, ...] = tuple(2.0 ** (step / 4) for step in range(21))
"""Times chance that two parts of one community must at least be linked: 1 to 32, one is chosen. Where none foretells
anything it is `UNCUT`: all who are linked are one community."""

_FEWEST_EDGES = 1_000
"""Of fewer none are held out: half of them would tell too little."""
_MOST_ROUNDS = 6
_DECIMALS = 9
"""Gains that differ in their last bits only must not decide."""

Rows = npt.NDArray[np.int64]
Weights = npt.NDArray[np.float64]


class Links(NamedTuple):
    """Weighted edges among n nodes; a pair may come several times, a node may be linked to itself."""

    n: int
    here: Rows
    there: Rows
    weight: Weights

    def only(self, mask: npt.NDArray[np.bool_]) -> Links:
        """The same nodes with some of the edges."""
        return Links(self.n, self.here[mask], self.there[mask], self.weight[mask])

    def degrees(self) -> Weights:
        """Weight at every node, (n,)."""
        degrees: Weights = np.bincount(self.here, self.weight, minlength=self.n).astype(np.float64)
        return degrees + np.bincount(self.there, self.weight, minlength=self.n)


def find_communities(links: Links, is_held_out: npt.NDArray[np.bool_]) -> Rows:
    """Community of every node, int64 (n,), any numbering; the order of nodes and edges decides nothing.

    Args:
        links: of the graph.
        is_held_out: mask (m,) of about half of the edges, which judge the tree of the others; the same for both
            directions of a pair.
    """
    if links.n == 0:
        return np.empty(0, dtype=np.int64)
    is_large = len(links.here) >= _FEWEST_EDGES
    fitted, judging = (links.only(~is_held_out), links.only(is_held_out)) if is_large else (links, links)
    resolution = choose_resolution(fitted, judging)
    return move_nodes(links, _cuts(links, (resolution,))[0], resolution)


def choose_resolution(fitted: Links, judging: Links) -> float:
    """The lowest of `RESOLUTIONS` whose communities of `fitted` foretell the edges `judging` as well as the best do."""
    cuts = _cuts(fitted, (UNCUT, *RESOLUTIONS))
    (uncut, _), *found = (_log_likelihood(communities, fitted, judging) for communities in cuts)
    scores, errors = np.array(found)[:, 0], np.array(found)[:, 1]
    best = int(scores.argmax())
    if uncut > scores[best]:
        return UNCUT
    return RESOLUTIONS[int((scores >= scores[best] - errors[best]).argmax())]


def _cuts(links: Links, resolutions: tuple[float, ...]) -> list[Rows]:
    """The communities at each resolution."""
    degrees = links.degrees()
    left, right, total = _sum_by_pair(links)
    sizes = np.maximum(degrees, 1e-9)
    merges = average_linkage(left, right, total * degrees.sum(), sizes, min_mean=max(resolutions[0], RESOLUTIONS[0]))
    linked = Merges(left, right, total)
    return [cut_tree(links.n, linked if each == UNCUT else merges, each) for each in resolutions]


def _log_likelihood(communities: Rows, fitted: Links, judging: Links) -> tuple[float, float]:
    """Mean log of how many times likelier than by chance each unit of `judging` is, and its standard error.

    By one rate inside and one between communities, those of `fitted`. The edges of one node are told together: the
    error is that of a mean over nodes.
    """
    degrees = fitted.degrees()
    whole = float(fitted.weight.sum())
    inside = float(fitted.weight[communities[fitted.here] == communities[fitted.there]].sum())
    expected = float((np.bincount(communities, degrees) ** 2).sum()) / max(4 * whole, 1e-9)
    within = float(np.log((inside + 1) / (expected + 1)))
    between = float(np.log((whole - inside + 1) / (max(whole - expected, 0.0) + 1)))
    gain = np.where(communities[judging.here] == communities[judging.there], within, between)
    total = max(float(judging.weight.sum()), 1e-9)
    mean = float((judging.weight * gain).sum()) / total
    of_node = np.bincount(judging.here, judging.weight * (gain - mean), minlength=judging.n)
    return mean, float(np.sqrt((of_node**2).sum())) / total


def move_nodes(links: Links, communities: Rows, resolution: float) -> Rows:
    """The communities after nodes went where they are linked most, compared with `resolution` times chance.

    Of those that want to go the half that gains most goes at once, as long as all together gain by it.
    """
    left, right, total = _sum_by_pair(links)
    around = csr_array(
        (np.append(total, total), (np.append(left, right), np.append(right, left))), shape=(links.n, links.n)
    )
    sizes = links.degrees()
    chance = resolution * sizes / max(float(sizes.sum()), 1e-9)
    for _ in range(_MOST_ROUNDS):
        communities = np.unique(communities, return_inverse=True)[1].astype(np.int64)
        target, gain = _best_targets(around, communities, sizes, chance)
        moving = gain > 0
        if not moving.any():
            break
        moved = np.where(gain >= np.median(gain[moving]), target, communities)
        if _quality(left, right, total, sizes, chance, moved) <= _quality(
            left, right, total, sizes, chance, communities
        ):
            break
        communities = moved
    return communities


def _best_targets(around: csr_array, communities: Rows, sizes: Weights, chance: Weights) -> tuple[Rows, Weights]:
    """The community that each node would gain most by, and what, compared with staying."""
    n = len(sizes)
    weight_of = np.bincount(communities, sizes)
    linked = coo_array(around @ csr_array((np.ones(n), communities, np.arange(n + 1))))
    node, target = linked.row.astype(np.int64), linked.col.astype(np.int64)
    own = communities[node] == target
    pull = linked.data - chance[node] * (weight_of[target] - np.where(own, sizes[node], 0.0))
    stay = -chance * (weight_of[communities] - sizes)
    stay[node[own]] = pull[own]
    gain = np.round(pull - stay[node], _DECIMALS)
    starts = np.flatnonzero(np.diff(node, prepend=-1))
    most = np.maximum.reduceat(gain, starts)
    is_best = gain == np.repeat(most, np.diff(np.append(starts, len(node))))
    targets, gains = communities.copy(), np.zeros(n)
    targets[node[starts]] = np.minimum.reduceat(np.where(is_best, target, n), starts)
    gains[node[starts]] = most
    return targets, gains


def _quality(left: Rows, right: Rows, total: Weights, sizes: Weights, chance: Weights, communities: Rows) -> float:
    """Weight inside communities above what chance gives (modularity, not normalised)."""
    inside = float(total[communities[left] == communities[right]].sum())
    expected = np.bincount(communities, chance) * np.bincount(communities, sizes)
    return round(inside - float(expected.sum()) / 2, 6)


def _sum_by_pair(links: Links) -> tuple[Rows, Rows, Weights]:
    """Both ends and the weight of every pair of different nodes, each once."""
    proper = links.here != links.there
    here, there = links.here[proper], links.there[proper]
    keys, of_key = np.unique(np.minimum(here, there) * links.n + np.maximum(here, there), return_inverse=True)
    total = np.bincount(of_key, links.weight[proper], minlength=len(keys)).astype(np.float64)
    return keys // max(links.n, 1), keys % max(links.n, 1), total
