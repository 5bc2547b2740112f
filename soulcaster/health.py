"""Whether an installation can do its work now: quick checks for machines; `doctor` tells people what to do."""

from __future__ import annotations

import os
import shutil

from soulcaster import db
from soulcaster.errors import SoulcasterError
from soulcaster.settings import Settings

_WAIT_SECONDS = 2.0
"""Longest wait for the store: who asks gives up after a few seconds."""


def check_ready(settings: Settings) -> dict[str, bool]:
    """By part: `store` can be read and has our schema, `inbox` can be written, `disk` has the room posts ask for."""
    return {"store": _is_store_ready(settings), "inbox": _is_inbox_ready(settings), "disk": _has_room(settings)}


def _is_store_ready(settings: Settings) -> bool:
    path = settings.duckdb_path
    try:
        db.read(path, lambda con: db.check_schema(con, path), timeout_seconds=_WAIT_SECONDS)
    except SoulcasterError:
        return False
    return True


def _is_inbox_ready(settings: Settings) -> bool:
    folder = settings.inbox_path if settings.inbox_path.exists() else settings.home
    return folder.is_dir() and os.access(folder, os.W_OK)


def _has_room(settings: Settings) -> bool:
    return settings.home.exists() and shutil.disk_usage(settings.home).free >= settings.receiver_min_free_bytes
