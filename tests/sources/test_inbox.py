"""The inbox keeps every acknowledged body, byte for byte, once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from soulcaster.errors import PermanentError
from soulcaster.sources import inbox

BODY = b'{"text": "line\nbreak \xff not UTF-8"}'
HEADERS = {
    "Content-Type": "application/json",
    "X-GitHub-Event": "issues",
    "Authorization": "Bearer secret",
    "X-Hub-Signature-256": "sha256=secret",
}


def test_what_was_appended_is_read_back_byte_for_byte(tmp_path: Path):
    """Body, source, id and the headers a parser needs come back; proofs of identity never reach the disk."""
    path = inbox.append(tmp_path, "github", BODY, "d-1", HEADERS)
    delivery = inbox.read_delivery(path)
    assert (delivery.source, delivery.delivery_id, delivery.body) == ("github", "d-1", BODY)
    assert delivery.headers == {"content-type": "application/json", "x-github-event": "issues"}
    assert b"secret" not in path.read_bytes()


def test_repeated_delivery_is_kept_once_also_after_it_was_stored(tmp_path: Path):
    """A sender that repeats a delivery adds no second file, neither while it waits nor when it is done."""
    first = inbox.append(tmp_path, "github", BODY, "d-1", HEADERS)
    assert inbox.append(tmp_path, "github", BODY, "d-1", HEADERS) == first
    assert inbox.list_pending(tmp_path) == [first]
    inbox.mark_done([first])
    assert inbox.append(tmp_path, "github", BODY, "d-1", HEADERS).parent.name == "done"
    assert inbox.list_pending(tmp_path) == []


def test_other_body_under_a_known_id_is_not_lost(tmp_path: Path):
    """A sender that reuses an id for a different body loses nothing."""
    paths = {inbox.append(tmp_path, "manual", body, "same", {}) for body in (b"1", b"2")}
    assert set(inbox.list_pending(tmp_path)) == paths
    assert len(paths) == 2


def test_pending_comes_oldest_first_and_without_unfinished_files(tmp_path: Path):
    """The order of arrival is kept; a file that was being written when the process died is no delivery."""
    paths = [inbox.append(tmp_path, "manual", str(n).encode(), "", {}) for n in range(5)]
    for age, path in enumerate(reversed(paths)):
        os.utime(path, (1_000_000 - age, 1_000_000 - age))
    (tmp_path / f".{paths[0].name}.7.7").write_bytes(b"half")
    assert inbox.list_pending(tmp_path) == paths
    assert inbox.list_pending(tmp_path / "absent") == []


def test_done_deliveries_are_forgotten_after_their_time(tmp_path: Path):
    """Old stored bodies leave the disk, recent ones stay so that a repetition is recognised."""
    paths = [inbox.append(tmp_path, "manual", str(n).encode(), "", {}) for n in range(2)]
    inbox.mark_done(paths)
    os.utime(tmp_path / "done" / paths[0].name, (1, 1))
    assert inbox.forget_done(tmp_path) == 1
    assert [path.name for path in (tmp_path / "done").iterdir()] == [paths[1].name]


def test_file_that_is_no_delivery_is_refused_with_its_name(tmp_path: Path):
    """A stray file in the folder is named in one sentence."""
    stray = tmp_path / "stray.delivery"
    stray.write_bytes(b"hello")
    with pytest.raises(PermanentError, match=r"stray\.delivery"):
        inbox.read_delivery(stray)


def test_unwritable_inbox_is_our_error(tmp_path: Path):
    """An inbox that cannot be written fails in one sentence that names the folder."""
    (tmp_path / "inbox").write_text("a file, not a folder")
    with pytest.raises(PermanentError, match="inbox"):
        inbox.append(tmp_path / "inbox", "manual", b"x", "", {})


def test_killed_writer_leaves_only_whole_deliveries(tmp_path: Path):
    """A process killed in the middle of appending leaves every file it announced, each one complete."""
    script = (
        "import sys\nfrom pathlib import Path\nfrom soulcaster.sources import inbox\n"
        "for n in range(100000):\n"
        "    path = inbox.append(Path(sys.argv[1]), 'manual', str(n).encode() * 3000, str(n), {})\n"
        "    print(path.name, flush=True)\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    announced = [writer.stdout.readline().strip() for _ in range(20)]
    time.sleep(0.05)
    os.kill(writer.pid, signal.SIGKILL)
    announced += [line.strip() for line in writer.stdout if line.endswith("\n")]
    writer.wait()
    pending = inbox.list_pending(tmp_path)
    assert set(announced) <= {path.name for path in pending}
    for path in pending:
        delivery = inbox.read_delivery(path)
        assert delivery.body == delivery.delivery_id.encode() * 3000
