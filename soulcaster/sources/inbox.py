"""Files of received, not yet stored bodies: `append` returns only when the body is on the disk.

Owns the folder `<home>/inbox` (pending) and `<home>/inbox/done` (stored; without their bodies they are kept a few days
so that a sender's repetition is recognised). One file a delivery: one line of JSON about it, then the body byte for
byte. Never opens the store.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from soulcaster.errors import PermanentError
from soulcaster.models import SourceName

_SUFFIX = ".delivery"
_KEPT_HEADERS = ("content-type", "sentry-hook-resource", "sentry-hook-timestamp", "x-github-event", "x-github-hook-id")
"""What a parser needs to know; signatures, cookies and tokens never reach the disk."""

DONE_SECONDS = 7 * 24 * 3600
"""How long a stored delivery is remembered. Source: GitHub lets a delivery be sent again for three days."""


class Delivery(BaseModel):
    """One received body with what its sender said about it. Header names are lower case."""

    model_config = ConfigDict(frozen=True)

    source: SourceName
    project: str = ""
    delivery_id: str
    received_at: float
    headers: dict[str, str]
    body: bytes = b""


def append(
    inbox: Path,
    source: SourceName,
    body: bytes,
    delivery_id: str,
    headers: Mapping[str, str],
    *,
    project: str = "",
) -> Path:
    """The file that now holds the body, synced to the disk together with its folder.

    The same body under the same delivery id is kept once, also when it has been stored meanwhile: the file that is
    already there comes back. An empty `delivery_id` stands for a sender that gives none: then the body alone counts. An
    empty `project` leaves it to whichever project is drained next.

    Raises:
        PermanentError: the folder cannot be written.
    """
    digest = hashlib.sha256(b"\0".join((source.encode(), delivery_id.encode(), body))).hexdigest()
    name = f"{source}-{digest}{_mark(project)}{_SUFFIX}"
    kept = {key.lower(): value for key, value in headers.items() if key.lower() in _KEPT_HEADERS}
    about = {
        "source": source,
        "project": project,
        "delivery_id": delivery_id,
        "received_at": time.time(),
        "headers": kept,
    }
    try:
        (inbox / "done").mkdir(parents=True, exist_ok=True)
        for known in (inbox / name, inbox / "done" / name):
            if known.exists():
                return known
        return _write_durably(inbox / name, json.dumps(about).encode() + b"\n" + body)
    except OSError as error:
        raise PermanentError(
            f"Writing a {source} delivery into {str(inbox)!r} failed: {error.strerror}; check the disk and its rights."
        ) from error


def list_pending(inbox: Path, *, project: str | None = None) -> list[Path]:
    """Files that wait to be stored, oldest first; empty when there is no inbox yet.

    With a `project` those that are its own or nobody's.
    """
    if not inbox.is_dir():
        return []
    found = inbox.glob(f"*{_SUFFIX}")
    wanted = [path for path in found if project is None or path.name.partition(".")[2] in _endings(project)]
    return sorted(wanted, key=lambda path: (path.stat().st_mtime_ns, path.name))


def _endings(project: str) -> set[str]:
    return {_SUFFIX[1:], f"{_mark(project)}{_SUFFIX}"[1:]}


def _mark(project: str) -> str:
    """What tells a project's files from those of others, '' for nobody's; a project's name may be no file's."""
    return f".{hashlib.sha256(project.encode()).hexdigest()[:16]}" if project else ""


def read_delivery(path: Path) -> Delivery:
    """The delivery in `path`, body as received.

    Raises:
        PermanentError: the file is not one that `append` wrote.
    """
    first, _, body = path.read_bytes().partition(b"\n")
    try:
        about = Delivery.model_validate_json(first)
    except ValidationError as error:
        raise PermanentError(
            f"Reading the delivery {str(path)!r} failed: expected a first line of JSON about it, got {first[:80]!r}; "
            "move the file out of the inbox."
        ) from error
    return about.model_copy(update={"body": body})


def mark_done(paths: Iterable[Path]) -> None:
    """Put stored deliveries out of the way; their bodies go, name and first line stay, by which a repetition is known.

    A crash before or within this call means that they are stored again, which changes nothing. Call it only after
    their items are committed.
    """
    for path in paths:
        done = path.parent / "done"
        done.mkdir(exist_ok=True)
        _empty(path, done / path.name)
        path.unlink()


def empty_done(inbox: Path) -> int:
    """Number of stored deliveries that still had their body, as versions before 0.1.0 kept it; it is gone now."""
    full = [path for path in (inbox / "done").glob(f"*{_SUFFIX}") if path.read_bytes().partition(b"\n")[2]]
    for path in full:
        _empty(path, path)
    return len(full)


def _empty(path: Path, target: Path) -> None:
    """The first line of `path` as `target`, whole or not at all."""
    with path.open("rb") as file:
        about = file.readline()
    aside = target.with_name(f".{target.name}")
    aside.write_bytes(about)
    aside.replace(target)


def forget_done(inbox: Path, *, older_than_seconds: float = DONE_SECONDS) -> int:
    """Number of stored deliveries deleted because nobody will send them again."""
    limit = time.time() - older_than_seconds
    old = [path for path in (inbox / "done").glob(f"*{_SUFFIX}") if path.stat().st_mtime < limit]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)


def _write_durably(path: Path, content: bytes) -> Path:
    """Whole or not at all: written aside, synced, renamed, and the rename synced too."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    with aside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return path
