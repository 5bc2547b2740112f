"""The only errors we raise on purpose. Callers choose between "again later" and "tell a human", so there are two.

Message form: what was done, on what (`!r`), expected against got, next step; one sentence, never a secret.
"""


class SoulcasterError(Exception):
    """Parent of both, for the edges (CLI, app, tasks) that print the message and stop."""


class TransientError(SoulcasterError):
    """The same call may work later: time-out, 429, 5xx, locked store."""


class PermanentError(SoulcasterError):
    """A human must act first: 401, 404, malformed input, bad setting."""
