"""The published run as files for other tools: Parquet and JSONL exactly, CSV made safe for spreadsheets."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import polars as pl

from soulcaster import db
from soulcaster.db.exports import load_table
from soulcaster.errors import PermanentError
from soulcaster.settings import Settings

_FORMULA_START = r"\A[=+\-@\t\r]"
"""First characters that make a spreadsheet run a cell. Source: OWASP, "CSV Injection"."""


def export(settings: Settings, project_id: str, kind: str, output: Path) -> int:
    """Number of rows written to `output`, which is replaced in one step: a reader never sees half a file.

    Raises:
        PermanentError: the file's ending is not .parquet, .csv or .jsonl, or its folder cannot be written.
    """
    if output.suffix not in {".parquet", ".csv", ".jsonl"}:
        raise PermanentError(f"Export to {str(output)!r}: expected a name ending in .parquet, .csv or .jsonl.")
    frame = _load(settings, project_id, kind)
    try:
        handle, name = tempfile.mkstemp(dir=output.parent or Path(), prefix=f".{output.name}.", suffix=output.suffix)
        os.close(handle)
        _write(frame, Path(name))
        Path(name).chmod(0o644)
        Path(name).replace(output)
    except OSError as error:
        raise PermanentError(f"Export to {str(output)!r} failed: {error.strerror}; check the folder.") from error
    return frame.height


def list_clusters(settings: Settings, project_id: str, limit: int) -> list[dict[str, Any]]:
    """The `limit` largest clusters of the published run as dicts, largest first; empty when nothing is published."""
    return _load(settings, project_id, "clusters").head(limit).to_dicts()


def _load(settings: Settings, project_id: str, kind: str) -> pl.DataFrame:
    table = db.read(
        settings.duckdb_path,
        lambda con: load_table(con, project_id, kind),
        timeout_seconds=settings.lock_timeout_seconds,
    )
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
