"""A real receiver for tests: uvicorn on a port of its own over a home of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx

from soulcaster.sources import inbox

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 180.0


class Receiver:
    """A running receiver: its address, home and process."""

    def __init__(self, home: Path, env: dict[str, str]) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.home = home
        self.url = f"http://127.0.0.1:{port}"
        clean = {key: value for key, value in os.environ.items() if not key.startswith("SOULCASTER_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "--factory", "app.webhook:make_app", "--port", str(port)],
            cwd=ROOT,
            env={**clean, "SOULCASTER_HOME": str(home), **env},
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                httpx.get(self.url + "/health").raise_for_status()
                break
            except httpx.HTTPError:
                assert self.process.poll() is None, "the receiver ended at start"
                assert time.monotonic() < deadline, "the receiver did not answer in time"
                time.sleep(0.1)

    def pending(self) -> list[Path]:
        """Files in its inbox."""
        return inbox.list_pending(self.home / "inbox")

    def end(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait()
