"""`python -m agent edit|verify|task|gateway|supervise|probe|scripted`: which of them runs is the first word."""

from __future__ import annotations

import sys
from collections.abc import Callable


def main(words: list[str]) -> int:
    """Exit code of the entry named by the first word."""
    entries: dict[str, Callable[[list[str]], int]] = {
        "edit": _edit,
        "verify": _verify,
        "task": _task,
        "gateway": _gateway,
        "supervise": _supervise,
        "probe": _probe,
        "scripted": _scripted,
    }
    if not words or words[0] not in entries:
        print(f"usage: python -m agent {'|'.join(entries)} ...", file=sys.stderr)  # noqa: T201  an entry speaks here
        return 2
    return entries[words[0]](words[1:])


def _edit(words: list[str]) -> int:
    from agent.edit import run

    return run(words)


def _verify(words: list[str]) -> int:
    from agent.verify import run

    return run(words)


def _task(words: list[str]) -> int:
    from agent.task import run

    return run(words)


def _gateway(words: list[str]) -> int:
    from agent.gateway import run

    return run(words)


def _supervise(words: list[str]) -> int:
    from agent.supervise import run

    return run(words)


def _probe(words: list[str]) -> int:
    from agent.sandbox import run

    return run(words)


def _scripted(words: list[str]) -> int:
    from agent.tools.scripted import run

    return run(words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
