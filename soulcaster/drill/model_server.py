"""A stand-in for model servers on loopback: Gemini `generateContent` and OpenAI `chat/completions`, streamed or not.

It is stateless: which turn is next is told by how many tool results the request already carries, so retries and order
do not matter. A request that offers no tools is a side call (title, summary) and gets plain text.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL_KEY = "model-key-c4n4ry-51d2"
TOKENS_IN, TOKENS_OUT = 100, 20


@dataclass(frozen=True)
class Use:
    """The model asks for a tool. The first name that the request offers is taken: tools differ in names."""

    arguments: dict[str, Any]
    names: tuple[str, ...]


@dataclass(frozen=True)
class Say:
    """The model answers and is done."""

    text: str


@dataclass(frozen=True)
class Refuse:
    """The server answers with an error."""

    status: int
    message: str = "refused by the script"


@dataclass(frozen=True)
class Hang:
    """The server takes the request and does not answer for so long."""

    seconds: float


Turn = Use | Say | Refuse | Hang


@dataclass(frozen=True)
class ModelRequest:
    """One request as the script sees it. `text` is all text of it, `tools` the names it offers."""

    protocol: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    n_results: int
    tools: frozenset[str]
    text: str


Script = Sequence[Turn] | Callable[[ModelRequest], Turn]


def shell(command: str) -> Use:
    """A shell command, by whatever name the tool calls that."""
    arguments = {"command": command, "description": "run a command"}
    return Use(arguments, ("bash", "run_shell_command", "shell"))


@dataclass
class ModelServer:
    """`url` is the root for Gemini; `url` + '/v1' is the base for OpenAI clients. All requests are kept."""

    url: str = ""
    requests: list[ModelRequest] = field(default_factory=list)


@contextmanager
def running_model(script: Script = (Say("done"),)) -> Iterator[ModelServer]:
    """A started server; stopped at the end of the block. After the last turn of a sequence it says `done`."""
    state = ModelServer()
    ended = threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _make_handler(state, script, ended))
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        ended.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _next_turn(script: Script, request: ModelRequest) -> Turn:
    if not request.tools:
        return Say("A short title")
    if callable(script):
        return script(request)
    return script[request.n_results] if request.n_results < len(script) else Say("done")


def _make_handler(state: ModelServer, script: Script, ended: threading.Event) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = _read_request(self.path, headers, json.loads(raw))
            state.requests.append(request)
            turn = _next_turn(script, request)
            if isinstance(turn, Hang):
                ended.wait(turn.seconds)
                turn = Say("late")
            if isinstance(turn, Refuse):
                body = json.dumps({"error": {"code": turn.status, "message": turn.message, "status": "FAILED"}})
                self._answer(turn.status, "application/json", body.encode())
                return
            is_gemini = request.protocol == "gemini"
            is_stream = "streamGenerateContent" in self.path or bool(request.body.get("stream"))
            chunks = (_gemini if is_gemini else _openai)(turn, request, is_stream)
            if not is_stream:
                self._answer(200, "application/json", json.dumps(chunks[0]).encode())
                return
            lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks] + ([] if is_gemini else ["data: [DONE]\n\n"])
            self._stream(lines)

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _stream(self, lines: list[str]) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for line in [*lines, ""]:
                data = line.encode()
                self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
                self.wfile.flush()

        def log_message(self, *_args: object) -> None:
            return

    return Handler


def _read_request(path: str, headers: dict[str, str], body: dict[str, Any]) -> ModelRequest:
    if path.endswith("/chat/completions"):
        messages = body.get("messages", [])
        results = [message for message in messages if message.get("role") == "tool"]
        tools = [tool["function"]["name"] for tool in body.get("tools") or []]
        return ModelRequest(
            "openai", path, headers, body, len(results), frozenset(tools), json.dumps(messages, ensure_ascii=False)
        )
    if not re.search(r"/models/[^/]+:(stream)?[gG]enerateContent", path):
        raise ValueError(f"a model server has no such path: {path[:200]}")
    parts = [part for content in body.get("contents", []) for part in content.get("parts", [])]
    results = [part for part in parts if "functionResponse" in part or "function_response" in part]
    tools = [
        declaration["name"]
        for tool in body.get("tools") or []
        for declaration in tool.get("functionDeclarations") or tool.get("function_declarations") or []
    ]
    return ModelRequest(
        "gemini", path, headers, body, len(results), frozenset(tools), json.dumps(body, ensure_ascii=False)
    )


def _name(turn: Use, request: ModelRequest) -> str:
    return next((name for name in turn.names if name in request.tools), turn.names[0])


def _gemini(turn: Use | Say, request: ModelRequest, _is_stream: bool) -> list[dict[str, Any]]:
    if isinstance(turn, Use):
        part: dict[str, Any] = {"functionCall": {"name": _name(turn, request), "args": turn.arguments}}
    else:
        part = {"text": turn.text}
    return [
        {
            "candidates": [{"content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": 0}],
            "usageMetadata": {
                "promptTokenCount": TOKENS_IN,
                "candidatesTokenCount": TOKENS_OUT,
                "totalTokenCount": TOKENS_IN + TOKENS_OUT,
            },
            "modelVersion": "stand-in",
        }
    ]


def _openai(turn: Use | Say, request: ModelRequest, is_stream: bool) -> list[dict[str, Any]]:
    message: dict[str, Any] = {"role": "assistant", "content": turn.text if isinstance(turn, Say) else None}
    if isinstance(turn, Use):
        message["tool_calls"] = [
            {
                "index": 0,
                "id": f"call_{request.n_results}",
                "type": "function",
                "function": {"name": _name(turn, request), "arguments": json.dumps(turn.arguments)},
            }
        ]
    usage = {
        "prompt_tokens": TOKENS_IN,
        "completion_tokens": TOKENS_OUT,
        "total_tokens": TOKENS_IN + TOKENS_OUT,
        "cost": 0.001,
    }
    finish = "tool_calls" if isinstance(turn, Use) else "stop"
    whole = {"id": "c1", "created": int(time.time()), "model": request.body.get("model", ""), "usage": usage}
    if not is_stream:
        choice = {"index": 0, "message": message, "finish_reason": finish}
        return [{**whole, "object": "chat.completion", "choices": [choice]}]
    frame = {**whole, "object": "chat.completion.chunk", "usage": None}
    return [
        {**frame, "choices": [{"index": 0, "delta": message, "finish_reason": None}]},
        {**frame, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]},
        {**frame, "choices": [], "usage": usage},
    ]
