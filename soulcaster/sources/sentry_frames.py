"""Stack frames of Sentry events as 'module:function' names, whatever the SDK wrote into them. Opens nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import groupby

from soulcaster.sources.fields import Record, find_record, find_text, is_record, list_values, url_path, wrong

MAX_FRAMES = 10
_MAX_FRAME_CHARS = 256
_HAS_PROTOCOL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_LEADING_DOTS = re.compile(r"^(?:\.{0,2}/)+")


def find_frames(holders: Iterable[Record]) -> list[str]:
    """Names of the frames that tell most, innermost first, of the first holder that has any; a recursion once.

    In-app frames when any is marked; else the last ones, because SDKs of compiled languages leave the marking to the
    server.

    Args:
        holders: objects with a `stacktrace` (exceptions, threads), the most telling first.
    """
    for holder in holders:
        frames = list(_stack(holder))
        marked = [frame for frame in frames if frame.get("in_app") is True or frame.get("inApp") is True]
        names = (name for frame in reversed(marked or frames) if (name := _frame_name(frame)))
        distinct = [name for name, _ in groupby(names)]
        if distinct:
            return distinct[:MAX_FRAMES]
    return []


def innermost_function(holder: Record) -> str | None:
    """Function in which it stopped, None when no frame names one."""
    return next((name for frame in reversed(list(_stack(holder))) if (name := find_text(frame, "function"))), None)


def _stack(holder: Record) -> Iterator[Record]:
    stack = find_record(holder, "stacktrace")
    for frame in list_values(stack, "frames") if stack else []:
        if frame is not None and not is_record(frame):
            raise wrong("stacktrace.frames", "a list of objects", frame)
        if frame:
            yield frame


def _frame_name(frame: Record) -> str | None:
    """'module:function' of a frame, None when it names neither; a file or library stands in for the module."""
    function = find_text(frame, "function") or find_text(frame, "symbol")
    place = find_text(frame, "module") or _source_path(find_text(frame, "filename") or "")
    for key in ("abs_path", "absPath", "package"):
        place = place or (find_text(frame, key) or "").replace("\\", "/").rstrip("/").rpartition("/")[2]
    if not function and not place:
        return None
    return f"{place or '?'}:{function or '?'}"[:_MAX_FRAME_CHARS]


def _source_path(path: str) -> str:
    """A source file's path without scheme, host, query and dots."""
    plain = url_path(path) if _HAS_PROTOCOL.match(path) else path
    return _LEADING_DOTS.sub("", plain, count=1).replace("/./", "/")
