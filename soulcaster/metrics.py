"""How the product is doing, in the text format that Prometheus reads. Names and their alerts: docs/operations.md."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from soulcaster import __version__
from soulcaster.backup import newest_backup
from soulcaster.db import read
from soulcaster.db.metrics import read_figures
from soulcaster.errors import SoulcasterError
from soulcaster.settings import Settings
from soulcaster.sources import inbox

_WAIT_SECONDS = 4.0
"""Longest wait for the store: a scrape that comes late is worse than one that says the store is busy."""


def render(settings: Settings) -> bytes:
    """All gauges, named `soulcaster_<figure>`. A store that is busy or away costs its figures and is told as one."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Gauges(settings))
    return generate_latest(registry)


class _Gauges(Collector):
    """Reads the figures when asked, as the client library wants it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def collect(self) -> Iterator[GaugeMetricFamily | InfoMetricFamily]:
        yield InfoMetricFamily("soulcaster", "The version that answers.", value={"version": __version__})
        yield from _machine(self._settings)
        yield from _limits(self._settings)
        yield from _store(self._settings)


def _machine(settings: Settings) -> Iterator[GaugeMetricFamily]:
    pending = inbox.list_pending(settings.inbox_path)
    oldest = min((path.stat().st_mtime for path in pending if path.exists()), default=time.time())
    yield _gauge("inbox_deliveries", "Received bodies that are not stored yet.", len(pending))
    yield _gauge("inbox_oldest_seconds", "Age of the oldest of them.", max(0.0, time.time() - oldest))
    if settings.home.exists():
        yield _gauge("disk_free_bytes", "Free space where the home lies.", shutil.disk_usage(settings.home).free)
    newest = newest_backup(settings)
    if newest is not None:
        yield _gauge("backup_age_seconds", "Age of the newest backup.", (datetime.now(UTC) - newest).total_seconds())
    if settings.duckdb_path.exists():
        yield _gauge("store_bytes", "Size of the store's file.", settings.duckdb_path.stat().st_size)


def _limits(settings: Settings) -> Iterator[GaugeMetricFamily]:
    yield _gauge("fix_budget_usd", "Most money of a project's jobs in 24 hours.", settings.fix_cost_per_day_usd)
    yield _gauge("llm_budget_usd", "Most money of a project's words in a day.", settings.llm_cost_per_day_usd)


def _store(settings: Settings) -> Iterator[GaugeMetricFamily]:
    wait = min(_WAIT_SECONDS, settings.lock_timeout_seconds)
    try:
        figures = read(settings.duckdb_path, read_figures, timeout_seconds=wait)
    except SoulcasterError:
        figures = None
    yield _gauge("store_up", "1 when the store could be read for this answer.", figures is not None)
    for figure, rows in figures or ():
        family = GaugeMetricFamily(f"soulcaster_{figure.name}", figure.help, labels=figure.labels)
        for labels, value in rows:
            family.add_metric(labels, value)
        yield family


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"soulcaster_{name}", text, value=float(value))
