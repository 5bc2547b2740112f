"""All recorded traffic into one store, and again: everything is counted, and the second round changes nothing."""

from __future__ import annotations

import random
from pathlib import Path

from soulcaster import db
from soulcaster.ingest import import_path, store_outcomes
from soulcaster.models import SOURCES, ImportReport, Outcome, Source
from soulcaster.settings import Settings
from soulcaster.sources.payloads import read_payloads
from soulcaster.sources.tabular import ColumnMap


def folders(shared_data_dir: Path) -> list[tuple[Path, Source]]:
    """Folders of recordings with the source they are of."""
    found = sorted(shared_data_dir.glob("payloads_*"))
    return [(folder, source) for folder in found for source in SOURCES if folder.name.split("_")[1] == source]


def distinct(settings: Settings) -> tuple[int, int]:
    """Items, and distinct ids among them."""
    query = "SELECT count(*), count(DISTINCT (source, external_id)) FROM items"
    return tuple(db.read(settings.duckdb_path, lambda con: con.sql(query).fetchall())[0])


def test_all_recorded_traffic_is_stored_once(settings, shared_data_dir):
    """Three sources, seven folders, one store; each file is stored, ignored or quarantined, and once."""
    rounds = []
    for _ in range(2):
        report = ImportReport()
        for folder, source in folders(shared_data_dir):
            report += import_path(settings, "default", folder, source, ColumnMap())
        rounds.append(report)
    first, second = rounds

    assert len(folders(shared_data_dir)) == 7
    assert distinct(settings) == (first.new, first.new)
    assert (second.new, second.changed, second.seen) == (0, 0, first.seen)
    assert (first.new > 4_500, sum(first.quarantined.values()) < 50) == (True, True)


def test_recordings_in_any_order_settle(settings, shared_data_dir):
    """Deliveries out of order: once all were seen, no order of them changes anything."""
    located: list[tuple[str, Outcome]] = [
        (where, outcome)
        for folder, source in folders(shared_data_dir)
        for where, outcomes in read_payloads(folder, source)
        for outcome in outcomes
    ]
    store_outcomes(settings, "default", located, is_archive=True)
    shuffle = random.Random(7).shuffle  # noqa: S311  no secret
    for _ in range(2):
        shuffle(located)
        again = store_outcomes(settings, "default", located, is_archive=True)
        assert (again.new, again.changed) == (0, 0)
