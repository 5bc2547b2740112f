"""LocalLauncher: one launch a token, found again by anybody, ended with everything it started."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from job_folders import make_edit, make_verify, read_report
from waiting import wait_for_text, wait_until

from soulcaster.errors import PermanentError
from soulcaster.fix_models import LaunchRequest, LaunchState
from soulcaster.launchers.local import LocalLauncher

FILES: dict[str, str | bytes] = {"sums.py": "def add(a, b):\n    return a - b\n"}
FIX = {"fix": {"files": {"sums.py": "def add(a, b):\n    return a + b\n"}}}
SLOW = {"fix": {"files": {"a.txt": "a\n"}, "sleep_seconds": 600}}
ENDED = LaunchState(state="ended", exit_code=0)


def make_launcher(sandbox: str = "auto") -> LocalLauncher:
    """A launcher that needs no model."""
    return LocalLauncher(model_url="", model_key=None, sandbox=sandbox)  # type: ignore[arg-type]


def ask(folder: Path, *, token: str = "t-1", mode: str = "edit", deadline_seconds: int = 100) -> LaunchRequest:  # noqa: S107  no password
    """A request for the folder."""
    return LaunchRequest(token=token, mode=mode, folder=folder, deadline_seconds=deadline_seconds)  # type: ignore[arg-type]


def wait(launcher: LocalLauncher, handle: str, seconds: float = 60) -> LaunchState:
    """The state once it is not running any more."""
    deadline = time.monotonic() + seconds
    while (state := launcher.poll(handle)).state == "running" and time.monotonic() < deadline:
        time.sleep(0.1)
    return state


@pytest.fixture(params=["none", "auto"])
def launcher(request: pytest.FixtureRequest) -> LocalLauncher:
    """Both ways to hold a launch, where the sandbox works."""
    made = make_launcher(request.param)
    if request.param == "auto" and made.find_sandbox()[0] == "none":
        pytest.skip(f"no sandbox on this machine: {made.find_sandbox()[1]}")
    return made


def test_a_launch_edits_and_leaves_a_sealed_folder(tmp_path: Path, launcher: LocalLauncher):
    """Inputs, outputs and the launcher's own folder are what is left; the report names the sandbox."""
    folder = make_edit(tmp_path / "job", FILES, FIX)
    handle = launcher.launch(ask(folder))

    assert wait(launcher, handle) == ENDED

    report = read_report(folder)
    assert ("done", launcher.find_sandbox()[0]) == (report["status"], report["sandbox"])
    assert {"job.json", "source.tar.gz", "report.json", "change.patch", "events.jsonl", "log.txt", "launch"} == {
        path.name for path in folder.iterdir()
    }
    assert {os.getuid()} == {path.stat().st_uid for path in folder.rglob("*")}


def test_set_up_of_an_edit_has_the_network_and_no_way_to_the_model(tmp_path: Path):
    """The first of two stages sees the interfaces of the machine, and not the gateway."""
    launcher = LocalLauncher(model_url="http://127.0.0.1:9", model_key=None, sandbox="auto")
    if launcher.find_sandbox()[0] == "none":
        pytest.skip(f"no sandbox on this machine: {launcher.find_sandbox()[1]}")
    n_lines = len(Path("/proc/net/dev").read_text().splitlines())
    setup = ["sh", "-c", f"test $(wc -l < /proc/net/dev) = {n_lines} && test ! -e /run/gateway.sock"]
    folder = make_edit(tmp_path / "job", FILES, FIX, setup=setup)

    assert wait(launcher, launcher.launch(ask(folder))) == ENDED

    report = read_report(folder)
    assert ("done", ["sums.py"]) == (report["status"], report["files_changed"])


def test_the_same_token_never_starts_two(tmp_path: Path, launcher: LocalLauncher):
    """A second launch of the token attaches, also from another launcher and after the end."""
    folder = make_edit(tmp_path / "job", FILES, SLOW)
    handle = launcher.launch(ask(folder))
    first = (folder / "launch" / "state.json").read_text()

    assert handle == make_launcher("none").launch(ask(folder))
    assert first == (folder / "launch" / "state.json").read_text()

    launcher.stop(handle)
    assert handle == launcher.launch(ask(folder))
    assert launcher.poll(handle).state == "ended"


def test_many_callers_at_once_start_one(tmp_path: Path):
    """Eight processes with the same request at the same time: one supervisor, the same handle for all."""
    folder = make_edit(tmp_path / "job", FILES, SLOW)
    code = (
        "import sys; from pathlib import Path; from soulcaster.fix_models import LaunchRequest\n"
        "from soulcaster.launchers.local import LocalLauncher\n"
        "made = LocalLauncher(model_url='', model_key=None, sandbox='none')\n"
        "print(made.launch(LaunchRequest(token='t-1', mode='edit', folder=Path(sys.argv[1]), deadline_seconds=60)))"
    )
    callers = [
        subprocess.Popen([sys.executable, "-c", code, folder], stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    handles = {caller.communicate(timeout=60)[0].strip() for caller in callers}
    launcher = make_launcher("none")
    launcher.stop(f"t-1:{folder}")

    assert {f"t-1:{folder}"} == handles
    assert 1 == (folder / "log.txt").read_text().count("[fix] started")


def test_a_folder_of_another_launch_is_refused(tmp_path: Path):
    """Two tokens in one folder would mix two attempts."""
    launcher = make_launcher("none")
    folder = make_edit(tmp_path / "job", FILES, FIX)
    wait(launcher, launcher.launch(ask(folder)))

    with pytest.raises(PermanentError, match="belongs to another launch"):
        launcher.launch(ask(folder, token="t-2"))


def test_what_is_not_known_is_missing(tmp_path: Path):
    """A folder that is gone, was never launched, or has another token."""
    launcher = make_launcher("none")
    folder = make_edit(tmp_path / "job", FILES, FIX)

    assert "missing" == launcher.poll(f"t-1:{folder}").state
    assert "missing" == launcher.poll(f"t-1:{tmp_path}/gone").state
    launcher.stop(f"t-1:{folder}")


def test_a_launch_outlives_its_caller_and_is_found_again(tmp_path: Path):
    """The caller is killed right after launching; another process polls the handle to its end."""
    folder = make_edit(tmp_path / "job", FILES, {"fix": {**FIX["fix"], "sleep_seconds": 2}})
    code = (
        "import os, signal, sys; from pathlib import Path; from soulcaster.fix_models import LaunchRequest\n"
        "from soulcaster.launchers.local import LocalLauncher\n"
        "made = LocalLauncher(model_url='', model_key=None, sandbox='auto')\n"
        "made.launch(LaunchRequest(token='t-1', mode='edit', folder=Path(sys.argv[1]), deadline_seconds=60))\n"
        "os.killpg(0, signal.SIGKILL)"
    )
    caller = subprocess.run([sys.executable, "-c", code, folder], start_new_session=True, check=False)
    launcher = make_launcher()

    assert caller.returncode == -signal.SIGKILL
    assert launcher.poll(f"t-1:{folder}").state == "running"
    assert wait(launcher, f"t-1:{folder}") == ENDED
    assert "done" == read_report(folder)["status"]


def test_stopping_keeps_partial_work(tmp_path: Path, launcher: LocalLauncher):
    """The entry is told, saves its patch and says `interrupted`."""
    folder = make_edit(tmp_path / "job", FILES, SLOW)
    handle = launcher.launch(ask(folder))
    wait_for_text(folder / "events.jsonl", "wrote a.txt")

    launcher.stop(handle)

    assert 143 == launcher.poll(handle).exit_code
    assert "interrupted" == read_report(folder)["status"]
    assert "a.txt" in (folder / "change.patch").read_text()


def test_a_killed_supervisor_is_an_infrastructure_fault(tmp_path: Path, launcher: LocalLauncher):
    """SIGKILL of the trusted process: the launch has ended, worth another attempt, and what it ran is gone."""
    folder = make_edit(tmp_path / "job", FILES, SLOW)
    handle = launcher.launch(ask(folder))
    wait_for_text(folder / "events.jsonl", "wrote a.txt")
    os.kill(json.loads((folder / "launch" / "state.json").read_text())["pid"], signal.SIGKILL)

    state = wait(launcher, handle)

    assert ("ended", True) == (state.state, state.is_infrastructure)
    wait_until(lambda: not _running_with(str(folder)), "the children to end")


@pytest.mark.slow
def test_the_deadline_of_the_request_is_a_backstop(tmp_path: Path):
    """A job that allows itself more than the request is ended all the same, and its partial work is kept."""
    folder = make_edit(tmp_path / "job", FILES, SLOW, limits={"wall_seconds": 500, "idle_seconds": 500})
    launcher = make_launcher("none")

    state = wait(launcher, launcher.launch(ask(folder, deadline_seconds=1)))

    assert (143, "did not end at its deadline") == (state.exit_code, state.reason)
    assert "a.txt" in (folder / "change.patch").read_text()


ESCAPE = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open(sys.argv[1], "w").write("alive")
        while True:
            time.sleep(0.05)
            open(sys.argv[1], "a").write(".")
    os._exit(0)
time.sleep(1)
"""


# 8 processes at any moment, each of them new all the time and in a session of its own.
SWARM = """
import os, time
for _ in range(3):
    os.fork()
end = time.time() + 15
while time.time() < end:
    if os.fork():
        os._exit(0)
    os.setsid()
    time.sleep(0.05)
"""


@pytest.mark.parametrize("code", [ESCAPE, SWARM], ids=["setsid and two forks", "fork bomb"])
def test_nothing_that_a_test_run_starts_outlives_it(tmp_path: Path, launcher: LocalLauncher, code: str):
    """Neither a child in a session of its own nor a swarm of ever new processes is left when the run has ended."""
    mark = f"escape-{os.getpid()}-{launcher.find_sandbox()[0]}"
    folder = make_verify(tmp_path / "job", {"run.py": code, mark: ""}, ["sh", "-c", f"python3 run.py {mark}; sleep 1"])

    state = wait(launcher, launcher.launch(ask(folder, mode="verify")))

    assert state == ENDED
    assert "done" == read_report(folder)["runs"]["baseline"]["status"]
    assert [] == _running_with(mark)


def test_a_test_run_that_kills_its_entry_is_no_result(tmp_path: Path, launcher: LocalLauncher):
    """The launch has ended with the code of a killed process, its report was never finished, nothing runs on."""
    mark = f"killer-{os.getpid()}-{launcher.find_sandbox()[0]}"
    code = f"import os, time\nif os.fork() == 0:\n    time.sleep(30)\nos.kill(os.getppid(), 9)\n# {mark}\n"
    folder = make_verify(tmp_path / "job", {mark: code}, ["python3", mark])

    state = wait(launcher, launcher.launch(ask(folder, mode="verify")))

    assert state.state == "ended"
    assert state.exit_code in {137, -9}
    assert not state.is_infrastructure
    assert "running" == read_report(folder)["status"]
    assert [] == _running_with(mark)


def test_a_required_sandbox_that_is_absent_refuses_to_launch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Nothing runs unprotected where protection was asked for."""
    monkeypatch.setenv("PATH", str(tmp_path))
    launcher = make_launcher("require")

    with pytest.raises(PermanentError, match="bwrap is not installed"):
        launcher.launch(ask(make_edit(tmp_path / "job", FILES, FIX)))


def test_links_and_pipes_in_place_of_outputs_are_taken_away(tmp_path: Path, launcher: LocalLauncher):
    """An entry that leaves a link to a file of ours as its output leaves nothing, and it is said."""
    secret = tmp_path / "secret.txt"
    secret.write_text("ours")
    swap = f"cd ../.. && rm -f log.txt && ln -s {secret} log.txt && mkfifo junk && rm -f source.tar.gz"
    folder = make_verify(tmp_path / "job", FILES, ["sh", "-c", swap])
    handle = launcher.launch(ask(folder, mode="verify"))

    state = wait(launcher, handle)

    assert "log.txt was no plain file" in state.reason
    assert not (folder / "log.txt").exists()
    assert not (folder / "junk").exists()
    assert "ours" == secret.read_text()


def _running_with(word: str) -> list[str]:
    """Command lines of live processes, not ours, that name the word."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            is_zombie = ") Z " in (entry / "stat").read_text()
        except OSError:
            continue
        if word in line and int(entry.name) != os.getpid() and not is_zombie:
            found.append(line)
    return found
