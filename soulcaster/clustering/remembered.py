"""The neighbours of the last grouping on disk, so that the next one only has to look at what came and went.

A memory and not a truth: it may be deleted at any time, the next grouping then searches anew. It is believed only where
it was made by this version, for the same model, and of the very same vectors.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from soulcaster.clustering.candidates import (
    N_CANDIDATES,
    Candidates,
    Frame,
    find_candidates,
    fit_frame,
    mend_candidates,
)
from soulcaster.clustering.cells import Cells
from soulcaster.clustering.marks import checksums
from soulcaster.clustering.neighborhood import EXACT_UP_TO, Neighborhood, describe, find_neighborhood
from soulcaster.clustering.sharing import both

_VERSION = 2
_FRAME_GROWTH = 0.25
"""Share by which the corpus may grow or shrink before axes and cells are fitted anew. Source: docs/grouping.md."""
_MOST_MENDED = 0.05
"""Share of texts to search for above which searching for all is faster."""
_HASH_CHARS = 64

Matrix = npt.NDArray[np.float32]


class Remembered(NamedTuple):
    """What one grouping leaves to the next."""

    model_id: str
    names: npt.NDArray[np.bytes_]
    """(n,) content hashes, ascending."""
    marks: npt.NDArray[np.uint64]
    """(n,) checksum of every vector."""
    frame: Frame
    candidates: Candidates


def recall_neighborhood(
    path: Path,
    model_id: str,
    names: Sequence[str],
    matrix: Matrix,
    *,
    keep: bool = True,
    exact_up_to: int = EXACT_UP_TO,
    on_progress: Callable[[int, int], None] | None = None,
) -> Neighborhood:
    """Neighbours of all rows as `find_neighborhood` tells them, mended from what `path` remembers where it can be.

    In the frame that is remembered mending gives what searching anew gives. Few texts are never remembered: comparing
    all is quick.

    Args:
        path: file of the memory, made or replaced when `keep`.
        model_id: model of the vectors.
        names: n content hashes, ascending, one a row.
        matrix: float32 (n, d), L2-normalised.
        keep: whether to remember the result.
        exact_up_to: see `find_neighborhood`.
        on_progress: called with (rows done, n).
    """
    if len(matrix) <= exact_up_to:
        return find_neighborhood(matrix, exact_up_to=exact_up_to, on_progress=on_progress)
    known = np.array(names, dtype=f"S{_HASH_CHARS}")
    marks = checksums(matrix)
    before = _load(path, model_id, matrix.shape[1])
    frame, candidates = _bring_up(before, known, marks, matrix, on_progress)
    found = Remembered(model_id, known, marks, frame, candidates)
    return both(lambda: describe(candidates), lambda: _save(path, found) if keep else None)[0]


def _bring_up(
    before: Remembered | None,
    names: npt.NDArray[np.bytes_],
    marks: npt.NDArray[np.uint64],
    matrix: Matrix,
    on_progress: Callable[[int, int], None] | None,
) -> tuple[Frame, Candidates]:
    """Frame and candidates for these texts, from what is remembered as far as it goes."""
    if before is None or not 1 - _FRAME_GROWTH <= len(matrix) / before.frame.n_texts <= 1 + _FRAME_GROWTH:
        frame = fit_frame(matrix)
        return frame, find_candidates(matrix, frame, on_progress=on_progress)
    place = np.searchsorted(names, before.names)
    place[place == len(names)] = 0
    place[(names[place] != before.names) | (marks[place] != before.marks)] = -1
    kept = place >= 0
    n_lost = 0 if kept.all() else int((~kept[before.candidates.rows[kept]]).any(axis=1).sum())
    if n_lost + len(names) - int(kept.sum()) > _MOST_MENDED * len(names):
        return before.frame, find_candidates(matrix, before.frame, on_progress=on_progress)
    return before.frame, mend_candidates(matrix, before.frame, before.candidates, place)


def _header(model_id: str, dim: int) -> str:
    return json.dumps([_VERSION, model_id, dim, N_CANDIDATES])


def _save(path: Path, what: Remembered) -> None:
    """Write the file whole or not at all."""
    frame, candidates = what.frame, what.candidates
    header = np.array(_header(what.model_id, len(frame.mean)))
    arrays = (
        what.names, what.marks, np.array(frame.n_texts), frame.mean, frame.whitening, frame.axes, *frame.cells,
        *candidates,
    )  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            for array in (header, *arrays):
                np.save(file, np.ascontiguousarray(array), allow_pickle=False)
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)


def _load(path: Path, model_id: str, dim: int) -> Remembered | None:
    """What the file remembers; None when there is none, or it is damaged, or of another model or version."""
    try:
        with path.open("rb") as file:
            header, names, marks, n_texts, mean, whitening, axes, centers, reach, *candidates = (
                np.load(file, allow_pickle=False) for _ in range(14)
            )
    except (OSError, ValueError, EOFError):
        return None
    if header.item() != _header(model_id, dim):
        return None
    frame = Frame(int(n_texts.item()), mean, whitening, axes, Cells(centers, reach))
    return Remembered(model_id, names, marks, frame, Candidates(*candidates))
