"""Labels of a new run to the clusters people know: who survived, split, was absorbed, emerged, disappeared.

Knows no ids: both sides are numbers, the caller numbers them in a stable order so that ties fall the same way.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

MATCHER_VERSION = 1

TransitionKind = Literal["survived", "split", "absorbed", "emerged", "disappeared"]


class Transition(NamedTuple):
    """What became of one cluster. `old` and `new` are numbers of the two sides, -1 where there is none.

    survived: old goes on as new. split: new was cut out of old, which went on elsewhere or was absorbed. absorbed:
    most of old's clustered items are now in new, which goes on as another cluster. emerged: new has no past.
    disappeared: old has no future.
    """

    kind: TransitionKind
    old: int
    new: int
    overlap: float
    """Shared items over all items of both (Jaccard), among items known to both runs, in [0, 1]."""


def match_clusters(
    labels: npt.NDArray[np.integer],
    previous: npt.NDArray[np.integer],
    n_new: int,
    n_old: int,
    *,
    min_share: float = 0.5,
) -> tuple[npt.NDArray[np.int64], list[Transition]]:
    """Old number of every new label, int64 (n_new,), -1 = none; and one transition per old and per unmatched new one.

    One-to-one: pairs are taken by falling Jaccard overlap, then by shared items, then by number. A pair counts when the
    shared items are at least `min_share` of the old or of the new side, so that an id goes to what is left of a cluster
    and never to a stranger with one item in common.

    Args:
        labels: (n,) new labels of the items that both runs know, -1 noise.
        previous: (n,) old numbers of the same items, -1 noise.
        n_new: number of new labels; those without an item in `labels` have emerged.
        n_old: number of old clusters.
        min_share: in (0, 1].

    Source: the five transitions of MONIC, Spiliopoulou et al. 2006.
    """
    both = np.flatnonzero((labels >= 0) & (previous >= 0))
    pairs, shared = np.unique(np.stack([previous[both], labels[both]]), axis=1, return_counts=True)
    old, new = pairs.astype(np.int64)
    size_old = np.bincount(previous[previous >= 0], minlength=n_old)
    size_new = np.bincount(labels[labels >= 0], minlength=n_new)
    overlap = shared / (size_old[old] + size_new[new] - shared)
    fits = shared >= min_share * np.minimum(size_old[old], size_new[new])
    successor = np.full(n_old, -1, dtype=np.int64)
    predecessor = np.full(n_new, -1, dtype=np.int64)
    for pair in np.lexsort((new, old, -shared, -overlap)):
        a, b = old[pair], new[pair]
        if fits[pair] and successor[a] < 0 and predecessor[b] < 0:
            successor[a], predecessor[b] = b, a
    by_old = _strongest(old, new, shared, fits, n_old)
    by_new = _strongest(new, old, shared, fits, n_new)
    between = {(int(a), int(b)): float(o) for a, b, o in zip(old, new, overlap, strict=True)}
    return predecessor, _transitions(successor, predecessor, by_old, by_new, between)


def _strongest(
    side: npt.NDArray[np.int64],
    other: npt.NDArray[np.int64],
    shared: npt.NDArray[np.int64],
    fits: npt.NDArray[np.bool_],
    n: int,
) -> npt.NDArray[np.int64]:
    """For every number of `side` the fitting number of `other` that shares most items with it, -1 = none."""
    order = np.lexsort((-other, shared, side))
    order = order[fits[order]]
    result = np.full(n, -1, dtype=np.int64)
    result[side[order]] = other[order]
    return result


def _transitions(
    successor: npt.NDArray[np.int64],
    predecessor: npt.NDArray[np.int64],
    by_old: npt.NDArray[np.int64],
    by_new: npt.NDArray[np.int64],
    between: dict[tuple[int, int], float],
) -> list[Transition]:
    found: list[Transition] = []
    for old, new in enumerate(successor.tolist()):
        if new >= 0:
            found.append(Transition("survived", old, new, between[old, new]))
        elif (heir := int(by_old[old])) >= 0:
            found.append(Transition("absorbed", old, heir, between[old, heir]))
        else:
            found.append(Transition("disappeared", old, -1, 0.0))
    for new, old in enumerate(predecessor.tolist()):
        if old < 0 and (origin := int(by_new[new])) >= 0:
            found.append(Transition("split", origin, new, between[origin, new]))
        elif old < 0:
            found.append(Transition("emerged", -1, new, 0.0))
    return found
