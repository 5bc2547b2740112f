"""How a lasting id of a cluster or theme is made: from its first members, so that equal stores have equal ids."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable

_NAMESPACE = uuid.UUID("3c1f4f0e-8a3b-5a55-9d0a-c1a57e25ca11")


def make_id(project_id: str, kind: str, members: Iterable[str], taken: Collection[str]) -> str:
    """The id of what has these members at its birth, never one that is `taken`."""
    name = f"{project_id}|{kind}|{','.join(sorted(members))}"
    while (made := str(uuid.uuid5(_NAMESPACE, name))) in taken:
        name += "|again"
    return made
