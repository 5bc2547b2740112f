"""A real Prefect server for tests: `prefect server start` on a free port with a database of its own, and our set-up."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from soulcaster import children, prefect_api

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 180.0


@dataclass(frozen=True)
class PrefectServer:
    """A running server: its API, the folder of its state, and the processes that belong to it."""

    api_url: str
    home: Path
    members: children.Family


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_server(home: Path, **more: str) -> Iterator[PrefectServer]:
    """A server with work pool, limits and automation in place; it and what was started beside it end with the block.

    Args:
        home: folder of its state.
        more: further variables of its environment.
    """
    port = free_port()
    api_url = f"http://127.0.0.1:{port}/api"
    env = {
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": api_url,
        "PREFECT_API_KEY": "",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        # Runs are made one minute ahead, not an hour: for an interval of seconds that would be a hundred at once.
        "PREFECT_SERVER_SERVICES_SCHEDULER_MIN_SCHEDULED_TIME": "PT60S",
        "PREFECT_LOGGING_SETTINGS_PATH": str(ROOT / "infra" / "prefect" / "logging.yml"),
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        **more,
    }
    with children.family(home / "logs", ROOT, env) as members:
        command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
        children.start(members, "prefect-server", command)
        children.wait_until(
            lambda: prefect_api.is_healthy(api_url + "/health"), members, "the Prefect server", START_SECONDS
        )
        setup = [sys.executable, "infra/prefect/setup.py"]
        children.run_to_end(members, "setup", setup, timeout_seconds=START_SECONDS)
        yield PrefectServer(api_url, home, members)
