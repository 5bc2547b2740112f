"""What the time between reports adds, from the tracker to the grouping."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from soulcaster import db
from soulcaster.clustering.features import measure_pairs
from soulcaster.clustering.grouping import group_items
from soulcaster.clustering.neighborhood import find_neighborhood
from soulcaster.clustering.quality import measure
from soulcaster.embed import embed_missing
from soulcaster.embedders.minilm import MiniLMEmbedder
from soulcaster.ingest import import_path
from soulcaster.recluster import recluster
from soulcaster.settings import Settings
from soulcaster.sources.tabular import ColumnMap

START = datetime(2024, 1, 1, tzinfo=UTC)
TITLES = (
    "Crash on export", "Crash while exporting a sheet", "Dark mode flickers", "Sync stops at night", "Cannot log in",
    "Font too small in the menu", "Search finds nothing", "Printing cuts the margin", "Import of CSV hangs",
    "Calendar shows last year", "Attachment is empty", "Battery drains quickly",
)  # fmt: skip


def test_days_between_two_texts_are_known_when_both_times_are():
    """Either way round, and unknown with one time missing."""
    matrix = np.eye(3, dtype=np.float32)

    pairs = measure_pairs(find_neighborhood(matrix), days=np.array([5.0, 2.0, np.nan]))

    assert pairs.left.tolist() == [0, 0, 1]
    assert pairs.days_apart.tolist()[0] == 3
    assert np.isnan(pairs.days_apart[1:]).all()


def test_the_same_reports_years_apart_are_less_surely_one_problem(tmp_path):
    """A store knows when its items were written, and grouping asks it."""
    settings = Settings(home=tmp_path)
    db.migrate(settings.duckdb_path)
    strongest = []
    for project, days in (("soon", 1), ("later", 3000)):
        written = [START + timedelta(days=250 * n) for n in range(len(TITLES))]
        written[1] = START + timedelta(days=days)
        rows = pl.DataFrame({"id": [str(n) for n in range(len(TITLES))], "title": TITLES, "created_at": written})
        rows.write_parquet(tmp_path / "reports.parquet")
        import_path(settings, project, tmp_path / "reports.parquet", "manual", ColumnMap())
        embed_missing(settings, project)
        recluster(settings, project)
        query = "SELECT max(membership_strength) FROM memberships WHERE project_id = $1"
        found = db.read(settings.duckdb_path, lambda con, p=project, q=query: con.execute(q, [p]).fetchone())
        strongest.append(found[0])

    assert strongest[0] > strongest[1]


@pytest.mark.shared_data
def test_times_of_a_tracker_help_to_find_its_duplicates(shared_data_dir):
    """Titles of one tracker, with the times that its reports carry and without."""
    frame = pl.read_parquet(shared_data_dir / "labelled_dup_openoffice" / "data.parquet")
    frame = frame.filter(pl.col("label").rank("dense") % 5 == 0)
    titles, truth = frame["title"].to_list(), frame["label"].rank("dense").cast(pl.Int64).to_numpy()
    days = (frame["created_at"].str.to_datetime(time_zone="UTC").dt.epoch("s") / 86_400).to_numpy()
    matrix = MiniLMEmbedder().embed(titles)

    with_times, without = (
        measure(
            group_items(
                matrix, np.arange(len(matrix)), titles=titles, bodies=[""] * len(titles), days=each, min_similarity=0.5
            ).labels,
            truth,
        )
        for each in (days, None)
    )

    assert with_times.pair_f1 > without.pair_f1 + 0.02
    assert with_times.bcubed_f1 > without.bcubed_f1
