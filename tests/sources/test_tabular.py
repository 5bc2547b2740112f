"""Tables to raw item frames: formats, guesses of columns, times, ids."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
import zstandard

from soulcaster.errors import PermanentError
from soulcaster.items import ITEM_SCHEMA, QUARANTINE_SCHEMA
from soulcaster.models import Source
from soulcaster.sources.table_rows import CHUNK_ROWS
from soulcaster.sources.table_times import parse_times
from soulcaster.sources.tabular import ColumnMap, read_table

ROWS = [
    {"id": "a1", "title": "Crash", "body": "It crashes, often", "created_at": "2024-05-01T10:00:00Z", "author": "mo"},
    {"id": "a2", "title": "Slow", "body": 'Line one\nline "two"', "created_at": "2024-05-02T10:00:00Z", "author": ""},
]


def read(path: Path, source: Source = "manual", **columns: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """All items and all quarantined rows of a file."""
    batches = list(read_table(path, source, ColumnMap(**columns)))
    return pl.concat([each.frame for each in batches]), pl.concat([each.quarantined for each in batches])


def write(path: Path, text: str | bytes) -> Path:
    """The path, now a file with this content."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def written(folder: Path, ending: str) -> Path:
    """`ROWS` as a file of the given kind."""
    table, path = pl.DataFrame(ROWS), folder / f"rows{ending}"
    kind = ending.removesuffix(".gz").removesuffix(".zst")
    if kind == ".parquet":
        table.write_parquet(path)
        return path
    if kind in (".csv", ".tsv"):
        text = table.write_csv(separator="\t" if kind == ".tsv" else ",")
    else:
        text = "".join(json.dumps(row) + "\n" for row in ROWS)
    if ending.endswith(".gz"):
        return write(path, gzip.compress(text.encode()))
    return write(path, zstandard.compress(text.encode()) if ending.endswith(".zst") else text)


@pytest.mark.parametrize(
    "ending", [".csv", ".tsv", ".csv.gz", ".csv.zst", ".jsonl", ".ndjson", ".jsonl.gz", ".jsonl.zst", ".parquet"]
)
def test_every_format_gives_the_same_items(tmp_path, ending):
    """CSV, JSON lines and Parquet, packed or not, are one table."""
    items, held = read(written(tmp_path, ending))

    assert held.is_empty()
    assert items.select("external_id", "title", "body", "author").rows() == [
        ("a1", "Crash", "It crashes, often", "mo"),
        ("a2", "Slow", 'Line one\nline "two"', None),
    ]
    assert items["created_at"][0] == datetime(2024, 5, 1, 10, tzinfo=UTC)
    assert items["location"].to_list() == [f"rows{ending}:1", f"rows{ending}:2"]
    assert json.loads(items["payload"][0]) == ROWS[0]
    assert items.drop("location").schema == pl.Schema(ITEM_SCHEMA)
    assert held.schema == pl.Schema(QUARANTINE_SCHEMA)


def test_a_file_without_ending_is_told_by_its_content(tmp_path):
    """Downloads often come without a name that says what they are."""
    for ending in (".csv", ".jsonl", ".parquet"):
        path = written(tmp_path, ending)
        bare = path.rename(tmp_path / f"download-{ending[1:]}-")
        assert read(bare)[0].height == 2


@pytest.mark.parametrize("delimiter", [";", "|", "\t"])
def test_other_delimiters_are_seen(tmp_path, delimiter):
    """Spreadsheets of half of Europe write semicolons."""
    path = write(tmp_path / "x.csv", f"id{delimiter}text\n1{delimiter}a, b\n")

    assert read(path)[0].select("external_id", "body").rows() == [("1", "a, b")]


def test_a_byte_order_mark_belongs_to_no_column(tmp_path):
    """Excel writes one."""
    assert read(write(tmp_path / "x.csv", b"\xef\xbb\xbfid,text\n7,hello\n"))[0]["external_id"].to_list() == ["7"]
    assert read(write(tmp_path / "x.jsonl", b'\xef\xbb\xbf{"id": 7, "text": "hello"}\n'))[0][
        "external_id"
    ].to_list() == ["7"]


@pytest.mark.parametrize(
    ("header", "title", "body"),
    [
        ("text", None, "0"),
        ("ID,Feedback", None, "1"),
        ("title,selftext,url", "0", "1"),
        ("summary,description", "0", "1"),
        ("id,text,label,title,body", "3", "4"),
        ("subject,when", "0", None),
        ("remarks", None, "0"),
    ],
)
def test_text_columns_are_guessed_by_name(tmp_path, header, title, body):
    """Title and body before a joined text; a lone column is the text."""
    cells = ",".join(str(number) for number in range(header.count(",") + 1))

    row = read(write(tmp_path / "x.csv", f"{header}\n{cells}\n"))[0].row(0, named=True)

    assert (row["title"], row["body"]) == (title, body)


def test_named_columns_win_over_guesses(tmp_path):
    """`--text-column` and its like are taken at their word."""
    path = write(tmp_path / "x.csv", "id,title,body,note,nr,when,who,where\n1,t,b,the note,9,2024-01-02,me,http://x\n")

    row = read(path, text="note", id="nr", time="when", author="who", url="where")[0].row(0, named=True)

    assert (row["external_id"], row["title"], row["body"]) == ("9", None, "the note")
    assert (row["author"], row["url"], row["created_at"].date()) == ("me", "http://x", date(2024, 1, 2))


def test_an_unknown_column_is_refused_with_the_columns_the_file_has(tmp_path):
    """One sentence: file, expected, got, next step."""
    path = write(tmp_path / "x.csv", "id,remark,when\n1,a,b\n")

    with pytest.raises(PermanentError, match=r"x\.csv.*expected a column 'words' for the text.*'id', 'remark', 'when'"):
        read(path, text="words")
    with pytest.raises(PermanentError, match=r"x\.csv.*expected a column with text.*'remark'.*--text-column"):
        read(path)


def test_well_known_extra_columns_are_used(tmp_path):
    """State, channel, labels, versions and addresses come along."""
    table = pl.DataFrame(
        {
            "repo": ["o/r", "o/r"],
            "number": [5, 6],
            "title": ["a", "b"],
            "state": ["closed", "open"],
            "state_reason": ["not_planned", None],
            "labels": ["['bug', 'ui']", "x:y"],
            "updated_at": [datetime(2024, 1, 3, tzinfo=UTC), None],
            "created_at": [datetime(2024, 1, 1), datetime(2024, 1, 2)],  # noqa: DTZ001  a column without zone
            "html_url": ["https://g/5", None],
        }
    )
    table.write_parquet(tmp_path / "x.parquet")

    first, second = read(tmp_path / "x.parquet", "github")[0].rows(named=True)

    assert (first["external_id"], second["external_id"]) == ("o/r#5", "o/r#6")
    assert (first["state"], first["state_reason"], first["channel"]) == ("closed", "not_planned", "o/r")
    assert (first["labels"], second["labels"]) == (["bug", "ui"], ["x", "y"])
    assert first["updated_at"] == datetime(2024, 1, 3, tzinfo=UTC)
    assert second["updated_at"] == second["created_at"] == datetime(2024, 1, 2, tzinfo=UTC)
    assert first["url"] == "https://g/5"


def test_reddit_tables_share_their_ids_and_states_with_the_api(tmp_path):
    """Fullnames are the ids, permalinks are made whole, removed text is a state."""
    one = {"id": "x1", "name": "t3_x1", "title": "a", "selftext": "words", "permalink": "/r/s/x1", "url": "http://o"}
    two = {"id": "x2", "name": "t3_x2", "title": "b", "selftext": "[removed]", "permalink": "/r/s/x2", "url": ""}
    rows = [one, two]
    path = write(tmp_path / "x.jsonl", "".join(json.dumps(row) + "\n" for row in rows))

    items = read(path, "reddit")[0]

    assert items["external_id"].to_list() == ["t3_x1", "t3_x2"]
    assert items["url"][0] == "https://www.reddit.com/r/s/x1"
    assert items.select("state", "body").rows() == [("open", "words"), ("removed", "")]


def test_rows_without_an_id_are_known_by_their_words_and_their_turn(tmp_path):
    """The same file gives the same ids every time; equal rows stay apart."""
    path = write(tmp_path / "x.csv", "text\nsame\nother\nsame\n")

    first, second = (read(path)[0]["external_id"].to_list() for _ in range(2))

    assert first == second
    assert len(set(first)) == 3
    assert first[2] == f"{first[0]}-2"


def test_an_empty_id_is_like_none(tmp_path):
    """A hole in the id column does not make all holes one item."""
    ids = read(write(tmp_path / "x.csv", "id,text\n,a\n,b\n3,c\n"))[0]["external_id"].to_list()

    assert ids[2] == "3"
    assert len(set(ids)) == 3
    assert ids[0].startswith("text-")


def test_large_tables_come_in_chunks_with_places_that_go_on(tmp_path):
    """No chunk holds more rows than its limit, whatever the file's size."""
    n_rows = CHUNK_ROWS + 5
    path = write(tmp_path / "x.csv", "id,text\n" + "".join(f"{number},words\n" for number in range(n_rows)))

    batches = list(read_table(path, "manual", ColumnMap()))

    assert [batch.n_rows for batch in batches] == [CHUNK_ROWS, 5]
    assert batches[1].frame["location"][0] == f"x.csv:{CHUNK_ROWS + 1}"
    assert 0 < batches[0].share <= 1


def test_the_label_column_comes_beside_the_items(tmp_path):
    """Evaluations read it; items do not hold it."""
    [batch] = read_table(write(tmp_path / "x.csv", "text,group\na,g1\nb,\n"), "manual", ColumnMap(label="group"))

    assert batch.labels.to_list() == ["g1", None]


@pytest.mark.parametrize(
    ("written_as", "expected"),
    [
        ("2024-05-01T10:00:00Z", datetime(2024, 5, 1, 10, tzinfo=UTC)),
        ("2024-05-01T10:00:00.123456+02:00", datetime(2024, 5, 1, 8, 0, 0, 123456, tzinfo=UTC)),
        ("2015-02-24 11:35:52 -0800", datetime(2015, 2, 24, 19, 35, 52, tzinfo=UTC)),
        ("2024-05-01 10:00", datetime(2024, 5, 1, 10, tzinfo=UTC)),
        ("2024/5/1", datetime(2024, 5, 1, tzinfo=UTC)),
        ("20240501", datetime(2024, 5, 1, tzinfo=UTC)),
        ("1714557600", datetime(2024, 5, 1, 10, tzinfo=UTC)),
        ("1714557600.5", datetime(2024, 5, 1, 10, 0, 0, 500000, tzinfo=UTC)),
        ("1714557600000", datetime(2024, 5, 1, 10, tzinfo=UTC)),
        ("Wed, 01 May 2024 10:00:00 GMT", datetime(2024, 5, 1, 10, tzinfo=UTC)),
        ("20000-01-01", None),
        ("2024-02-30", None),
        ("yesterday", None),
        ("999999999999999999999", None),
        ("1500-01-01", None),
        ("", None),
    ],
)
def test_times_are_read_as_people_write_them(written_as, expected):
    """ISO with and without zone, dates, epochs, mail dates; nonsense is null."""
    assert parse_times(pl.Series([written_as])).to_list() == [expected]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pl.Series([1714557600]), datetime(2024, 5, 1, 10, tzinfo=UTC)),
        (pl.Series([1714557600000.0]), datetime(2024, 5, 1, 10, tzinfo=UTC)),
        (pl.Series([date(2024, 5, 1)]), datetime(2024, 5, 1, tzinfo=UTC)),
        (pl.Series([datetime(2024, 5, 1, 10)]), datetime(2024, 5, 1, 10, tzinfo=UTC)),  # noqa: DTZ001  without zone
        (pl.Series([float("nan")]), None),
        (pl.Series([None]), None),
    ],
)
def test_typed_time_columns_are_read(column, expected):
    """Parquet brings numbers, dates and times of its own."""
    assert parse_times(column).to_list() == [expected]


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("folder", "source", "n_rows"),
    [
        ("volume_fdroid_app_issues", "github", 8222),
        ("volume_vscode_multilingual", "github", 1381),
        ("labelled_dup_seamonkey", "manual", 1076),
        ("labelled_airline_tweets", "manual", 14640),
    ],
)
def test_recorded_tables_are_read_whole(shared_data_dir, folder, source, n_rows):
    """No row of the recorded sets is lost or refused."""
    items, held = read(shared_data_dir / folder / "data.parquet", source)

    assert (items.height, held.height) == (n_rows, 0)
