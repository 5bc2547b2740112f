"""A grouping that mends what the last one remembered is the one from scratch, on real reports and on the sample."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import adjusted_rand_score

from soulcaster import db
from soulcaster.clustering.candidates import find_candidates, fit_frame, mend_candidates
from soulcaster.clustering.grouping import Grouping, group_items
from soulcaster.clustering.neighborhood import Neighborhood, describe, find_neighborhood
from soulcaster.db.clusters import load_run_input
from soulcaster.db.embedding import list_texts
from soulcaster.embedders.static import StaticEmbedder
from soulcaster.ingest import import_sample
from soulcaster.text import embedding_text

_ROUNDS = 3


def grouped(matrix: np.ndarray, texts: pl.DataFrame, around: Neighborhood) -> Grouping:
    """The grouping of these texts, one item each."""
    titles, bodies = texts["title"].to_list(), texts["body"].to_list()
    return group_items(
        matrix, np.arange(len(matrix)), titles=titles, bodies=bodies, min_similarity=0.5, around=around
    )  # fmt: skip


def check(texts: pl.DataFrame, searched_rows: int) -> tuple[Grouping, np.ndarray]:
    """Group 97 % of the texts, then three times one percent more; each time as from scratch. The last one."""
    matrix = StaticEmbedder().embed([embedding_text(*row) for row in texts.select("title", "body").iter_rows()])
    order = np.random.default_rng(2).permutation(len(matrix))
    size = [round(len(matrix) * (0.97 + 0.01 * round_)) for round_ in range(_ROUNDS + 1)]
    rows = np.sort(order[: size[0]])
    frame = fit_frame(matrix[rows], searched_rows=searched_rows)
    remembered = find_candidates(matrix[rows], frame)
    for round_ in range(1, _ROUNDS + 1):
        now = np.sort(order[round_ : size[round_]])  # one text goes as well
        place = np.searchsorted(now, rows)
        place[np.isin(rows, now, invert=True)] = -1
        remembered = mend_candidates(matrix[now], frame, remembered, place)
        rows = now

        mended = grouped(matrix[rows], texts[rows], describe(remembered))
        scratch = grouped(
            matrix[rows], texts[rows], describe(find_candidates(matrix[rows], frame))
        )  # fmt: skip

        for name, one, other in zip(Grouping._fields, mended, scratch, strict=True):
            assert np.array_equal(one, other), name
    return mended, matrix[rows]


@pytest.mark.shared_data
def test_one_more_percent_of_real_reports_gives_the_grouping_from_scratch(shared_data_dir):
    """Every label, theme, strength, reason and exemplar; and a frame fitted anew would not differ much."""
    texts = pl.read_parquet(shared_data_dir / "labelled_dup_openoffice" / "data.parquet", columns=["title", "body"])
    texts = texts.fill_null("").unique(maintain_order=True).head(2500)

    mended, matrix = check(texts, searched_rows=800)

    rows = np.random.default_rng(2).permutation(len(texts))[_ROUNDS : len(texts)]
    anew = grouped(matrix, texts[np.sort(rows)], find_neighborhood(matrix))
    assert adjusted_rand_score(mended.labels, anew.labels) > 0.75


def test_a_few_more_of_the_sample_give_the_grouping_from_scratch(settings):
    """The bundled sample, five texts at a time."""
    import_sample(settings, "default")
    given = db.read(settings.duckdb_path, lambda con: load_run_input(con, "default"))
    hashes = given.items["content_hash"].drop_nulls().unique(maintain_order=True).to_list()
    texts = db.read(settings.duckdb_path, lambda con: list_texts(con, hashes))

    mended, _ = check(texts, searched_rows=200)

    assert mended.labels.max() > 0
