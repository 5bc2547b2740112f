"""Death at a chosen moment, counted in outside effects (writes, processes, sockets, locks) that are about to happen.

Stands alone: it is also put into a copy of the package `agent`, whose entries read from a file `trap-<entry>` beside it
when the next of them dies. A slow machine dies at the same places as a quick one.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

EFFECTS = frozenset(
    {
        "open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.chmod", "subprocess.Popen", "socket.connect",
        "fcntl.flock", "shutil.copyfile", "shutil.rmtree", "tempfile.mkdtemp", "tempfile.mkstemp",
    }
)  # fmt: skip
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def die_at(moment: int, last_words: Callable[[], object] = lambda: None) -> list[int]:
    """Count effects from now on, in the list's one place, and die at the moment."""
    count = [0]

    def hook(event: str, words: tuple[Any, ...]) -> None:
        if event in EFFECTS and (event != "open" or (isinstance(words[2], int) and words[2] & WRITING)):
            count[0] += 1
            if count[0] == moment:
                last_words()
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    return count


def _fall_into_traps() -> None:
    """For the copy: one trap kills one process; whoever comes to its moment first takes it along."""
    for trap in Path(__file__).parent.glob("trap-*"):
        if trap.name.removeprefix("trap-") in sys.argv:
            fallen = trap.with_name(f"fallen-{trap.name}-{os.getpid()}")
            die_at(int(trap.read_text()), partial(trap.rename, fallen))


if __package__ == "agent":
    _fall_into_traps()
