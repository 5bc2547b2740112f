"""What people know as one cluster stays one until the evidence is clearly gone; and what they know as two stays two.

Every number of the evidence is relative to the corpus, so what stands a hair above the cut would come and go with every
few new texts. The past therefore counts as evidence: a little for pairs that were together, a little against pairs that
were apart, and against texts that a grouping left alone although it had compared them with all others. What is new has
no past: it joins clusters, and other new texts, as if there were none.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from soulcaster.clustering.exact import number_by_first_row
from soulcaster.clustering.linkage import average_linkage, cut_tree
from soulcaster.clustering.neighbors import Edges

HELD, APART = 2.0, 0.75
"""What the probability of a pair is multiplied with that was in one cluster, or apart. Source: docs/grouping.md,
"Stability"."""
ALONE, NEW = -1, -2
"""Former clusters of a point that stood alone, and of one that no grouping has judged."""
_MOST_ROUNDS = 20

Rows = npt.NDArray[np.int64]


def find_groups(n: int, edges: Edges, min_mean: float) -> Rows:
    """Group of every point, int64 (n,), any numbering: average linkage down to a mean probability of `min_mean`."""
    return _link(n, edges, 1.0 - edges.distance, min_mean)


def hold_groups(n: int, edges: Edges, min_mean: float, previous: Rows) -> Rows:
    """The same where `previous`, int64 (n,), a cluster, `ALONE` or `NEW`, counts as evidence.

    Repeated with its own result until that stays: so the next grouping of the same points finds the same groups.
    """
    for _ in range(_MOST_ROUNDS):
        groups = _link(n, edges, _weights(edges, previous), min_mean)
        found = _with_company(groups)
        if np.array_equal(_numbered(found), _numbered(previous)):
            break
        previous = found
    return groups


def former_clusters(groups: Rows, previous: Rows) -> Rows:
    """The one former cluster of each group, by its points' `previous`; `ALONE` where all that was judged stood alone.

    `NEW` where nothing was judged, or there were several clusters.
    """
    n_groups = int(groups.max(initial=-1)) + 1
    known = np.flatnonzero(previous >= 0)
    least = np.full(n_groups, np.iinfo(np.int64).max)
    most = np.full(n_groups, NEW, dtype=np.int64)
    np.minimum.at(least, groups[known], previous[known])
    np.maximum.at(most, groups, previous)
    return np.where((most < 0) | (least == most), most, NEW)


def _weights(edges: Edges, previous: Rows) -> npt.NDArray[np.float64]:
    """Probability of every edge, more where both sides were together, less where they were apart or one stood alone."""
    former = _with_company(previous)
    left, right = former[edges.left], former[edges.right]
    both_judged = (left != NEW) & (right != NEW)
    apart = (left == ALONE) | (right == ALONE) | (both_judged & (left != right))
    together = (left == right) & (left >= 0)
    return (1.0 - edges.distance) * np.where(together, HELD, np.where(apart, APART, 1.0))


def _with_company(groups: Rows) -> Rows:
    """`groups` in which a point that has its group for itself is `ALONE`."""
    sizes = np.bincount(groups[groups >= 0], minlength=1)
    return np.where((groups >= 0) & (sizes[np.maximum(groups, 0)] == 1), ALONE, groups)


def _numbered(groups: Rows) -> Rows:
    """Groups by first point, so that equal partitions are equal arrays; what is none stays what it is."""
    return np.where(groups < 0, groups, number_by_first_row(groups))


def _link(n: int, edges: Edges, weights: npt.NDArray[np.float64], min_mean: float) -> Rows:
    merges = average_linkage(edges.left, edges.right, weights, np.ones(n), min_mean=min_mean)
    return cut_tree(n, merges, min_mean)
