"""Hands the gateway's counts, and what it saw go by, to who launched it where no folder is shared: by two addresses.

The agent beside the gateway has no part in it, so these counts are trusted where its report is a claim.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

from agent.job import say
from agent.transfer import TransferError, fetch, put

_EVERY_SECONDS = 5.0
_MOST_TICKET_BYTES = 20_000


def tell(
    read: Callable[[], dict[str, Any]], read_exchanges: Callable[[], bytes], ticket: str, ended: threading.Event
) -> None:
    """Store the counts whenever they have changed, until `ended`, and then once more with what went by.

    Args:
        read: the counts now.
        read_exchanges: what was asked and answered so far.
        ticket: address of `{"usage": "<address to store the counts at>", "exchanges": "<the same for the rest>"}`.
        ended: nothing more will be counted.
    """
    try:
        urls = json.loads(fetch("the gateway's ticket", ticket, _MOST_TICKET_BYTES))
        url, exchanges_url = str(urls["usage"]), str(urls["exchanges"])
    except (TransferError, ValueError, KeyError, TypeError) as error:
        say(f"gateway: its counts cannot be handed over: {error}")
        return
    told: dict[str, Any] = {}
    is_last, seconds = False, 0.0
    while not is_last:
        is_last, seconds = ended.wait(seconds), _EVERY_SECONDS
        counts = read()
        if counts == told:
            continue
        try:
            put("the gateway's counts", url, json.dumps(counts).encode())
            told = counts
        except TransferError as error:
            say(f"gateway: {error}")
    try:
        put("what went by", exchanges_url, read_exchanges())
    except TransferError as error:
        say(f"gateway: {error}")
