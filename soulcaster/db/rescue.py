"""Mends a store whose writer was killed in the middle of writing a metadata block. Knows DuckDB's file layout.

A checkpoint writes new data into free blocks and switches over by its header, so a kill loses nothing. Metadata are
the exception: a block of them holds parts of the old checkpoint and of the new one, and is rewritten in place. A kill
can cut that one write short (Linux stops a write between two pages when the process is killed), and DuckDB 1.5 then
refuses the file for good. So every writer puts the metadata blocks aside before its checkpoint, and whoever finds the
file refused puts them back: the header has not been switched, the write-ahead log is whole, and nothing is lost.

Found by the kill test of pulls: once in about three hundred kills. Layout: DuckDB storage format, three headers of
4,096 bytes, then blocks of the size that the database header names.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import duckdb

_HEADERS_BYTES = 3 * 4096


def save_metadata(con: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Put the metadata blocks beside the store, as of its present header. Call it after the commit, before closing."""
    [(block_bytes,)] = con.execute("SELECT block_size FROM pragma_database_size()").fetchall()
    numbers = [row[0] for row in con.execute("PRAGMA metadata_info").fetchall()]
    with path.open("rb") as file:
        header = file.read(_HEADERS_BYTES)
        blocks = {}
        for number in numbers:
            file.seek(_HEADERS_BYTES + number * block_bytes)
            block = file.read(block_bytes)
            if len(block) == block_bytes:  # else it is new and nothing of it is on the disk
                blocks[number] = block
    content = b"".join(blocks.values())
    about = {
        "header": hashlib.sha256(header).hexdigest(), "content": hashlib.sha256(content).hexdigest(),
        "block_bytes": block_bytes, "blocks": list(blocks),
    }  # fmt: skip
    # Only one writes at a time, so one name is enough, and a kill leaves no litter.
    aside = _place(path).with_suffix(".rescue-new")
    aside.write_bytes(json.dumps(about).encode() + b"\n" + content)
    aside.replace(_place(path))


def mend(path: Path) -> bool:
    """Whether the metadata blocks that were put aside were put back; not when they belong to another header.

    Several readers may do it at once: they write the same bytes. Nobody else writes, because they hold the lock.
    """
    try:
        first, _, content = _place(path).read_bytes().partition(b"\n")
        about = json.loads(first)
        with path.open("r+b") as file:
            header = hashlib.sha256(file.read(_HEADERS_BYTES)).hexdigest()
            if header != about["header"] or hashlib.sha256(content).hexdigest() != about["content"]:
                return False
            size = about["block_bytes"]
            for place, number in enumerate(about["blocks"]):
                file.seek(_HEADERS_BYTES + number * size)
                file.write(content[place * size : (place + 1) * size])
            file.flush()
            os.fsync(file.fileno())
    except (OSError, ValueError, KeyError):
        return False
    return True


def forget(path: Path) -> None:
    """Delete what was put aside for an earlier file; statistics in it quote values of columns."""
    _place(path).unlink(missing_ok=True)


def _place(path: Path) -> Path:
    return path.with_name(f"{path.name}.rescue")
