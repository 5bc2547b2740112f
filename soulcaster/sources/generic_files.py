"""Files of a service that a mapping reads: payloads, or tables whose rows are the records."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from soulcaster.models import Outcome, Quarantined, Source
from soulcaster.sources.generic import parse_payload
from soulcaster.sources.mapping import ServiceMapping
from soulcaster.sources.payloads import list_files, read_payload_file
from soulcaster.sources.table_files import find_kind, read_rows


def read_mapped(path: Path, mapping: ServiceMapping) -> Iterator[tuple[str, list[Outcome]]]:
    """Where it stood and what became of it, for each payload or row of a file or of all files of a folder.

    Raises:
        PermanentError: a table is not what its name says.
    """
    for file in list_files(path):
        yield from read_file(path, file, mapping)


def read_file(
    path: Path, file: Path, source: Source | ServiceMapping, *, n_skipped: int = 0
) -> Iterator[tuple[str, list[Outcome]]]:
    """As `read_mapped`, of one file that `list_files(path)` found; so many lines or rows are passed over.

    What a parser of ours reads has no tables here: their columns are the business of `tabular`.

    Raises: as `read_mapped`.
    """
    is_inside = file == path or file.resolve().is_relative_to(path.resolve())
    if isinstance(source, ServiceMapping) and is_inside and file.is_file() and find_kind(file) in ("csv", "parquet"):
        for position, row in enumerate(_read_table(file, source)):
            if position >= n_skipped:
                yield row
    else:
        yield from read_payload_file(path, file, source, n_skipped=n_skipped)


def _read_table(file: Path, mapping: ServiceMapping) -> Iterator[tuple[str, list[Outcome]]]:
    for rows in read_rows(file):
        for number, payload in zip(rows.numbers, rows.payloads, strict=True):
            yield f"{file.name}:{number}", list(parse_payload(json.loads(payload), mapping))
        for bad in rows.bad:
            detail = f"{file.name} row {bad.row}: {bad.detail}; mend the row and import the file again."
            yield f"{file.name}:{bad.row}", [Quarantined(reason=bad.reason, detail=detail, payload=bad.payload)]
