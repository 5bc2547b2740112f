"""The only errors we raise on purpose. Callers choose between "again later" and "tell a human", so there are two.

Message form: what was done, on what (`!r`), expected against got, next step; one sentence, never a secret.
"""

from __future__ import annotations

from datetime import datetime


class SoulcasterError(Exception):
    """Parent of both, for the edges (CLI, app, tasks) that print the message and stop."""


class TransientError(SoulcasterError):
    """The same call may work later: time-out, 429, 5xx, locked store.

    `retry_at` is the earliest time (aware UTC) at which it can, when the other side said so.
    """

    def __init__(self, message: str, *, retry_at: datetime | None = None) -> None:
        super().__init__(message)
        self.retry_at = retry_at


class PermanentError(SoulcasterError):
    """A human must act first: 401, 404, malformed input, bad setting."""
