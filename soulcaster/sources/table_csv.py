"""Records of CSV files as people export them: ragged rows, stray quotes and foreign bytes cost one row each."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import polars as pl

from soulcaster.errors import PermanentError
from soulcaster.sources.fields import printable
from soulcaster.sources.table_rows import CHUNK_CHARS, CHUNK_ROWS, EXCERPT_CHARS, MAX_ROW_BYTES, BadRow, Rows, as_json


class _Lines:
    """Lines of a text stream that remembers those of the current record, so that a broken record can be read again."""

    def __init__(self, stream: io.TextIOWrapper) -> None:
        self._stream = stream
        self._again: list[str] = []
        self.record: list[str] = []
        self.has_ended = False

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._again.pop() if self._again else self._stream.readline(MAX_ROW_BYTES)
        if not line:
            self.has_ended = True
            raise StopIteration
        self.record.append(line)
        return line

    def push_back(self, lines: list[str]) -> None:
        """Give these lines out again before the stream goes on."""
        self._again.extend(reversed(lines))


def read_csv(stream: BinaryIO, path: Path) -> Iterator[Rows]:
    """Chunks of a CSV file; ragged and undecodable rows apart. A stray quote costs its own line, not the file."""
    csv.field_size_limit(max(csv.field_size_limit(), MAX_ROW_BYTES))
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
    try:
        yield from _read_text(_Lines(text), path)
    finally:
        text.detach()  # the stream is the caller's to close


def _read_text(lines: _Lines, path: Path) -> Iterator[Rows]:
    delimiter = _delimiter(next(lines, ""))
    lines.push_back(lines.record)
    lines.record = []
    header = [printable(name).strip() for name in next(csv.reader(lines, delimiter=delimiter), [])]
    _check_header(header, path)
    number, chars = 0, 0
    good: list[list[str]] = []
    numbers: list[int] = []
    bad: list[BadRow] = []
    for got in _records(lines, delimiter, len(header)):
        number += 1
        if isinstance(got, list):
            good.append(got)
            numbers.append(number)
            chars += sum(map(len, got))
        else:
            bad.append(BadRow(number, *got))
        if len(good) + len(bad) >= CHUNK_ROWS or chars >= CHUNK_CHARS:
            yield _csv_rows(header, good, numbers, bad)
            good, numbers, bad, chars = [], [], [], 0
    if good or bad or not number:
        yield _csv_rows(header, good, numbers, bad)


def _delimiter(first_line: str) -> str:
    return max(",;\t|", key=first_line.count)


def _check_header(header: list[str], path: Path) -> None:
    doubled = {name for name in header if header.count(name) > 1}
    if doubled or not any(header):
        got = f"{min(doubled)!r} more than once" if doubled else "no names"
        raise PermanentError(
            f"Reading {str(path)!r} failed: expected a first line of different names, got {got}; mend that line."
        )


def _records(lines: _Lines, delimiter: str, width: int) -> Iterator[list[str] | tuple[str, str, str]]:
    """Cells of each record, or (reason, detail, excerpt) of one that has not `width` cells."""
    reader = csv.reader(lines, delimiter=delimiter)
    while True:
        lines.record = []
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield "broken-row", f"expected a CSV record, got {error}", "".join(lines.record)[:EXCERPT_CHARS]
            reader = csv.reader(lines, delimiter=delimiter)
            continue
        if cells is None:
            return
        if not cells:
            continue
        if len(cells) > width and not any(cells[width:]):
            cells = cells[:width]
        # Only an open quote makes the reader ask for more after the last line.
        if len(cells) == width and not lines.has_ended:
            yield cells
            continue
        first = lines.record[0]
        if len(lines.record) > 1:
            lines.push_back(lines.record[1:])
            lines.has_ended = False
            reader = csv.reader(lines, delimiter=delimiter)
            yield "broken-row", "expected a closing quote in the same row, got none", first[:EXCERPT_CHARS]
        elif len(cells) == width:
            yield "broken-row", "expected a closing quote, got the end of the file", first[:EXCERPT_CHARS]
        else:
            yield "ragged-row", f"expected {width} cells, got {len(cells)}", first[:EXCERPT_CHARS]


def _csv_rows(header: list[str], rows: list[list[str]], numbers: list[int], bad: list[BadRow]) -> Rows:
    try:
        values = _cells_frame(header, rows)
    except UnicodeEncodeError:
        keep = []
        for index, cells in enumerate(rows):
            joined = ",".join(cells)
            broken = next((char for char in joined if "\ud800" <= char <= "\udfff"), None)
            if broken is None:
                keep.append(index)
            else:
                shown = joined.encode("utf-8", "surrogateescape").decode("utf-8", "replace")[:EXCERPT_CHARS]
                got = bytes([ord(broken) - 0xDC00])
                bad.append(BadRow(numbers[index], "not-utf8", f"expected UTF-8, got the byte {got!r}", shown))
        values = _cells_frame(header, [rows[index] for index in keep])
        numbers = [numbers[index] for index in keep]
    for each in bad:
        each.payload = each.payload and each.payload.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return Rows(values, numbers, as_json(values), bad)


def _cells_frame(header: list[str], rows: list[list[str]]) -> pl.DataFrame:
    columns = zip(*rows, strict=True) if rows else [()] * len(header)
    return pl.DataFrame(
        {name: pl.Series(name, column, dtype=pl.String) for name, column in zip(header, columns, strict=True)}
    )
