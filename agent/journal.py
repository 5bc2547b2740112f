"""events.jsonl and log.txt of a launch: what happened, in order, redacted and never larger than its bounds."""

from __future__ import annotations

import json
import os
import threading
from datetime import UTC, datetime
from pathlib import Path

from agent.report import cut

MOST_BYTES = 5_000_000
_MOST_TEXT = 4000


class Journal:
    """Appends to both files; over the bound it says so once and drops the rest."""

    def __init__(self, folder: Path, *, is_kept: bool = False) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | (os.O_APPEND if is_kept else os.O_TRUNC)
        self._path = folder / "log.txt"
        self._events = os.fdopen(os.open(folder / "events.jsonl", flags, 0o644), "w", encoding="utf-8")
        self._log = os.fdopen(os.open(folder / "log.txt", flags, 0o644), "w", encoding="utf-8")
        self._sizes = {"events": 0, "log": 0}
        self._lock = threading.Lock()

    def event(self, step: str, kind: str, text: str, tokens: int = 0, cost_usd: float = 0.0) -> None:
        """One line of events.jsonl."""
        line = {"at": datetime.now(UTC).isoformat(timespec="milliseconds"), "step": step, "kind": kind}
        shown = cut(text, _MOST_TEXT)
        self._write("events", json.dumps({**line, "text": shown, "tokens": tokens, "cost_usd": cost_usd}) + "\n")

    def log(self, text: str) -> None:
        """Lines of log.txt."""
        self._write("log", cut(text.rstrip(), 100_000) + "\n")

    def tail(self, most_bytes: int) -> str:
        """The end of log.txt."""
        with self._path.open("rb") as file:
            file.seek(max(0, self._path.stat().st_size - most_bytes))
            return file.read().decode("utf-8", "replace")

    def _write(self, name: str, text: str) -> None:
        file = self._events if name == "events" else self._log
        with self._lock:
            size = self._sizes[name]
            if size > MOST_BYTES:
                return
            self._sizes[name] += len(text.encode())
            if self._sizes[name] > MOST_BYTES:
                text = '{"kind": "cut"}\n' if name == "events" else "(cut: more than is kept)\n"
            file.write(text)
            file.flush()
