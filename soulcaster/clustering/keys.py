"""What makes two items one problem without measuring: source group, stack trace, declared duplicate; as codes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

KEYS = ("same-source-group", "same-stack", "declared-duplicate")
"""The strongest first; also the reasons of items that a key joined."""


def exact_keys(items: pl.DataFrame) -> list[npt.NDArray[np.int64]]:
    """Codes in the order of `KEYS`, -1 where an item has no such key.

    A stack counts when the exception type is known and at least one frame is ours; the whole list has to be equal.
    """
    frames = pl.when(pl.col("frames").list.len() > 0).then(pl.col("frames").list.join("\x1f"))
    keys = items.select(
        group=pl.concat_str("source", "source_group", separator="\x1e"),
        stack=pl.concat_str("exception_type", frames, separator="\x1e"),
        duplicate=pl.Series(_duplicate_roots(items), dtype=pl.String),
    )
    return [keys[name].rank("dense").cast(pl.Int64).fill_null(-1).to_numpy() for name in keys.columns]


def _duplicate_roots(items: pl.DataFrame) -> list[str | None]:
    """The item at the end of each chain of declared duplicates, None outside of chains. A ring ends at its least."""
    rows = items.select("source", "external_id", "duplicate_of").rows()
    target = {(source, item): (source, other) for source, item, other in rows if other is not None}
    involved = {*target, *target.values()}
    roots: list[str | None] = []
    for source, item, _ in rows:
        at = (source, item)
        if at not in involved:
            roots.append(None)
            continue
        seen = [at]
        while (following := target.get(at)) is not None:
            if following in seen:
                at = min(seen[seen.index(following) :])
                break
            seen.append(following)
            at = following
        roots.append("\x1e".join(at))
    return roots
