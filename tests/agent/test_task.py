"""`agent task`: gets its files by one address, hands results back, and keeps its addresses from what it runs."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from job_folders import make_edit, make_verify
from standins.wire_server import Answer, Request, Wire, running

from agent import EXIT_BAD_JOB, EXIT_PLACE
from agent.transfer import TransferError, fetch, put, read_output

ROOT = Path(__file__).resolve().parents[2]
FILES: dict[str, str | bytes] = {"sums.py": "def add(a, b):\n    return a - b\n"}
FIX = {"fix": {"files": {"sums.py": "def add(a, b):\n    return a + b\n"}}}
OUTPUTS = ("report.json", "change.patch", "events.jsonl", "log.txt")
# As in a container: the same user, no capabilities.
DROP = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"] if os.geteuid() == 0 else []


class Store(Wire):
    """Objects by path: what S3 is to a task. `puts` are the paths written to, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.objects: dict[str, bytes] = {}
        self.puts: list[str] = []

    def answer(self, request: Request) -> Answer:
        """GET and PUT, with If-None-Match."""
        if request.method == "GET":
            found = self.objects.get(request.path)
            return Answer(404) if found is None else Answer(raw=found)
        if request.headers.get("if-none-match") == "*" and request.path in self.objects:
            return Answer(412)
        self.objects[request.path] = request.body
        self.puts.append(request.path)
        return Answer(raw=b"")


@pytest.fixture
def store() -> Iterator[Store]:
    """A started store."""
    made = Store()
    with running(made.answer, made):
        yield made


def make_ticket(store: Store, folder: Path, entry: str, **changes: Any) -> None:
    """The folder's files and the ticket for them, in the store."""
    inputs = {}
    for path in folder.iterdir():
        content = path.read_bytes()
        store.objects[f"/in/{path.name}"] = content
        digest = hashlib.sha256(content).hexdigest()
        inputs[path.name] = {"url": f"{store.url}/in/{path.name}", "bytes": len(content), "sha256": digest}
    ticket = {
        "schema_version": 1, "mode": entry, "deadline_seconds": 60, "progress_seconds": 0.2, "gateway": "",
        "inputs": inputs, "outputs": {name: f"{store.url}/out/{name}" for name in OUTPUTS},
        "ended": f"{store.url}/out/ended.json",
    }  # fmt: skip
    store.objects["/ticket"] = json.dumps(ticket | changes).encode()


def run_task(store: Store, tmp_path: Path, url: str = "") -> subprocess.CompletedProcess[str]:
    """The entry as a container starts it."""
    job = tmp_path / "volume"
    job.mkdir()
    environment = {
        "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "SOULCASTER_AGENT_SANDBOX": "container",
        "SOULCASTER_AGENT_FOLDER": str(job), "SOULCASTER_AGENT_TICKET": url or f"{store.url}/ticket?c4n4ry",
    }  # fmt: skip
    return subprocess.run(
        [*DROP, sys.executable, "-s", "-P", "-m", "agent", "task"], env=environment, cwd=tmp_path,
        capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip


def test_it_hands_back_the_patch_and_seals_it(store: Store, tmp_path: Path):
    """The report goes last, the seal after it, with the hashes of what lies there."""
    make_ticket(store, make_edit(tmp_path / "job", FILES, FIX), "edit")
    done = run_task(store, tmp_path)

    assert 0 == done.returncode, done.stderr
    assert "c4n4ry" not in done.stderr + done.stdout
    assert ["/out/report.json", "/out/ended.json"] == store.puts[-2:]
    seal = json.loads(store.objects["/out/ended.json"])
    assert (0, "", set(OUTPUTS)) == (seal["exit_code"], seal["reason"], set(seal["outputs"]))
    for name, told in seal["outputs"].items():
        assert told["sha256"] == hashlib.sha256(store.objects[f"/out/{name}"]).hexdigest()
    assert b"+    return a + b" in store.objects["/out/change.patch"]


def test_the_first_seal_stands(store: Store, tmp_path: Path):
    """A second task with the same addresses changes nothing of it, and does not fail for that."""
    make_ticket(store, make_edit(tmp_path / "job", FILES, FIX), "edit")
    store.objects["/out/ended.json"] = b"the first"

    assert 0 == run_task(store, tmp_path).returncode
    assert b"the first" == store.objects["/out/ended.json"]


def test_what_it_runs_finds_no_address(store: Store, tmp_path: Path):
    """Neither in its own environment nor in that of any process in sight, nor in the folder."""
    look = "cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' | grep -c c4n4ry; grep -rl c4n4ry ../.. ; env | sort"
    make_ticket(store, make_verify(tmp_path / "job", FILES, ["sh", "-c", look]), "verify")
    done = run_task(store, tmp_path)

    assert 0 == done.returncode, done.stderr
    tail = json.loads(store.objects["/out/report.json"])["runs"]["baseline"]["tail"].splitlines()
    assert "0" == tail[0]
    assert not [line for line in tail if "c4n4ry" in line or "SOULCASTER_AGENT_TICKET" in line or "/job/" in line]


def test_links_pipes_and_floods_in_place_of_results_are_not_handed_over(store: Store, tmp_path: Path):
    """A link to a file of the machine and a pipe are left where they are; the seal says so."""
    secret = tmp_path / "secret.txt"
    secret.write_text("ours")
    swap = f"cd ../.. && rm -f log.txt events.jsonl && ln -s {secret} log.txt && mkfifo events.jsonl"
    make_ticket(store, make_verify(tmp_path / "job", FILES, ["sh", "-c", swap]), "verify", progress_seconds=100)
    run_task(store, tmp_path)

    assert "/out/log.txt" not in store.objects
    seal = json.loads(store.objects["/out/ended.json"])
    assert "log.txt was no plain file" in seal["reason"]
    assert {"log.txt", "events.jsonl"}.isdisjoint(seal["outputs"])
    flood = tmp_path / "flood"
    flood.write_bytes(b"x" * 11)
    assert (None, b"x" * 11) == (read_output(flood, 10), read_output(flood, 11))


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({"ended": "http://example.org/x"}, EXIT_PLACE, "neither https nor of this machine"),
        ({"mode": "gateway"}, EXIT_BAD_JOB, "ticket.mode"),
        ({"inputs": {}}, EXIT_BAD_JOB, "lacks 'job.json'"),
        ({"gateway": "http://169.254.170.2:80"}, EXIT_BAD_JOB, "ticket.gateway"),
    ],
)
def test_a_ticket_that_is_not_ours_is_refused(store: Store, tmp_path: Path, changes, code, said):
    """Other names, other addresses, another entry: refused with an exit code that says whose fault it is."""
    make_ticket(store, make_edit(tmp_path / "job", FILES, FIX), "edit", **changes)
    done = run_task(store, tmp_path)

    assert code == done.returncode
    assert said in done.stderr


def test_changed_content_and_refused_addresses_are_the_place_s_fault(store: Store, tmp_path: Path):
    """An input that is not what the ticket tells is not used; an address that holds no more is not tried for ever."""
    make_ticket(store, make_edit(tmp_path / "job", FILES, FIX), "edit")
    store.objects["/in/source.tar.gz"] = store.objects["/in/source.tar.gz"][:-1] + b"x"
    done = run_task(store, tmp_path)
    assert (EXIT_PLACE, True) == (done.returncode, "another content" in done.stderr)

    n_asked = len(store.requests)
    with pytest.raises(TransferError, match=r"Fetching the file failed: status 404\."):
        fetch("the file", f"{store.url}/nothing?c4n4ry", 10)
    assert n_asked + 1 == len(store.requests)
    with pytest.raises(TransferError, match="more than the 3 bytes"):
        fetch("the ticket", f"{store.url}/ticket", 3)


def test_faults_over_there_are_tried_again_and_redirects_are_not_followed(store: Store):
    """500 and an answer cut short are passed over; a redirect would carry the address elsewhere."""
    store.objects["/x"] = b"1"
    store.failures += [Answer(503), Answer(raw=b"", trick="cut")]
    assert b"1" == fetch("x", f"{store.url}/x", 10)

    store.failures += [Answer(302, headers={"Location": f"{store.url}/x"})]
    with pytest.raises(TransferError, match="status 302"):
        put("y", f"{store.url}/y", b"2")
    assert "/y" not in store.objects
