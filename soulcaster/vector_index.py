"""The vector index: one LanceDB table a model, one row a text, key `content_hash`. DuckDB is the truth, this is not.

The key is declared at creation, because only then do concurrent upserts of the same new keys not double rows (LanceDB
issues 3377 and 2463). Several processes may write at once; a handle sees the table as it was when it was opened.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from soulcaster.errors import PermanentError, TransientError

if TYPE_CHECKING:  # importing it takes a second; receiver, app and most commands start without it
    from lancedb import DBConnection
    from lancedb.query import LanceVectorQueryBuilder
    from lancedb.table import Table

INDEX_MIN_ROWS = 50_000
"""Below this an exact search takes about 0.1 s and an approximate index is not worth its build time."""

_KEEP_VERSIONS = timedelta(days=1)  # readers may hold an older version for as long as a run takes
_REFINE_FACTOR = 10
_LOOKED_UP_ROWS = 65_536
_FORGOTTEN_AT_ONCE = 1_000
_REBUILD = ".rebuild"
_CONFLICT = re.compile(r"conflict|too many concurrent|retr(?:y|ies)|timed? ?out", re.IGNORECASE)


def find_index(path: Path, model_id: str, dim: int) -> Table | None:
    """The table of a model, or None when nothing was ever embedded with it. Makes nothing.

    Raises:
        PermanentError: the table is damaged or has another shape; the message says how to rebuild it.
    """
    if not path.is_dir():
        return None
    with _translated("Opening", path):
        database = _connect(path)
        if _table_name(model_id, dim) not in _table_names(database):
            return None
        table = database.open_table(_table_name(model_id, dim))
        if _without_metadata(table.schema) != _without_metadata(_schema(dim)):
            raise PermanentError(
                f"Opening the vector index {table.name!r} in {str(path)!r} found the columns {table.schema.names!r}, "
                f"expected content_hash and vector of {dim} numbers; run `soulcaster reindex`."
            )
        return table


def open_index(path: Path, model_id: str, dim: int) -> Table:
    """The table of a model, made when there is none.

    Raises:
        PermanentError: the table is damaged or has another shape; the message says how to rebuild it.
    """
    table = find_index(path, model_id, dim)
    if table is not None:
        return table
    with _translated("Making", path), _made_by_one(path):
        table = find_index(path, model_id, dim)  # another process may have been faster
        if table is not None:  # an empty table is false
            return table
        return _connect(path).create_table(_table_name(model_id, dim), schema=_schema(dim))


def upsert(table: Table, content_hashes: Sequence[str], matrix: npt.NDArray[np.float32]) -> None:
    """Write float32 (n, dim) vectors under their hashes; existing rows are replaced, the first of a repeated hash wins.

    Raises:
        TransientError: other processes kept committing first; the same call may work later.
        PermanentError: the index is damaged.
    """
    rows = _to_arrow(content_hashes, matrix, _dim(table))
    if rows.num_rows:
        with _translated("Writing to", table.name):
            merge = table.merge_insert("content_hash").when_matched_update_all().when_not_matched_insert_all()
            merge.execute(rows)


def known_hashes(table: Table) -> set[str]:
    """Every content hash that has a vector."""
    with _latest(table, "Reading"):
        return set(table.search().select(["content_hash"]).limit(None).to_arrow()["content_hash"].to_pylist())


def load_matrix(table: Table, content_hashes: Sequence[str]) -> tuple[npt.NDArray[np.float32], list[str]]:
    """Vectors in the order asked, and the hashes that have none.

    Returns:
        float32 (n_found, dim): one row for each asked hash that is in the index, in the order asked; and the asked
        hashes that are not, each once, in the order asked.
    """
    position = {content_hash: index for index, content_hash in enumerate(dict.fromkeys(content_hashes))}
    distinct = np.zeros((len(position), _dim(table)), dtype=np.float32)
    is_found = np.zeros(len(position), dtype=bool)
    asked = pa.array(list(position), type=pa.string())
    with _latest(table, "Reading"):
        for batches in _by_rows(table.search().select(["content_hash", "vector"]).limit(None).to_batches()):
            names = pa.chunked_array([batch["content_hash"] for batch in batches], type=pa.string())
            targets = pc.index_in(names, value_set=asked).combine_chunks().fill_null(-1).to_numpy()
            for batch, there in zip(batches, _cut(targets, batches), strict=True):
                is_asked = there >= 0
                distinct[there[is_asked]] = _to_numpy(batch["vector"], distinct.shape[1])[is_asked]
                is_found[there[is_asked]] = True
    missing = [content_hash for content_hash, index in position.items() if not is_found[index]]
    if not missing and len(position) == len(content_hashes):
        return distinct, missing
    rows = [position[content_hash] for content_hash in content_hashes if is_found[position[content_hash]]]
    return distinct[rows], missing


def find_vectors(table: Table, content_hashes: Sequence[str]) -> npt.NDArray[np.float32]:
    """Vectors of a few hashes, float32 (n_found, dim), by hash; unlike `load_matrix` it reads no other vector."""
    if not content_hashes:
        return np.zeros((0, _dim(table)), dtype=np.float32)
    wanted = f"content_hash IN ({', '.join(repr(_checked(each)) for each in content_hashes)})"
    with _latest(table, "Reading"):
        found = table.search().where(wanted).select(["content_hash", "vector"]).limit(None).to_arrow()
    rows = found.sort_by("content_hash").combine_chunks()
    return _to_numpy(rows["vector"].combine_chunks(), _dim(table))


def nearest(table: Table, vector: npt.NDArray[np.float32], k: int) -> list[tuple[str, float]]:
    """Up to `k` (content_hash, cosine similarity), closest first; exact unless `build_index` was run."""
    with _latest(table, "Searching"):
        query = cast("LanceVectorQueryBuilder", table.search(vector, vector_column_name="vector"))
        query = query.distance_type("cosine").limit(k).refine_factor(_REFINE_FACTOR)
        found = query.select(["content_hash", "_distance"]).to_arrow()
    distances = found["_distance"].to_pylist()
    return list(zip(found["content_hash"].to_pylist(), (1.0 - distance for distance in distances), strict=True))


def optimize(table: Table) -> None:
    """Merge small files, fold new rows into the approximate index, forget versions older than a day.

    Raises:
        TransientError: another process changed the table meanwhile; nothing is lost.
    """
    with _latest(table, "Optimizing"):
        table.optimize(cleanup_older_than=_KEEP_VERSIONS)


def drop(table: Table, content_hashes: Sequence[str]) -> None:
    """Delete the vectors of these hashes; their bytes stay in older versions until `optimize` or `forget`.

    Raises:
        TransientError: another process changed the table meanwhile; the same call may work later.
    """
    with _latest(table, "Deleting from"):
        for start in range(0, len(content_hashes), _FORGOTTEN_AT_ONCE):
            asked = content_hashes[start : start + _FORGOTTEN_AT_ONCE]
            table.delete(f"content_hash IN ({', '.join(repr(_checked(each)) for each in asked)})")


def forget(path: Path, content_hashes: Sequence[str]) -> int:
    """Number of vectors deleted, over all models, with every older version of the tables: nothing of them is left.

    A reader that began before and goes on reading is refused; it may be started again.

    Raises:
        TransientError: another process changed a table meanwhile; the same call may work later.
        PermanentError: the index is damaged.
    """
    if not path.is_dir() or not content_hashes:
        return 0
    n_deleted = 0
    with _translated("Deleting from", path):
        database = _connect(path)
        for name in _table_names(database):
            table = database.open_table(name)
            before = table.count_rows()
            drop(table, content_hashes)
            n_deleted += before - table.count_rows()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # it says that older readers are refused, as we mean it
                table.optimize(cleanup_older_than=timedelta(0), delete_unverified=True)
    return n_deleted


def _checked(content_hash: str) -> str:
    """The hash itself, which LanceDB takes as SQL text only."""
    if not re.fullmatch(r"[0-9a-zA-Z]{1,128}", content_hash):
        raise PermanentError(f"Looking for the vector of {content_hash!r} expected a hash of letters and digits.")
    return content_hash


def build_index(table: Table, *, min_rows: int = INDEX_MIN_ROWS) -> bool:
    """Build the approximate index for `nearest` when the table is large enough for one; says whether it did.

    Source: measured on 100,000 x 768: IVF_RQ built in 25 s, recall@50 .98 (1.00 refined), 11 ms a query; IVF_PQ took
    128 s for recall .58.
    """
    from lancedb.index import IvfRq

    with _latest(table, "Indexing"):
        if table.count_rows() < min_rows:
            return False
        table.create_index("vector", config=IvfRq(distance_type="cosine"))
        return True


def start_rebuild(path: Path, model_id: str, dim: int) -> Table:
    """An empty table beside the model's table, to be filled and handed to `finish_rebuild`; readers do not see it."""
    name = _table_name(model_id, dim) + _REBUILD
    with _translated("Making", path):
        path.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(path / f"{name}.lance", ignore_errors=True)
        return _connect(path).create_table(name, schema=_schema(dim))


def finish_rebuild(path: Path, model_id: str, dim: int, rebuilt: Table) -> Table:
    """Put the rows of `rebuilt` in the place of the model's table in one commit and drop `rebuilt`.

    Until that commit readers see the old rows. A table too damaged to be committed to is removed first.
    """
    name = _table_name(model_id, dim)
    with _translated("Replacing", path), _latest(rebuilt, "Reading"):
        database = _connect(path)
        mode = "overwrite" if _opens(database, name) else "create"
        if mode == "create":
            shutil.rmtree(path / f"{name}.lance", ignore_errors=True)
        batches = rebuilt.search().select(["content_hash", "vector"]).limit(None).to_batches()
        rows = pa.RecordBatchReader.from_batches(_schema(dim), (batch.cast(_schema(dim)) for batch in batches))
        table = database.create_table(name, data=rows, schema=_schema(dim), mode=mode)
        database.drop_table(rebuilt.name)
    return table


def copy_tables(path: Path, target: Path) -> dict[str, int]:
    """Copy every model's table as it is now into the empty folder `target`; number of rows by table.

    Approximate indexes are not copied, nor tables that a rebuild is filling. Writers go on meanwhile.
    """
    if not path.is_dir():
        return {}
    counts = {}
    with _translated("Copying", path):
        database, copied = _connect(path), _connect(target)
        for name in _table_names(database):
            if name.endswith(_REBUILD):
                continue
            table = database.open_table(name)
            table.checkout(table.version)  # what others write from now on is not seen
            batches = table.search().select(table.schema.names).limit(None).to_batches()
            rows = pa.RecordBatchReader.from_batches(table.schema, (batch.cast(table.schema) for batch in batches))
            counts[name] = copied.create_table(name, data=rows, schema=table.schema).count_rows()
    return counts


def read_all(path: Path, content_hashes: Sequence[str]) -> Iterator[tuple[str, Iterator[pa.RecordBatch]]]:
    """Name of every model's table, and its rows of these texts in batches: content_hash, vector."""
    if not path.is_dir():
        return
    wanted = pa.array(list(dict.fromkeys(content_hashes)), type=pa.string())
    with _translated("Reading", path):
        database = _connect(path)
        for name in _table_names(database):
            if not name.endswith(_REBUILD):
                table = database.open_table(name)
                table.checkout(table.version)
                batches = table.search().select(table.schema.names).limit(None).to_batches()
                yield name, (batch.filter(pc.is_in(batch["content_hash"], value_set=wanted)) for batch in batches)


def _connect(path: Path) -> DBConnection:
    import lancedb

    return lancedb.connect(path)


def _opens(database: DBConnection, name: str) -> bool:
    try:
        database.open_table(name)
    except (ValueError, RuntimeError, OSError):
        return False
    return True


def _by_rows(batches: Iterable[pa.RecordBatch]) -> Iterator[list[pa.RecordBatch]]:
    """Batches in lists of `_LOOKED_UP_ROWS` rows or a little more: each list costs one look-up of all that is asked."""
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        waiting.append(batch)
        if sum(each.num_rows for each in waiting) >= _LOOKED_UP_ROWS:
            yield waiting
            waiting = []
    if waiting:
        yield waiting


def _cut(values: npt.NDArray[np.int32], batches: list[pa.RecordBatch]) -> list[npt.NDArray[np.int32]]:
    """`values` of all batches, batch by batch."""
    return np.split(values, np.cumsum([batch.num_rows for batch in batches])[:-1])


def _table_name(model_id: str, dim: int) -> str:
    return f"{re.sub(r'[^A-Za-z0-9.-]', '_', model_id)}_{dim}"


def _table_names(database: DBConnection) -> list[str]:
    return [str(name) for name in database.list_tables().tables]


def _schema(dim: int) -> pa.Schema:
    key = pa.field("content_hash", pa.string(), nullable=False)
    key = key.with_metadata({"lance-schema:unenforced-primary-key": "true"})
    return pa.schema([key, pa.field("vector", pa.list_(pa.float32(), dim), nullable=False)])


def _without_metadata(schema: pa.Schema) -> list[tuple[str, pa.DataType]]:
    return [(field.name, field.type) for field in schema]


def _dim(table: Table) -> int:
    return int(table.schema.field("vector").type.list_size)


def _to_arrow(content_hashes: Sequence[str], matrix: npt.NDArray[np.float32], dim: int) -> pa.Table:
    if matrix.shape != (len(content_hashes), dim):
        raise ValueError(f"vectors of shape {matrix.shape!r} for {len(content_hashes)} hashes and dim {dim}")
    first = {content_hash: index for index, content_hash in reversed(list(enumerate(content_hashes)))}
    values = np.ascontiguousarray(matrix[list(first.values())], dtype=np.float32).reshape(-1)
    columns = [pa.array(first, type=pa.string()), pa.FixedSizeListArray.from_arrays(pa.array(values), dim)]
    return pa.table(columns, schema=_schema(dim))


def _to_numpy(vectors: pa.FixedSizeListArray, dim: int) -> npt.NDArray[np.float32]:
    flat: npt.NDArray[np.float32] = vectors.flatten().to_numpy()
    return flat.reshape(-1, dim)


@contextmanager
def _made_by_one(path: Path) -> Iterator[None]:
    """One process at a time: of two creations of a table the later one overwrites the earlier's rows."""
    path.mkdir(parents=True, exist_ok=True)
    folder = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


@contextmanager
def _latest(table: Table, action: str) -> Iterator[None]:
    """The table as it is now, not as it was when the handle was opened; errors translated."""
    with _translated(action, table.name):
        table.checkout_latest()  # type: ignore[no-untyped-call]  # LanceDB forgot its return type
        yield


@contextmanager
def _translated(action: str, subject: Path | str) -> Iterator[None]:
    """LanceDB raises ValueError, RuntimeError and OSError for everything; the text tells contention from damage."""
    try:
        yield
    except (ValueError, RuntimeError, OSError, pa.ArrowException) as error:
        if _CONFLICT.search(str(error)):
            raise TransientError(
                f"{action} the vector index {str(subject)!r} collided with another process; run the same command again."
            ) from error
        raise PermanentError(
            f"{action} the vector index {str(subject)!r} failed ({type(error).__name__}); it is damaged or cannot be "
            "read: run `soulcaster reindex`, nothing is lost."
        ) from error
