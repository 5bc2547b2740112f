"""When a task tries again, and the names of the limits it waits for. The only module that tasks share for waiting."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from prefect.cache_policies import NO_CACHE

from soulcaster.errors import TransientError

WORK_POOL = "soulcaster"

HEAVY_LIMIT = "soulcaster-heavy"
"""Held by work that uses every core (embedding, grouping): two at once are slower than one after the other."""

LIMITS: dict[str, int] = {HEAVY_LIMIT: 1}
"""Global limits and their slots; `infra/prefect/setup.py` creates them, tasks ask for them with `strict=True`."""

RETRIES = 4
RETRY_DELAYS_SECONDS: list[float] = [2, 8, 30, 90]
"""A locked store frees itself in seconds, a provider's outage in a minute or two."""

EMBED_TIMEOUT_SECONDS = 6 * 3600
"""A first backfill of a million texts at minilm's pace on two cores; beyond that something hangs."""

IMPORT_TIMEOUT_SECONDS = 6 * 3600
"""An archive of tens of millions of rows; the file is streamed and what was stored stays."""

STEP_TIMEOUT_SECONDS = 3600

FIX_TIMEOUT_SECONDS = 24 * 3600
"""A job's own limits end it long before; this ends a task that hangs."""

APPROVAL_TIMEOUT_SECONDS = 24 * 3600
"""How long a run keeps its form open; afterwards the job waits without it."""


def retry_transient(_task: object, _task_run: object, state: Any) -> bool:  # noqa: ANN401  Prefect's State[Any]
    """Whether a failed task may succeed later: only our `TransientError` says so."""
    return isinstance(state.data, TransientError)


def retry_soon(_task: object, _task_run: object, state: Any) -> bool:  # noqa: ANN401  Prefect's State[Any]
    """As `retry_transient`, unless the other side named a time beyond our delays: the next scheduled run takes that."""
    error = state.data
    if not isinstance(error, TransientError):
        return False
    return error.retry_at is None or error.retry_at <= datetime.now(UTC) + timedelta(seconds=RETRY_DELAYS_SECONDS[0])


def patient(
    *,
    timeout_seconds: float = STEP_TIMEOUT_SECONDS,
    retry_condition_fn: Callable[[object, object, Any], bool] = retry_transient,
) -> dict[str, Any]:
    """Options of every task: tried again when that may help, never from a cache, ended when it hangs."""
    return {
        "retries": RETRIES,
        "retry_delay_seconds": RETRY_DELAYS_SECONDS,
        "retry_jitter_factor": 0.3,
        "retry_condition_fn": retry_condition_fn,
        "timeout_seconds": timeout_seconds,
        "cache_policy": NO_CACHE,
    }
