"""The receiver over real HTTP: it takes in only what its source proves, keeps it through a kill, opens no store."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from receiver_process import Receiver

from soulcaster.sources import inbox

SECRETS = {
    "SOULCASTER_SENTRY_CLIENT_SECRET": "sentry-secret",
    "SOULCASTER_GITHUB_WEBHOOK_SECRET": "github-secret",
    "SOULCASTER_RECEIVER_TOKEN": "manual-token",
    "SOULCASTER_RECEIVER_MAX_BYTES": "10000",
}
BODY = json.dumps({"action": "opened", "text": "It crashes when I export."}).encode()


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    """One receiver with all secrets set and a limit of 10,000 bytes."""
    running = Receiver(tmp_path_factory.mktemp("home"), SECRETS)
    yield running
    running.end()


def sign(secret: str, body: bytes) -> str:
    """HMAC-SHA256 in hex, as the sender makes it."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def proof(source: str, body: bytes) -> dict[str, str]:
    """The header by which this source proves the body."""
    if source == "sentry":
        return {"Sentry-Hook-Signature": sign("sentry-secret", body)}
    if source == "github":
        return {"X-Hub-Signature-256": "sha256=" + sign("github-secret", body)}
    return {"Authorization": "Bearer manual-token"}


def assert_problem(answer: httpx.Response, status: int, *words: str) -> None:
    """The answer is problem+json with this status and these words."""
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    for word in words:
        assert word in answer.json()["detail"]


@pytest.mark.parametrize("source", ["sentry", "github", "reddit", "manual"])
def test_proven_body_is_accepted_and_on_disk(receiver: Receiver, source: str):
    """A body with its source's proof is answered 202 and lies in the inbox unchanged."""
    body = json.dumps({"text": f"from {source}"}).encode() + b" \n"
    answer = httpx.post(f"{receiver.url}/ingest/{source}", content=body, headers=proof(source, body))
    assert answer.status_code == 202
    assert (source, body) in {(d.source, d.body) for d in map(inbox.read_delivery, receiver.pending())}


@pytest.mark.parametrize("source", ["sentry", "github", "reddit", "manual"])
def test_missing_wrong_and_borrowed_proofs_are_refused(receiver: Receiver, source: str):
    """No proof, a wrong one, one for another body or one of another source: 401, and nothing is written."""
    before = receiver.pending()
    header = next(iter(proof(source, BODY)))
    attempts = [{}, {header: "0" * 64}, {header: ""}, {header: "Bearer ä".encode("latin-1").decode("latin-1")}]
    if source in {"sentry", "github"}:
        attempts += [proof(source, BODY + b" "), proof("manual", BODY)]
    for headers in attempts:
        raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        answer = httpx.post(f"{receiver.url}/ingest/{source}", content=BODY, headers=raw)
        assert_problem(answer, 401, header.lower(), "SOULCASTER_")
        assert "secret" not in answer.text.replace("SECRET", "").replace("_secret", "")
    assert receiver.pending() == before


def test_repeated_delivery_is_acknowledged_and_counted_once(receiver: Receiver):
    """A repetition under the same delivery id is answered 202 again and adds no file."""
    headers = proof("github", BODY) | {"X-GitHub-Delivery": "0b989ba4", "X-GitHub-Event": "issues"}
    for _ in range(2):
        assert httpx.post(f"{receiver.url}/ingest/github", content=BODY, headers=headers).status_code == 202
    found = [d for d in map(inbox.read_delivery, receiver.pending()) if d.delivery_id == "0b989ba4"]
    assert len(found) == 1
    assert found[0].headers["x-github-event"] == "issues"


def test_body_over_the_limit_is_refused_announced_or_not(receiver: Receiver):
    """413 names the setting, both by Content-Length and in the middle of a chunked body."""
    large = b"x" * 10_001
    before = receiver.pending()
    url = f"{receiver.url}/ingest/manual"
    assert_problem(httpx.post(url, content=large, headers=proof("manual", large)), 413, "RECEIVER_MAX_BYTES")
    chunks = (large[i : i + 1000] for i in range(0, len(large), 1000))
    assert_problem(httpx.post(url, content=chunks, headers=proof("manual", large)), 413, "10000")
    assert receiver.pending() == before


def test_empty_body_unknown_source_and_unknown_path_are_problems(receiver: Receiver):
    """What is no delivery is answered with a sentence in problem+json."""
    assert_problem(httpx.post(f"{receiver.url}/ingest/manual", headers=proof("manual", b"")), 400, "got none")
    assert_problem(httpx.post(f"{receiver.url}/ingest/twitter", content=BODY), 404, "/ingest/sentry")
    assert_problem(httpx.get(f"{receiver.url}/nothing"), 404)
    assert_problem(httpx.get(f"{receiver.url}/ingest/manual"), 405)


def test_unset_secret_refuses_everything_and_names_the_variable(tmp_path: Path):
    """Without a secret nothing is taken in unchecked: 503 says which variable to set. The store is never opened."""
    bare = Receiver(tmp_path, {})
    try:
        for source, variable in {
            "sentry": "SOULCASTER_SENTRY_CLIENT_SECRET",
            "github": "SOULCASTER_GITHUB_WEBHOOK_SECRET",
            "reddit": "SOULCASTER_RECEIVER_TOKEN",
            "manual": "SOULCASTER_RECEIVER_TOKEN",
        }.items():
            answer = httpx.post(f"{bare.url}/ingest/{source}", content=BODY, headers=proof(source, BODY))
            assert_problem(answer, 503, variable)
        assert bare.pending() == []
        assert not list(tmp_path.glob("*.duckdb*"))
    finally:
        bare.end()


def test_full_inbox_is_answered_503_so_that_the_sender_tries_again(tmp_path: Path):
    """A body that cannot be written is not acknowledged."""
    running = Receiver(tmp_path, SECRETS)
    try:
        (tmp_path / "inbox").write_text("a file where the folder should be")
        answer = httpx.post(f"{running.url}/ingest/manual", content=BODY, headers=proof("manual", BODY))
        assert_problem(answer, 503, "send again")
    finally:
        running.end()


def test_killed_receiver_loses_no_acknowledged_body(tmp_path: Path):
    """After a kill in the middle of a stream of posts every body that was answered 202 is there, whole."""
    running = Receiver(tmp_path, SECRETS)
    acknowledged: list[bytes] = []

    def post_until_refused(first: int) -> None:
        for n in range(first, first + 100_000):
            body = json.dumps({"id": n, "text": "x" * 5000}).encode()
            try:
                answer = httpx.post(f"{running.url}/ingest/manual", content=body, headers=proof("manual", body))
            except httpx.HTTPError:
                return
            if answer.status_code == 202:
                acknowledged.append(body)

    senders = [threading.Thread(target=post_until_refused, args=(k * 1_000_000,)) for k in range(4)]
    for sender in senders:
        sender.start()
    while len(acknowledged) < 30 and running.process.poll() is None:
        time.sleep(0.01)
    os.kill(running.process.pid, signal.SIGKILL)
    for sender in senders:
        sender.join()
    running.process.wait()
    kept = [inbox.read_delivery(path).body for path in running.pending()]
    assert len(acknowledged) >= 30
    assert set(acknowledged) <= set(kept)
    assert all(json.loads(body)["text"] == "x" * 5000 for body in kept)
