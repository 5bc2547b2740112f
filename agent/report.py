"""Writes report.json: always whole, always valid by its schema, never larger than its bounds, redacted.

One object a launch. What the tool or a test run said is cut and redacted here, so nobody can forget to.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent import schemas
from agent.redaction import redact

MOST_BYTES = 8_000_000
MOST_REASON, MOST_ANSWER, MOST_TAIL, MOST_LOG = 1000, 20_000, 20_000, 65_536
MOST_FILES, MOST_PATH = 2000, 1000
_MARGIN = 5000  # a secret that lies across the cut is still seen whole


def cut(text: str, most: int) -> str:
    """The redacted text, its end cut off where it is too long, without what UTF-8 cannot hold."""
    text = redact(_printable(text[: most + _MARGIN]))
    return text if len(text) <= most else text[: most - 1] + "…"


def cut_head(text: str, most: int) -> str:
    """The redacted text, its beginning cut off where it is too long: the end of a log tells what went wrong."""
    text = redact(_printable(text[-most - _MARGIN :]))
    return text if len(text) <= most else "…" + text[len(text) - most + 1 :]


def _printable(text: str) -> str:
    """Without lone surrogates and without the control characters that play with a reader's screen."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(c for c in text if c in "\n\t" or (c.isprintable() or c == " "))


class Report:
    """The report of one launch; `write` replaces the file as a whole."""

    def __init__(self, folder: Path, job: dict[str, Any], sandbox: str) -> None:
        now = _now()
        self._path = folder / "report.json"
        self._schema = schemas.load("report")
        self.document: dict[str, Any] = {
            "schema_version": 1,
            "job_id": job["job_id"],
            "attempt": job["attempt"],
            "mode": job["mode"],
            "status": "running",
            "reason": "started",
            "sandbox": sandbox,
            "started_at": now,
            "changed_at": now,
        }

    def write(self, status: str | None = None, reason: str | None = None) -> None:
        """Store the document as it is now, under a new status when one is given."""
        if status is not None:
            self.document["status"] = status
        if reason is not None:
            self.document["reason"] = cut(reason, MOST_REASON)
        self.document["changed_at"] = _now()
        schemas.check(self.document, self._schema, "report")
        data = json.dumps(self.document, ensure_ascii=False, indent=1).encode("utf-8")
        if len(data) > MOST_BYTES:
            data = json.dumps(self._shortened(), ensure_ascii=False).encode("utf-8")
        write_whole(self._path, data)

    def _shortened(self) -> dict[str, Any]:
        """Without the lists that make it large; said in the reason, so that nobody takes it for the whole."""
        short = {**self.document, "reason": cut("shortened: " + self.document["reason"], MOST_REASON)}
        short.pop("files_changed", None)
        short["runs"] = {name: {**run, "tests": None} for name, run in self.document.get("runs", {}).items()}
        if not short["runs"]:
            del short["runs"]
        return short


def write_whole(path: Path, data: bytes) -> None:
    """Replace the file at once: who reads it sees the old or the new, never a part."""
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
