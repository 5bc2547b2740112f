"""The model gateway: the only process that holds the model key. It runs outside the sandbox, beside the agent.

Takes two paths (Gemini generateContent and streamGenerateContent, OpenAI chat/completions), puts the key in place of
whatever the agent sent, counts requests, tokens and cost where the answer tells them, and answers 403 at a limit: a
tool gives up at once on 403, it would retry 429 for a minute. `GET /usage` tells the counts. It logs counts alone; what
was asked and answered goes, without secrets, to whoever launched us (`exchanges`).
"""

from __future__ import annotations

import hmac
import http.client
import json
import os
import re
import signal
import socket
import socketserver
import ssl
import sys
import threading
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from agent.exchanges import MOST_ANSWER_BYTES, Exchanges
from agent.job import say
from agent.usage import tell

MOST_BODY_BYTES = 30_000_000
MOST_ERROR_BYTES = 100_000
_PIECE_BYTES = 65_536
_ANSWER_SECONDS = 600
_LAST_SECONDS = 20
_MOST_COUNT = 1e12
_GEMINI = re.compile(r"/(v1|v1beta)/models/[A-Za-z0-9._-]{1,100}:(generateContent|streamGenerateContent)")
_OPENAI = re.compile(r"(?:/v1)?(/chat/completions)")


@dataclass
class Usage:
    """What went through so far. Costs are those that answers name; a server that names none leaves them at 0."""

    requests: int = 0
    tokens: int = 0
    cost_usd: float = 0.0
    refused: int = 0


@dataclass(frozen=True)
class Upstream:
    """Where requests go and what they may use up. `key` is shown nowhere."""

    url: str
    key: str
    most_requests: int
    most_tokens: int
    most_cost_usd: float

    def __repr__(self) -> str:
        return f"Upstream(url={self.url!r})"


class Gateway(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """A server on a UNIX socket, or on a loopback port where containers share one network."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(
        self, address: str | tuple[str, int], upstream: Upstream, exchanges: Exchanges, word: str = ""
    ) -> None:
        self.upstream = upstream
        self.exchanges = exchanges
        self.word = word
        self.usage = Usage()
        self.lock = threading.Lock()
        self.address_family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        super().__init__(address, _Handler)  # type: ignore[arg-type]  # the address of either family

    def own_path(self, path: str) -> str:
        """The path behind our word; empty when it does not begin with it."""
        if not self.word:
            return path
        _, word, rest = f"{path}//".split("/", 2)
        return f"/{rest[:-2]}" if hmac.compare_digest(word.encode(), self.word.encode()) else ""

    def over_limit(self) -> str:
        """Which limit is used up; empty when none."""
        most, used = self.upstream, self.usage
        if used.requests >= most.most_requests:
            return f"{most.most_requests} requests"
        if used.tokens >= most.most_tokens:
            return f"{most.most_tokens} tokens"
        return f"{most.most_cost_usd} USD" if used.cost_usd >= most.most_cost_usd else ""

    def admit(self) -> str:
        """Count a request, or say which limit stands against it."""
        with self.lock:
            limit = self.over_limit()
            if limit:
                self.usage.refused += 1
            else:
                self.usage.requests += 1
            return limit

    def count(self, tokens: int, cost_usd: float) -> None:
        """Add what an answer told."""
        with self.lock:
            self.usage.tokens += tokens
            self.usage.cost_usd = round(self.usage.cost_usd + cost_usd, 8)

    def counts(self) -> dict[str, Any]:
        """What was used up so far, as whoever launched us keeps it."""
        with self.lock:
            used = asdict(self.usage)
        return {name: used[name] for name in ("requests", "tokens", "cost_usd")}

    def handle_error(self, _request: object, _address: object) -> None:
        """Say the kind of a failure and no more: a traceback could carry what was sent."""
        say(f"gateway: a connection ended with {type(sys.exc_info()[1]).__name__}")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Gateway
    timeout = _ANSWER_SECONDS

    def do_GET(self) -> None:
        if self.server.own_path(self.path) == "/usage":
            with self.server.lock:
                body = json.dumps(asdict(self.server.usage)).encode()
            self._answer(200, body)
        else:
            self._refuse(404, "this path is not served")

    def do_POST(self) -> None:
        body = self._read_body()
        if body is None:
            return
        target = upstream_target(self.server.upstream.url, self.server.own_path(self.path))
        if target is None:
            self._refuse(404, "this path is not served")
            return
        limit = self.server.admit()
        if limit:
            self._refuse(403, f"the budget of this job is used up: {limit}")
            return
        self._forward(target, body)

    def _read_body(self) -> bytes | None:
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or "Transfer-Encoding" in self.headers:
            self.close_connection = True
            self._refuse(411, "a request names its length")
            return None
        if int(length) > MOST_BODY_BYTES:
            self.close_connection = True
            self._refuse(413, f"at most {MOST_BODY_BYTES} bytes")
            return None
        return self.rfile.read(int(length))

    def _forward(self, target: str, body: bytes) -> None:
        key, parts = self.server.upstream.key, urlsplit(target)
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity", "User-Agent": "soulcaster"}
        if "/chat/completions" in target:
            headers["Authorization"] = f"Bearer {key}"
        else:
            headers["x-goog-api-key"] = key
        try:
            connection = _connect(target)
            connection.request("POST", f"{parts.path}?{parts.query}".rstrip("?"), body=body, headers=headers)
            answer = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            self._refuse(502, f"the model server gave no answer ({type(error).__name__})")
            self.server.exchanges.note(parts.path, 502, body, b"")
            return
        try:
            if answer.status >= http.HTTPStatus.MULTIPLE_CHOICES:
                text = answer.read(MOST_ERROR_BYTES).replace(key.encode(), b"[redacted]") if key else answer.read()
                self.server.exchanges.note(parts.path, answer.status, body, text)
                self._answer(answer.status, text)
            else:
                self._pass_through(answer, parts.path, body)
        finally:
            connection.close()

    def _pass_through(self, answer: http.client.HTTPResponse, path: str, body: bytes) -> None:
        """Hand on piece by piece as it comes, and read along for the counts and for what is kept."""
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.getheader("Content-Type", "application/json"))
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        counter, said = UsageReader(), bytearray()
        try:
            while piece := answer.read1(_PIECE_BYTES):
                counter.feed(piece)
                said += piece[: max(0, MOST_ANSWER_BYTES - len(said))]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                self.wfile.flush()
        finally:
            # Before the end is told: who has the answer finds it counted and kept.
            self.server.count(*counter.end())
            self.server.exchanges.note(path, answer.status, body, bytes(said))
        self.wfile.write(b"0\r\n\r\n")

    def _refuse(self, status: int, message: str) -> None:
        error = {"error": {"code": status, "message": f"Soulcaster gateway: {message}", "status": "PERMISSION_DENIED"}}
        self._answer(status, json.dumps(error).encode())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        """Nothing: a request line may carry what an agent wants to have logged."""

    def address_string(self) -> str:
        return "agent"


def upstream_target(url: str, path: str) -> str | None:
    """The address a request is handed to; None when its path is not one of the two.

    Gemini paths are put behind the root of the service, OpenAI's behind its base, which carries the version.
    """
    parts = urlsplit(path)
    root = url.rstrip("/")
    if _GEMINI.fullmatch(parts.path):
        is_stream = dict(parse_qsl(parts.query)).get("alt") == "sse"
        return root + parts.path + ("?alt=sse" if is_stream else "")
    match = _OPENAI.fullmatch(parts.path)
    return root + match[1] if match else None


def _connect(target: str) -> http.client.HTTPConnection:
    parts = urlsplit(target)
    host = parts.hostname or ""
    if parts.scheme == "https":
        return http.client.HTTPSConnection(
            host, parts.port, timeout=_ANSWER_SECONDS, context=ssl.create_default_context()
        )
    if host not in {"127.0.0.1", "localhost", "::1"}:
        raise OSError("a key is sent over https only, or to this machine itself")
    return http.client.HTTPConnection(host, parts.port, timeout=_ANSWER_SECONDS)


class UsageReader:
    """Reads token counts and cost out of an answer that passes by, streamed (lines `data: {...}`) or whole."""

    def __init__(self) -> None:
        self._line = b""
        self._whole = bytearray()
        self._is_stream = False
        self._tokens = 0
        self._cost_usd = 0.0

    def feed(self, piece: bytes) -> None:
        """Take the next piece."""
        *lines, self._line = (self._line + piece).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                self._is_stream = True
                self._whole.clear()
                self._take(line[5:])
        if not self._is_stream and len(self._whole) < MOST_BODY_BYTES:
            self._whole += piece
        if len(self._line) > MOST_BODY_BYTES:
            self._line = b""

    def end(self) -> tuple[int, float]:
        """Tokens and cost in USD of the whole answer."""
        if self._is_stream:
            if self._line.startswith(b"data:"):
                self._take(self._line[5:])
        else:
            self._take(bytes(self._whole))
        return self._tokens, self._cost_usd

    def _take(self, text: bytes) -> None:
        if b"sage" not in text:
            return
        try:
            found = json.loads(text)
        except ValueError:
            return  # the rest of a stream that was cut off
        for message in found if isinstance(found, list) else [found]:
            if isinstance(message, dict):
                self._take_message(message)

    def _take_message(self, message: dict[str, Any]) -> None:
        # Counts of a stream are totals so far, in both protocols: the largest counts.
        gemini, openai = message.get("usageMetadata"), message.get("usage")
        if isinstance(gemini, dict):
            self._tokens = max(self._tokens, int(_number(gemini.get("totalTokenCount"))))
        if isinstance(openai, dict):
            self._tokens = max(self._tokens, int(_number(openai.get("total_tokens"))))
            self._cost_usd = max(self._cost_usd, _number(openai.get("cost")))


def _number(value: object) -> float:
    """The value when it is a count or a price, else 0."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    return float(value) if 0 <= value < _MOST_COUNT else 0.0


def run(words: list[str]) -> int:
    """Serve until standard input ends, then print the counts.

    `--socket PATH`: a child of the launcher on this machine; the first line of standard input is the configuration.
    `--port N`: a container beside the agent's; configuration from SOULCASTER_GATEWAY_URL, _KEY and _LIMITS of that
    container alone, until SIGTERM; counts go where SOULCASTER_GATEWAY_TICKET says, if it is there. It listens on
    loopback, and on every address only when SOULCASTER_GATEWAY_WORD is there: the first part of each path, then.
    SOULCASTER_GATEWAY_SECONDS ends it, whoever has forgotten it.
    """
    kind, value = words
    ended, teller = threading.Event(), None
    if kind == "--socket":
        settings = json.loads(sys.stdin.buffer.readline())
        server = Gateway(value, _upstream(settings), Exchanges(settings["key"], Path(settings["exchanges"])))
        Path(value).chmod(0o666)  # nobody reaches its folder; the sandbox gets the socket alone
        threading.Thread(target=_end_with_stdin, args=(server,), daemon=True).start()
    else:
        settings = json.loads(os.environ["SOULCASTER_GATEWAY_LIMITS"])
        settings |= {"url": os.environ["SOULCASTER_GATEWAY_URL"], "key": os.environ["SOULCASTER_GATEWAY_KEY"]}
        word = os.environ.get("SOULCASTER_GATEWAY_WORD", "")
        host = "0.0.0.0" if word else "127.0.0.1"  # noqa: S104  with a word
        server = Gateway((host, int(value)), _upstream(settings), Exchanges(settings["key"]), word)
        signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
        _end_after(os.environ.get("SOULCASTER_GATEWAY_SECONDS", ""), server)
        ticket = os.environ.get("SOULCASTER_GATEWAY_TICKET", "")
        if ticket:
            read = server.counts, server.exchanges.content
            teller = threading.Thread(target=tell, args=(*read, ticket, ended), daemon=True)
            teller.start()
    print("ready", flush=True)  # noqa: T201  whoever started us waits for this line
    server.serve_forever(poll_interval=0.1)
    ended.set()
    if teller is not None:
        teller.join(_LAST_SECONDS)
    print(json.dumps(asdict(server.usage)), flush=True)  # noqa: T201  the trusted count
    return 0


def _upstream(settings: dict[str, Any]) -> Upstream:
    return Upstream(
        url=settings["url"],
        key=settings["key"],
        most_requests=settings["requests"],
        most_tokens=settings["tokens"],
        most_cost_usd=settings["cost_usd"],
    )


def _end_after(seconds: str, server: Gateway) -> None:
    if seconds:
        timer = threading.Timer(float(seconds), server.shutdown)
        timer.daemon = True
        timer.start()


def _end_with_stdin(server: Gateway) -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    server.shutdown()
