"""Posts a second that the receiver takes while DuckDB is held busy by a writer, and whether every one of them arrives.

`python benchmarks/receiver_load.py --rate 500 --seconds 30`. Senders post at a fixed rate whatever comes back,
over kept connections; a writer process is inside one transaction after another all the while. Afterwards the inbox is
drained and compared with what was answered 202. `--kill` kills the receiver half way with SIGKILL and starts it again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from soulcaster import db
from soulcaster.db import migrate
from soulcaster.drain import drain_inbox
from soulcaster.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
TOKEN = "benchmark-token"  # noqa: S105  of a receiver that lives for a minute
BUSY_WRITER = """
import sys, time
from pathlib import Path
from soulcaster import db
while True:
    db.write(Path(sys.argv[1]), lambda con: time.sleep(5), timeout_seconds=600)
"""


@dataclass
class Tally:
    """What became of the posts."""

    answered: set[str] = field(default_factory=set)
    refused: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def main() -> None:
    """Print one table; exit 1 when an answered post is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=int, default=500, help="posts a second")
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--kill", action="store_true", help="kill the receiver half way and start it again")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(_env_file=None, home=Path(folder))
        migrate(settings.duckdb_path)
        port = _free_port()
        receiver = _start_receiver(settings, port)
        writer = subprocess.Popen([sys.executable, "-c", BUSY_WRITER, str(settings.duckdb_path)], cwd=ROOT)
        try:
            tally, took = asyncio.run(_run(given, settings, port, receiver))
        finally:
            writer.kill()
            writer.wait()
        sys.exit(_report(given, settings, tally, took))


async def _run(
    given: argparse.Namespace, settings: Settings, port: int, receiver: subprocess.Popen[bytes]
) -> tuple[Tally, float]:
    total, tally = given.rate * given.seconds, Tally()
    queue: asyncio.Queue[int | None] = asyncio.Queue()
    senders = [asyncio.create_task(_send(queue, port, tally)) for _ in range(given.connections)]
    begun = time.perf_counter()
    for number in range(total):
        if given.kill and number == total // 2:
            receiver.send_signal(signal.SIGKILL)
            receiver.wait()
            receiver = await asyncio.to_thread(_start_receiver, settings, port)
        due = begun + number / given.rate
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        queue.put_nowait(number)
    for _ in senders:
        queue.put_nowait(None)
    await asyncio.gather(*senders)
    took = time.perf_counter() - begun
    receiver.kill()
    receiver.wait()
    return tally, took


async def _send(queue: asyncio.Queue[int | None], port: int, tally: Tally) -> None:
    """Post over one kept connection; the time of a post counts from when it was due to be sent."""
    reader = writer = None
    while (number := await queue.get()) is not None:
        body = json.dumps({"id": f"n{number}", "text": f"Report {number}: export stops. " + "x" * 800}).encode()
        head = (
            f"POST /ingest/manual HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {TOKEN}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        begun = time.perf_counter()
        try:
            if writer is None or reader is None:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(head.encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line[15:]) for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length:")
            )
            await reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError) as error:
            tally.refused.append(type(error).__name__)
            reader = writer = None
            continue
        tally.seconds.append(time.perf_counter() - begun)
        if answer.startswith(b"HTTP/1.1 202"):
            tally.answered.add(f"n{number}")
        else:
            tally.refused.append(answer[:12].decode())


def _report(given: argparse.Namespace, settings: Settings, tally: Tally, took: float) -> int:
    begun = time.perf_counter()
    report = drain_inbox(settings, "default")
    drained = time.perf_counter() - begun
    query = "SELECT external_id FROM items"
    stored = {row[0] for row in db.read(settings.duckdb_path, lambda con: con.sql(query).fetchall())}
    missing = tally.answered - stored
    milliseconds = sorted(1000 * each for each in tally.seconds)
    print(f"asked for   {given.rate} posts/s for {given.seconds} s over {given.connections} connections")
    print(f"answered    {len(tally.answered):,} with 202 in {took:.1f} s = {len(tally.answered) / took:.0f}/s")
    print(f"refused     {len(tally.refused):,} {sorted(set(tally.refused))}")
    p50, p99 = statistics.median(milliseconds), milliseconds[int(len(milliseconds) * 0.99)]
    print(f"answer time median {p50:.1f} ms, 99th of 100 {p99:.1f} ms, slowest {milliseconds[-1]:.1f} ms")
    print(
        f"drained     {report.new:,} new of {report.seen:,} in {drained:.1f} s; {len(missing)} answered posts missing"
    )
    return int(bool(missing) or (not given.kill and bool(tally.refused)))


def _start_receiver(settings: Settings, port: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "uvicorn", "--factory", "app.webhook:make_app", "--no-access-log"]
    process = subprocess.Popen(
        [*command, "--port", str(port)],
        cwd=ROOT,
        env={**os.environ, "SOULCASTER_HOME": str(settings.home), "SOULCASTER_RECEIVER_TOKEN": TOKEN},
        stderr=subprocess.DEVNULL,
    )
    while True:
        try:
            httpx.get(f"http://127.0.0.1:{port}/health")
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return process


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
