"""The model gateway: two paths, one key, counts and limits; nothing of the key in any log or answer."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.bridge import Counts, open_bridge, read_counts
from agent.gateway import UsageReader, upstream_target
from soulcaster.drill.model_server import MODEL_KEY, Refuse, Say, running_model

ROOT = Path(__file__).resolve().parents[2]
GEMINI = "/v1beta/models/gemini-2.5-flash:generateContent"
STREAM = "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse"
BODY = json.dumps({"contents": [{"role": "user", "parts": [{"text": "hello"}]}]})


@dataclass
class Running:
    """A gateway process and how to speak with it."""

    address: str
    log: Path
    process: subprocess.Popen[bytes]

    def ask(self, path: str, body: str = BODY, headers: dict[str, str] | None = None) -> tuple[int, str]:
        """Status and text of a POST over the bridge."""
        connection = http.client.HTTPConnection(open_bridge(self.address).removeprefix("http://"), timeout=30)
        connection.request("POST", path, body, {"x-goog-api-key": "placeholder", **(headers or {})})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text

    def counts(self) -> Counts:
        """What it has counted."""
        counts = read_counts(f"unix:{self.address}")
        assert counts
        return counts


@contextmanager
def running_gateway(url: str, log: Path, **limits: Any) -> Iterator[Running]:
    """`python -m agent gateway` on a socket."""
    settings = {"url": url, "key": MODEL_KEY, "requests": 50, "tokens": 100_000, "cost_usd": 5.0, **limits}
    settings["exchanges"] = str(log.with_suffix(".jsonl"))
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, log.open("wb") as out:
        address = f"{folder}/s"
        process = subprocess.Popen(
            [sys.executable, "-m", "agent", "gateway", "--socket", address],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=out, env={"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert process.stdin
        assert process.stdout
        process.stdin.write(json.dumps(settings).encode() + b"\n")
        process.stdin.flush()
        assert b"ready\n" == process.stdout.readline()
        try:
            yield Running(address, log, process)
        finally:
            process.stdin.close()
            rest = process.stdout.read()
            assert 0 == process.wait(timeout=10)
            process.stdout.close()
            assert {"requests", "tokens", "cost_usd", "refused"} == set(json.loads(rest))


@pytest.mark.parametrize("path", [GEMINI, STREAM])
def test_the_key_takes_the_place_of_what_the_agent_sent(tmp_path: Path, path: str):
    """Upstream sees the key and nothing of the agent's headers; the answer comes back whole."""
    with running_model([Say("hello you")]) as model, running_gateway(model.url, tmp_path / "log") as gateway:
        status, text = gateway.ask(path, headers={"Cookie": "a=b", "X-Evil": "1"})

        assert 200 == status
        assert "A short title" in text
        assert path == model.requests[0].path
        assert MODEL_KEY == model.requests[0].headers["x-goog-api-key"]
        assert not {"cookie", "x-evil"} & set(model.requests[0].headers)
        assert Counts(1, 120, 0.0) == gateway.counts()
        [line] = gateway.log.with_suffix(".jsonl").read_text().splitlines()
        kept = json.loads(line)
        assert (200, "hello") == (kept["status"], kept["new"][0]["parts"][0]["text"])
        assert "A short title" in kept["answer"]["text"]
        assert MODEL_KEY not in line


@pytest.mark.parametrize("is_stream", [False, True])
def test_openai_requests_are_counted_with_their_cost(tmp_path: Path, is_stream: bool):
    """The base of the service carries the version; usage is read from both forms of answer."""
    body = json.dumps({"model": "m", "stream": is_stream, "messages": [{"role": "user", "content": "hello"}]})
    with running_model() as model, running_gateway(f"{model.url}/v1", tmp_path / "log") as gateway:
        status, _ = gateway.ask("/v1/chat/completions", body, {"Authorization": "Bearer placeholder"})

        assert 200 == status
        assert f"Bearer {MODEL_KEY}" == model.requests[0].headers["authorization"]
        assert Counts(1, 120, 0.001) == gateway.counts()


@pytest.mark.parametrize(
    "path",
    [
        "/", "/v1beta/models", "/v1beta/models/x:countTokens", "/v1beta/files",
        "/v1beta/models/../files:generateContent",
        "/v1beta/models/x:generateContent/../../keys", "//evil.example/v1beta/models/x:generateContent",
        "http://evil.example/v1/chat/completions/x", "/v1beta/models/x%2f..:generateContent", "/v1/embeddings",
        "/v2/chat/completions",
    ],
)  # fmt: skip
def test_no_other_path_reaches_the_model_server(tmp_path: Path, path: str):
    """404, nothing sent on, nothing counted."""
    with running_model() as model, running_gateway(model.url, tmp_path / "log") as gateway:
        assert 404 == gateway.ask(path)[0]
        assert [] == model.requests
        assert Counts() == gateway.counts()


@given(st.text(max_size=80))
def test_whatever_the_path_the_host_stays(path: str):
    """No path makes a request go to another host or another place of the service."""
    target = upstream_target("https://models.example/base", path)

    assert target is None or target.startswith(("https://models.example/base/v1", "https://models.example/base/chat/"))


@pytest.mark.parametrize(
    ("limits", "passes", "what"),
    [({"requests": 2}, 2, "2 requests"), ({"tokens": 200}, 2, "200 tokens"), ({"cost_usd": 0.0015}, 2, "0.0015 USD")],
)
def test_at_a_limit_it_answers_403(tmp_path: Path, limits: dict[str, Any], passes: int, what: str):
    """A used-up budget is final: tools give up on 403 and would retry 429."""
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hello"}]})
    with running_model() as model, running_gateway(f"{model.url}/v1", tmp_path / "log", **limits) as gateway:
        answers = [gateway.ask("/v1/chat/completions", body) for _ in range(passes + 2)]

        assert [200] * passes + [403] * 2 == [status for status, _ in answers]
        assert what in answers[-1][1]
        assert passes == len(model.requests)


def test_the_key_is_in_no_log_and_no_error(tmp_path: Path):
    """A server that repeats the key in its error gets it taken out; connections that break say only their kind."""
    refusal = Refuse(401, f"the key {MODEL_KEY} is not valid")
    body = json.dumps({"contents": [], "tools": [{"functionDeclarations": [{"name": "bash"}]}]})
    with running_model([refusal]) as model, running_gateway(model.url, tmp_path / "log") as gateway:
        status, text = gateway.ask(GEMINI, body)
        for junk in (b"\x00\xff\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", b"GET\r\n"):
            with socket.socket(socket.AF_UNIX) as raw:
                raw.connect(gateway.address)
                raw.sendall(junk)
                raw.shutdown(socket.SHUT_WR)
                raw.recv(1000)
        environ = Path(f"/proc/{gateway.process.pid}/environ").read_bytes()
        command = Path(f"/proc/{gateway.process.pid}/cmdline").read_bytes()

    assert (401, True) == (status, "[redacted]" in text)
    for place in (text, (tmp_path / "log").read_text(), environ.decode(), command.decode()):
        assert MODEL_KEY not in place


def test_a_key_is_never_sent_in_the_clear_to_another_machine(tmp_path: Path):
    """Plain http is for this machine alone."""
    with running_gateway("http://192.0.2.1", tmp_path / "log") as gateway:
        status, text = gateway.ask(GEMINI)

    assert (502, True) == (status, "OSError" in text)


def test_a_model_server_that_is_gone_is_502(tmp_path: Path):
    """The tool learns that there was no answer."""
    with running_model() as model:
        url = model.url
    with running_gateway(url, tmp_path / "log") as gateway:
        assert 502 == gateway.ask(GEMINI)[0]


def _pieces(text: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(text), size):
        yield text[start : start + size]


@given(st.integers(1, 400), st.sampled_from(["gemini", "openai", "whole"]))
def test_counts_do_not_depend_on_how_an_answer_is_cut(size: int, form: str):
    """Pieces end anywhere, also inside a line; the largest total of a stream counts."""
    gemini = [{"usageMetadata": {"totalTokenCount": n}, "candidates": []} for n in (5, 70, 70)]
    openai = [{"choices": [], "usage": None}, {"usage": {"total_tokens": 70, "cost": 0.5}}]
    forms: dict[str, Callable[[], str]] = {
        "gemini": lambda: "".join(f"data: {json.dumps(chunk)}\r\n\r\n" for chunk in gemini),
        "openai": lambda: "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in openai) + "data: [DONE]\n\n",
        "whole": lambda: json.dumps(gemini[1], indent=2),
    }
    reader = UsageReader()
    for piece in _pieces(forms[form]().encode(), size):
        reader.feed(piece)

    assert (70, 0.5 if form == "openai" else 0.0) == reader.end()
