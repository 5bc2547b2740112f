"""Tables of feedback (CSV, JSON lines, Parquet; packed or not) to raw item frames, chunk by chunk.

Owns what a column means: named by the caller, else guessed by its name. A row that cannot be an item is handed on with
the reason; the others are kept. Opens nothing but the file it is given.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from soulcaster.errors import PermanentError
from soulcaster.items import ITEM_SCHEMA, QUARANTINE_SCHEMA
from soulcaster.models import Source
from soulcaster.sources.table_files import read_rows
from soulcaster.sources.table_rows import BadRow, Rows
from soulcaster.sources.table_times import parse_times

_MAX_ID_CHARS = 512
_PAYLOAD_CHARS = 1_000_000
_REDDIT = "https://www.reddit.com"

_TITLES = ("title", "subject", "summary", "headline")
_TEXTS = (
    *("body", "selftext", "description", "details", "text", "feedback", "comment", "message", "content", "review"),
    *("review_text", "comment_text", "feedback_text", "question", "tweet", "note"),
)
_IDS = ("id", "external_id", "feedback_id", "item_id", "issue_id", "ticket_id", "review_id", "uuid", "key")
_TIMES = ("created_at", "created_utc", "created", "date", "timestamp", "time", "datetime", "submitted_at", "posted_at")
_GUESSES: dict[str, tuple[str, ...]] = {
    "author": ("author", "user", "username", "user_name", "login", "reporter"),
    "url": ("permalink", "html_url", "web_url", "url", "link"),
    "channel": ("channel", "subreddit", "repository", "repo"),
    "labels": ("labels", "tags", "link_flair_text"),
    "release": ("release", "version"),
    "state_reason": ("state_reason", "resolution"),
    **{name: (name,) for name in ("duplicate_of", "source_group", "exception_type", "culprit", "environment", "level")},
}
_STATES = ("state", "status")
_CLOSED = ("closed", "resolved", "fixed", "done", "verified", "wontfix", "duplicate", "ignored", "archived")
_GONE = {"[removed]": "removed", "[deleted]": "deleted"}


class ColumnMap(BaseModel):
    """Which column of a table is what; None is guessed from the names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str | None = Field(None, description="Column with the source's own id.")
    text: str | None = Field(None, description="Column with the whole text; excludes title and body.")
    title: str | None = Field(None, description="Column with the title.")
    body: str | None = Field(None, description="Column with the body.")
    time: str | None = Field(None, description="Column with the time of creation.")
    author: str | None = Field(None, description="Column with the author.")
    url: str | None = Field(None, description="Column with the address.")
    label: str | None = Field(None, description="Column with the true group; read by evaluations only.")


@dataclass(frozen=True)
class TableBatch:
    """One chunk of a table.

    Attributes:
        frame: raw items, `ITEM_SCHEMA` and `location`.
        quarantined: rows that cannot be items, `QUARANTINE_SCHEMA`.
        labels: String, one a row of `frame`: the label column, null where there is none.
        share: part of the file's bytes read so far, 0 to 1; 0 when unknown.
        n_outside: rows that were taken out of `frame` because nobody asked for their time.
    """

    frame: pl.DataFrame
    quarantined: pl.DataFrame
    labels: pl.Series
    share: float
    n_outside: int = 0

    @property
    def n_rows(self) -> int:
        """Rows of the file this chunk accounts for."""
        return self.frame.height + self.quarantined.height + self.n_outside


def read_table(path: Path, source: Source, columns: ColumnMap) -> Iterator[TableBatch]:
    """Chunks of the file in its order; memory is bounded, whatever the file's size.

    Without an id column the id is a hash of the words and, from the second time on, how often they came in this file.

    Raises:
        PermanentError: the file is missing, empty, not what its name says, or has not the column that was named.
    """
    names: dict[str, str | None] | None = None
    seen: dict[str, int] = {}
    for rows in read_rows(path):
        if names is None and rows.values.width:
            names = _resolve(rows.values.columns, source, columns, path)
        yield _batch(rows, names or {}, source, path.name, seen)


def _resolve(present: list[str], source: Source, columns: ColumnMap, path: Path) -> dict[str, str | None]:
    """For each role the column of the file that plays it, None when none does."""
    by_lower = {name.strip().lower(): name for name in reversed(present)}

    def guess(candidates: tuple[str, ...]) -> str | None:
        return next((by_lower[name] for name in candidates if name in by_lower), None)

    for role, name in columns.model_dump().items():
        if name is not None and name not in present:
            raise PermanentError(
                f"Reading {str(path)!r} failed: expected a column {name!r} for the {role}, "
                f"got {_listed(present)}; name one of these with --{role}-column."
            )
    title, body = columns.title, columns.body or columns.text
    if title is None and body is None:
        title, body = guess(_TITLES), guess(_TEXTS)
        if title is None and body is None and len(present) == 1:
            body = present[0]
    if title is None and body is None:
        raise PermanentError(
            f"Reading {str(path)!r} failed: expected a column with text (such as title, body, text), "
            f"got {_listed(present)}; name it with --text-column, or --title-column and --body-column."
        )
    guessed_ids = ("name", *_IDS) if source == "reddit" else (*_IDS, *(("number",) if source == "github" else ()))
    names = {role: guess(candidates) for role, candidates in _GUESSES.items()}
    names |= {
        "title": title,
        "body": body,
        "id": columns.id or guess(guessed_ids),
        "time": columns.time or guess(_TIMES),
    }
    names |= {"author": columns.author or names["author"], "url": columns.url or names["url"], "label": columns.label}
    names |= {"updated_at": guess(("updated_at",)), "closed_at": guess(("closed_at",)), "state": guess(_STATES)}
    names |= {"event_count": guess(("event_count",)), "user_count": guess(("user_count",))}
    # The id of an issue is its place, as our GitHub reader has it; a bare number would collide between repositories.
    names["number"] = guess(("number",)) if source == "github" and columns.id is None and names["channel"] else None
    return names


def _listed(names: list[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:30])
    return f"the columns {shown}{', …' if len(names) > 30 else ''}"  # noqa: PLR2004  enough for a sentence


def _batch(
    rows: Rows, names: dict[str, str | None], source: Source, file_name: str, seen: dict[str, int]
) -> TableBatch:
    bad = list(rows.bad)
    values = rows.values.with_columns(
        pl.Series("\0row", rows.numbers, dtype=pl.Int64), rows.payloads.alias("\0payload")
    )
    times = {role: _times(values, name, bad) for role, name in names.items() if role in ("time", "updated_at")}
    title, body = _text(values, names.get("title")), _text(values, names.get("body"))
    frame = pl.DataFrame(
        {
            "source": pl.Series([source], dtype=pl.String).new_from_index(0, values.height),
            "external_id": _ids(values, names, title, body, seen),
            "title": title,
            "body": body,
            "created_at": times.get("time", pl.Series([None] * values.height, dtype=ITEM_SCHEMA["created_at"])),
            "updated_at": times.get("updated_at", pl.Series([None] * values.height, dtype=ITEM_SCHEMA["updated_at"])),
            **{role: _text(values, names.get(role)) for role in _GUESSES if role != "labels"},
            "labels": _labels(values, names.get("labels")),
            "state": _states(values, names, body),
            "event_count": _counts(values, names.get("event_count")).fill_null(1),
            "user_count": _counts(values, names.get("user_count")),
            "payload": values["\0payload"],
            "\0row": values["\0row"],
        }
    )
    for row, external_id in (
        frame.filter(pl.col("external_id").str.len_chars() > _MAX_ID_CHARS).select("\0row", "external_id").iter_rows()
    ):
        bad.append(
            BadRow(row, "bad-id", f"expected an id of at most {_MAX_ID_CHARS} characters, got {external_id[:40]!r}…")
        )
    is_good = ~frame["\0row"].is_in([each.row for each in bad])
    labels = _text(values, names.get("label")).filter(is_good)
    quarantined = _quarantined(bad, frame, source, file_name)
    return TableBatch(_finished(frame.filter(is_good), source, file_name), quarantined, labels, rows.share)


def _finished(frame: pl.DataFrame, source: Source, file_name: str) -> pl.DataFrame:
    """Columns no table has, addresses made whole, places named; in the order of `ITEM_SCHEMA`."""
    is_gone = pl.col("body").str.strip_chars().is_in(list(_GONE)) & (pl.lit(source) == "reddit")
    is_relative = pl.col("url").str.starts_with("/") & (pl.lit(source) == "reddit")
    frame = frame.with_columns(
        trust=pl.lit("anonymous"),
        frames=pl.lit([], dtype=pl.List(pl.String)),
        body=pl.when(is_gone).then(pl.lit("")).otherwise("body"),
        url=pl.when(is_relative).then(pl.lit(_REDDIT) + pl.col("url")).otherwise("url"),
        updated_at=pl.coalesce("updated_at", "created_at"),
        location=pl.lit(f"{file_name}:") + pl.col("\0row").cast(pl.String),
    )
    return frame.select(*(pl.col(name).cast(dtype) for name, dtype in ITEM_SCHEMA.items()), "location")


def _text(values: pl.DataFrame, name: str | None) -> pl.Series:
    """The column as text, null where it is absent or empty."""
    if name is None or name not in values.columns:
        return pl.Series([None], dtype=pl.String).new_from_index(0, values.height)
    column = values[name]
    if column.dtype == pl.Binary:
        column = pl.Series([value and value.decode("utf-8", "replace") for value in column], dtype=pl.String)
    elif column.dtype.is_nested():
        column = values.select(pl.struct(name).struct.json_encode().alias(name))[name]
    text = column.cast(pl.String)
    return text.set(text == "", None)


def _ids(
    values: pl.DataFrame, names: dict[str, str | None], title: pl.Series, body: pl.Series, seen: dict[str, int]
) -> pl.Series:
    """The id each row has, else one of its words: 'text-' and a hash, from the second time on with '-2', '-3' ..."""
    ids = _text(values, names.get("id")).str.strip_chars()
    if (number := names.get("number")) is not None:
        places = pl.DataFrame({"id": ids, "place": _text(values, names["channel"]), "number": _text(values, number)})
        ids = places.select(pl.coalesce(pl.col("place") + "#" + pl.col("number"), "id")).to_series()
    missing = (ids.is_null() | (ids == "").fill_null(value=False)).arg_true()
    made = []
    for words, more in zip(title.gather(missing).fill_null(""), body.gather(missing).fill_null(""), strict=True):
        text_id = "text-" + hashlib.sha256(f"{words}\n\n{more}".encode()).hexdigest()[:32]
        count = seen[text_id] = seen.get(text_id, 0) + 1
        made.append(text_id if count == 1 else f"{text_id}-{count}")
    return ids.scatter(missing, made) if made else ids


def _times(values: pl.DataFrame, name: str | None, bad: list[BadRow]) -> pl.Series:
    """The column as UTC times; rows whose value is none go to `bad`."""
    if name is None or name not in values.columns:
        return pl.Series([None] * values.height, dtype=ITEM_SCHEMA["created_at"])
    column = values[name]
    times = parse_times(column)
    written = column.cast(pl.String).str.strip_chars() if not column.dtype.is_nested() else _text(values, name)
    unread = (times.is_null() & written.is_not_null() & (written != "")).arg_true()
    for index in unread:
        got = repr(written[index][:40])
        detail = f"expected a time of 1970 to 2100 in column {name!r}, got {got}"
        bad.append(BadRow(values["\0row"][index], "bad-time", detail, values["\0payload"][index]))
    return times


def _counts(values: pl.DataFrame, name: str | None) -> pl.Series:
    counts = _text(values, name).cast(pl.Int64, strict=False)
    return counts.set(counts < 0, None)


def _labels(values: pl.DataFrame, name: str | None) -> pl.Series:
    """Lists of labels, written as a list, as JSON or Python list, or joined by ',', ';', ':' or '|'."""
    if name is not None and name in values.columns and values[name].dtype == pl.List(pl.String):
        return values[name].fill_null([])
    text = _text(values, name).fill_null("")
    separated = (
        text.str.strip_chars("[] ").str.replace_all(r"[\"']?\s*[,;|]\s*[\"']?|:", "\x1f").str.strip_chars("\"' ")
    )
    return separated.str.split("\x1f").list.eval(pl.element().filter(pl.element() != ""))


def _states(values: pl.DataFrame, names: dict[str, str | None], body: pl.Series) -> pl.Series:
    frame = pl.DataFrame(
        {
            "state": _text(values, names.get("state")).str.to_lowercase(),
            "closed": _text(values, names.get("closed_at")),
            "body": body,
        }
    )
    state = pl.col("state")
    return frame.select(
        pl.coalesce(
            pl.col("body").str.strip_chars().replace_strict(list(_GONE), list(_GONE.values()), default=None),
            pl.when(state.is_in(["removed", "deleted"])).then(state),
            pl.when(state.is_in(_CLOSED)).then(pl.lit("closed")),
            pl.when(state.is_null() & pl.col("closed").is_not_null()).then(pl.lit("closed")),
            pl.lit("open"),
        ).alias("state")
    )["state"]


def _quarantined(bad: list[BadRow], frame: pl.DataFrame, source: Source, file_name: str) -> pl.DataFrame:
    """One row for each unusable row of the file, whatever number of reasons it has."""
    first = {each.row: each for each in reversed(bad)}
    known = {
        row: (external_id, payload)
        for row, external_id, payload in frame.select("\0row", "external_id", "payload")
        .filter(pl.col("\0row").is_in(list(first)))
        .iter_rows()
    }
    rows = []
    for row in sorted(first):
        each = first[row]
        external_id, payload = known.get(row, (None, each.payload))
        rows.append(
            {
                "source": source,
                "external_id": external_id and external_id[:_MAX_ID_CHARS],
                "location": f"{file_name}:{row}",
                "reason": each.reason,
                "detail": f"{file_name} row {row}: {each.detail}; mend the row and import the file again.",
                "payload": payload and payload[:_PAYLOAD_CHARS],
                "item": None,
            }
        )
    return pl.DataFrame(rows, schema=QUARANTINE_SCHEMA)
