"""Empty stores with the whole schema, by copying: migrating is tested where it is the subject, and costs elsewhere."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

from soulcaster.db import migrate


def make_empty_store(path: Path) -> None:
    """A store without rows at `path`, as `migrate` leaves it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(_template(), path)


@functools.cache
def _template() -> Path:
    """The store that is copied, made once a process."""
    folder = Path(tempfile.mkdtemp(prefix="soulcaster-empty-"))
    atexit.register(shutil.rmtree, folder)
    made = folder / "store.duckdb"
    migrate(made)
    return made
