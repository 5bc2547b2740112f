"""The run on show or any other as files for other tools: Parquet and JSONL exactly, CSV made safe for spreadsheets."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from soulcaster import db
from soulcaster.db.exports import load_clusters, load_table
from soulcaster.errors import PermanentError
from soulcaster.priority import explain
from soulcaster.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa

_FORMULA_START = r"\A[=+\-@\t\r]"
"""First characters that make a spreadsheet run a cell. Source: OWASP, "CSV Injection"."""


def export(settings: Settings, project_id: str, kind: str, output: Path, *, run: str | None = None) -> int:
    """Number of rows written to `output`, which is replaced in one step: a reader never sees half a file.

    Without a `run` the one on show; see `db.exports.load_table`.

    Raises:
        PermanentError: the file's ending is not .parquet, .csv or .jsonl, its folder cannot be written, or there is
            no such run.
    """
    if output.suffix not in {".parquet", ".csv", ".jsonl"}:
        raise PermanentError(f"Export to {str(output)!r}: expected a name ending in .parquet, .csv or .jsonl.")
    frame = _load(settings, project_id, kind, run)
    try:
        handle, name = tempfile.mkstemp(dir=output.parent or Path(), prefix=f".{output.name}.", suffix=output.suffix)
        os.close(handle)
        _write(frame, Path(name))
        Path(name).chmod(0o644)
        Path(name).replace(output)
    except OSError as error:
        raise PermanentError(f"Export to {str(output)!r} failed: {error.strerror}; check the folder.") from error
    return frame.height


def list_clusters(settings: Settings, project_id: str, limit: int, *, run: str | None = None) -> list[dict[str, Any]]:
    """The `limit` most urgent clusters of the run (None: the one on show) as dicts; empty when nothing is published.

    Columns of `export`, and `parts`: name, points, most and sentence of every part of the priority.
    """
    table, scored = db.read(
        settings.duckdb_path,
        lambda con: load_clusters(con, project_id, run),
        timeout_seconds=settings.lock_timeout_seconds,
    )
    rows = _framed(table).head(limit)
    shown = scored.filter(pl.col("cluster_id").is_in(rows["cluster_id"].implode()))
    parts = {row["cluster_id"]: [part._asdict() for part in explain(row)] for row in shown.iter_rows(named=True)}
    return [{**row, "parts": parts[row["cluster_id"]]} for row in rows.iter_rows(named=True)]


def _load(settings: Settings, project_id: str, kind: str, run: str | None) -> pl.DataFrame:
    table = db.read(
        settings.duckdb_path,
        lambda con: load_table(con, project_id, kind, run),
        timeout_seconds=settings.lock_timeout_seconds,
    )
    return _framed(table)


def _framed(table: pa.Table) -> pl.DataFrame:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)  # noqa: S101  a table never becomes a Series; tells the type checker
    return frame


def _write(frame: pl.DataFrame, path: Path) -> None:
    if path.suffix == ".parquet":
        frame.write_parquet(path, compression="zstd")
    elif path.suffix == ".jsonl":
        frame.write_ndjson(path)
    else:
        lists = [name for name, kind in frame.schema.items() if isinstance(kind, pl.List)]
        flat = frame.with_columns(pl.col(lists).list.join(", "))
        flat.with_columns(pl.col(pl.String).str.replace(_FORMULA_START, "'$0")).write_csv(path)
