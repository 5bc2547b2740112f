"""What the receiver does against those who guess, drip or fill the disk; who proves himself is served all the while."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from receiver_process import Receiver

TOKEN = {"Authorization": "Bearer manual-token"}
WRONG = {"Authorization": "Bearer guess"}
ENV = {"SOULCASTER_RECEIVER_TOKEN": "manual-token", "SOULCASTER_RECEIVER_BODY_SECONDS": "3"}
BODY = b'{"text": "It crashes when I export."}'


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    """A receiver with a token."""
    running = Receiver(tmp_path_factory.mktemp("home"), ENV)
    yield running
    running.end()


def connect(receiver: Receiver) -> socket.socket:
    """A bare connection to it."""
    address = urlsplit(receiver.url)
    assert address.hostname
    assert address.port
    return socket.create_connection((address.hostname, address.port))


def test_an_address_that_guesses_is_slowed_down_and_one_that_knows_is_not(receiver: Receiver):
    """The 61st wrong proof of a minute is told when to come again; the right one from there is taken in."""
    with httpx.Client(base_url=receiver.url) as client:
        answers = [client.post("/ingest/manual", content=BODY, headers=WRONG) for _ in range(80)]
        right = client.post("/ingest/manual", content=BODY, headers=TOKEN)

    assert [401] * 60 == [answer.status_code for answer in answers[:60]]
    slowed = answers[-1]
    assert slowed.status_code == 429
    assert int(slowed.headers["retry-after"]) >= 1
    assert slowed.headers["content-type"] == "application/problem+json"
    assert right.status_code == 202


def test_a_post_without_a_proof_is_refused_before_its_body_is_read(receiver: Receiver):
    """The answer comes although no byte of the announced body was sent."""
    with connect(receiver) as line:
        line.sendall(b"POST /ingest/manual HTTP/1.1\r\nHost: here\r\nContent-Length: 900000\r\n\r\n")
        answer = line.recv(4096)

    assert b" 401 " in answer.splitlines()[0] or b" 429 " in answer.splitlines()[0]


def test_a_body_that_drips_is_given_up_in_time(receiver: Receiver):
    """One byte a second keeps no connection for longer than the bound, and nothing reaches the inbox."""
    before = receiver.pending()
    head = b"POST /ingest/manual HTTP/1.1\r\nHost: here\r\nContent-Length: 900\r\n"
    head += b"Authorization: Bearer manual-token\r\n\r\n"
    began = time.monotonic()
    with connect(receiver) as line:
        line.sendall(head)
        line.settimeout(1.0)
        answer = b""
        while not answer:
            try:
                answer = line.recv(4096)
            except TimeoutError:
                line.sendall(b" ")

    assert b" 408 " in answer.splitlines()[0]
    assert time.monotonic() - began >= 3
    assert receiver.pending() == before


def test_every_answer_forbids_to_be_framed_sniffed_or_run(receiver: Receiver):
    """Also those of the API below it, and refusals."""
    for path in ("/health", "/nothing", "/api/v1/openapi.json", "/api/v1/clusters"):
        headers = httpx.get(receiver.url + path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert "default-src 'none'" in headers["content-security-policy"]


def test_a_disk_that_is_nearly_full_is_left_to_the_store(tmp_path: Path):
    """503 with a time to come again, so that senders that retry lose nothing; the inbox stays as it was."""
    running = Receiver(tmp_path / "home", ENV | {"SOULCASTER_RECEIVER_MIN_FREE_BYTES": str(10**18)})
    try:
        answer = httpx.post(running.url + "/ingest/manual", content=BODY, headers=TOKEN)
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "60"
        assert "nearly full" in answer.json()["detail"]
        assert running.pending() == []
    finally:
        running.end()
