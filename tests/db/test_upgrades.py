"""Stores that earlier versions made are brought up to date with all that their users saw; newer ones are left alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import zstandard

from soulcaster import db
from soulcaster.embed import embed_missing
from soulcaster.errors import PermanentError
from soulcaster.export import export
from soulcaster.recluster import recluster

OLD = Path(__file__).parents[1] / "upgrades"
VERSIONS = sorted(path.name.removesuffix(".json") for path in OLD.glob("*.json"))


@pytest.fixture
def home(settings, monkeypatch):
    """Settings over an empty home, with the embedder the old stores were made with."""
    monkeypatch.setenv("SOULCASTER_EMBEDDER", "static")
    settings.duckdb_path.unlink()
    return settings.model_copy(update={"embedder": "static"})


def unpack(version: str, path: Path) -> dict[str, dict[str, str | None]]:
    """Put the old store at `path`; what its user saw."""
    path.write_bytes(zstandard.decompress((OLD / f"{version}.duckdb.zst").read_bytes()))
    seen: dict[str, dict[str, str | None]] = json.loads((OLD / f"{version}.json").read_text())
    return seen


def columns(path: Path) -> set[tuple[str, str, str]]:
    """Every column of every table and view, with its type."""
    return set(
        db.read(
            path,
            lambda con: con.execute(
                "SELECT table_name, column_name, data_type FROM information_schema.columns"
            ).fetchall(),
        )
    )


def shown(home, tmp_path) -> dict[str, str | None]:
    """Cluster of every item, as exported."""
    out = tmp_path / "items.jsonl"
    export(home, "default", "items", out)
    return {row["item_id"]: row["cluster_id"] for row in map(json.loads, out.read_text().splitlines())}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_store_of_an_earlier_version_shows_the_same_items_in_the_same_clusters(home, tmp_path, version):
    """Nothing is lost or moved by the upgrade, and its schema is that of a store made today."""
    seen = unpack(version, home.duckdb_path)
    fresh = tmp_path / "fresh.duckdb"
    db.migrate(fresh)

    db.migrate(home.duckdb_path)

    assert columns(fresh) == columns(home.duckdb_path)
    assert seen["items"] == shown(home, tmp_path)
    titles = db.read(
        home.duckdb_path, lambda con: con.execute("SELECT cluster_id::VARCHAR, title FROM clusters").fetchall()
    )
    assert seen["clusters"].items() <= dict(titles).items()


@pytest.mark.parametrize("version", VERSIONS)
def test_the_next_grouping_of_an_upgraded_store_keeps_what_people_said(home, tmp_path, version):
    """Two clusters that a person merged in the old version are one in the new version's own run too."""
    seen = unpack(version, home.duckdb_path)
    db.migrate(home.duckdb_path)
    merged = db.read(
        home.duckdb_path,
        lambda con: con.execute("SELECT item_id::VARCHAR FROM edit_constraints").fetchall(),
    )
    assert len({seen["items"][item] for (item,) in merged}) == 1

    embed_missing(home, "default")
    report = recluster(home, "default")

    assert len(seen["items"]) == report.n_items
    after = shown(home, tmp_path)
    assert len({after[item] for (item,) in merged}) == 1


def test_a_store_that_a_newer_version_changed_is_refused_and_left_as_it_is(home):
    """Who was not updated says so in a sentence, and neither writes nor guesses."""
    db.migrate(home.duckdb_path)
    db.write(
        home.duckdb_path,
        lambda con: con.execute("INSERT INTO schema_migrations VALUES ('9999_tomorrow.sql', now())"),
    )

    with pytest.raises(
        PermanentError, match=r"needs a newer Soulcaster than .*'9999_tomorrow\.sql'.*update and restart"
    ):
        db.migrate(home.duckdb_path)
    with pytest.raises(PermanentError, match=r"'9999_tomorrow\.sql'"):
        db.read(home.duckdb_path, lambda con: db.check_schema(con, home.duckdb_path))


def test_a_worker_says_which_command_brings_an_older_store_up_to_date(home):
    """A store that was not migrated yet is not worked on with statements it cannot answer."""
    unpack(VERSIONS[0], home.duckdb_path)

    with pytest.raises(PermanentError, match="run `soulcaster migrate` once"):
        db.read(home.duckdb_path, lambda con: db.check_schema(con, home.duckdb_path))
