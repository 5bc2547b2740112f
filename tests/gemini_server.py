"""A stand-in for the Gemini API on loopback: speaks the wire protocol of `batchEmbedContents` and `generateContent`.

It is as strict as the service: key in the header, version in the path, at most 100 texts a call, no empty text. Vectors
are bags of hashed words, not normalised, as the service sends them for reduced sizes.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

API_KEY = "test-key-7f3a9c"


@dataclass
class GeminiServer:
    """What the stand-in was asked, and what it is to answer.

    `failures` are taken first, one a request: a status code, or (status code, message). `delay_seconds` holds back
    every answer. `drop_last` answers one vector too few. `generate` turns the body of a generateContent call into
    the text of its answer, or into the reason for which the model stopped without one ("SAFETY", "MAX_TOKENS").
    """

    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    failures: list[int | tuple[int, str]] = field(default_factory=list)
    delay_seconds: float = 0.0
    drop_last: bool = False
    generate: Callable[[dict[str, Any]], str] = lambda _body: "{}"


@contextmanager
def running_gemini() -> Iterator[GeminiServer]:
    """A started server; stopped at the end of the block."""
    state = GeminiServer()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _make_handler(state))
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def word_vector(text: str, dim: int) -> list[float]:
    """A bag of hashed words of the length of the text: equal texts are equal, shared words bring texts closer."""
    values = [0.0] * dim
    for word in [*re.findall(r"\w+", text.lower()), "bias"]:
        digest = hashlib.sha256(word.encode()).digest()
        values[int.from_bytes(digest[:4], "big") % dim] += 1.0 if digest[4] % 2 else -1.0
    return values


def _make_handler(state: GeminiServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state.paths.append(self.path)
            state.requests.append(body)
            state.times.append(time.monotonic())
            if state.delay_seconds:
                time.sleep(state.delay_seconds)
            status, answer = self._answer(body)
            raw = json.dumps(answer).encode()
            try:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)
            except BrokenPipeError:
                pass  # the client gave up waiting, which is what a test of time-outs wants

        def _answer(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
            if state.failures:
                failure = state.failures.pop(0)
                status, message = failure if isinstance(failure, tuple) else (failure, "scripted")
                return status, _error(status, message)
            if self.headers.get("x-goog-api-key") != API_KEY:
                return 400, _error(400, "API key not valid. Please pass a valid API key.")
            match = re.fullmatch(r"/v1beta/models/([\w.-]+):(batchEmbedContents|generateContent)", self.path)
            if match is None:
                return 404, _error(404, f"{self.path} is not found for this API version")
            if match[2] == "generateContent":
                return 200, _generated(state.generate(body))
            return _embedded(body["requests"], drop_last=state.drop_last)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the name is the parent's
            pass

    return Handler


def _embedded(requests: list[dict[str, Any]], *, drop_last: bool) -> tuple[int, dict[str, Any]]:
    if len(requests) > 100:
        return 400, _error(400, "at most 100 requests can be in one batch")
    vectors = []
    for request in requests:
        text = "".join(part.get("text", "") for part in request["content"]["parts"])
        if not text.strip():
            return 400, _error(400, "content is empty")
        vectors.append({"values": word_vector(text, request.get("outputDimensionality", 3072))})
    return 200, {"embeddings": vectors[:-1] if drop_last else vectors}


def _generated(text: str) -> dict[str, Any]:
    reason = text if text in {"SAFETY", "MAX_TOKENS"} else "STOP"
    parts = [{"text": text if reason == "STOP" else '{"title": "Cut in the mid'}]
    return {
        "candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": reason, "index": 0}],
        "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15},
    }


def _error(status: int, message: str) -> dict[str, Any]:
    name = {400: "INVALID_ARGUMENT", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED"}
    return {"error": {"code": status, "message": message, "status": name.get(status, "UNAVAILABLE")}}
