"""What was one cluster stays one until the evidence is clearly gone: one cut to come together, a lower one to part.

Every number of the evidence is relative to the corpus, so a group that stands a hair above the cut would come and go
with every few new texts. Only what people saw together is held, and only while it would nearly be found anew.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from soulcaster.clustering.linkage import average_linkage, cut_tree
from soulcaster.clustering.neighbors import Edges

MIN_MEAN_HELD = 0.08
"""Mean probability below which a cluster that was shown is cut apart; see docs/grouping.md, "Stability"."""

Rows = npt.NDArray[np.int64]


def hold_together(groups: Rows, edges: Edges, previous: Rows) -> Rows:
    """Groups int64 (n,), any numbering, in which parts of one former cluster are joined while their mean holds.

    A part is a group whose points were all in that cluster, or in none; points that were in none hold nothing. With the
    result as `previous` the same groups come out again.

    Args:
        groups: int64 (n,), group of every point.
        edges: probabilities between points, distance is 1 - probability.
        previous: int64 (n,), cluster of every point before, -1 none.
    """
    n = len(groups)
    groups = np.unique(groups, return_inverse=True)[1]
    former = former_clusters(groups, previous)
    left, right = groups[edges.left], groups[edges.right]
    among = np.flatnonzero((left != right) & (former[left] == former[right]) & (former[left] >= 0))
    keys = np.minimum(left, right)[among] * n + np.maximum(left, right)[among]
    pairs, of_pair = np.unique(keys, return_inverse=True)
    weights = np.bincount(of_pair, 1.0 - edges.distance[among], minlength=len(pairs)).astype(np.float64)
    sizes = np.bincount(groups).astype(np.float64)
    merges = average_linkage(pairs // max(n, 1), pairs % max(n, 1), weights, sizes, min_mean=MIN_MEAN_HELD)
    held: Rows = cut_tree(len(sizes), merges, MIN_MEAN_HELD)[groups]
    return held


def former_clusters(groups: Rows, previous: Rows) -> Rows:
    """The one former cluster of each group, by its points' `previous`; -1 where there was none or several."""
    known = np.flatnonzero(previous >= 0)
    least = np.full(int(groups.max(initial=-1)) + 1, np.iinfo(np.int64).max)
    most = np.full(len(least), -1, dtype=np.int64)
    np.minimum.at(least, groups[known], previous[known])
    np.maximum.at(most, groups[known], previous[known])
    return np.where(least == most, most, -1)
