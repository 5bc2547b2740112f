"""Grouping of real bug reports, from the recorded data beside the project."""

from __future__ import annotations

import hdbscan
import numpy as np
import polars as pl
import pytest
from sklearn.metrics import adjusted_rand_score

from soulcaster.clustering.density import leaf_clusters
from soulcaster.clustering.grouping import group_items
from soulcaster.clustering.holding import NEW
from soulcaster.clustering.matching import match_clusters
from soulcaster.clustering.neighbors import edges_from_neighbors, nearest_neighbors
from soulcaster.clustering.quality import measure
from soulcaster.embedders.minilm import MiniLMEmbedder

pytestmark = pytest.mark.shared_data


@pytest.fixture(scope="module", params=["labelled_dup_firefox", "labelled_dup_seamonkey"])
def reports(request, shared_data_dir):
    """Vectors of the first 900 distinct titles of a set, and their true groups."""
    frame = pl.read_parquet(shared_data_dir / request.param / "data.parquet")
    frame = frame.unique("title", maintain_order=True).head(900)
    matrix = MiniLMEmbedder().embed(frame["title"].to_list())
    return matrix, frame["label"].rank("dense").cast(pl.Int64).to_numpy()


def test_the_sparse_graph_loses_nothing_against_dense_hdbscan(reports):
    """Thirty neighbours a text give exactly the partition of all distances."""
    matrix, _ = reports
    dense = hdbscan.HDBSCAN(
        min_cluster_size=2, min_samples=1, cluster_selection_method="leaf", algorithm="generic"
    ).fit(matrix.astype(np.float64))

    labels, _ = leaf_clusters(len(matrix), edges_from_neighbors(*nearest_neighbors(matrix)))

    assert adjusted_rand_score(dense.labels_, labels) > 0.999


def test_shuffled_reports_give_the_same_clusters(reports):
    """The order of items decides nothing; even texts out of their canonical order change next to nothing."""
    matrix, _ = reports
    order = np.random.default_rng(0).permutation(len(matrix))

    straight = group_items(matrix, np.arange(len(matrix)), min_similarity=0.5)
    items_shuffled = group_items(matrix, order, min_similarity=0.5)
    texts_shuffled = group_items(matrix[order], np.arange(len(matrix)), min_similarity=0.5)

    assert 1.0 == adjusted_rand_score(straight.labels[order], items_shuffled.labels)
    assert ((straight.labels[order] < 0) == (items_shuffled.labels < 0)).all()
    assert adjusted_rand_score(straight.labels[order], texts_shuffled.labels) > 0.99


def test_a_hundredth_more_reports_leave_the_old_clusters_in_place(reports):
    """99.5 % of clustered items keep their id, 98.5 % of old noise stays; looking again changes nothing."""
    matrix, _ = reports
    known = np.sort(np.random.default_rng(1).permutation(len(matrix))[: int(0.99 * len(matrix))])
    before = group_items(matrix[known], np.arange(len(known)), min_similarity=0.5)
    shown = np.full(len(matrix), NEW)
    shown[known] = before.labels

    after = group_items(matrix, np.arange(len(matrix)), min_similarity=0.5, previous=shown)
    again = group_items(matrix, np.arange(len(matrix)), min_similarity=0.5, previous=after.labels)

    predecessor, _ = match_clusters(after.labels[known], before.labels, len(after.themes), len(before.themes))
    named = np.append(predecessor, -1)[after.labels[known]]
    clustered = before.labels >= 0
    assert (named[clustered] == before.labels[clustered]).mean() >= 0.995
    noise = after.labels[known][~clustered]
    assert (noise < 0).mean() >= 0.985
    assert ((noise < 0) | np.isin(noise, np.delete(after.labels, known))).mean() >= 0.998
    assert np.array_equal(after.labels, again.labels)


def test_clusters_agree_with_declared_duplicates_better_than_chance_and_one_heap(reports):
    """Pairs and B-cubed stay above what titles alone gave when this was written."""
    matrix, truth = reports

    quality = measure(group_items(matrix, np.arange(len(matrix)), min_similarity=0.5).labels, truth)

    assert quality.bcubed_f1 > 0.65
    assert quality.pair_f1 > 10 * measure(np.zeros(len(truth)), truth).pair_f1


def test_titles_of_several_projects_are_no_topics(shared_data_dir):
    """Most of 1,200 titles of seven projects stay alone, and hardly any cluster joins two projects."""
    frame = pl.read_parquet(shared_data_dir / "volume_github_issue_titles" / "data.parquet").unique(
        "text", keep="first"
    )
    frame = frame.sort("id").sample(1200, seed=0)
    titles = frame["text"].to_list()
    matrix = MiniLMEmbedder().embed(titles)

    labels = group_items(
        matrix, np.arange(len(matrix)), titles=titles, bodies=[""] * len(titles), min_similarity=0.5
    ).labels

    assert 0.5 < (labels < 0).mean() < 0.95
    assert measure(labels, frame["repo"].rank("dense").cast(pl.Int64).to_numpy()).bcubed_precision > 0.97
