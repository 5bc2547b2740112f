"""Items and their payloads: written idempotently from frames, inside one transaction.

Every function takes a connection that is inside `db.write`. Ids are deterministic, so a killed import that is started
again writes the same rows; `MERGE INTO` holds them single.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

import duckdb
import polars as pl
import zstandard

from soulcaster.db.sightings import merge_sightings
from soulcaster.items import CLEAN_COLUMNS, ITEM_SCHEMA, NAMESPACE

_ZSTD_LEVEL = 1
_COMPRESSING_THREADS = 2
_STORED = [name for name in (*ITEM_SCHEMA, *CLEAN_COLUMNS) if name != "payload"]
_VERSIONED = [name for name in _STORED if name not in ("title", "body", "notes", "language")]

# uuid5 as RFC 9562 defines it: SHA-1 over namespace and name, six bits replaced.
UUID5 = """
    CAST(digest[1:12] || '5' || digest[14:16] || CASE WHEN digest[17] IN ('0', '4', '8', 'c') THEN '8'
        WHEN digest[17] IN ('1', '5', '9', 'd') THEN '9' WHEN digest[17] IN ('2', '6', 'a', 'e') THEN 'a' ELSE 'b' END
        || digest[18:32] AS UUID)
"""
"""SQL for the id that a row's digest gives."""


class Counts(NamedTuple):
    """What became of the rows of one frame; their sum is its height."""

    new: int
    changed: int
    unchanged: int


class ItemCounts(NamedTuple):
    """Items of a project: all of them, and those first seen since some time."""

    total: int
    since: int


def count_items(con: duckdb.DuckDBPyConnection, project_id: str, *, since: datetime) -> ItemCounts:
    """Number of the project's items, and of those taken in since a time (aware)."""
    rows = con.execute(
        "SELECT count(*), count(*) FILTER (WHERE first_seen_at >= $2) FROM items WHERE project_id = $1",
        [project_id, since],
    ).fetchall()
    return ItemCounts(*rows[0])


def upsert_items(
    con: duckdb.DuckDBPyConnection, project_id: str, frame: pl.DataFrame, now: datetime, *, is_archive: bool = False
) -> Counts:
    """Counts of one frame (`ITEM_SCHEMA` + `CLEAN_COLUMNS`) written as if its rows came one after the other.

    A row whose content is the stored one changes nothing; one whose `updated_at` is older than the stored one neither.
    Where neither time tells, the later row wins; but out of an archive (`is_archive`), which says nothing of today, a
    version that another took the place of stays replaced, so that recordings in any order can be read again and again.
    Rows about one Sentry issue are put together first: `sightings` says how.
    """
    if not frame.height:
        return Counts(0, 0, 0)
    frame = merge_sightings(con, project_id, frame)
    _stage(con, project_id, frame)
    versions = con.sql(
        """
        SELECT staged.position, staged.item_id::VARCHAR AS item_id, staged.row_hash, staged.updated_at,
            items.row_hash AS stored_hash, items.updated_at AS stored_updated_at,
            $is_archive AND EXISTS (
                FROM superseded WHERE superseded.item_id = staged.item_id AND superseded.row_hash = staged.row_hash
            ) AS is_replaced
        FROM staged LEFT JOIN items ON items.item_id = staged.item_id ORDER BY staged.position
        """,
        params={"is_archive": is_archive},
    ).pl()
    new, changed, superseded, counts = _choose(versions)
    if len(new) + len(changed):
        _register_written(con, frame, new, changed)
        _write_items(con, project_id, now)
        _write_payloads(con, project_id, now)
        con.unregister("written")
    _remember(con, project_id, superseded)
    con.unregister("incoming")
    con.execute("DROP TABLE staged")
    return counts


def _stage(con: duckdb.DuckDBPyConnection, project_id: str, frame: pl.DataFrame) -> None:
    """View `incoming`: the frame's stored columns; temporary table `staged`: position, item id, row hash, version."""
    con.register("incoming", frame.select(*_STORED).with_row_index("position"))
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE staged AS
        SELECT position, updated_at, row_hash, {UUID5} AS item_id FROM (
            SELECT position, updated_at, {_row_hash(frame)} AS row_hash,
                sha1(unhex($namespace) || encode($project_id || '|' || source || '|' || external_id)) AS digest
            FROM incoming
        )
        """,  # noqa: S608  names of our own columns, no data
        {"namespace": NAMESPACE.hex, "project_id": project_id},
    )


def _row_hash(frame: pl.DataFrame) -> str:
    """SQL for a hash over what is versioned: 'name value' of each cell that is there, so empty columns cost nothing.

    Title and body are in it by their content hash and the title's length: together these tell where one ends.
    """
    parts = ["length(title)::VARCHAR"]
    for name in _VERSIONED:
        if frame[name].null_count() == frame.height:
            continue
        dtype = frame.schema[name]
        text = f'"{name}"::VARCHAR'
        if isinstance(dtype, pl.List):
            text = f'CASE WHEN len("{name}") > 0 THEN array_to_string("{name}", chr(30)) END'
        elif isinstance(dtype, pl.Datetime):
            text = f'epoch_us("{name}")::VARCHAR'
        parts.append(f"'{name} ' || {text}")
    return f"md5(concat_ws(chr(31), {', '.join(parts)}))"


def _choose(versions: pl.DataFrame) -> tuple[pl.Series, pl.Series, pl.DataFrame, Counts]:
    """Positions of the rows to insert and of those to update, one an item; what they supersede; counts of the frame."""
    is_doubled = versions["item_id"].is_duplicated()
    single = versions.filter(~is_doubled)
    is_new = pl.col("stored_hash").is_null()
    is_changed = (
        (pl.col("row_hash") != pl.col("stored_hash"))
        & (pl.col("updated_at") >= pl.col("stored_updated_at")).fill_null(value=True)
        & ~pl.col("is_replaced")
    )
    new = single.filter(is_new)["position"]
    updates = single.filter(~is_new & is_changed)
    changed = updates["position"]
    is_newer = (pl.col("updated_at") > pl.col("stored_updated_at")).fill_null(value=False)
    superseded = updates.filter(~is_newer).select("item_id", row_hash="stored_hash")
    replayed = _replay(versions.filter(is_doubled).iter_rows(named=True))
    new = pl.concat([new, pl.Series("position", replayed.new, dtype=new.dtype)])
    changed = pl.concat([changed, pl.Series("position", replayed.changed, dtype=new.dtype)])
    superseded = pl.concat([superseded, pl.DataFrame(replayed.superseded, schema=superseded.schema, orient="row")])
    n_changed = len(changed) + replayed.n_superseded
    return new, changed, superseded, Counts(len(new), n_changed, versions.height - len(new) - n_changed)


class _Replayed(NamedTuple):
    """Positions of the last accepted rows of new and of known items; how many accepted rows a later one replaced.

    `superseded`: item_id and row_hash of what was replaced by a row that does not say that it is newer.
    """

    new: list[int]
    changed: list[int]
    n_superseded: int
    superseded: list[tuple[str, str]]


def _replay(rows: Iterable[dict[str, Any]]) -> _Replayed:
    """What items that come more than once end as.

    Rows that end where the store already is have changed nothing, so that a file can be imported again and again.
    """
    stored: dict[str, str | None] = {}
    state: dict[str, tuple[str | None, datetime | None]] = {}
    winners: dict[str, int] = {}
    accepted: Counter[str] = Counter()
    superseded: list[tuple[str, str]] = []
    for row in rows:
        item_id = row["item_id"]
        stored.setdefault(item_id, row["stored_hash"])
        row_hash, updated_at = state.get(item_id, (row["stored_hash"], row["stored_updated_at"]))
        is_dated = updated_at is not None and row["updated_at"] is not None
        is_older = is_dated and row["updated_at"] < updated_at
        if row_hash != row["row_hash"] and not (is_older and row_hash is not None) and not row["is_replaced"]:
            if row_hash is not None and not (is_dated and row["updated_at"] > updated_at):
                superseded.append((item_id, row_hash))
            state[item_id] = (row["row_hash"], row["updated_at"])
            winners[item_id] = row["position"]
            accepted[item_id] += 1
    written = [item_id for item_id in winners if state[item_id][0] != stored[item_id]]
    return _Replayed(
        new=[winners[item_id] for item_id in written if stored[item_id] is None],
        changed=[winners[item_id] for item_id in written if stored[item_id] is not None],
        n_superseded=sum(accepted[item_id] - 1 for item_id in written),
        superseded=superseded,
    )


def _remember(con: duckdb.DuckDBPyConnection, project_id: str, superseded: pl.DataFrame) -> None:
    """Add to the versions that an archive does not bring back."""
    if superseded.is_empty():
        return
    con.register("replaced", superseded.unique())
    con.execute(
        """
        MERGE INTO superseded USING (SELECT item_id::UUID AS item_id, row_hash FROM replaced) AS chosen
        ON superseded.item_id = chosen.item_id AND superseded.row_hash = chosen.row_hash
        WHEN NOT MATCHED THEN INSERT (item_id, project_id, row_hash)
            VALUES (chosen.item_id, $project_id, chosen.row_hash)
        """,
        {"project_id": project_id},
    )
    con.unregister("replaced")


def _register_written(con: duckdb.DuckDBPyConnection, frame: pl.DataFrame, new: pl.Series, changed: pl.Series) -> None:
    """View `written`: position of each row to write, whether its item is new, its packed payload."""
    positions = pl.concat([new, changed])
    payloads = frame["payload"].gather(positions)
    packed: list[bytes | None] = [None] * len(payloads)
    given = payloads.is_not_null().arg_true()
    for index, payload in zip(given, _compressed(payloads.gather(given)), strict=True):
        packed[index] = payload
    is_new = pl.Series([True]).new_from_index(0, len(new)).append(pl.Series([False]).new_from_index(0, len(changed)))
    con.register(
        "written",
        pl.DataFrame({"position": positions, "is_new": is_new, "payload": pl.Series(packed, dtype=pl.Binary)}),
    )


def _write_items(con: duckdb.DuckDBPyConnection, project_id: str, now: datetime) -> None:
    """Known items by MERGE; the others, known to be absent in this same transaction, by the cheaper INSERT."""
    names = [*_STORED, "row_hash"]
    columns = ", ".join(f'"{name}"' for name in names)
    given = ", ".join(f'incoming."{name}"' for name in _STORED)
    updates = ", ".join(f'"{name}" = chosen."{name}"' for name in names)
    rows = "FROM incoming JOIN staged USING (position) JOIN written USING (position)"
    con.execute(
        f"""
        MERGE INTO items
        USING (SELECT staged.item_id, {given}, staged.row_hash {rows} WHERE NOT written.is_new) AS chosen
        ON items.item_id = chosen.item_id
        WHEN MATCHED THEN UPDATE SET {updates}, changed_at = $now
        """,
        {"now": now},
    )
    con.execute(
        f"""
        INSERT INTO items (item_id, project_id, {columns}, first_seen_at, changed_at)
        SELECT staged.item_id, $project_id, {given}, staged.row_hash, $now, $now {rows} WHERE written.is_new
        """,
        {"project_id": project_id, "now": now},
    )


def _write_payloads(con: duckdb.DuckDBPyConnection, project_id: str, now: datetime) -> None:
    """Raw payloads of the written rows, each its own zstd frame so that one can be read without the others."""
    con.execute(
        """
        MERGE INTO payloads USING (
            SELECT staged.item_id, written.payload FROM written JOIN staged USING (position)
            WHERE NOT written.is_new AND written.payload IS NOT NULL
        ) AS chosen
        ON payloads.item_id = chosen.item_id
        WHEN MATCHED THEN UPDATE SET payload = chosen.payload, stored_at = $now
        WHEN NOT MATCHED THEN INSERT (item_id, project_id, payload, stored_at)
            VALUES (chosen.item_id, $project_id, chosen.payload, $now)
        """,
        {"project_id": project_id, "now": now},
    )
    con.execute(
        """
        INSERT INTO payloads (item_id, project_id, payload, stored_at)
        SELECT staged.item_id, $project_id, written.payload, $now FROM written JOIN staged USING (position)
        WHERE written.is_new AND written.payload IS NOT NULL
        """,
        {"project_id": project_id, "now": now},
    )


def _compressed(texts: pl.Series) -> list[bytes]:
    if texts.is_empty():
        return []
    compressor = zstandard.ZstdCompressor(level=_ZSTD_LEVEL)
    packed = compressor.multi_compress_to_buffer(
        [text.encode() for text in texts.to_list()], threads=_COMPRESSING_THREADS
    )
    return [packed[index].tobytes() for index in range(len(packed))]


def get_payload(con: duckdb.DuckDBPyConnection, item_id: uuid.UUID) -> str | None:
    """The payload of an item as it was received, None when its source gave none or it has been forgotten."""
    rows = con.execute("SELECT payload FROM payloads WHERE item_id = $item_id", {"item_id": item_id}).fetchall()
    return unpack(rows[0][0]) if rows else None


def unpack(packed: bytes) -> str:
    """A stored payload as it was received."""
    return zstandard.ZstdDecompressor().decompress(packed).decode()


def has_item(con: duckdb.DuckDBPyConnection, project_id: str, source: str, external_id: str) -> bool:
    """Whether the project knows that item of the source."""
    found = con.execute(
        "SELECT 1 FROM items WHERE project_id = $project AND source = $source AND external_id = $id LIMIT 1",
        {"project": project_id, "source": source, "id": external_id},
    ).fetchall()
    return bool(found)
