"""What all stand-ins share: a loopback HTTP server that can fail in every way the wire knows.

A stand-in gives `answer(request) -> Answer`; `failures` are taken first, one a request.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, BinaryIO
from urllib.parse import parse_qs, urlsplit

SLOW_SECONDS = 4.0


@dataclass
class Request:
    """One request as it came."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    def first(self, name: str, default: str = "") -> str:
        """First value of a query parameter."""
        return self.query.get(name, [default])[0]


@dataclass
class Answer:
    """What is sent back.

    `trick`: 'slow' waits first, 'drip' and 'drip-head' send body or headers byte by byte, 'cut' ends in the middle.
    """

    status: int = 200
    payload: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    trick: str = ""

    def encoded(self) -> bytes:
        """Body bytes."""
        return self.raw if self.raw is not None else json.dumps(self.payload).encode()


def failure(kind: str) -> Answer:
    """A named failure: a status code as text, a trick of `Answer`, or 'broken', 'charset', 'html', 'wrong-shape'."""
    if kind.isdigit():
        return Answer(int(kind), {"message": "scripted", "error": int(kind)})
    if kind == "broken":
        return Answer(raw=b'[{"number": 1, "title": "x')
    if kind == "charset":
        latin = json.dumps([{"title": "Gr\u00fc\u00dfe"}], ensure_ascii=False).encode("latin-1")
        return Answer(raw=latin, headers={"Content-Type": "application/json; charset=iso-8859-1"})
    if kind == "html":
        return Answer(raw=b"<html>who are you?</html>", headers={"Content-Type": "text/html"})
    if kind == "wrong-shape":
        return Answer(payload={"surprise": 1})
    return Answer(payload=[], trick=kind)


@dataclass
class Wire:
    """A running server: its address, what it was asked, and the failures it is to answer with first."""

    url: str = ""
    requests: list[Request] = field(default_factory=list)
    failures: list[Answer | None] = field(default_factory=list)
    on_request: Callable[[Request], None] = lambda _request: None

    def paths(self) -> list[str]:
        """Paths asked for, in order."""
        return [request.path for request in self.requests]


@contextmanager
def running(answer: Callable[[Request], Answer], wire: Wire) -> Iterator[Wire]:
    """The started server; stopped at the end of the block."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _make_handler(answer, wire))
    server.daemon_threads = True
    wire.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield wire
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _drip(file: BinaryIO, head: bytes, byte: bytes) -> None:
    """The head, then fifty seconds of a byte now and then; nothing when it is no byte."""
    file.write(head)
    for _ in range(1000 * len(byte)):
        file.write(byte)
        time.sleep(0.05)


def _make_handler(answer: Callable[[Request], Answer], wire: Wire) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else header and body wait 40 ms for each other

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("Content-Length", 0))
            body = self.rfile.read(length)
            if len(body) < length:  # the client was killed in the middle: half a request is none
                self.close_connection = True
                return
            headers = {name.lower(): value for name, value in self.headers.items()}
            query = parse_qs(parts.query, keep_blank_values=True)
            request = Request(self.command, parts.path, query, headers, body)
            wire.requests.append(request)
            scripted = wire.failures.pop(0) if wire.failures else None
            wire.on_request(request)
            self._send(scripted or answer(request))

        do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815  the parent's names

        def _send(self, reply: Answer) -> None:
            raw = reply.encoded() if reply.status != 304 else b""
            headers = {"Content-Type": "application/json; charset=utf-8"} | reply.headers
            try:
                if reply.trick == "slow":
                    time.sleep(SLOW_SECONDS)
                if reply.trick == "drip-head":
                    self.close_connection = True
                    _drip(self.wfile, b"HTTP/1.1 200 OK\r\nX-Slow: ", b"a")
                    return
                self.send_response(reply.status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(raw) + (1000 if reply.trick in ("cut", "drip") else 0)))
                self.end_headers()
                self.wfile.write(raw)
                if reply.trick in ("cut", "drip"):
                    _drip(self.wfile, b"", b" " if reply.trick == "drip" else b"")
                    self.close_connection = True
            except (BrokenPipeError, ConnectionResetError):
                pass  # the client gave up, which is what a test of patience wants

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the name is the parent's
            pass

    return Handler
