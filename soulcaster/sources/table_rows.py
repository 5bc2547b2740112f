"""What a table reader hands on: chunks of rows, and the rows that could not be read with the reason."""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

MAX_ROW_BYTES = 128 * 1024 * 1024
"""The largest row that is parsed; longer ones are quarantined, so memory is bounded."""

CHUNK_ROWS = 50_000
CHUNK_CHARS = 48 * 1024 * 1024
"""A chunk ends at whichever comes first: it is cleaned and committed as a whole."""

EXCERPT_CHARS = 2_000
"""So much of an unreadable row is kept for the person who looks."""


@dataclass
class BadRow:
    """A row that could not be read: its number, a short reason, what was expected and got, the row as far as known."""

    row: int
    reason: str
    detail: str
    payload: str | None = None


@dataclass
class Rows:
    """One chunk of a table. `values` has a column a table column; `numbers` is each row's place in the file, from 1,
    `share` the part of the file read so far.
    """

    values: pl.DataFrame
    numbers: list[int]
    payloads: pl.Series
    bad: list[BadRow] = field(default_factory=list)
    share: float = 0.0


def as_json(values: pl.DataFrame) -> pl.Series:
    """Each row as a JSON object."""
    plain = []
    for name, dtype in values.schema.items():
        column = pl.col(name)
        if dtype == pl.Binary:
            column = column.bin.encode("base64")
        elif (
            not (dtype.is_numeric() or dtype.is_nested() or dtype in (pl.String, pl.Boolean, pl.Null))
            or dtype.is_decimal()
        ):
            column = column.cast(pl.String)
        plain.append(column)
    if not values.height:
        return pl.Series("payload", [], dtype=pl.String)
    return values.select(pl.struct(plain).struct.json_encode().alias("payload"))["payload"]
