"""Each source's pull is killed at fifty seeded moments and started again: nothing lost, nothing doubled.

Moments are counted in requests that the stand-in gets, with a little time behind them for what follows a request:
parsing, committing, moving the cursor. The source grows between kills, so that every pull has something new to lose.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from standins import github_server, reddit_server, sentry_server
from standins.wire_server import Wire

from soulcaster import db
from soulcaster.configured import Kind, SourceOptions
from soulcaster.pull import add_source, pull
from soulcaster.settings import Settings

N_KILLS = 50
START = datetime(2026, 1, 1, tzinfo=UTC)
SECRETS = {
    "ACME_GITHUB": github_server.TOKEN,
    "ACME_SENTRY": sentry_server.TOKEN,
    "ACME_REDDIT_ID": reddit_server.CLIENT_ID,
    "ACME_REDDIT_SECRET": reddit_server.CLIENT_SECRET,
}
ZYGOTE = """
import os, sys, traceback
from pathlib import Path
import pandas, polars, pyarrow  # DuckDB would import them in every child
from soulcaster.pull import pull
from soulcaster.settings import Settings
home, kind, name = sys.argv[1:]
for _ in sys.stdin:
    pid = os.fork()
    if pid == 0:
        try:
            pull(Settings(_env_file=None, home=Path(home)), "default", kind, name, is_forced=True)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""
pytestmark = pytest.mark.slow


class Killer:
    """Kills the process that is told to it, some time after the stand-in's n-th request from now."""

    def __init__(self, server: Wire) -> None:
        self.is_told = threading.Event()
        self.pid = self.n_left = 0
        self.delay_seconds = 0.0
        self.timers: list[threading.Timer] = []
        server.on_request = lambda _request: self._count()

    def arm(self, n_requests: int, delay_seconds: float) -> None:
        """Before the process starts."""
        self.is_told.clear()
        self.n_left, self.delay_seconds = n_requests, delay_seconds

    def _count(self) -> None:
        self.n_left -= 1
        if self.n_left == 0 and self.delay_seconds:
            timer = threading.Timer(self.delay_seconds, self._kill)
            self.timers.append(timer)
            timer.start()
        elif self.n_left == 0:
            self._kill()

    def _kill(self) -> None:
        self.is_told.wait()
        if self.pid:
            try:
                os.kill(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                self.pid = 0

    def disarm(self) -> None:
        """After the process ended: no later process is hit."""
        self.pid = 0
        self.is_told.set()
        for timer in self.timers:
            timer.cancel()
            timer.join()
        self.timers.clear()


@contextmanager
def zygote(settings: Settings, kind: Kind, name: str) -> Iterator[Callable[[Killer], int]]:
    """A process with everything imported that forks one pull at a time; the call gives the pull's exit code."""
    command = [sys.executable, "-c", ZYGOTE, str(settings.home), kind, name]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        stdin, stdout = process.stdin, process.stdout
        assert stdin
        assert stdout

        def run(killer: Killer) -> int:
            stdin.write("pull\n")
            stdin.flush()
            killer.pid = int(stdout.readline())
            killer.is_told.set()
            code = int(stdout.readline())
            killer.disarm()
            return code

        yield run
        stdin.close()


def grow(server: Any, kind: Kind, number: int) -> set[str]:
    """One more thing at the source, newer than all before; ids of the items it makes."""
    at = START + timedelta(minutes=7 * number)
    stamp = f"{at:%Y-%m-%dT%H:%M:%SZ}"
    if kind == "github":
        server.put(number, f"Export number {number} stops", stamp)
        server.say(number, number, f"It stops for me too, at row {number}", stamp)
        return {f"acme/notes#{number}", f"acme/notes#issuecomment-{number}"}
    if kind == "reddit":
        server.post(number, at.timestamp())
        server.comment(number, at.timestamp(), f"It stops for me too, at row {number}")
        return {f"t3_p{number}", f"t1_c{number}"}
    server.put(number, stamp)
    return {f"issue:{number}"}


def ids(settings: Settings) -> list[str]:
    """external_ids of all items, as often as they are stored."""
    query = "SELECT external_id FROM items ORDER BY ALL"
    return [row[0] for row in db.read(settings.duckdb_path, lambda con: con.sql(query).fetchall())]


RUNNING = {
    "github": (github_server.running_github, "acme/notes", {"token_variable": "ACME_GITHUB", "include_comments": True}),
    "reddit": (
        reddit_server.running_reddit,
        "notesapp",
        {
            "client_id_variable": "ACME_REDDIT_ID",
            "client_secret_variable": "ACME_REDDIT_SECRET",
            "include_comments": True,
        },
    ),
    "sentry": (sentry_server.running_sentry, "acme/web", {"token_variable": "ACME_SENTRY"}),
}


@pytest.mark.parametrize("kind", ["github", "reddit", "sentry"])
def test_a_pull_killed_at_fifty_moments_loses_nothing_and_doubles_nothing(settings, monkeypatch, kind: Kind):
    """SIGKILL while asking, parsing, committing and moving the cursor; at the end the store equals the source."""
    for variable, value in SECRETS.items():
        monkeypatch.setenv(variable, value)
    running, name, options = RUNNING[kind]
    shuffled = random.Random(f"kills of {kind}")  # noqa: S311  moments, not secrets
    expected: set[str] = set()
    n_killed = number = 0
    with running() as server:
        add_source(settings, "default", kind, name, SourceOptions(base_url=server.url, **options), actor="test")
        for _ in range(40 if kind == "sentry" else 120):
            number += 1
            expected |= grow(server, kind, number)
        killer = Killer(server)
        is_hit = True
        with zygote(settings, kind, name) as run:
            while n_killed < N_KILLS:
                for _ in range(3):
                    number += 1
                    expected |= grow(server, kind, number)
                # A moment that came too late is followed by one that cannot.
                killer.arm(shuffled.randint(1, 5), shuffled.choice([0.0, 0.01, 0.03, 0.06, 0.1]) if is_hit else 0.0)
                code = run(killer)
                is_hit = code == -signal.SIGKILL
                n_killed += is_hit
                assert is_hit or code == 0
        server.on_request = lambda _request: None
        pull(settings, "default", kind, name, is_forced=True)
        again = pull(settings, "default", kind, name, is_forced=True)

    assert ids(settings) == sorted(expected)
    assert again.counts.new == 0
    n_payloads = db.read(settings.duckdb_path, lambda con: con.sql("SELECT count(*) FROM payloads").fetchall())
    assert n_payloads == [(len(expected),)]
