"""Rows of CSV, JSON-lines and Parquet files in chunks of bounded memory, packed or not; broken rows apart.

Owns how a file is recognised, unpacked, decoded and cut into rows. What a column means is `tabular`'s business.
"""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal, cast

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from soulcaster.errors import PermanentError
from soulcaster.sources.fields import printable
from soulcaster.sources.table_csv import read_csv
from soulcaster.sources.table_rows import CHUNK_CHARS, CHUNK_ROWS, EXCERPT_CHARS, MAX_ROW_BYTES, BadRow, Rows, as_json

Kind = Literal["csv", "jsonl", "parquet"]

_HEAD_BYTES = 64 * 1024
_KINDS: dict[str, Kind] = {
    ".csv": "csv", ".tsv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".pq": "parquet",
}  # fmt: skip
_NAMES: dict[Kind, str] = {"csv": "CSV text", "jsonl": "JSON lines", "parquet": "Parquet"}
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"PAR1", "Parquet"),
    (b"PARE", "encrypted Parquet"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"%PDF", "a PDF"),
    (b"PK\x03\x04", "a ZIP archive or office document"),
    (b"\x1f\x8b", "gzip-packed bytes"),
    (b"\x28\xb5\x2f\xfd", "zstd-packed bytes"),
    (b"BZh", "bzip2-packed bytes"),
    (b"\xfd7zXZ", "xz-packed bytes"),
    (b"SQLite format 3", "an SQLite database"),
    (b"\xd0\xcf\x11\xe0", "an old office document"),
    (b"\xff\xfe", "UTF-16 text"),
    (b"\xfe\xff", "UTF-16 text"),
    (b"ARROW1", "an Arrow file"),
)
_CONTROLS = bytes(code for code in range(32) if code not in b"\t\n\v\f\r\x1b")
_UNPACKING_ERRORS = (OSError, EOFError, zlib.error, zstandard.ZstdError)


def find_kind(path: Path) -> Kind | None:
    """What the file's name says it is, None when the name says nothing we know."""
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    if suffixes and suffixes[-1] in (".gz", ".zst"):
        suffixes.pop()
    return _KINDS.get(suffixes[-1]) if suffixes else None


def sniff_kind(path: Path) -> Kind:
    """What the file is, by its name, else by its first bytes.

    Raises:
        PermanentError: the file is missing, empty, or not what its name says.
    """
    head = _head(path)
    got = _describe_head(head)
    named = find_kind(path)
    found: Kind | None = {"Parquet": "parquet", "JSON": "jsonl", "text": "csv"}.get(got)  # type: ignore[assignment]  # values are kinds
    if named is None and found is not None:
        return found
    if named is not None and found == named:
        return named
    expected = _NAMES[named] if named else "CSV text, JSON lines or Parquet"
    raise PermanentError(
        f"Reading {str(path)!r} failed: expected {expected}, got {got}; "
        "give the file the ending of what it is (.csv, .jsonl, .parquet), or export it anew."
    )


def read_rows(path: Path) -> Iterator[Rows]:
    """Chunks of the table in the file's order.

    Raises:
        PermanentError: the file is missing, empty, broken as a whole, or not what its name says.
    """
    kind = sniff_kind(path)
    try:
        if kind == "parquet":
            yield from _read_parquet(path)
            return
        with path.open("rb") as raw, _unpacked(raw, path) as stream:
            for rows in read_csv(stream, path) if kind == "csv" else _read_lines(stream):
                rows.share = raw.tell() / max(1, path.stat().st_size)
                yield rows
    except _UNPACKING_ERRORS as error:
        raise PermanentError(
            f"Reading {str(path)!r} failed: expected a whole file, got {type(error).__name__}: {error}; copy it again."
        ) from error


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as raw, _unpacked(raw, path) as stream:
            return stream.read(_HEAD_BYTES)
    except _UNPACKING_ERRORS as error:
        got = error.strerror if isinstance(error, OSError) and error.strerror else f"{type(error).__name__}: {error}"
        raise PermanentError(f"Reading {str(path)!r} failed: expected a readable file, got {got}; check it.") from error


def _describe_head(head: bytes) -> str:
    if not head.strip(b"\xef\xbb\xbf \t\r\n"):
        return "an empty file"
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start[:15].lower().startswith((b"<!doctype html", b"<html")):
        return "a web page"
    if start.startswith((b"{", b"[{", b"[\n", b"[ ", b"[]")):
        return "JSON"
    n_controls = len(head) - len(head.translate(None, _CONTROLS))
    return "binary data" if n_controls > len(head) // 10 else "text"


@contextmanager
def _unpacked(raw: BinaryIO, path: Path) -> Iterator[BinaryIO]:
    """The file's bytes, unpacked when its name ends in .gz or .zst."""
    suffix = path.suffix.lower()
    if suffix == ".gz":
        with gzip.open(raw, "rb") as stream:
            yield cast("BinaryIO", stream)
    elif suffix == ".zst":
        unpacker = zstandard.ZstdDecompressor(max_window_size=2**31)
        reader = unpacker.stream_reader(raw, read_across_frames=True)
        yield cast("BinaryIO", io.BufferedReader(cast("io.RawIOBase", reader), 1024 * 1024))
    else:
        yield raw


def _read_parquet(path: Path) -> Iterator[Rows]:
    try:
        file = pq.ParquetFile(path)
        first = 1
        if not file.schema_arrow.names:
            raise PermanentError(
                f"Reading {str(path)!r} failed: expected Parquet with columns, got none; export it anew."
            )
        for batch in file.iter_batches(batch_size=_batch_rows(file.metadata)):
            numbers = list(range(first, first + batch.num_rows))
            first += batch.num_rows
            rows = _parquet_rows(pa.Table.from_batches([batch]), numbers)
            rows.share = (first - 1) / file.metadata.num_rows
            yield rows
    except (pa.ArrowException, OSError) as error:
        raise PermanentError(
            f"Reading {str(path)!r} failed: expected Parquet, got {str(error).splitlines()[0][:200]}; export it anew."
        ) from error


def _batch_rows(metadata: pq.FileMetaData) -> int:
    """Rows of a chunk, fewer when rows are long: memory is bounded by bytes, not by rows."""
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    row_bytes = max((group.total_byte_size / max(1, group.num_rows) for group in groups), default=1)
    return int(min(CHUNK_ROWS, max(1, CHUNK_CHARS / max(1, row_bytes))))


def _parquet_rows(table: pa.Table, numbers: list[int]) -> Rows:
    """Rows of one batch; those whose text is not UTF-8 apart (Parquet files may carry it, Polars must not)."""
    bad: dict[int, BadRow] = {}
    for name in table.column_names:
        column = table.column(name)
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            try:
                column.validate(full=True)
            except pa.ArrowInvalid:
                for index, value in enumerate(column.cast(pa.large_binary()).to_pylist()):
                    if value is not None and not _is_utf8(value):
                        bad[index] = BadRow(
                            numbers[index], "not-utf8", f"expected UTF-8 in column {name!r}, got {value[:12]!r}"
                        )
    if bad:
        keep = [index for index in range(table.num_rows) if index not in bad]
        table, numbers = table.take(keep), [numbers[index] for index in keep]
    values = cast("pl.DataFrame", pl.from_arrow(table))
    return Rows(values, numbers, as_json(values), list(bad.values()))


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _read_lines(stream: BinaryIO) -> Iterator[Rows]:
    """Chunks of a file with one JSON object a line; blank lines are passed over."""
    number, chars = 0, 0
    objects: list[dict[str, object]] = []
    numbers: list[int] = []
    lines: list[str] = []
    bad: list[BadRow] = []
    while line := stream.readline(MAX_ROW_BYTES + 1):
        number += 1
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")  # only the first line can have the mark
        if not line.strip():
            continue
        got = _read_line(line, number, stream)
        if isinstance(got, BadRow):
            bad.append(got)
        else:
            text, record = got
            objects.append(record)
            numbers.append(number)
            lines.append(text)
            chars += len(text)
        if len(objects) + len(bad) >= CHUNK_ROWS or chars >= CHUNK_CHARS:
            yield Rows(_objects_frame(objects), numbers, pl.Series("payload", lines, dtype=pl.String), bad)
            objects, numbers, lines, bad, chars = [], [], [], [], 0
    if objects or bad:
        yield Rows(_objects_frame(objects), numbers, pl.Series("payload", lines, dtype=pl.String), bad)


def _read_line(line: bytes, number: int, stream: BinaryIO) -> tuple[str, dict[str, object]] | BadRow:
    if len(line) > MAX_ROW_BYTES:
        while line and not line.endswith(b"\n"):
            line = stream.readline(1024 * 1024)
        return BadRow(number, "too-large", f"expected at most {MAX_ROW_BYTES // 1024**2} MB in one line, got more")
    try:
        text = line.decode().strip()
    except UnicodeDecodeError as error:
        got = line[error.start : error.start + 8]
        return BadRow(
            number, "not-utf8", f"expected UTF-8, got {got!r}", line.decode("utf-8", "replace")[:EXCERPT_CHARS]
        )
    try:
        record = json.loads(text)
    except RecursionError:
        return BadRow(number, "too-deep", "expected JSON of ordinary depth, got deeper nesting", text[:EXCERPT_CHARS])
    except ValueError as error:
        what = error.msg if isinstance(error, json.JSONDecodeError) else "a number too long"
        detail = f"expected one JSON object, got {text[:60]!r} ({what})"
        return BadRow(number, "broken-json", detail, text[:EXCERPT_CHARS])
    if not isinstance(record, dict):
        return BadRow(number, "broken-json", f"expected one JSON object, got {text[:60]!r}", text[:EXCERPT_CHARS])
    return text, record


def _objects_frame(objects: list[dict[str, object]]) -> pl.DataFrame:
    """A String column for every key that occurs; numbers, booleans and lists as their JSON."""
    names = list(dict.fromkeys(name for each in objects for name in each))
    columns = [
        pl.Series(printable(name), [_as_text(each.get(name)) for each in objects], dtype=pl.String) for name in names
    ]
    return pl.DataFrame({column.name: column for column in columns})


def _as_text(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, str):
        return value if value.isascii() else printable(value)
    return json.dumps(value)
