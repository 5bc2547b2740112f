"""Only what may work later is tried again."""

from __future__ import annotations

import pytest
from prefect.states import Failed

from soulcaster.errors import PermanentError, SoulcasterError, TransientError
from tasks import policies


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (TransientError("busy"), True),
        (PermanentError("no such file"), False),
        (SoulcasterError("?"), False),
        (ValueError("a bug"), False),
    ],
)
def test_only_transient_errors_are_tried_again(error: Exception, expected: bool):
    """A locked store is waited for; a bad file or a bug fails at once."""
    assert policies.retry_transient(None, None, Failed(data=error)) is expected


def test_every_retry_has_its_delay():
    """Prefect repeats the last delay silently when the list is short."""
    assert len(policies.RETRY_DELAYS_SECONDS) == policies.RETRIES
