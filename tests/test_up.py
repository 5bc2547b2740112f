"""`soulcaster up`: it starts everything, refuses to start twice or on taken ports, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from prefect_server import free_port
from waiting import wait_until

from soulcaster import db, guard
from soulcaster.db.screens import get_overview

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("prefect_port", "app_port", "receiver_port")


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """An environment with a home and three ports of its own."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("SOULCASTER_", "PREFECT_"))}
    ports = {f"SOULCASTER_{part.upper()}": str(free_port()) for part in PARTS}
    return {**clean, **ports, "SOULCASTER_HOME": str(tmp_path / "home"), "SOULCASTER_EMBEDDER": "minilm"}


@contextmanager
def started(env: dict[str, str], *words: str) -> Iterator[subprocess.Popen[str]]:
    """`soulcaster up` as a child in a session of its own; killed hard at the end if it still runs."""
    command = [sys.executable, "-c", "from soulcaster.cli import main; main()", "up", *words]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def read_until(process: subprocess.Popen[str], words: str) -> str:
    """Everything printed up to the line with these words."""
    assert process.stdout is not None
    seen = ""
    for line in process.stdout:
        seen += line
        if words in line:
            return seen
    raise AssertionError(f"{words!r} was never printed, but: {seen}")


def descendants(process_id: int) -> set[int]:
    """Ids of all processes below one, by their parent ids."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
    found = {process_id}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {process_id}


def is_alive(process_id: int) -> bool:
    """Whether it runs; a zombie that waits for its parent does not."""
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def count_items(env: dict[str, str]) -> int:
    """Number of items in the default project."""
    return db.read(Path(env["SOULCASTER_HOME"]) / "soulcaster.duckdb", lambda con: get_overview(con, "default")).n_items


def test_missing_file_is_one_sentence(env: dict[str, str]):
    """A FILE that is not there is named before anything starts."""
    with started(env, "--file", "no such.csv") as process:
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "no such.csv" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("part", PARTS)
def test_taken_port_is_one_sentence_with_port_holder_and_setting(env: dict[str, str], part: str):
    """Who holds the port and which setting to change is said, and nothing is started."""
    variable = f"SOULCASTER_{part.upper()}"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(env[variable])))
        taken.listen()
        with started(env) as process:
            said, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert len(said.strip().splitlines()) == 1
    for words in (env[variable], variable, f"process {os.getpid()}"):
        assert words in said


def test_child_that_dies_at_start_ends_everything_and_is_named(env: dict[str, str]):
    """When one part dies the others are ended, and the sentence holds its name, its end and its log."""
    with started(env) as process:
        read_until(process, "receiver         ready")
        children = descendants(process.pid)
        [receiver] = [child for child in children if b"app.webhook" in Path(f"/proc/{child}/cmdline").read_bytes()]
        os.kill(receiver, signal.SIGKILL)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "The receiver was ended by SIGKILL" in said
    assert "receiver.log" in said
    assert "Traceback" not in said
    assert not [child for child in children if is_alive(child)]


def test_killed_supervisor_leaves_no_children(env: dict[str, str]):
    """Even a kill -9 of `up` ends everything it started."""
    with started(env) as process:
        read_until(process, "receiver         ready")
        children = descendants(process.pid)
        assert len(children) >= 4
        process.kill()
        process.wait()
    wait_until(lambda: not [child for child in children if is_alive(child)], "the children to end")


def test_guard_ends_marked_processes_and_no_others():
    """Only what carries the mark is ended, also what ignores a polite request."""
    deaf = (
        "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(99)"
    )
    marks = ("one", "one", "other")
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", deaf], env={**os.environ, guard.MARK_VARIABLE: mark}, stdout=subprocess.PIPE
        )
        for mark in marks
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            process.stdout.readline()
        assert guard.list_marked("one") == sorted(process.pid for process in processes[:2])
        guard.end_marked("one", grace_seconds=0.5)
        assert [process.poll() for process in processes] == [-signal.SIGKILL, -signal.SIGKILL, None]
    finally:
        for process in processes:
            process.kill()
            process.communicate()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_up_serves_a_file_refuses_a_second_start_and_ends_on_ctrl_c(env: dict[str, str], tmp_path: Path):
    """Everything answers and the file is in; a second `up` is told so; Ctrl-C ends every process; nothing else ends."""
    file = tmp_path / "a file; with $odd 'name'.csv"
    file.write_text("id,text\n1,The export stops at row 1000\n2,Export stops after 1000 rows\n")
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], env=env)
    with started(env, "--file", str(file)) as process:
        said = read_until(process, "Ctrl-C ends all of it")
        assert "pipeline completed" in said
        for part, path in zip(PARTS, ("/api/health", "/_stcore/health", "/health"), strict=True):
            url = f"http://127.0.0.1:{env[f'SOULCASTER_{part.upper()}']}"
            assert url in said
            assert httpx.get(url + path, timeout=30).status_code == 200
        assert count_items(env) == 2

        with started(env) as second:
            refused, _ = second.communicate(timeout=60)
        assert second.returncode == 1
        assert f"process {process.pid}" in refused
        assert f"127.0.0.1:{env['SOULCASTER_APP_PORT']}" in refused
        assert len(refused.strip().splitlines()) == 1

        children = descendants(process.pid)
        assert len(children) >= 5
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert not [child for child in children if is_alive(child)]
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_once_runs_the_sample_prints_clusters_and_ends(env: dict[str, str]):
    """On an empty home the bundled sample goes all the way; the table is printed; exit 0; no process is left."""
    with started(env, "--once") as process:
        said = read_until(process, "pipeline completed")
        children = descendants(process.pid)
        rest, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said + rest
    header, *rows = rest.strip().splitlines()
    assert header.split() == ["items", "sources", "title"]
    assert len(rows) >= 10
    assert all(int(row.split()[0]) >= 2 for row in rows)
    assert count_items(env) >= 400
    assert not [child for child in children if is_alive(child)]
    assert json.loads((Path(env["SOULCASTER_HOME"]) / "up.lock").read_text() or "{}") == {}
