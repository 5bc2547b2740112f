"""The Gemini embedder on the wire: chunks, pacing, retries, and errors that never tell the key."""

import logging
import time
import traceback
from collections.abc import Iterator

import numpy as np
import pytest
from gemini_server import API_KEY, GeminiServer, running_gemini, word_vector

from soulcaster.embedders.gemini import GeminiEmbedder
from soulcaster.errors import PermanentError, TransientError


@pytest.fixture
def server() -> Iterator[GeminiServer]:
    """A fresh stand-in."""
    with running_gemini() as running:
        yield running


def make(server: GeminiServer, **changes: object) -> GeminiEmbedder:
    """An embedder pointed at the stand-in that does not dawdle."""
    arguments: dict = {
        "api_key": API_KEY,
        "model": "gemini-embedding-001",
        "base_url": server.url,
        "requests_per_minute": 10_000,
        "first_delay_seconds": 0.01,
    }
    return GeminiEmbedder(**(arguments | changes))


@pytest.mark.parametrize("model", ["gemini-embedding-001", "gemini-embedding-2"])
def test_each_text_is_a_content_of_its_own_in_chunks_of_at_most_100(server: GeminiServer, model: str) -> None:
    """250 texts are three calls, one request a text, with task type and size, under v1beta."""
    texts = [f"text {index}" for index in range(250)]
    matrix = make(server, model=model).embed(texts)
    assert [len(body["requests"]) for body in server.requests] == [100, 100, 50]
    first = server.requests[0]["requests"][0]
    assert first["content"]["parts"] == [{"text": "text 0"}]
    assert (first["taskType"], first["outputDimensionality"]) == ("CLUSTERING", 768)
    assert set(server.paths) == {f"/v1beta/models/{model}:batchEmbedContents"}
    expected = np.array(word_vector("text 249", 768))
    np.testing.assert_allclose(matrix[249], expected / np.linalg.norm(expected), atol=1e-6)


def test_long_texts_are_cut_and_empty_ones_replaced_before_they_are_sent(server: GeminiServer) -> None:
    """The service refuses empty texts; what it would cut silently we cut visibly."""
    make(server).embed(["a" * 9000, " "])
    sent = [request["content"]["parts"][0]["text"] for request in server.requests[0]["requests"]]
    assert sent == ["a" * 8000, "(no text)"]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_passing_failure_is_tried_again(server: GeminiServer, status: int) -> None:
    """Two refusals and then an answer are no error."""
    server.failures = [status, status]
    assert make(server).embed(["a"]).shape == (1, 768)
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_lasting_overload_is_transient(server: GeminiServer, status: int) -> None:
    """After the tries are used up the caller is told to come back later."""
    server.failures = [status] * 10
    with pytest.raises(TransientError, match=f"answered {status}, expected 200"):
        make(server, attempts=3).embed(["a"])
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_refusal_is_permanent_and_not_repeated(server: GeminiServer, status: int) -> None:
    """Asking again would not help; a person must act."""
    server.failures = [(status, "no such luck")]
    with pytest.raises(PermanentError, match=f"answered {status}.*no such luck"):
        make(server).embed(["a"])
    assert len(server.requests) == 1


def test_a_wrong_key_is_permanent_and_names_the_setting(server: GeminiServer) -> None:
    """The message leads to the variable."""
    with pytest.raises(PermanentError, match="SOULCASTER_GEMINI_API_KEY"):
        make(server, api_key="wrong").embed(["a"])


@pytest.mark.parametrize("status", [400, 429])
def test_the_key_is_in_no_error_trace_or_log(
    server: GeminiServer, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Even when the service quotes the key back."""
    caplog.set_level(logging.DEBUG)
    server.failures = [(status, f"the key {API_KEY} is bad")]
    with pytest.raises((PermanentError, TransientError)) as caught:
        make(server, attempts=1).embed(["a"])
    assert API_KEY not in "".join(traceback.format_exception(caught.value))
    assert API_KEY not in caplog.text


def test_a_time_out_is_transient(server: GeminiServer) -> None:
    """No answer within the limit."""
    server.delay_seconds = 1.0
    with pytest.raises(TransientError, match="got no answer"):
        make(server, timeout_seconds=0.2, attempts=1).embed(["a"])


def test_an_address_where_nobody_listens_is_transient() -> None:
    """A proxy that is down comes back."""
    with running_gemini() as gone:
        pass
    with pytest.raises(TransientError, match="got no answer"):
        make(gone, attempts=1).embed(["a"])


def test_a_vector_too_few_is_an_error_and_not_a_shift(server: GeminiServer) -> None:
    """Vectors must never land beside their texts."""
    server.drop_last = True
    with pytest.raises(PermanentError, match="gave 2 vectors"):
        make(server).embed(["a", "b", "c"])


def test_calls_keep_the_ceiling_per_minute(server: GeminiServer) -> None:
    """At 600 a minute the third call starts 0.2 s after the first at the earliest, however fast the answers come."""
    embedder = make(server, requests_per_minute=600)
    started = time.monotonic()
    embedder.embed(["x"] * 250)
    assert len(server.times) == 3
    assert server.times[-1] - started >= 0.2
