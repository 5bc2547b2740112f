"""Two workers on one Prefect server, whose database is PostgreSQL, do one backfill together: each window once."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect_server import START_SECONDS, free_port, running_server

from soulcaster import children, db, prefect_api
from soulcaster.settings import Settings

pytestmark = [pytest.mark.prefect, pytest.mark.slow]

N_WINDOWS = 4
ROWS = 40


def find_program(name: str) -> Path | None:
    """PostgreSQL's program: Debian keeps it off the path."""
    found = [Path(each) for each in [shutil.which(name)] if each]
    return next(iter([*found, *sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)]), None)


@pytest.fixture
def database_url() -> Iterator[str]:
    """SQLAlchemy's address of an empty database on a server of our own, whose user may not enter pytest's folders."""
    programs = [find_program(name) for name in ("initdb", "postgres", "pg_isready")]
    if None in programs:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    initdb, postgres, pg_isready = (str(each) for each in programs)
    user = "postgres" if os.geteuid() == 0 else None  # it refuses to run as root
    with tempfile.TemporaryDirectory(prefix="soulcaster-postgres-") as name:
        folder = Path(name)
        if user:
            shutil.chown(folder, user)
        env = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
        data, port = str(folder / "db"), str(free_port())
        new = [initdb, "-D", data, "-A", "trust", "-U", "prefect", "--no-sync", "-E", "UTF8"]
        subprocess.run(new, user=user, cwd=folder, check=True, capture_output=True, timeout=START_SECONDS, env=env)
        options = ["-p", port, "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off"]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen([postgres, "-D", data, *options], user=user, cwd=folder, env=env, stderr=log)
        try:
            deadline = time.monotonic() + START_SECONDS
            while subprocess.run([pg_isready, "-q", "-h", "127.0.0.1", "-p", port], check=False, env=env).returncode:
                assert server.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < deadline, (folder / "log").read_text()
                time.sleep(0.1)
            yield f"postgresql+asyncpg://prefect@127.0.0.1:{port}/postgres"
        finally:
            server.send_signal(signal.SIGQUIT)
            server.wait(timeout=START_SECONDS)


def make_archive(folder: Path) -> Path:
    """A table a window."""
    folder.mkdir()
    for window in range(N_WINDOWS):
        rows = (f"{window}-{row},It crashes at step {row} of plan {window}\n" for row in range(ROWS))
        (folder / f"{window}.csv").write_text("id,text\n" + "".join(rows))
    return folder


def list_states(client: Any) -> list[str]:
    """State of each flow run."""
    runs: list[dict[str, Any]] = prefect_api.ask(client, "POST", "/flow_runs/filter", {})
    return [run["state_type"] for run in runs]


@pytest.mark.timeout(600)
def test_two_workers_do_one_backfill_and_read_each_window_once(settings: Settings, tmp_path: Path, database_url: str):
    """Both are held before their first look at the store, then let go together; their reports add up to the archive."""
    archive = make_archive(tmp_path / "archive")
    env = {"PREFECT_SERVER_DATABASE_CONNECTION_URL": database_url, "SOULCASTER_HOME": str(settings.home),
           "SOULCASTER_LOCK_TIMEOUT_SECONDS": "600"}  # fmt: skip
    deploy = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--name", "backfill"]
    worker = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "soulcaster", "--type", "process"]
    with running_server(tmp_path / "prefect", **env) as server, prefect_api.connect(server.api_url) as client:
        members = server.members
        children.run_to_end(members, "deploy", deploy, timeout_seconds=START_SECONDS)
        deployment = prefect_api.ask(client, "GET", "/deployments/name/backfill/backfill")
        for _ in range(2):
            body = {"parameters": {"params": {"target": str(archive)}}, "state": {"type": "SCHEDULED"}}
            prefect_api.ask(client, "POST", f"/deployments/{deployment['id']}/create_flow_run", body)
        with db.hold(settings.duckdb_path):
            for name in ("one", "two"):
                children.start(members, name, [*worker, "--name", name, "--limit", "1"])
            children.wait_until(lambda: list_states(client) == ["RUNNING"] * 2, members, "both runs", START_SECONDS)
        children.wait_until(lambda: list_states(client) == ["COMPLETED"] * 2, members, "their end", START_SECONDS)
        artifacts = prefect_api.ask(client, "POST", "/artifacts/filter", {"artifacts": {"key": {"any_": ["backfill"]}}})

    told = [str(each["data"]).replace("**", "").split()[0] for each in artifacts]
    assert len(told) == 2
    assert sum(int(each) for each in told) == N_WINDOWS * ROWS
    counted = "SELECT count(*), count(DISTINCT external_id) FROM items"
    assert db.read(settings.duckdb_path, lambda con: con.sql(counted).fetchall()) == [(N_WINDOWS * ROWS,) * 2]
    assert not (server.home / "prefect.db").exists()
