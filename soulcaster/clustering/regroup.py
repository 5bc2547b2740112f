"""A grouping described anew after people's constraints changed its labels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from soulcaster.clustering.exemplars import centroids, pick_exemplars
from soulcaster.clustering.grouping import NOISE, Grouping
from soulcaster.clustering.themes import themes_of_clusters


def relabel(
    found: Grouping,
    labels: npt.NDArray[np.int64],
    matrix: npt.NDArray[np.float32],
    text_of_item: npt.NDArray[np.int64],
    edited_reason: int,
) -> Grouping:
    """`found` with other labels: middles, similarities, exemplars and themes follow from the new members.

    Items whose company changed get `edited_reason` and strength 1: a person put them where they are.

    Args:
        found: what density found.
        labels: int64 (n_items,), numbered by first row, -1 noise.
        matrix: float32 (n_texts, d), L2-normalised.
        text_of_item: int64 (n_items,), -1 where there is no vector.
        edited_reason: number that stands for "a person's edit" among `Grouping.reasons`.
    """
    n_clusters = int(labels.max(initial=-1)) + 1
    placed = np.flatnonzero((labels >= 0) & (text_of_item >= 0))
    pairs, first = np.unique(np.stack([labels[placed], text_of_item[placed]]), axis=1, return_index=True)
    pair_labels, pair_texts = pairs
    centers = np.zeros((n_clusters, matrix.shape[1]))
    made = centroids(matrix[pair_texts], pair_labels)
    centers[: len(made)] = made
    closeness = np.zeros(len(labels))
    closeness[placed] = np.round(np.einsum("nd,nd->n", matrix[text_of_item[placed]], centers[labels[placed]]), 6)
    chosen = np.zeros(len(labels), dtype=bool)
    chosen[placed[first]] = pick_exemplars(pair_labels, closeness[placed[first]])
    moved = (labels >= 0) & ~_keeps_company(found.labels, labels)
    themes, theme_of_item = themes_of_clusters(labels, found.theme_of_item)
    return Grouping(
        labels=labels,
        themes=themes,
        theme_of_item=theme_of_item,
        strengths=np.where(moved, 1.0, np.where(labels >= 0, found.strengths, 0.0)),
        similarities=np.where(labels >= 0, closeness, -1.0),
        reasons=np.where(moved, edited_reason, np.where(labels >= 0, found.reasons, NOISE)),
        is_exemplar=chosen,
    )


def _keeps_company(before: npt.NDArray[np.int64], after: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Mask: the item's new label is mostly made of the label density gave it."""
    both = np.flatnonzero((before >= 0) & (after >= 0))
    width = int(before.max(initial=-1)) + 1
    pairs, pair_of, counts = np.unique(after[both] * width + before[both], return_inverse=True, return_counts=True)
    kept = np.zeros(len(before), dtype=bool)
    if len(both):
        largest = np.zeros(int(after.max()) + 1, dtype=np.int64)
        np.maximum.at(largest, pairs // width, counts)
        kept[both] = counts[pair_of] == largest[after[both]]
    return kept
