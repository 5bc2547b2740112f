"""What the gateway keeps of requests and answers: what is new, put together, without secrets, within bounds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.exchanges import MOST_BYTES, Exchanges, read_answer

KEY = "the-model-s-own-key"
TOKEN = "ghp_0123456789abcdef0123456789abcdef0123"
ENDLESS = {"choices": [{"delta": {"tool_calls": [{"index": float("inf")}]}}]}
CALL = {"name": "f", "arguments": "{}"}
PATH = "/v1beta/models/m:generateContent"


def said(text: str) -> dict[str, Any]:
    """An entry of a Gemini conversation."""
    return {"role": "user", "parts": [{"text": text}]}


def body(*texts: str, **rest: Any) -> bytes:
    """A request."""
    return json.dumps({"contents": [said(text) for text in texts], **rest}).encode()


def answer(text: str) -> bytes:
    """A whole answer."""
    return json.dumps({"candidates": [{"content": {"parts": [{"text": text}]}}]}).encode()


def lines(made: Exchanges) -> list[dict[str, Any]]:
    """What is kept."""
    return [json.loads(line) for line in made.content().splitlines()]


def test_each_line_holds_what_was_not_said_before():
    """A conversation grows, a side call stands between; system words are told once, and again when they change."""
    made = Exchanges(KEY)
    made.note(PATH, 200, body("a", system="be good"), answer("one"))
    made.note(PATH, 200, body("title?", system="short"), answer("T"))
    made.note(PATH, 200, body("a", "b", "c", system="be good"), answer("two"))
    made.note(PATH, 200, body("a", "b", "c", "d", system="be better"), answer("three"))

    found = lines(made)
    assert [0, 0, 1, 3] == [line["n_before"] for line in found]
    assert [[said("b"), said("c")], [said("d")]] == [line["new"] for line in found[2:]]
    assert [{"system": "be good"}, {"system": "short"}, None, {"system": "be better"}] == [
        line.get("rest_is") for line in found
    ]
    assert found[0]["rest"] == found[2]["rest"]
    assert ["one", "T", "two", "three"] == [line["answer"]["text"] for line in found]


def test_no_secret_is_kept_however_an_answer_is_cut():
    """The key wherever it stands, names of fields too; what has a token's form also when a stream cuts it in two."""
    made = Exchanges(KEY)
    stream = b"".join(b"data: " + answer(part) + b"\r\n\r\n" for part in (f"it is {TOKEN[:9]}", TOKEN[9:]))
    made.note(PATH, 200, json.dumps({"contents": [{KEY: f"x{KEY}x {TOKEN}"}], "note": KEY}).encode(), stream)

    text = made.content().decode()
    assert KEY not in text
    assert TOKEN[:9] not in text
    assert "it is [redacted]" == lines(made)[0]["answer"]["text"]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (
            {"choices": [{"message": {"content": "hi", "tool_calls": [{"function": CALL}]}}]},
            {"text": "hi", "calls": [CALL]},
        ),
        (
            {"candidates": [{"content": {"parts": [{"functionCall": {"name": "edit", "args": {"a": 1}}}]}}]},
            {"text": "", "calls": [{"name": "edit", "args": {"a": 1}}]},
        ),
        ({"error": {"message": "no"}}, {"raw": '{"error": {"message": "no"}}'}),
        ([1], {"raw": "[1]"}),
        (ENDLESS, {"raw": json.dumps(ENDLESS)}),
    ],
)  # fmt: skip
def test_answers_of_both_protocols_are_read(raw: Any, expected: dict[str, Any]):
    """Text and calls of tools; what is neither is kept as it came."""
    assert expected == read_answer(json.dumps(raw).encode())


def test_a_streamed_call_is_put_together():
    """OpenAI sends the arguments of a call in pieces, told apart by their place."""
    pieces = [
        {"index": 1, "function": {"name": "sh", "arguments": '{"a'}},
        {"index": 1, "function": {"arguments": '":1}'}},
    ]
    stream = "".join(f"data: {json.dumps({'choices': [{'delta': {'tool_calls': [each]}}]})}\n\n" for each in pieces)

    assert {"text": "", "calls": [{"name": "sh", "arguments": '{"a":1}'}]} == read_answer(
        f"{stream}data: [DONE]\n".encode()
    )


def test_it_is_bounded(tmp_path: Path):
    """One huge or deep request is named and left out; over the bound it says so once, whatever still comes."""
    path = tmp_path / "model.jsonl"
    made = Exchanges(KEY, path)
    made.note(PATH, 200, body(*["x" * 30_000] * 40), b"")
    made.note(PATH, 200, b'{"contents": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", b"")
    for number in range(30):
        made.note(PATH, 200, body(f"{number}" + "y" * 19_000, *[f"{number} {n}" + "z" * 19_000 for n in range(9)]), b"")

    found = [json.loads(line) for line in path.read_text().splitlines()]
    assert "left_out" in found[0]
    assert "nested" in found[1].get("left_out", "nested")
    assert {"left_out": "more than is kept"} == found[-1]
    assert MOST_BYTES > path.stat().st_size > MOST_BYTES / 2
    assert 0o600 == path.stat().st_mode & 0o777


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_whatever_goes_by_a_line_is_kept(request: bytes, reply: bytes):
    """Bytes that are no JSON, or other JSON, cost one line and no failure."""
    made = Exchanges(KEY)
    made.note(PATH, 200, request, reply)

    assert 1 == len(lines(made))
