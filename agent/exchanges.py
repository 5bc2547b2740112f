"""What was said between the agent and the model, as the gateway saw it: redacted, bounded, one line of JSON a request.

A tool sends its whole conversation with every request; a line holds what is new in it, and what of the rest (system
words, tools) was not sent before. Answers are put together: a stream is cut anywhere, a key in it too.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent.job import say
from agent.redaction import MARK
from agent.report import cut

MOST_BYTES = 4_000_000
MOST_ANSWER_BYTES = 2_000_000
_MOST_LINE_BYTES = 400_000
_MOST_TEXT = 20_000
_CONVERSATIONS = 8
"""Side calls (a title, a summary) stand between the requests of a conversation."""


class Exchanges:
    """Appends to a file, or keeps all in memory where the place has no disk of its own; over the bound no more."""

    def __init__(self, key: str, path: Path | None = None) -> None:
        self._key = key
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        self._file = os.fdopen(os.open(path, flags, 0o600), "wb") if path else None
        self._kept = bytearray()
        self._size = 0
        self._lock = threading.Lock()
        self._conversations: list[list[str]] = []
        self._rests: set[str] = set()

    def note(self, path: str, status: int, body: bytes, answer: bytes) -> None:
        """One request that went to the model, and what came back."""
        with self._lock:
            if self._size > MOST_BYTES:
                return
            line = {"at": datetime.now(UTC).isoformat(timespec="milliseconds"), "path": path, "status": status}
            try:
                told = self._clean(line | self._read_request(body) | {"answer": read_answer(answer)})
                text = json.dumps(told)
            except RecursionError:
                text = json.dumps(line | {"left_out": "nested too deeply"})
            if len(text) > _MOST_LINE_BYTES:
                text = json.dumps(line | {"left_out": f"{len(text):,} characters"})
            self._size += len(text) + 1
            try:
                self._write(text if self._size <= MOST_BYTES else json.dumps({"left_out": "more than is kept"}))
            except OSError as error:
                self._size = MOST_BYTES + 1  # the work goes on without
                say(f"gateway: what went by is not kept any more ({error.strerror})")

    def content(self) -> bytes:
        """All that is kept in memory."""
        with self._lock:
            return bytes(self._kept)

    def _write(self, text: str) -> None:
        line = text.encode() + b"\n"
        if self._file is None:
            self._kept += line
        else:
            self._file.write(line)
            self._file.flush()

    def _read_request(self, body: bytes) -> dict[str, Any]:
        """`n_before` entries of the conversation are in earlier lines; `new` are those that are not."""
        try:
            request = json.loads(body)
            name = "contents" if "contents" in request else "messages"
            entries = list(request.pop(name))
        except (ValueError, TypeError, KeyError, AttributeError):
            return {"raw": body[:_MOST_TEXT].decode("utf-8", "replace")}
        hashes = [_hash(entry) for entry in entries]
        n_before = max((_count_common(hashes, each) for each in self._conversations), default=0)
        self._conversations = [*self._conversations, hashes][-_CONVERSATIONS:]
        rest = _hash(request)
        told = {"n_before": n_before, "new": entries[n_before:], "rest": rest}
        if rest not in self._rests:
            self._rests.add(rest)
            told["rest_is"] = request
        return told

    def _clean(self, value: Any) -> Any:  # noqa: ANN401  any JSON
        if isinstance(value, str):
            return cut(value.replace(self._key, MARK) if self._key else value, _MOST_TEXT)
        if isinstance(value, list):
            return [self._clean(each) for each in value]
        if isinstance(value, dict):
            return {self._clean(name): self._clean(each) for name, each in value.items()}
        return value


def read_answer(answer: bytes) -> dict[str, Any]:
    """Text and tool calls of an answer in either protocol, streamed (lines `data: {...}`) or whole."""
    text = answer.decode("utf-8", "replace")
    lines = [line[5:] for line in text.splitlines() if line.startswith("data:")]
    said, calls, parts = "", list[Any](), dict[int, dict[str, str]]()
    try:
        messages = [json.loads(line) for line in lines if line.strip() != "[DONE]"] or [json.loads(text)]
        for message in messages:
            for part in _gemini_parts(message):
                said += str(part.get("text") or "")
                calls += [part["functionCall"]] if "functionCall" in part else []
            for piece in _openai_pieces(message):
                said += str(piece.get("content") or "")
                for place, call in enumerate(piece.get("tool_calls") or []):
                    whole = parts.setdefault(int(call.get("index", place)), {"name": "", "arguments": ""})
                    for name in whole:
                        whole[name] += str(call.get("function", {}).get(name) or "")
    except (ValueError, TypeError, AttributeError, KeyError, OverflowError):
        return {"raw": text[:_MOST_TEXT]}
    calls += list(parts.values())
    return {"text": said, "calls": calls} if said or calls else {"raw": text[:_MOST_TEXT]}


def _gemini_parts(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for candidate in message.get("candidates") or []:
        yield from (candidate.get("content") or {}).get("parts") or []


def _openai_pieces(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for choice in message.get("choices") or []:
        yield choice.get("delta") or choice.get("message") or {}


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _count_common(one: list[str], other: list[str]) -> int:
    """How many entries both begin with."""
    n = 0
    while n < min(len(one), len(other)) and one[n] == other[n]:
        n += 1
    return n
