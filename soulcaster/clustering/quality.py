"""How well labels agree with the truth. Noise (-1) is no group: every noise row stands alone.

Pairs answer "of two reports shown together, were they the same problem?", B-cubed the same question per report, so that
one large group does not decide the figure; AMI is corrected for chance.
Source: Amigo et al. 2009 (B-cubed), Vinh et al. 2010 (adjusted mutual information).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field
from sklearn.metrics import adjusted_mutual_info_score


class GroupingQuality(BaseModel):
    """Agreement of one grouping with the truth; every figure but `n` in [0, 1] (AMI may fall below 0)."""

    model_config = ConfigDict(frozen=True)

    n: int = Field(description="Rows compared.")
    n_clusters: int
    noise_share: float
    pair_precision: float
    pair_recall: float
    pair_f1: float
    bcubed_precision: float
    bcubed_recall: float
    bcubed_f1: float
    ami: float = Field(description="Noise rows as groups of one.")


def measure(labels: npt.ArrayLike, truth: npt.ArrayLike) -> GroupingQuality:
    """Quality of `labels` against `truth`, both integers (n,), -1 = in no group. Without a row every share is 0."""
    given, true = np.asarray(labels, dtype=np.int64), np.asarray(truth, dtype=np.int64)
    n = len(given)
    if n == 0:
        return GroupingQuality(
            n=0, n_clusters=0, noise_share=0.0, pair_precision=0.0, pair_recall=0.0, pair_f1=0.0,
            bcubed_precision=0.0, bcubed_recall=0.0, bcubed_f1=0.0, ami=0.0,
        )  # fmt: skip
    found, right = _alone(given), _alone(true)
    cells, cell_of = np.unique(found * n + right, return_inverse=True)
    n_cell = np.bincount(cell_of, minlength=len(cells))[cell_of]
    n_found, n_right = np.bincount(found)[found], np.bincount(right)[right]
    together, shown, wanted = (float((counts - 1).sum()) for counts in (n_cell, n_found, n_right))
    pair_precision = together / shown if shown else 0.0
    pair_recall = together / wanted if wanted else 0.0
    precision, recall = float((n_cell / n_found).mean()), float((n_cell / n_right).mean())
    return GroupingQuality(
        n=n,
        n_clusters=len(np.unique(given[given >= 0])),
        noise_share=float((given < 0).mean()),
        pair_precision=pair_precision,
        pair_recall=pair_recall,
        pair_f1=_harmonic_mean(pair_precision, pair_recall),
        bcubed_precision=precision,
        bcubed_recall=recall,
        bcubed_f1=_harmonic_mean(precision, recall),
        ami=float(adjusted_mutual_info_score(right, found)),
    )


def _alone(labels: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Consecutive group numbers from 0, every negative label a group of its own."""
    free = labels.copy()
    noise = labels < 0
    free[noise] = labels.max(initial=0) + 1 + np.arange(noise.sum())
    return np.unique(free, return_inverse=True)[1]


def _harmonic_mean(first: float, second: float) -> float:
    return 2 * first * second / (first + second) if first + second else 0.0
