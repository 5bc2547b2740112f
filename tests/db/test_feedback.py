"""Items, payloads, quarantine and activity as rows of a real DuckDB file."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from soulcaster import db, items
from soulcaster.db import feedback, quarantine
from soulcaster.db.feedback import Counts
from soulcaster.errors import PermanentError
from soulcaster.items import ITEM_SCHEMA, QUARANTINE_SCHEMA, to_frame
from soulcaster.models import FeedbackItem
from soulcaster.text import clean

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def frame(*rows: dict[str, Any]) -> pl.DataFrame:
    """Cleaned items, a default for whatever a row does not say."""
    made = [FeedbackItem(**{"source": "manual", "external_id": "a", "body": "some words", **row}) for row in rows]
    return clean(to_frame(made), max_body_chars=20_000)[0]


def upsert(
    settings, rows: pl.DataFrame, now: datetime = NOW, project: str = "default", *, is_archive: bool = False
) -> Counts:
    """One committed write."""
    return db.write(
        settings.duckdb_path, lambda con: feedback.upsert_items(con, project, rows, now, is_archive=is_archive)
    )


def table(settings, name: str) -> list[dict[str, Any]]:
    """All rows of a table."""
    return db.read(settings.duckdb_path, lambda con: con.table(name).pl()).to_dicts()


def held_row(**values: Any) -> pl.DataFrame:
    """A frame with one quarantined row."""
    row = {"source": "manual", "external_id": "q", "location": "f:1", "reason": "spam", "detail": "why", "item": None}
    return pl.DataFrame([{**row, "payload": "{}", **values}], schema=QUARANTINE_SCHEMA)


def test_a_second_write_of_the_same_rows_changes_nothing(settings):
    """Idempotence, and ids as `items.item_id` makes them."""
    rows = frame({"external_id": "a|é"}, {"external_id": "b", "labels": ["x"], "created_at": NOW})

    assert upsert(settings, rows) == Counts(2, 0, 0)
    before = table(settings, "items")
    assert upsert(settings, rows, NOW + timedelta(days=1)) == Counts(0, 0, 2)

    assert table(settings, "items") == before
    assert {row["item_id"] for row in before} == {
        str(items.item_id("default", "manual", "a|é")),
        str(items.item_id("default", "manual", "b")),
    }


@pytest.mark.parametrize(
    "edit",
    [
        {"body": "other words"},
        {"title": "new"},
        {"state": "closed"},
        {"labels": ["bug"]},
        {"url": "http://x"},
        {"event_count": 7},
        {"updated_at": NOW},
    ],
)
def test_an_edit_of_any_column_is_a_change_of_that_row_only(settings, edit):
    """What is stored is the new row; first_seen_at stays."""
    upsert(settings, frame({}, {"external_id": "b"}))

    assert upsert(settings, frame(edit, {"external_id": "b"}), NOW + timedelta(days=1)) == Counts(0, 1, 1)

    a, b = sorted(table(settings, "items"), key=lambda row: row["external_id"])
    assert {name: a[name] for name in edit} == edit
    assert (a["first_seen_at"], a["changed_at"]) == (NOW, NOW + timedelta(days=1))
    assert b["changed_at"] == NOW


def test_cells_do_not_run_into_each_other_in_the_hash(settings):
    """('ab', 'c') and ('a', 'bc') are different rows."""
    upsert(settings, frame({"title": "ab", "body": "c d"}))

    assert upsert(settings, frame({"title": "a", "body": "bc d"})) == Counts(0, 1, 0)


def test_an_older_version_never_overwrites(settings):
    """Polls overlap and webhooks arrive late."""
    upsert(settings, frame({"body": "new words", "updated_at": NOW}))

    assert upsert(settings, frame({"body": "old words", "updated_at": NOW - timedelta(hours=1)})) == Counts(0, 0, 1)
    assert table(settings, "items")[0]["body"] == "new words"


def test_doubled_rows_in_a_frame_count_as_if_they_came_one_after_the_other(settings):
    """New, unchanged, changed, too old: in this order."""
    rows = frame(
        {"body": "one word", "updated_at": NOW},
        {"body": "one word", "updated_at": NOW},
        {"body": "two words", "updated_at": NOW + timedelta(hours=1)},
        {"body": "old words", "updated_at": NOW - timedelta(hours=1)},
        {"external_id": "b"},
    )

    assert upsert(settings, rows) == Counts(2, 1, 2)
    assert [row["body"] for row in table(settings, "items") if row["external_id"] == "a"] == ["two words"]
    assert upsert(settings, rows.tail(2)) == Counts(0, 0, 2)


def test_doubled_rows_that_end_where_the_store_is_change_nothing(settings):
    """A file with several rows of one id can be imported again and again."""
    rows = frame({"body": "one word"}, {"body": "two words"})
    upsert(settings, rows)
    before = table(settings, "items")

    assert upsert(settings, rows, NOW + timedelta(days=1)) == Counts(0, 0, 2)
    assert table(settings, "items") == before


def test_projects_do_not_share_items(settings):
    """The same id in another project is another item."""
    upsert(settings, frame({}), project="one")

    assert upsert(settings, frame({}), project="two") == Counts(1, 0, 0)


def test_an_empty_frame_is_nothing(settings):
    """Zero rows, zero counts."""
    assert upsert(settings, frame({}).clear()) == Counts(0, 0, 0)


def test_payloads_come_back_as_they_were_received_and_follow_changes(settings):
    """Packed in the table, whole when read; one an item."""
    upsert(settings, frame({"payload": '{"v": 1, "é": "' + "x" * 10_000 + '"}'}, {"external_id": "b"}))
    upsert(settings, frame({"payload": '{"v": 2}', "body": "edited words"}))

    def read(external_id: str) -> str | None:
        item_id = items.item_id("default", "manual", external_id)
        return db.read(settings.duckdb_path, lambda con: feedback.get_payload(con, item_id))

    assert read("a") == '{"v": 2}'
    assert read("b") is None
    assert len(table(settings, "payloads")) == 1


def test_quarantined_rows_are_stored_once(settings):
    """A rerun adds nothing; another text under the same id does."""

    def insert(rows: pl.DataFrame) -> int:
        return db.write(settings.duckdb_path, lambda con: quarantine.insert_quarantined(con, "default", rows, NOW))

    assert insert(pl.concat([held_row(), held_row()])) == 1
    assert insert(held_row()) == 0
    assert insert(held_row(payload='{"edited": true}')) == 1
    assert insert(held_row(external_id=None, location="f:2")) == 1
    assert len(table(settings, "quarantine")) == 3


def test_release_sends_the_item_on_and_tells_who_and_why(settings):
    """The item is new, the row is marked, the log has the actor."""
    rows = frame({"external_id": "q", "created_at": NOW, "labels": ["x"], "frames": ["m:f"], "event_count": 3})
    item = quarantine.to_json(rows)[0]
    held = held_row(item=item)
    db.write(settings.duckdb_path, lambda con: quarantine.insert_quarantined(con, "default", held, NOW))
    quarantine_id = uuid.UUID(table(settings, "quarantine")[0]["quarantine_id"])

    def release(con: Any) -> Counts:
        return quarantine.release(con, "default", quarantine_id, actor="mo", reason="is honest", now=NOW)

    assert db.write(settings.duckdb_path, release) == Counts(1, 0, 0)
    [stored] = table(settings, "items")
    assert {name: stored[name] for name in ("created_at", "labels", "frames", "event_count")} == {
        "created_at": NOW, "labels": ["x"], "frames": ["m:f"], "event_count": 3,
    }  # fmt: skip
    [row] = table(settings, "quarantine")
    assert (row["released_at"], row["released_by"]) == (NOW, "mo")
    [activity] = table(settings, "activity")
    assert (activity["actor"], activity["action"], activity["reason"]) == ("mo", "release", "is honest")
    assert db.read(settings.duckdb_path, lambda con: quarantine.find_released(con, "default", held).to_list()) == [True]
    with pytest.raises(PermanentError, match="released before"):
        db.write(settings.duckdb_path, release)


def test_a_row_that_is_no_item_cannot_be_released(settings):
    """The message says what to do instead."""
    db.write(settings.duckdb_path, lambda con: quarantine.insert_quarantined(con, "default", held_row(), NOW))
    quarantine_id = uuid.UUID(table(settings, "quarantine")[0]["quarantine_id"])

    with pytest.raises(PermanentError, match="broken row of 'f:1'; mend it at its source"):
        db.write(
            settings.duckdb_path,
            lambda con: quarantine.release(con, "default", quarantine_id, actor="mo", reason="x", now=NOW),
        )


def test_items_survive_the_way_to_json_and_back():
    """Every column, also lists, times and nulls."""
    rows = frame(
        {"title": "té", "created_at": NOW, "labels": ["a", "b"], "payload": '{"x": [1]}'}, {"external_id": "b"}
    )

    back = pl.concat([quarantine.from_json(item) for item in quarantine.to_json(rows)])

    assert back.select(*ITEM_SCHEMA).equals(rows.select(*ITEM_SCHEMA))


def test_recordings_that_replace_each_other_change_nothing_when_they_are_read_again(settings):
    """Two versions that do not say which is newer, in one chunk or several, in any order: the second round is still."""
    first, second = frame({"labels": ["x"]}), frame({"labels": ["y"]})
    rounds = [[first, second], [first, second], [second, first], [pl.concat([second, first, second, first])]]
    counts = [upsert(settings, each, is_archive=True) for rows in rounds for each in rows]

    assert counts[:2] == [Counts(1, 0, 0), Counts(0, 1, 0)]
    assert {(each.new, each.changed) for each in counts[2:]} == {(0, 0)}
    assert table(settings, "items")[0]["labels"] == ["y"]


def test_what_comes_from_the_source_itself_may_become_again_what_it_was(settings):
    """A post that was removed and approved again is shown: only archives tell of the past."""
    for labels in (["x"], ["y"], ["x"]):
        last = upsert(settings, frame({"labels": labels}))

    assert (last, table(settings, "items")[0]["labels"]) == (Counts(0, 1, 0), ["x"])


def test_versions_that_say_when_they_are_of_need_no_memory(settings):
    """An issue edited a thousand times leaves nothing behind but itself."""
    for day in range(3):
        upsert(settings, frame({"labels": [str(day)], "updated_at": NOW + timedelta(days=day)}))

    assert table(settings, "superseded") == []
