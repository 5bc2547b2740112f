"""The receiver while the store is held by a writer, under a stream of posts of every kind, and through a kill."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from receiver_process import Receiver

from soulcaster import db
from soulcaster.db import migrate
from soulcaster.drain import drain_inbox
from soulcaster.settings import Settings

SECRETS = {
    "SOULCASTER_GITHUB_WEBHOOK_SECRET": "github-secret",
    "SOULCASTER_RECEIVER_TOKEN": "manual-token",
    "SOULCASTER_RECEIVER_MAX_BYTES": "20000",
}
TOKEN = {"Authorization": "Bearer manual-token"}
SENDERS = 4
POSTS_OF_A_SENDER = 100
_LONG_SECONDS = 60.0


def body(number: int) -> bytes:
    """One piece of feedback, told apart by its number."""
    return json.dumps({"id": f"n{number}", "text": f"Report {number}: the export stops. " + "x" * 500}).encode()


@contextmanager
def store_held(path: Path) -> Iterator[None]:
    """A writer inside its transaction for the whole block."""
    is_inside, is_over = threading.Event(), threading.Event()

    def hold(_con: object) -> None:
        is_inside.set()
        is_over.wait()

    writer = threading.Thread(target=db.write, args=(path, hold))
    writer.start()
    assert is_inside.wait(_LONG_SECONDS)
    try:
        yield
    finally:
        is_over.set()
        writer.join()


def in_parallel(work: Callable[[int], None]) -> None:
    """Run the work of every sender to its end."""
    senders = [threading.Thread(target=work, args=(sender,)) for sender in range(SENDERS)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()


def stored_ids(settings: Settings) -> set[str]:
    """external_ids in the store."""
    query = "SELECT external_id FROM items"
    return {row[0] for row in db.read(settings.duckdb_path, lambda con: con.sql(query).fetchall())}


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    """Settings over a migrated store."""
    settings = Settings(_env_file=None, home=tmp_path / "home")
    migrate(settings.duckdb_path)
    return settings


def chunks(size: int) -> Iterator[bytes]:
    """A body of which nobody is told the length."""
    return (b"x" * 1000 for _ in range(size // 1000))


def test_nothing_is_lost_or_refused_while_the_store_is_held(home: Settings):
    """Good posts 202 and each stored once, also when sent again; bad ones 401 and 413; not one waits for the store."""
    running = Receiver(home.home, SECRETS)
    answers: dict[str, Counter[int]] = {kind: Counter() for kind in ("good", "again", "unsigned", "large", "github")}

    def send(sender: int) -> None:
        with httpx.Client(base_url=running.url, timeout=_LONG_SECONDS) as client:
            for number in range(sender * 1000, sender * 1000 + POSTS_OF_A_SENDER):
                headers = TOKEN | {"Idempotency-Key": str(number)}
                answer = client.post("/ingest/manual", content=body(number), headers=headers)
                answers["good"][answer.status_code] += 1
                if number % 10 == 0:
                    again = client.post("/ingest/manual", content=body(number), headers=headers)
                    answers["again"][again.status_code] += 1
                    signature = "sha256=" + hmac.new(b"wrong", body(number), hashlib.sha256).hexdigest()
                    unsigned = client.post(
                        "/ingest/github", content=body(number), headers={"X-Hub-Signature-256": signature}
                    )
                    answers["unsigned"][unsigned.status_code] += 1
                if number % 25 == 0:
                    large = client.post("/ingest/manual", content=chunks(30_000), headers=TOKEN)
                    answers["large"][large.status_code] += 1

    try:
        with store_held(home.duckdb_path):
            in_parallel(send)
    finally:
        running.end()
    n_good = SENDERS * POSTS_OF_A_SENDER
    assert answers["good"] == {202: n_good}
    assert answers["again"] == {202: n_good // 10}
    assert answers["unsigned"] == {401: n_good // 10}
    assert answers["large"] == {413: n_good // 25}
    report = drain_inbox(home, "default")
    assert (report.new, report.seen) == (n_good, n_good)
    assert len(stored_ids(home)) == n_good


def test_killed_and_started_again_the_inbox_drains_to_what_was_answered(home: Settings):
    """Kill -9 amid posts, a new receiver over the same home, senders that go on: every answered post is stored once."""
    answered: set[str] = set()
    sent: set[str] = set()
    numbers = itertools.count()
    is_over = threading.Event()
    is_up = threading.Event()
    addresses = []

    def send(_sender: int) -> None:
        with httpx.Client(timeout=_LONG_SECONDS) as client:
            while is_up.wait() and not is_over.is_set():
                number = next(numbers)
                sent.add(f"n{number}")
                try:
                    answer = client.post(f"{addresses[-1]}/ingest/manual", content=body(number), headers=TOKEN)
                except httpx.HTTPError:
                    time.sleep(0.01)
                    continue
                if answer.status_code == 202:
                    answered.add(f"n{number}")

    def enough(count: int, process_id: int) -> None:
        while len(answered) < count and Path(f"/proc/{process_id}").exists():
            time.sleep(0.01)

    first = Receiver(home.home, SECRETS)
    addresses.append(first.url)
    is_up.set()
    crowd = threading.Thread(target=in_parallel, args=(send,))
    crowd.start()
    try:
        enough(60, first.process.pid)
        os.kill(first.process.pid, signal.SIGKILL)
        first.process.wait()
        is_up.clear()
        n_before = len(answered)
        second = Receiver(home.home, SECRETS)
        addresses.append(second.url)
        is_up.set()
        enough(n_before + 60, second.process.pid)
    finally:
        is_over.set()
        is_up.set()
        crowd.join()
    second.end()
    report = drain_inbox(home, "default")
    stored = stored_ids(home)
    assert len(answered) >= n_before + 60
    assert answered <= stored <= sent
    assert report.new == len(stored) == report.seen
