"""What works on this machine and what to do about what does not. Looks, never mends."""

from __future__ import annotations

import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from pydantic import BaseModel

from soulcaster import db
from soulcaster.errors import SoulcasterError
from soulcaster.settings import Settings, check_doors, load_settings

_LOW_DISK_BYTES = 2 * 1024**3
_NEEDED_PACKAGES = {
    "prefect": "3.8.8",
    "duckdb": "1.5.5",
    "fastapi": "0.150",
    "sqlalchemy": "2.0",
}
"""Versions whose neighbours are known to break the server; why: comments in pyproject.toml."""


class Finding(BaseModel):
    """One thing that was looked at."""

    subject: str
    state: Literal["ok", "warn", "fail"]
    message: str


def examine(project: str | None = None, *, only: str | None = None) -> list[Finding]:
    """All findings, in the order a person would mend them; a check that breaks is itself a finding.

    `only` names the one check that is wanted, e.g. 'embedder'.
    """
    try:
        settings = load_settings()
    except SoulcasterError as error:
        return [Finding(subject="settings", state="fail", message=str(error))]
    if project:
        settings = settings.model_copy(update={"project": project})
    findings: list[Finding] = []
    for check in _CHECKS:
        if only and check.__name__.strip("_") != only:
            continue
        try:
            findings.extend(check(settings))
        except SoulcasterError as error:
            findings.append(Finding(subject=check.__name__.strip("_"), state="fail", message=str(error)))
    return findings


def _python(_settings: Settings) -> Iterator[Finding]:
    found = ".".join(str(part) for part in sys.version_info[:3])
    state: Literal["ok", "fail"] = "ok" if (3, 11) <= sys.version_info[:2] < (3, 14) else "fail"
    yield Finding(subject="python", state=state, message=f"{found}; expected 3.11 to 3.13.")


def _packages(_settings: Settings) -> Iterator[Finding]:
    for name, wanted in _NEEDED_PACKAGES.items():
        try:
            found = version(name)
        except PackageNotFoundError:
            message = f"{name} is not installed; run `make run`, or install requirements.lock."
            yield Finding(subject="packages", state="fail", message=message)
            continue
        if found != wanted and not found.startswith(wanted + "."):
            message = f"{name} is {found}, expected {wanted}; install requirements.lock again."
            yield Finding(subject="packages", state="fail", message=message)
    yield Finding(subject="packages", state="ok", message="the versions that must be pinned are checked.")


def _home(settings: Settings) -> Iterator[Finding]:
    home = settings.home.resolve()
    try:
        home.mkdir(parents=True, exist_ok=True)
        probe = home / ".doctor"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        message = f"{str(home)!r} cannot be written ({error.strerror}); change its rights or SOULCASTER_HOME."
        yield Finding(subject="home", state="fail", message=message)
        return
    free = shutil.disk_usage(home).free
    state: Literal["ok", "warn"] = "ok" if free > _LOW_DISK_BYTES else "warn"
    yield Finding(subject="home", state=state, message=f"{str(home)!r}, {free / 1024**3:,.1f} GiB free.")


def _store(settings: Settings) -> Iterator[Finding]:
    if not settings.duckdb_path.exists():
        message = "not made yet; `soulcaster migrate` or the first import makes it."
        yield Finding(subject="store", state="warn", message=message)
        return
    started = time.monotonic()
    n_items, n_clusters = db.read(
        settings.duckdb_path,
        lambda con: db.count_contents(con, settings.project),
        timeout_seconds=min(settings.lock_timeout_seconds, 5.0),
    )
    waited = (time.monotonic() - started) * 1000
    message = f"{n_items:,} items, {n_clusters:,} clusters in project {settings.project!r}; read in {waited:,.0f} ms."
    yield Finding(subject="store", state="ok", message=message)


def _embedder(settings: Settings) -> Iterator[Finding]:
    from soulcaster.embedders import make_embedder

    started = time.monotonic()
    embedder = make_embedder(settings)
    vector = embedder.embed(["The app crashes when I export my trip."])[0]
    seconds = time.monotonic() - started
    message = f"{embedder.model_id}, {vector.shape[0]} dimensions, first vector after {seconds:.1f} s."
    yield Finding(subject="embedder", state="ok", message=message)


def _index(settings: Settings) -> Iterator[Finding]:
    from soulcaster.embed import count_missing

    if not settings.duckdb_path.exists():
        return
    n_missing, n_texts = count_missing(settings, settings.project)
    if n_missing:
        message = f"{n_missing:,} of {n_texts:,} texts have no vector; run `soulcaster embed`."
        yield Finding(subject="index", state="warn", message=message)
    else:
        yield Finding(subject="index", state="ok", message=f"all {n_texts:,} texts have a vector.")


def _inbox(settings: Settings) -> Iterator[Finding]:
    from soulcaster.sources.inbox import list_pending

    waiting = len(list_pending(settings.inbox_path)) if settings.inbox_path.exists() else 0
    state: Literal["ok", "warn"] = "warn" if waiting else "ok"
    hint = "; run `soulcaster ingest`." if waiting else "."
    yield Finding(subject="inbox", state=state, message=f"{waiting:,} bodies wait to be drained{hint}")


def _sources(settings: Settings) -> Iterator[Finding]:
    from soulcaster.pull import examine as examine_sources

    for subject, state, message in examine_sources(settings):
        yield Finding(subject=subject, state=state, message=message)


def _quota(settings: Settings) -> Iterator[Finding]:
    from soulcaster.quotas import examine as examine_quotas

    for state, message in examine_quotas(settings):
        yield Finding(subject="quota", state=state, message=message)


def _secrets(settings: Settings) -> Iterator[Finding]:
    for field, use in (
        ("gemini_api_key", "Gemini embeddings and summaries"),
        ("sentry_client_secret", "Sentry webhooks"),
        ("github_webhook_secret", "GitHub webhooks"),
        ("receiver_token", "posts to /ingest/manual and /ingest/reddit"),
    ):
        name = "SOULCASTER_" + field.upper()
        if getattr(settings, field) is None:
            yield Finding(subject="secrets", state="ok", message=f"{name} is not set: {use} are off.")
        else:
            yield Finding(subject="secrets", state="ok", message=f"{name} is set: {use} are on.")


def _fixes(settings: Settings) -> Iterator[Finding]:
    from soulcaster.fix import examine as examine_fixes

    if not settings.duckdb_path.exists():
        return
    for subject, state, message in examine_fixes(settings):
        yield Finding(subject=subject, state=state, message=message)


def _doors(settings: Settings) -> Iterator[Finding]:
    from soulcaster.access import list_people

    check_doors(settings)
    n_people = len(list_people(settings, settings.project)) if settings.duckdb_path.exists() else 0
    if not settings.has_sign_in:
        unused = f"; the roles of {n_people} people count only with it" if n_people else ""
        message = f"there is none: only this machine reaches the app, and whoever does is its admin{unused}."
        yield Finding(subject="sign-in", state="warn" if n_people else "ok", message=message)
    elif not n_people:
        message = "nobody has a role yet; `soulcaster person add you@example.org --role admin` gives the first."
        yield Finding(subject="sign-in", state="warn", message=message)
    else:
        yield Finding(subject="sign-in", state="ok", message=f"{n_people} people have a role in {settings.project!r}.")


def _ports(settings: Settings) -> Iterator[Finding]:
    for field in ("prefect_port", "app_port", "receiver_port"):
        port = getattr(settings, field)
        with socket.socket() as probe:
            probe.settimeout(0.5)
            taken = probe.connect_ex((settings.host, port)) == 0
        use = "something listens (Soulcaster, if it runs)" if taken else "free"
        yield Finding(subject="ports", state="ok", message=f"{port} (SOULCASTER_{field.upper()}): {use}.")


_CHECKS: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
    _python, _packages, _home, _store, _embedder, _index, _inbox, _sources, _quota, _secrets, _fixes, _doors, _ports,
)  # fmt: skip
