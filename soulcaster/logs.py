"""Log lines of every process: plain or JSON, with the ids of what they are about, and without secrets.

Secrets are taken out where a record is made, so they reach no handler, whoever configured it (Prefect, uvicorn, ours).
"""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal

LogFormat = Literal["text", "json"]

FLOW_RUN_VARIABLE = "PREFECT__FLOW_RUN_ID"
"""Set by Prefect's worker in the process of a flow run."""

_SHORTEST_SECRET = 8
"""Shorter values would blot out ordinary words."""

_GONE = "[secret]"
_ids: ContextVar[dict[str, str]] = ContextVar("ids", default={})  # noqa: B039  never changed, only replaced
_secrets: set[str] = set()
_plain_factory = logging.getLogRecordFactory()


@contextmanager
def bound(**ids: str) -> Iterator[None]:
    """All lines of this thread carry these ids while the block lasts: project, run_id, job_id, item_id, source, …"""
    logging.setLogRecordFactory(_make_record)
    token = _ids.set({**_ids.get(), **ids})
    try:
        yield
    finally:
        _ids.reset(token)


def hide(secrets: Iterable[str]) -> None:
    """Replace these values in every line and traceback from now on, in this process."""
    spelled = {each for secret in secrets for each in (secret, json.dumps(secret)[1:-1], repr(secret)[1:-1])}
    _secrets.update(each for each in spelled if len(each) >= _SHORTEST_SECRET)
    logging.setLogRecordFactory(_make_record)


def start(log_format: LogFormat, level: str) -> None:
    """Our lines of this level, and warnings of everybody, on standard error; what was configured before goes.

    As JSON the lines of uvicorn too, so that a collector gets nothing else.
    """
    logging.setLogRecordFactory(_make_record)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if log_format == "json" else TextLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in ("soulcaster", "app"):
        logging.getLogger(name).setLevel(level)
    if log_format == "json":
        for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
            logging.getLogger(name).handlers.clear()
            logging.getLogger(name).propagate = True


class JsonLines(logging.Formatter):
    """One JSON object a line: at, level, logger, message, the ids that are bound, and exception where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without line breaks."""
        told: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_ids_of(record),
        }
        if record.exc_text:
            told["exception"] = record.exc_text
        return json.dumps(told, ensure_ascii=False)


class TextLines(logging.Formatter):
    """Level, logger, message, and the ids that are bound."""

    def format(self, record: logging.LogRecord) -> str:
        """The line; what cannot be printed becomes a space, so that strangers' words begin no line of their own."""
        ids = " ".join(f"{name}={value}" for name, value in _ids_of(record).items())
        plain = f"{record.levelname} {record.name}: {record.getMessage()}" + (f" [{ids}]" if ids else "")
        line = "".join(c if c.isprintable() else " " for c in plain)
        return f"{line}\n{record.exc_text}" if record.exc_text else line


def _make_record(*args: Any, **kwargs: Any) -> logging.LogRecord:  # noqa: ANN401  as the factory it wraps
    record = _plain_factory(*args, **kwargs)
    record.ids = _ids.get()
    told = record.getMessage()
    plain = _without_secrets(told)
    if plain != told:
        record.msg, record.args = plain, ()
    if record.exc_info and record.exc_info[0] is not None:
        record.exc_text = _without_secrets("".join(traceback.format_exception(*record.exc_info)).rstrip())
    return record


def _without_secrets(text: str) -> str:
    for secret in _secrets:
        if secret in text:
            text = text.replace(secret, _GONE)
    return text


def _ids_of(record: logging.LogRecord) -> dict[str, str]:
    """Bound when the record was made; the flow run's from its process."""
    ids: dict[str, str] = getattr(record, "ids", {})
    flow_run = os.environ.get(FLOW_RUN_VARIABLE)
    return {**({"flow_run_id": flow_run} if flow_run else {}), **ids}
