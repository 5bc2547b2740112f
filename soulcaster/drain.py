"""Received bodies become items: read the inbox, parse, store in one go, then mark the files done, in that order.

A crash anywhere loses nothing (files stay until their items are committed) and doubles nothing (the store knows them).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

from soulcaster import logs
from soulcaster.errors import PermanentError
from soulcaster.ingest import store_outcomes
from soulcaster.models import SOURCES, ImportReport, Outcome, Quarantined
from soulcaster.settings import Settings
from soulcaster.sources import generic, inbox
from soulcaster.sources.fields import quarantine
from soulcaster.sources.inbox import Delivery
from soulcaster.sources.mapping import load_mapping
from soulcaster.sources.payloads import parse_document
from soulcaster.traces import traced

logger = logging.getLogger(__name__)

_FILES_PER_COMMIT = 500
_EXCERPT_CHARS = 2000


@traced("drain")
def drain_inbox(
    settings: Settings, project_id: str, *, on_progress: Callable[[int, int], None] | None = None
) -> ImportReport:
    """Counts of what the project's waiting deliveries brought; those of other projects stay.

    Bodies that cannot be read as JSON end in quarantine.

    Raises:
        TransientError: the store was busy for too long; the files wait for the next drain.
    """
    pending = inbox.list_pending(settings.inbox_path, project=project_id)
    report = ImportReport()
    for start in range(0, len(pending), _FILES_PER_COMMIT):
        paths = pending[start : start + _FILES_PER_COMMIT]
        outcomes = [located for path in paths for located in _outcomes(settings, path)]
        report += store_outcomes(settings, project_id, outcomes)
        inbox.mark_done(paths)
        if on_progress:
            on_progress(start + len(paths), len(pending))
    forgotten = inbox.forget_done(settings.inbox_path)
    with logs.bound(project=project_id):
        logger.info("drained %d deliveries, forgot %d old ones", len(pending), forgotten)
    return report


def _outcomes(settings: Settings, path: Path) -> Iterator[tuple[str, Outcome]]:
    try:
        delivery = inbox.read_delivery(path)
    except PermanentError as error:
        yield path.name, Quarantined(reason="unreadable-delivery", detail=str(error), location=path.name)
        return
    location = f"{delivery.source} delivery {delivery.delivery_id or path.stem!r}"
    try:
        payload = json.loads(delivery.body)
    except (ValueError, RecursionError) as error:
        excerpt = delivery.body[:_EXCERPT_CHARS].decode("utf-8", "replace")
        detail = f"Reading {location} failed: expected JSON, {error}."
        yield (
            location,
            Quarantined(reason="not-json", detail=detail, location=location, source=delivery.source, payload=excerpt),
        )
        return
    for outcome in _parse(settings, delivery, payload):
        is_nameless = isinstance(outcome, Quarantined) and outcome.source is None
        yield location, outcome.model_copy(update={"source": delivery.source}) if is_nameless else outcome


def _parse(settings: Settings, delivery: Delivery, payload: object) -> Iterator[Outcome]:
    known = next((source for source in SOURCES if source == delivery.source), None)
    if known:
        yield from parse_document(payload, known, delivery.headers)
    else:
        try:
            mapping = load_mapping(settings.mappings_path, delivery.source)
        except PermanentError as error:
            yield quarantine("no-mapping", str(error), payload)
            return
        yield from generic.parse_payload(payload, mapping)
