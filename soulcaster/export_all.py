"""Everything of one project as plain files: every table, raw payloads, vectors, bundles of fixes, and a manifest.

Read from a copy of the store, so that nobody waits. What it holds needs nothing of ours to be read.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Literal

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import AwareDatetime, BaseModel, Field

from soulcaster import __version__, db, vector_index
from soulcaster.db import feedback, whole
from soulcaster.db.copying import copy_store
from soulcaster.db.embedding import list_content_hashes
from soulcaster.errors import PermanentError
from soulcaster.run_bundle import list_jobs, write_bundle
from soulcaster.settings import Settings

Format = Literal["parquet", "jsonl"]

_MOST_JOBS = 1_000_000


class ExportedFile(BaseModel):
    """One file of the folder."""

    n_rows: int | None = Field(description="None for a file that is no table.")
    n_bytes: int
    sha256: str


class ExportManifest(BaseModel):
    """What the folder holds; stands in it as manifest.json."""

    version: str = Field(description="Soulcaster that wrote it.")
    project: str
    made_at: AwareDatetime
    files: dict[str, ExportedFile]


class ExportAllReport(BaseModel):
    """What one export of everything wrote."""

    path: str
    n_files: int
    n_rows: int
    n_bytes: int


def export_all(
    settings: Settings,
    project_id: str,
    target: Path,
    *,
    file_format: Format = "parquet",
    on_progress: Callable[[int, int], None] | None = None,
) -> ExportAllReport:
    """Write the new folder `target`; it appears whole or not at all.

    Args:
        settings: whose home.
        project_id: whose data.
        target: must not exist yet.
        file_format: of the tables; vectors are Parquet in any case.
        on_progress: called with (tables written, tables).

    Raises:
        PermanentError: the folder is there or cannot be written, or there is no store.
        TransientError: the store is busy.
    """
    if target.exists():
        raise PermanentError(f"Exporting everything to {str(target)!r} expected a name nobody uses; name another one.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=".exporting-", dir=target.parent))
        try:
            manifest = _fill(settings, project_id, aside, file_format, on_progress)
            aside.rename(target)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        raise PermanentError(f"Exporting everything to {str(target)!r} failed: {error.strerror}.") from error
    files = manifest.files.values()
    return ExportAllReport(
        path=str(target),
        n_files=len(files),
        n_rows=sum(each.n_rows or 0 for each in files),
        n_bytes=sum(each.n_bytes for each in files),
    )


def _fill(
    settings: Settings,
    project_id: str,
    folder: Path,
    file_format: Format,
    on_progress: Callable[[int, int], None] | None,
) -> ExportManifest:
    made_at = datetime.now(UTC)
    counts: dict[str, int | None] = {}
    with tempfile.TemporaryDirectory(prefix=".copy-", dir=folder) as name:
        copy = Path(name) / "store.duckdb"
        copy_store(settings.duckdb_path, copy, timeout_seconds=settings.lock_timeout_seconds)
        hashes = db.read(copy, lambda con: list_content_hashes(con, project_id))
        tables = db.read(copy, whole.list_tables)
        for number, table in enumerate(tables):
            file = folder / f"{table}.{file_format}"
            counts[file.name] = db.read(copy, partial(_write_table, table=table, project_id=project_id, file=file))
            if on_progress is not None:
                on_progress(number + 1, len(tables))
    for model, batches in vector_index.read_all(settings.lancedb_path, hashes):
        file = folder / "vectors" / f"{model}.parquet"
        counts[f"vectors/{file.name}"] = _write_batches(file, batches)
    for job in list_jobs(settings, project_id, limit=_MOST_JOBS):
        counts[f"fixes/{job.job_id}.zip"] = None
        write_bundle(settings, project_id, job.job_id, folder / "fixes" / f"{job.job_id}.zip")
    files = {name: _described(folder / name, n_rows) for name, n_rows in counts.items()}
    manifest = ExportManifest(version=__version__, project=project_id, made_at=made_at, files=files)
    (folder / "manifest.json").write_text(manifest.model_dump_json(indent=1))
    return manifest


def _write_table(con: duckdb.DuckDBPyConnection, table: str, project_id: str, file: Path) -> int:
    rows = whole.read_table(con, table, project_id)
    batches = (_readable(batch) for batch in rows) if table == "payloads" else rows
    return _write_batches(file, batches, schema=_readable_schema(rows.schema) if table == "payloads" else rows.schema)


def _write_batches(file: Path, batches: Iterator[pa.RecordBatch], *, schema: pa.Schema | None = None) -> int:
    """Number of rows; an empty table is a file with its columns, as JSON lines an empty file."""
    file.parent.mkdir(exist_ok=True)
    n_rows = 0
    if file.suffix == ".jsonl":
        with file.open("wb") as out:
            for batch in batches:
                pl.DataFrame(pl.from_arrow(batch)).write_ndjson(out)
                n_rows += batch.num_rows
        return n_rows
    writer = pq.ParquetWriter(file, schema, compression="zstd") if schema is not None else None
    for batch in batches:
        writer = writer or pq.ParquetWriter(file, batch.schema, compression="zstd")
        writer.write_batch(batch)
        n_rows += batch.num_rows
    if writer is not None:
        writer.close()
    return n_rows


def _readable(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Raw payloads as the JSON that was received."""
    texts = [feedback.unpack(packed) for packed in batch.column("payload").to_pylist()]
    index = batch.schema.get_field_index("payload")
    return batch.set_column(index, "payload", pa.array(texts, type=pa.string()))


def _readable_schema(schema: pa.Schema) -> pa.Schema:
    return schema.set(schema.get_field_index("payload"), pa.field("payload", pa.string()))


def _described(path: Path, n_rows: int | None) -> ExportedFile:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return ExportedFile(n_rows=n_rows, n_bytes=path.stat().st_size, sha256=digest)
