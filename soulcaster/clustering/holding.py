"""What people know as one cluster stays one until the evidence is clearly gone; and what they know as two stays two.

Every number of the evidence is relative to the corpus, so what stands a hair above the cut would come and go with every
few new texts. The past therefore counts as evidence: a little for pairs that were together, a little against pairs that
were apart, nothing for texts that stood alone.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from soulcaster.clustering.exact import number_by_first_row
from soulcaster.clustering.linkage import average_linkage, cut_tree
from soulcaster.clustering.neighbors import Edges

HELD, APART = 2.0, 0.75
"""What the probability of a pair is multiplied with that was in one cluster, or in two. Source: docs/grouping.md,
"Stability"."""
_MOST_ROUNDS = 20

Rows = npt.NDArray[np.int64]


def find_groups(n: int, edges: Edges, min_mean: float) -> Rows:
    """Group of every point, int64 (n,), any numbering: average linkage down to a mean probability of `min_mean`."""
    return _link(n, edges, 1.0 - edges.distance, min_mean)


def hold_groups(n: int, edges: Edges, min_mean: float, previous: Rows) -> Rows:
    """The same where `previous`, int64 (n,), -1 none, counts as evidence.

    Repeated with its own result until that stays: so the next grouping of the same points finds the same groups.
    """
    for _ in range(_MOST_ROUNDS):
        groups = _link(n, edges, _weights(edges, previous), min_mean)
        found = np.where(np.bincount(groups, minlength=n)[groups] > 1, groups, -1) if n else groups
        if np.array_equal(number_by_first_row(found), number_by_first_row(previous)):
            break
        previous = found
    return groups


def former_clusters(groups: Rows, previous: Rows) -> Rows:
    """The one former cluster of each group, by its points' `previous`; -1 where there was none or several."""
    known = np.flatnonzero(previous >= 0)
    least = np.full(int(groups.max(initial=-1)) + 1, np.iinfo(np.int64).max)
    most = np.full(len(least), -1, dtype=np.int64)
    np.minimum.at(least, groups[known], previous[known])
    np.maximum.at(most, groups[known], previous[known])
    return np.where(least == most, most, -1)


def _weights(edges: Edges, previous: Rows) -> npt.NDArray[np.float64]:
    """Probability of every edge, more where both sides were together, less where they were in two clusters."""
    has_company = np.bincount(previous[previous >= 0], minlength=1)[previous] > 1
    former = np.where((previous >= 0) & has_company, previous, -1)
    left, right = former[edges.left], former[edges.right]
    return (1.0 - edges.distance) * np.where((left < 0) | (right < 0), 1.0, np.where(left == right, HELD, APART))


def _link(n: int, edges: Edges, weights: npt.NDArray[np.float64], min_mean: float) -> Rows:
    merges = average_linkage(edges.left, edges.right, weights, np.ones(n), min_mean=min_mean)
    return cut_tree(n, merges, min_mean)
