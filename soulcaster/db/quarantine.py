"""What was held back: rows with their reason, kept until a person looks, and sent on when that person says so.

Every function takes a connection that is inside `db.read` or `db.write`. Ids are made of content: a rerun adds nothing.
"""

from __future__ import annotations

import json
import uuid
from datetime import datetime
from typing import Any

import duckdb
import polars as pl

from soulcaster.db.activity import add_activity
from soulcaster.db.feedback import UUID5, Counts, upsert_items
from soulcaster.errors import PermanentError
from soulcaster.items import CLEAN_COLUMNS, ITEM_SCHEMA, NAMESPACE, QUARANTINE_SCHEMA


def insert_quarantined(con: duckdb.DuckDBPyConnection, project_id: str, frame: pl.DataFrame, now: datetime) -> int:
    """How many rows of the frame (`QUARANTINE_SCHEMA`) were not known yet; those are stored, the others stay.

    The id is made of project, source, external id or place, reason and content: a rerun adds nothing, an edited text
    that is suspect again does.
    """
    if not frame.height:
        return 0
    _stage_quarantined(con, project_id, frame)
    added = con.sql(
        """
        SELECT count(*) FROM (SELECT DISTINCT quarantine_id FROM held)
        WHERE quarantine_id NOT IN (SELECT quarantine_id FROM quarantine)
        """
    ).fetchall()[0][0]
    con.execute(
        """
        MERGE INTO quarantine USING (
            SELECT * FROM held QUALIFY row_number() OVER (PARTITION BY quarantine_id ORDER BY position) = 1
        ) AS held
        ON quarantine.quarantine_id = held.quarantine_id
        WHEN NOT MATCHED THEN INSERT (quarantine_id, project_id, source, external_id, location, reason, detail, payload,
                item, quarantined_at, released_at, released_by)
            VALUES (held.quarantine_id, $project_id, held.source, held.external_id, held.location, held.reason,
                held.detail, held.payload, held.item, $now, NULL, NULL)
        """,
        {"project_id": project_id, "now": now},
    )
    con.execute("DROP TABLE held")
    return int(added)


def find_released(con: duckdb.DuckDBPyConnection, project_id: str, frame: pl.DataFrame) -> pl.Series:
    """Boolean a row of the frame (`QUARANTINE_SCHEMA`): a person has released this very text, so it is an item."""
    if not frame.height:
        return pl.Series("is_released", [], dtype=pl.Boolean)
    _stage_quarantined(con, project_id, frame)
    released = con.sql(
        """
        SELECT bool_or(quarantine.released_at IS NOT NULL) AS is_released
        FROM held LEFT JOIN quarantine ON quarantine.quarantine_id = held.quarantine_id
        GROUP BY held.position ORDER BY held.position
        """
    ).pl()["is_released"]
    con.execute("DROP TABLE held")
    return released.fill_null(value=False)


def list_held(con: duckdb.DuckDBPyConnection, project_id: str, *, limit: int) -> list[dict[str, Any]]:
    """Rows that wait in quarantine, newest first: quarantine_id, source, external_id, location, reason, detail, at."""
    return (
        con.sql(
            """
            SELECT CAST(quarantine_id AS VARCHAR) AS quarantine_id, source, external_id, location, reason, detail,
                quarantined_at
            FROM quarantine WHERE project_id = $project AND released_at IS NULL
            ORDER BY quarantined_at DESC, quarantine_id LIMIT $limit
            """,
            params={"project": project_id, "limit": limit},
        )
        .pl()
        .to_dicts()
    )


def find_held(con: duckdb.DuckDBPyConnection, project_id: str, prefix: str) -> uuid.UUID:
    """Id of the row in quarantine whose id is or begins with `prefix`, released or not.

    Raises:
        PermanentError: none or several do.
    """
    rows = con.execute(
        "SELECT quarantine_id FROM quarantine WHERE project_id = $project "
        "AND starts_with(CAST(quarantine_id AS VARCHAR), lower($prefix)) LIMIT 2",
        {"project": project_id, "prefix": prefix},
    ).fetchall()
    if len(rows) != 1 or not prefix:
        raise PermanentError(
            f"Looking for row {prefix!r} in the quarantine of project {project_id!r} expected one whose id begins so, "
            f"got {'several' if rows else 'none'}; see `soulcaster quarantine`."
        )
    found: uuid.UUID = rows[0][0]
    return found


def release(
    con: duckdb.DuckDBPyConnection, project_id: str, quarantine_id: uuid.UUID, *, actor: str, reason: str, now: datetime
) -> Counts:
    """Counts of sending one quarantined row on as if it had just come; who did it and why goes to the activity log.

    Raises:
        PermanentError: no such row waits, or it could not be read as an item, so there is nothing to send on.
    """
    rows = con.execute(
        """
        SELECT item, source, external_id, location, released_at FROM quarantine
        WHERE project_id = $1 AND quarantine_id = $2
        """,
        [project_id, quarantine_id],
    ).fetchall()
    if not rows or rows[0][4] is not None:
        got = "one that was released before" if rows else "none"
        raise PermanentError(f"Releasing {str(quarantine_id)!r} failed: expected a row that waits, got {got}.")
    item, source, external_id, location, _ = rows[0]
    if item is None:
        raise PermanentError(
            f"Releasing {str(quarantine_id)!r} failed: expected a readable item, got a broken row of {location!r}; "
            "mend it at its source and import it again."
        )
    counts = upsert_items(con, project_id, from_json(item), now)
    con.execute(
        "UPDATE quarantine SET released_at = $1, released_by = $2 WHERE quarantine_id = $3", [now, actor, quarantine_id]
    )
    detail = {"quarantine_id": str(quarantine_id), "source": source, "external_id": external_id}
    add_activity(
        con, project_id, actor=actor, action="release", subject=f"quarantine:{quarantine_id}", reason=reason,
        detail=detail, at=now,
    )  # fmt: skip
    return counts


def to_json(frame: pl.DataFrame) -> pl.Series:
    """Cleaned items (`ITEM_SCHEMA` + `CLEAN_COLUMNS`) as JSON, one string a row; `from_json` reads it back."""
    times = [name for name, dtype in ITEM_SCHEMA.items() if isinstance(dtype, pl.Datetime)]
    plain = frame.select(*ITEM_SCHEMA, *CLEAN_COLUMNS).with_columns(pl.col(times).dt.epoch("us"))
    return plain.select(pl.struct(pl.all()).struct.json_encode().alias("item"))["item"]


def from_json(item: str) -> pl.DataFrame:
    """The frame of one row that `to_json` wrote."""
    row = json.loads(item)
    schema = {**ITEM_SCHEMA, **CLEAN_COLUMNS}
    plain = {name: pl.Int64() if isinstance(dtype, pl.Datetime) else dtype for name, dtype in schema.items()}
    return pl.DataFrame([row], schema=plain).with_columns(
        pl.col(name).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
        for name, dtype in ITEM_SCHEMA.items()
        if isinstance(dtype, pl.Datetime)
    )


def _stage_quarantined(con: duckdb.DuckDBPyConnection, project_id: str, frame: pl.DataFrame) -> None:
    """Temporary table `held`: the frame's rows with position and quarantine id."""
    con.register("incoming", frame.select(*QUARANTINE_SCHEMA).with_row_index("position"))
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE held AS
        SELECT * EXCLUDE (digest), {UUID5} AS quarantine_id FROM (
            SELECT *, sha1(unhex($namespace) || encode(concat_ws('|', $project_id, source,
                coalesce(external_id, location), reason, md5(coalesce(item, payload, detail))))) AS digest
            FROM incoming
        )
        """,  # noqa: S608  a constant of ours, no data
        {"namespace": NAMESPACE.hex, "project_id": project_id},
    )
    con.unregister("incoming")
