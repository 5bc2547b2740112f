"""Files of raw payloads to outcomes: one file or a folder of them, packed or not, one JSON value a file or a line.

Owns which files are read, how they are unpacked and decoded, and the wrappers some recorders put around a body. What a
payload means is the business of the source's parser. Nothing in a file's content makes it raise.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, cast

import zstandard

from soulcaster.errors import PermanentError
from soulcaster.models import Ignored, Outcome, Quarantined, Source
from soulcaster.sources import generic, github, manual, reddit, sentry
from soulcaster.sources.fields import Record, is_record, or_empty, printable, quarantine
from soulcaster.sources.mapping import ServiceMapping

Reader = Source | ServiceMapping
"""Who says what a payload means: the parser of a source, or a declared mapping."""

MAX_DOCUMENT_BYTES = 64 * 1024 * 1024
"""The largest file (unpacked), or line of a line file, that is parsed: memory is bounded, packed bombs end here."""

_PACKED = {".gz", ".zst"}
_DOCUMENTS = {".json"}
_LINES = {".jsonl", ".ndjson"}
_DUMPS = re.compile(r"(?:R[CS]_\d{4}-\d{2}|.*_(?:submissions|comments))\.zst", re.IGNORECASE)
"""Public dumps of Reddit: JSON lines under names that do not say so."""

_ENVELOPES = {".envelope", ".txt"}
_ZSTD_WINDOW_BYTES = 2**31  # public archives are packed with long windows
_SKIPPED_CHUNK_BYTES = 1024 * 1024
_PEEKED_BYTES = 1024 * 1024
_EXCERPT_BYTES = 60
_UNPACKING_ERRORS = (OSError, EOFError, zlib.error, zstandard.ZstdError)


def read_payloads(path: Path, source: Reader) -> Iterator[tuple[str, list[Outcome]]]:
    """(location, outcomes) for each file in name order, or for each line of a line file. Outcomes are never empty.

    A location is the path below `path` (the name, for a single file), with ':line' in line files. Hidden files are
    passed over; links that leave the folder are not followed.

    Raises:
        PermanentError: nothing is at `path`.
    """
    for file in list_files(path):
        yield from read_payload_file(path, file, source)


def list_files(path: Path) -> Iterator[Path]:
    """Files below a folder in name order, hidden ones and hidden folders left out; or the file itself.

    Raises:
        PermanentError: nothing is at `path`, or a folder cannot be listed.
    """
    if not path.exists():
        raise PermanentError(f"Reading payloads from {str(path)!r} failed: no such file or folder; check the path.")
    if not path.is_dir():
        yield path
        return
    for folder, folders, files in os.walk(path, onerror=_refuse_folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(folder, name) for name in sorted(files) if not name.startswith("."))


def read_payload_file(
    path: Path, file: Path, source: Reader, *, n_skipped: int = 0
) -> Iterator[tuple[str, list[Outcome]]]:
    """As `read_payloads`, of one file that `list_files(path)` found.

    `n_skipped` lines of a line file are passed over unread.
    """
    name = printable(file.name if file == path else file.relative_to(path).as_posix())
    if file != path and file.is_file() and not file.resolve().is_relative_to(path.resolve()):
        yield name, [Ignored(reason="link-outside")]
        return
    for location, outcomes in _read_file(file, name, source, n_skipped):
        yield location, [_located(outcome, location) for outcome in outcomes]


def parse_document(payload: object, source: Reader, headers: Mapping[str, str]) -> Iterator[Outcome]:
    """Outcomes of one decoded JSON value by the source's parser.

    Args:
        payload: any JSON value.
        source: whose parser reads it, or the mapping that does.
        headers: of the delivery, lower-case names; only the ones that name a webhook's event count.
    """
    if isinstance(source, ServiceMapping):
        return generic.parse_payload(payload, source)
    if source == "github":
        return github.parse_payload(payload, event=headers.get("x-github-event"))
    if source == "sentry":
        return sentry.parse_payload(payload, resource=headers.get("sentry-hook-resource"))
    return reddit.parse_payload(payload) if source == "reddit" else manual.parse_payload(payload)


def unwrap(payload: object) -> Iterator[tuple[object, dict[str, str]]]:
    """Bodies with their headers (lower-case names) out of a recorder's file; a plain payload comes back as it is.

    Known are cassettes (`http_interactions`, `interactions`), lists of recorded requests (`scope`, `path`, `response`)
    and a single exchange (`headers` beside `body`).
    """
    if is_record(payload):
        interactions = payload.get("http_interactions") or payload.get("interactions")
        if isinstance(interactions, list):
            payload = [entry.get("response") if is_record(entry) else entry for entry in interactions]
    is_recording = isinstance(payload, list) and payload and all(_is_exchange(entry) for entry in payload)
    for entry in payload if is_recording and isinstance(payload, list) else [payload]:
        yield (_body_of(entry), _headers_of(entry)) if _is_exchange(entry) else (entry, {})


def _is_exchange(value: object) -> bool:
    if not is_record(value):
        return False
    return ("headers" in value and "body" in value) or {"scope", "path", "response"} <= value.keys()


def _body_of(exchange: object) -> object:
    """The body, parsed where the recorder kept it as text."""
    record = cast("Record", exchange)
    body = record.get("response") if "scope" in record else record.get("body")
    if is_record(body) and isinstance(body.get("string"), str):
        body = body["string"]
    if not isinstance(body, str):
        return body
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body


def _headers_of(exchange: object) -> dict[str, str]:
    headers = cast("Record", exchange).get("headers")
    pairs = headers.items() if is_record(headers) else ()
    first = ((name, value[0] if isinstance(value, list) and value else value) for name, value in pairs)
    return {name.lower(): value for name, value in first if isinstance(value, str)}


def _refuse_folder(error: OSError) -> None:
    raise PermanentError(f"Listing folder {error.filename!r} failed: {error.strerror}; check its rights.") from error


def is_dump(file: Path) -> bool:
    """Whether the name is that of a public dump of Reddit."""
    return _DUMPS.fullmatch(file.name) is not None


def _read_file(file: Path, name: str, source: Reader, n_skipped: int) -> Iterator[tuple[str, list[Outcome]]]:
    suffixes = [suffix.lower() for suffix in file.suffixes[-2:]]
    packing = suffixes.pop() if suffixes and suffixes[-1] in _PACKED else ""
    kind = ".ndjson" if is_dump(file) else suffixes[-1] if suffixes else ""
    is_known = kind in _DOCUMENTS | _LINES or (source == "sentry" and kind in _ENVELOPES)
    if not is_known or not file.is_file():
        yield name, [Ignored(reason="not-a-payload")]
        return
    try:
        with _open(file, packing) as stream:
            if kind in _LINES or (kind in _DOCUMENTS and _holds_lines(stream)):
                yield from _read_lines(stream, name, source, n_skipped)
            else:
                yield name, _read_document(stream, name, kind, source)
    except _UNPACKING_ERRORS as error:
        what = "a readable file" if not packing else f"a file packed as {packing[1:]}"
        yield name, [quarantine("unreadable", f"{name}: expected {what}, got {type(error).__name__}: {error}")]


def _holds_lines(stream: io.BufferedReader) -> bool:
    """Whether what calls itself one document is an object a line, as the hours of GH Archive are.

    Told by the first bytes: a line that ends with '}' and another that begins with '{'. Reads nothing away.
    """
    head = stream.peek(_PEEKED_BYTES)
    line, newline, rest = head.partition(b"\n")
    if newline and rest.strip():
        return line.rstrip().endswith(b"}") and line.lstrip().startswith(b"{") and rest.lstrip().startswith(b"{")
    return False


def _open(file: Path, packing: str) -> io.BufferedReader:
    if packing == ".gz":
        return io.BufferedReader(cast("io.RawIOBase", gzip.open(file, "rb")), _PEEKED_BYTES)
    if packing == ".zst":
        unpacker = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES)
        reader = unpacker.stream_reader(file.open("rb"), read_across_frames=True, closefd=True)
        return io.BufferedReader(cast("io.RawIOBase", reader), _PEEKED_BYTES)
    return cast("io.BufferedReader", file.open("rb", buffering=_PEEKED_BYTES))


def _read_document(stream: BinaryIO, name: str, kind: str, source: Reader) -> list[Outcome]:
    content = stream.read(MAX_DOCUMENT_BYTES + 1)
    if len(content) > MAX_DOCUMENT_BYTES:
        return [_too_large(name)]
    if kind not in _ENVELOPES:
        return _parse_json(content, name, 1, source)
    text = _decode(content, name, 1)
    if not isinstance(text, str):
        return [text]
    if not text.strip():
        return [_empty(name)]
    if kind == ".txt" and not text.lstrip().startswith("{"):
        return [Ignored(reason="not-a-payload")]
    return list(sentry.parse_envelope(text))


def _read_lines(stream: BinaryIO, name: str, source: Reader, n_skipped: int) -> Iterator[tuple[str, list[Outcome]]]:
    number, is_empty = 0, not n_skipped
    while line := stream.readline(MAX_DOCUMENT_BYTES + 1):
        number += 1
        if number <= n_skipped and len(line) <= MAX_DOCUMENT_BYTES:
            continue
        location = f"{name}:{number}"
        if len(line) > MAX_DOCUMENT_BYTES:
            while line and not line.endswith(b"\n"):
                line = stream.readline(_SKIPPED_CHUNK_BYTES)
            is_empty = False
            yield location, [_too_large(location)]
        elif line.strip():
            is_empty = False
            yield location, _parse_json(line, location, number, source)
    if is_empty:
        yield name, [_empty(name)]


def _parse_json(content: bytes, location: str, first_line: int, source: Reader) -> list[Outcome]:
    text = _decode(content, location, first_line)
    if not isinstance(text, str):
        return [text]
    if not text.strip():
        return [_empty(location)]
    try:
        payload = json.loads(text)
    except RecursionError:
        return [quarantine("too-deep", f"{location}: expected JSON of ordinary depth, got deeper nesting than we read")]
    except json.JSONDecodeError as error:
        got = text[error.pos : error.pos + _EXCERPT_BYTES] or "the end"
        line = first_line + error.lineno - 1
        return [quarantine("broken-json", f"{location}: line {line}: expected JSON ({error.msg}), got {got!r}")]
    except ValueError as error:
        return [quarantine("broken-json", f"{location}: expected JSON with numbers of ordinary length, got {error}")]
    bodies = unwrap(payload)
    return list(or_empty(outcome for body, headers in bodies for outcome in parse_document(body, source, headers)))


def _decode(content: bytes, location: str, first_line: int) -> str | Quarantined:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = first_line + content.count(b"\n", 0, error.start)
        got = content[error.start : error.start + 8]
        return quarantine("not-utf8", f"{location}: line {line}: expected UTF-8, got {got!r}")


def _too_large(location: str) -> Quarantined:
    limit = MAX_DOCUMENT_BYTES // 1024**2
    return quarantine("too-large", f"{location}: expected at most {limit} MB in one payload, got more")


def _empty(location: str) -> Quarantined:
    return quarantine("empty-file", f"{location}: expected a payload, got an empty file")


def _located(outcome: Outcome, location: str) -> Outcome:
    return outcome.model_copy(update={"location": location}) if isinstance(outcome, Quarantined) else outcome
