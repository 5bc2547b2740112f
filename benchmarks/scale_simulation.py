"""The vector index as it grows: writing, reading, searching, disk and memory, with drawn vectors.

    python -m benchmarks.scale_simulation --sizes 1000000 2000000 5000000 --folder DIR

One table grows through the sizes, by upserts as large as the largest of `soulcaster embed`. A line a size:

- write: milliseconds of one upsert of 8,192 vectors, mean of the last ten before that size
- keys, all: seconds to read every key (as embedding does) and every vector (as grouping does)
- exact, index: milliseconds of one search for 50 neighbours without and with the approximate index; recall: share of
  the exact 50 that the index names
- build: seconds to build that index, from nothing; it is dropped again before the table grows on
- disk: the table with its index and what `optimize` keeps of older versions for a day
- of reading: what reading every vector added to the process's peak memory; small sizes find room that writing left
"""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from pathlib import Path

import numpy as np
from lancedb.table import Table

from benchmarks.recluster_scale import draw
from soulcaster import vector_index

_AXES, _MODEL = 384, "drawn@1"
_DRAWN_AT_ONCE, _WRITTEN_AT_ONCE = 65_536, 8_192
_LAST_WRITES = 10
_QUERIES, _NEAREST = 30, 50


def main() -> None:
    """Print a line a size, and the exponents of growth."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000_000, 2_000_000, 5_000_000])
    parser.add_argument("--folder", type=Path, help="where the index is made; default: the system's temporary folder")
    words = parser.parse_args()
    print(
        f"{'vectors':>10} {'write':>9} {'keys':>8} {'all':>8} {'of reading':>11} {'exact':>9} {'build':>9} {'index':>9}"
        f" {'recall':>7} {'disk':>10}"
    )
    rows = []
    with tempfile.TemporaryDirectory(dir=words.folder) as folder:
        table = vector_index.open_index(Path(folder), _MODEL, _AXES)
        for n in sorted(words.sizes):
            write_seconds = grow(table, n)
            row = {"n": n, "write": 1000 * write_seconds, **read(table), **search(table, Path(folder))}
            rows.append(row)
            print(
                f"{n:10,} {row['write']:6,.0f} ms {row['keys']:6.1f} s {row['all']:6.1f} s {row['mb']:8,.0f} MB"
                f" {row['exact']:6,.0f} ms {row['build']:7.1f} s {row['index']:6,.0f} ms {row['recall']:7.3f}"
                f" {row['disk']:7,.0f} MB",
                flush=True,
            )
    if len(rows) > 1:
        logs = {name: np.log([row[name] for row in rows]) for name in ("n", "write", "keys", "all", "exact", "build")}
        growth = (f"{name} {np.polyfit(logs['n'], logs[name], 1)[0]:.2f}" for name in list(logs)[1:])
        print(f"growth exponents: {', '.join(growth)}")


def grow(table: Table, n: int) -> float:
    """Fill the table up to `n` rows and tidy it; mean seconds of the last writes."""
    seconds = []
    begun = table.count_rows()
    for start in range(begun, n, _DRAWN_AT_ONCE):
        matrix = draw(min(_DRAWN_AT_ONCE, n - start), seed=start)[0]
        for first in range(0, len(matrix), _WRITTEN_AT_ONCE):
            part = matrix[first : first + _WRITTEN_AT_ONCE]
            hashes = [key_of(row) for row in range(start + first, start + first + len(part))]
            began = time.perf_counter()
            vector_index.upsert(table, hashes, part)
            if len(part) == _WRITTEN_AT_ONCE:
                seconds.append(time.perf_counter() - began)
    vector_index.optimize(table)
    if table.count_rows() != n:
        raise AssertionError(f"{table.count_rows():,} rows after writing up to {n:,}")
    return float(np.mean(seconds[-_LAST_WRITES:]))


def key_of(row: int) -> str:
    """A key as long as a content hash, in no order."""
    return f"{row * 0x9E3779B97F4A7C15 % 2**64:016x}" * 4


def read(table: Table) -> dict[str, float]:
    """Seconds to read all keys and all vectors, and the memory that the latter takes, in MB."""
    began = time.perf_counter()
    keys = sorted(vector_index.known_hashes(table))
    keys_seconds = time.perf_counter() - began
    Path("/proc/self/clear_refs").write_text("5")  # the peak from here on, not that of writing
    idle_mb = peak_mb()
    began = time.perf_counter()
    matrix, missing = vector_index.load_matrix(table, keys)
    seconds = time.perf_counter() - began
    if missing or not matrix.any(axis=1).all():
        raise AssertionError(f"{len(missing):,} of {len(keys):,} vectors were not read")
    return {"keys": keys_seconds, "all": seconds, "mb": peak_mb() - idle_mb}


def search(table: Table, folder: Path) -> dict[str, float]:
    """Milliseconds of a search without and with the approximate index, what the index costs, and its recall."""
    queries = draw(_QUERIES, seed=0)[0]
    exact, exact_seconds = ask(table, queries)
    began = time.perf_counter()
    if not vector_index.build_index(table, min_rows=0):
        raise AssertionError("no approximate index was built")
    build_seconds = time.perf_counter() - began
    found, seconds = ask(table, queries)
    disk = sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())
    for index in table.list_indices():
        table.drop_index(index.name)
    recall = np.mean([len(wanted & named) / len(wanted) for wanted, named in zip(exact, found, strict=True)])
    return {
        "exact": 1000 * exact_seconds,
        "build": build_seconds,
        "index": 1000 * seconds,
        "recall": float(recall),
        "disk": disk / 1e6,
    }


def ask(table: Table, queries: np.ndarray) -> tuple[list[set[str]], float]:
    """The neighbours of every query, and mean seconds of a search; the first one opens files and does not count."""
    vector_index.nearest(table, queries[0], _NEAREST)
    began = time.perf_counter()
    found = [{name for name, _ in vector_index.nearest(table, query, _NEAREST)} for query in queries]
    return found, (time.perf_counter() - began) / len(queries)


def peak_mb() -> float:
    """Peak memory of this process since the mark was last cleared."""
    told = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    if told is None:
        raise AssertionError("the kernel does not tell peak memory")
    return int(told[1]) / 1024


if __name__ == "__main__":
    main()
