"""Work in parts that do not depend on one another, on all cores: NumPy lets go of the interpreter while it computes.

Meanwhile a matrix product takes one thread: with more, the products of two parts wait for each other's threads and
take several times as long (docs/decisions.md, "Grouping: speed").
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import cache
from threading import Lock
from typing import TypeVar

import numpy as np  # noqa: F401  only a library that is loaded can be told
from threadpoolctl import ThreadpoolController

_MOST_THREADS = 4

Part = TypeVar("Part")
Result = TypeVar("Result")

_lock = Lock()
_users: list[ExitStack] = []
"""One for everybody who shares work at this moment; the last one to leave takes the limit away."""


def n_threads() -> int:
    """Threads that share work whose parts do not depend on one another."""
    return min(_MOST_THREADS, os.cpu_count() or 1)


def each(work: Callable[[Part], Result], parts: Iterable[Part]) -> Iterator[Result]:
    """What `work` gives for every part, in their order."""
    with _single_products(), ThreadPoolExecutor(n_threads()) as pool:
        yield from pool.map(work, parts)


def share(work: Callable[[Part], object], parts: Iterable[Part]) -> None:
    """Do `work` on all parts; the first one that fails raises what it raised."""
    deque(each(work, parts), maxlen=0)


def both(one: Callable[[], Part], other: Callable[[], Result]) -> tuple[Part, Result]:
    """What both give, made at the same time."""
    with _single_products(), ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(other)
        return one(), waiting.result()


@contextmanager
def _single_products() -> Iterator[None]:
    """Meanwhile every product of matrices takes one thread, also when several share work at once."""
    with _lock:
        stack = ExitStack()
        if not _users:
            stack.enter_context(_controller().limit(limits=1, user_api="blas"))
        _users.append(stack)
    try:
        yield
    finally:
        with _lock:
            last = _users.pop()  # whoever leaves last takes the first one's stack, which holds the limit
            last.close()


@cache
def _controller() -> ThreadpoolController:
    """Of the libraries that are loaded; looking for them takes milliseconds."""
    return ThreadpoolController()
