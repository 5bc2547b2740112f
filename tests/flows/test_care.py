"""The flows that keep the house on a real Prefect server: backup, retention, erasures that were begun."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from flows.backup import backup
from flows.erase import erase
from flows.retain import RetainParams, retain
from soulcaster import db
from soulcaster.backup import read_manifest
from soulcaster.db import erasure
from soulcaster.ingest import store_outcomes
from soulcaster.models import FeedbackItem
from soulcaster.settings import Settings

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("prefect_server")]


@pytest.fixture
def full(settings: Settings) -> Settings:
    """One item with a payload that came before its author's erasure was begun, as after a restored backup."""
    said = FeedbackItem(source="reddit", external_id="t3_1", title="Broken login", author="canary", payload="{}")
    store_outcomes(settings, "default", [("here", said)])
    db.write(
        settings.duckdb_path,
        lambda con: erasure.open_mark(
            con, "default", erasure.make_mark(con, "default", "reddit", "canary"), actor="me", now=datetime.now(UTC)
        ),
    )
    return settings


def test_backups_follow_the_settings_and_without_a_folder_there_is_none(
    full: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Nothing is made without a folder; with one the newest stay."""
    assert backup() is None
    monkeypatch.setenv("SOULCASTER_BACKUP_FOLDER", str(tmp_path / "backups"))
    monkeypatch.setenv("SOULCASTER_BACKUP_KEEP", "1")

    first, second = backup(), backup()

    assert first is not None
    assert second is not None
    assert 1 == second.n_removed == read_manifest(Path(second.path)).rows["items"]
    assert [Path(second.path)] == list((tmp_path / "backups").iterdir())
    assert full.home.is_dir()


def test_retention_only_counts_unless_told_otherwise_and_erasures_end(full: Settings, monkeypatch: pytest.MonkeyPatch):
    """The form's default deletes nothing, the schedule's does; the flow `erase` needs no name to end what was begun."""
    monkeypatch.setenv("SOULCASTER_KEEP_PAYLOADS_DAYS", "0.0000001")

    assert (1, 1, 0) == (retain().payloads, retain(RetainParams(dry_run=False)).payloads, retain().payloads)
    assert (1, 0) == (erase(), erase())
    rows = db.read(full.duckdb_path, lambda con: con.execute("SELECT title, author FROM items").fetchall())
    assert "canary" not in str(rows)
    assert b"canary" not in full.duckdb_path.read_bytes()
