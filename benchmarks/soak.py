"""Everything at once on one home, while processes are killed, stopped, lied to about the time, and the disk fills up.

`python benchmarks/soak.py --seconds 600 --seed 1`. Posts to the receiver, imports, groupings, edits, fixes and
readers run at once (`soak_roles.py`); every few seconds something happens to one of them. At the end everything is
left to finish in peace, and what was promised is compared with what is there. Exit code 1 when anything was lost,
doubled, or left half done.

The full disk needs a disk of its own, so root and Linux (`mount -t tmpfs`); clock jumps need the package `faketime`.
What is not there is left out and said. The agent of the fixes is played (`tests/standins`); their crash test with
real agents is `tests/test_fix_kills.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from fix_store import add_repository, script  # noqa: E402  tests/ is on the path only here
from standins.forge import Forge, running_forge  # noqa: E402

from benchmarks.soak_checks import Check, check_all, finish  # noqa: E402
from benchmarks.soak_roles import PROJECT, ROLES, settings_of, words_of  # noqa: E402
from soulcaster import db  # noqa: E402
from soulcaster.settings import Settings  # noqa: E402

TOKEN = "soak-token"  # noqa: S105  of a receiver that lives for a test
DISK_BYTES = 1_500_000_000
POSTS_A_SECOND = 20
POSTED_FROM = 1_000_000
FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)


@dataclass
class House:
    """What runs: processes by role, what was posted and answered, what happened to whom."""

    settings: Settings
    work: Path
    seed: int
    port: int
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    n_starts: int = 0
    accepted: set[str] = field(default_factory=set)
    happened: Counter[str] = field(default_factory=Counter)
    is_over: threading.Event = field(default_factory=threading.Event)

    def start(self, role: str, *, shift: str = "") -> None:
        """Start it, or start it again; with `shift` in a process whose clock is off by so much."""
        self.n_starts += 1
        env = {
            **os.environ, "SOULCASTER_HOME": str(self.settings.home), "SOULCASTER_PROJECT": PROJECT,
            "SOULCASTER_RECEIVER_TOKEN": TOKEN,
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]), "OMP_NUM_THREADS": "1",
            "SOULCASTER_RECEIVER_MIN_FREE_BYTES": "0",
        }  # fmt: skip
        if shift and FAKETIME:
            env |= {"LD_PRELOAD": str(FAKETIME), "FAKETIME": shift, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        words = [sys.executable, str(ROOT / "benchmarks" / "soak_roles.py"), role, str(self.settings.home)]
        words.append(str(self.seed + self.n_starts))
        if role == "receiver":
            words = [sys.executable, "-m", "uvicorn", "--factory", "app.webhook:make_app", "--port", str(self.port)]
        log = (self.work / "journal" / f"{role}.log").open("ab")
        self.processes[role] = subprocess.Popen(words, cwd=ROOT, env=env, stdout=log, stderr=log)
        log.close()

    def end(self) -> None:
        """Kill everything."""
        for process in self.processes.values():
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()


def main() -> None:
    """Print what happened and what was found; exit 1 when a check fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--calm", action="store_true", help="let nothing happen to anybody; for comparison")
    given = parser.parse_args()
    os.environ["NOTES_TOKEN"] = ""
    with tempfile.TemporaryDirectory() as folder, running_forge(Path(folder) / "forge") as forge:
        os.environ["NOTES_TOKEN"] = forge.token
        work = Path(folder)
        for name in ("home", "journal", "files", "agents"):
            (work / name).mkdir()
        with disk(work / "home") as is_own_disk:
            house = open_house(work, forge, given.seed)
            try:
                live(house, given.seconds, random.Random(given.seed), is_own_disk=is_own_disk, is_calm=given.calm)  # noqa: S311
            finally:
                house.is_over.set()
                house.end()
            checks = judge(house, forge)
        report(house, checks, given.seconds)
    sys.exit(0 if all(check.is_kept for check in checks) else 1)


@contextmanager
def disk(home: Path) -> Iterator[bool]:
    """Give the home a disk of its own, that can be filled; False where that is not allowed."""
    words = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(home)]
    is_own = os.geteuid() == 0 and subprocess.run(words, capture_output=True, check=False).returncode == 0
    try:
        yield is_own
    finally:
        if is_own:
            subprocess.run(["umount", "-l", str(home)], check=True)


def open_house(work: Path, forge: Forge, seed: int) -> House:
    """A store with a repository, and every role at work."""
    settings = settings_of(work / "home")
    (work / "script.json").write_text(json.dumps(script()))
    db.migrate(settings.duckdb_path)
    add_repository(settings, forge)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    house = House(settings, work, seed, port)
    for role in ("receiver", *ROLES):
        house.start(role)
    return house


def live(house: House, seconds: float, drawn: random.Random, *, is_own_disk: bool, is_calm: bool) -> None:
    """Post all the while; every few seconds something happens; whoever ended is started again."""
    poster = threading.Thread(target=post, args=(house,), daemon=True)
    poster.start()
    while not all((house.work / "journal" / role).exists() for role in ROLES):
        time.sleep(0.2)  # everybody has done, or tried, something once
    end = time.monotonic() + seconds
    deeds = ["kill", "kill", "kill", "stop"] + ["full disk"] * is_own_disk + ["clock"] * bool(FAKETIME)
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, drawn.uniform(0.5, 2.0)))
        if not is_calm:
            happen(house, drawn.choice(deeds), drawn)
        for role, process in house.processes.items():
            if process.poll() is not None:
                house.happened["ended by itself"] += process.returncode != -signal.SIGKILL
                house.start(role)
        print(f"\r{end - time.monotonic():5.0f} s left, {len(house.accepted):,} posts taken in ", end="", flush=True)
    house.is_over.set()
    poster.join()
    print()


def happen(house: House, deed: str, drawn: random.Random) -> None:
    """One thing happens to one process, or to all by the disk."""
    role = drawn.choice(sorted(house.processes))
    process = house.processes[role]
    house.happened[deed] += 1
    if deed == "kill":
        process.kill()
        process.wait()
    elif deed == "stop":  # a disk or a host that hangs, in whatever it is doing: with the lock held, in a write
        process.send_signal(signal.SIGSTOP)
        time.sleep(drawn.uniform(0.5, 3.0))
        process.send_signal(signal.SIGCONT)
    elif deed == "clock":
        process.kill()
        process.wait()
        house.start(role, shift=drawn.choice(("+3d", "-3d", "+400d", "-2h")))
    elif deed == "full disk":
        ballast = house.settings.home / "ballast"
        try:
            with ballast.open("wb") as file:
                while True:
                    file.write(bytes(1_000_000))
        except OSError:
            time.sleep(drawn.uniform(0.5, 2.0))
        ballast.unlink()


def post(house: House) -> None:
    """Reports to the receiver, each sent again under its delivery id until it is answered 202."""
    number = POSTED_FROM
    with httpx.Client(base_url=f"http://127.0.0.1:{house.port}", timeout=10) as client:
        while not house.is_over.wait(1 / POSTS_A_SECOND):
            number += 1
            title, body = words_of(number)
            name = f"post-{number}"
            headers = {"Authorization": f"Bearer {TOKEN}", "Idempotency-Key": name}
            payload: dict[str, Any] = {"id": name, "title": title, "text": body}
            while not house.is_over.is_set():
                try:
                    status = client.post("/ingest/manual", json=payload, headers=headers).status_code
                except httpx.HTTPError:
                    status = 0
                if status == 202:
                    house.accepted.add(name)
                    break
                house.happened["posts sent again"] += 1
                time.sleep(0.2)


def judge(house: House, forge: Forge) -> list[Check]:
    """Finish in peace what was begun, then compare."""
    journals: dict[str, list[dict[str, Any]]] = {role: [] for role in ROLES}
    for role, notes in journals.items():
        path = house.work / "journal" / role
        for line in path.read_text().splitlines() if path.exists() else []:
            try:
                notes.append(json.loads(line))
            except ValueError:  # the last line of one that was killed while it wrote
                continue
    begun = time.monotonic()
    problems = finish(house.settings, house.work)
    house.happened["seconds to finish in peace"] = round(time.monotonic() - begun)
    for role, notes in journals.items():
        for kind, count in Counter(str(note.get("done") or note["error"]) for note in notes).items():
            house.happened[f"{role}: {kind}"] = count
    for text, count in Counter(
        str(note["text"]) for note in journals["fixer"] if note.get("done") == "refused"
    ).items():
        house.happened[f"fix refused: {text}"] = count
    return check_all(house.settings, journals, house.accepted, forge, problems)


def report(house: House, checks: list[Check], seconds: float) -> None:
    """The tables."""
    print(f"{seconds:g} s, seed {house.seed}, {house.n_starts} starts of processes; load {os.getloadavg()[0]:.1f}")
    if not FAKETIME:
        print("no clock jumps: the library faketime is not installed")
    if not house.happened["full disk"]:
        print("no full disk: nothing drawn, or no rights to mount one")
    for name, count in sorted(house.happened.items()):
        print(f"  {name:<28} {count:>8,}")
    for check in checks:
        print(f"  {'kept  ' if check.is_kept else 'BROKEN'} {check.name:<52} {check.found}")


if __name__ == "__main__":
    if shutil.which("git") is None:
        sys.exit("The fixes of the soak need git on the path.")
    main()
