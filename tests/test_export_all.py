"""Everything of a project leaves the house: each table, payload and vector, and nothing that opens a door."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import grouping_store as made
import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from soulcaster.cli import app
from soulcaster.db import read, whole, write
from soulcaster.db.jobs import add_job
from soulcaster.errors import PermanentError
from soulcaster.export_all import ExportManifest, export_all
from soulcaster.fix_models import Job, JobDetail
from soulcaster.ingest import store_outcomes
from soulcaster.models import FeedbackItem

RAW = '{"raw": "as received"}'


@pytest.fixture
def full(settings):
    """Items with payloads and vectors in two projects, a job and a token."""
    own = settings.model_copy(update={"embedder": "static"})
    for project in (made.PROJECT, "other"):
        item = FeedbackItem(source="reddit", external_id="t3_1", title="=1+1", body="Broken, with\nlines", payload=RAW)
        store_outcomes(own, project, [("here", item)])
    hashes = [row[0] for row in made.query(own, "SELECT DISTINCT content_hash FROM items")]
    made.add_vectors(own, [*hashes, "f" * 64], np.eye(40)[:2] + 0.5)
    now = datetime.now(UTC)
    job = Job(job_id="j1", project_id=made.PROJECT, cluster_id="c", repository="o/r", status="failed", actor="me",
              created_at=now, changed_at=now)  # fmt: skip
    write(own.duckdb_path, lambda con: add_job(con, job, JobDetail()))
    token = "INSERT INTO access_tokens VALUES ('t', $1, 'n', 'viewer', 'canaryhash', now(), 'me', now(), NULL, NULL)"
    write(own.duckdb_path, lambda con: con.execute(token, [made.PROJECT]))
    return own


def column(path: Path, name: str = "project_id") -> pl.Series:
    """One column of a Parquet file."""
    return pl.read_parquet(path)[name]


def test_every_table_payload_and_vector_of_the_project_is_there(full, tmp_path):
    """Rows equal the store's, payloads are text again, another project's are absent, checksums hold."""
    target = tmp_path / "out" / "everything"
    report = export_all(full, made.PROJECT, target)

    manifest = ExportManifest.model_validate_json((target / "manifest.json").read_text())
    tables = read(full.duckdb_path, whole.list_tables)
    assert {f"{name}.parquet" for name in tables} <= set(manifest.files)
    for name in tables:
        rows = made.query(full, f'SELECT count(*) FROM "{name}" WHERE project_id = $1', made.PROJECT)  # noqa: S608
        assert (
            rows[0][0] == manifest.files[f"{name}.parquet"].n_rows == pl.read_parquet(target / f"{name}.parquet").height
        )
    assert [RAW] == column(target / "payloads.parquet", "payload").to_list()
    [vectors] = (target / "vectors").iterdir()
    assert (
        pl.read_parquet(vectors)["content_hash"].to_list()
        == pl.read_parquet(target / "items.parquet")["content_hash"].to_list()
    )
    assert "fixes/j1.zip" in manifest.files
    for name, told in manifest.files.items():
        content = (target / name).read_bytes()
        assert (told.n_bytes, told.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert report.n_files == len(manifest.files)
    assert [target] == list(target.parent.iterdir())


def test_nothing_that_opens_a_door_leaves_and_jsonl_holds_the_exact_words(full, tmp_path):
    """No hash of a token in any file; a text with a line break and a formula comes back as it was."""
    told = CliRunner().invoke(
        app, ["export-all", str(tmp_path / "all"), "--format", "jsonl", "--project", made.PROJECT, "--json"]
    )

    folder = Path(json.loads(told.stdout.splitlines()[-1])["path"])
    assert [] == [path.name for path in folder.rglob("*") if path.is_file() and b"canaryhash" in path.read_bytes()]
    [item] = map(json.loads, (folder / "items.jsonl").read_text().splitlines())
    assert ("=1+1", "Broken, with\nlines") == (item["title"], item["body"])
    with pytest.raises(PermanentError, match="nobody uses"):
        export_all(full, made.PROJECT, folder)
