"""One pull of one configured source: page by page into the store, the cursor moved after each page is committed.

Owns the order of things and the state that people see (ok, failing, blocked; since when; what to do). What a page is
and what a refusal means is the business of each source's module.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Literal, TypeVar

import duckdb

from soulcaster import db
from soulcaster.actors import require
from soulcaster.configured import ConfiguredSource, Kind, PullReport, PullState, SourceOptions
from soulcaster.db import feedback
from soulcaster.db import sources as store
from soulcaster.errors import PermanentError, TransientError
from soulcaster.ingest import Progress, store_outcomes
from soulcaster.items import item_id
from soulcaster.models import FeedbackItem, Outcome
from soulcaster.settings import Settings, read_secret
from soulcaster.sources import github, github_api, reddit, reddit_api, sentry, sentry_api
from soulcaster.sources.wire import Page

logger = logging.getLogger(__name__)
T = TypeVar("T")
Verdict = Literal["ok", "warn", "fail"]

BLOCKED_PAUSE = timedelta(minutes=30)
"""Scheduled pulls ask a source that refused us this seldom; a person's `soulcaster ingest SOURCE` asks at once."""

_CHECKED_ISSUES = 10
"""Known GitHub issues asked for by number each pull, in turn, to find the deleted and the transferred."""

_MOST_KNOWN_ISSUES = 100_000


def list_sources(settings: Settings, project_id: str) -> list[ConfiguredSource]:
    """The project's configured sources with the state of their last pull."""
    return _read(settings, lambda con: store.list_sources(con, project_id))


def add_source(
    settings: Settings, project_id: str, kind: Kind, name: str, options: SourceOptions, *, actor: str
) -> None:
    """A new source that begins at the beginning.

    Raises:
        PermanentError: the project has it already.
    """
    require(actor, project_id, "configure", f"Adding source {kind}:{name}")
    now = datetime.now(UTC)
    _write(settings, lambda con: store.add_source(con, project_id, kind, name, options, actor=actor, now=now))


def change_source(
    settings: Settings,
    project_id: str,
    kind: Kind,
    name: str,
    options: SourceOptions,
    *,
    was: SourceOptions,
    actor: str,
) -> None:
    """Give a source other options; it is read from the beginning again when they let other items in.

    Raises:
        PermanentError: no such source, or somebody changed the options `was` meanwhile.
    """
    require(actor, project_id, "configure", f"Changing source {kind}:{name}")
    change = partial(
        store.change_source, project_id=project_id, kind=kind, name=name, options=options, was=was, actor=actor,
        now=datetime.now(UTC),
    )  # fmt: skip
    _write(settings, change)


def remove_source(settings: Settings, project_id: str, kind: Kind, name: str, *, actor: str) -> None:
    """Forget a source and how far it was read; its items stay.

    Raises:
        PermanentError: the project has no such source.
    """
    require(actor, project_id, "configure", f"Removing source {kind}:{name}")
    now = datetime.now(UTC)
    _write(settings, lambda con: store.remove_source(con, project_id, kind, name, actor=actor, now=now))


def pause_source(settings: Settings, project_id: str, kind: Kind, name: str, *, is_paused: bool, actor: str) -> None:
    """Leave a source alone from now on, or no longer.

    Raises:
        PermanentError: the project has no such source.
    """
    require(actor, project_id, "configure", f"Pausing or resuming source {kind}:{name}")
    save = partial(
        store.pause_source, project_id=project_id, kind=kind, name=name, is_paused=is_paused, actor=actor,
        now=datetime.now(UTC),
    )  # fmt: skip
    _write(settings, save)


def pull(
    settings: Settings,
    project_id: str,
    kind: Kind,
    name: str,
    *,
    is_forced: bool = False,
    on_progress: Progress | None = None,
) -> PullReport:
    """What one pull brought. Started again after a kill it goes on behind the last committed page.

    Args:
        settings: of the installation.
        project_id: whose source.
        kind: of the source.
        name: of the source.
        is_forced: also when the source is paused or asked to be left alone for a while.
        on_progress: called with (items seen, 0).

    Raises:
        PermanentError: the source refused or is configured wrongly; its state is 'blocked' from now on.
        TransientError: the source or the store is away; the source's state is 'failing', what was stored stays.
    """
    source = _read(settings, lambda con: store.get_source(con, project_id, kind, name))
    reason = _reason_to_skip(source, datetime.now(UTC))
    if reason and not is_forced:
        return PullReport(source_id=source.source_id, way=source.way, skipped=reason, message=source.message)
    report = PullReport(source_id=source.source_id)
    try:
        for page, outcomes in _pages(settings, project_id, source):
            located = [(source.source_id, outcome) for outcome in outcomes]
            report.counts += store_outcomes(settings, project_id, located, source=source.kind)
            _write(
                settings,
                partial(store.save_cursor, project_id=project_id, source=source, cursor=page.cursor, way=page.way),
            )
            report.way, report.n_pages = page.way, report.n_pages + 1
            report.message = "; ".join(dict.fromkeys(note for note in (report.message, page.note) if note))
            if on_progress:
                on_progress(report.counts.seen, 0)
    except PermanentError as error:
        _end(settings, project_id, source, "blocked", str(error), retry_at=datetime.now(UTC) + BLOCKED_PAUSE)
        raise
    except TransientError as error:
        _end(settings, project_id, source, "failing", str(error), retry_at=error.retry_at)
        raise
    _end(settings, project_id, source, "ok", report.message)
    logger.info("pulled %d items from %s in %d pages", report.counts.seen, source.source_id, report.n_pages)
    return report


def probe(settings: Settings, project_id: str, kind: Kind, name: str) -> PullReport:
    """What the first page of the source holds; nothing is stored, no state changes.

    Raises: as `pull`.
    """
    source = _read(settings, lambda con: store.get_source(con, project_id, kind, name))
    for page, outcomes in _pages(settings, project_id, source):
        n_items = sum(isinstance(outcome, FeedbackItem) for outcome in outcomes)
        message = f"{n_items} items on the first page" + (f"; {page.note}" if page.note else "")
        return PullReport(source_id=source.source_id, way=page.way, n_pages=1, message=message)
    return PullReport(source_id=source.source_id, message="nothing new since the last pull")


def examine(settings: Settings) -> list[tuple[str, Verdict, str]]:
    """(source, 'ok' | 'warn' | 'fail', sentence) for each configured source of the settings' project, from its state.

    Asks nobody: what the last pull met is what is told. A store that is missing or older than sources has none.
    """
    if not settings.duckdb_path.exists() or not _read(settings, store.has_sources):
        return []
    return [(source.source_id, *_judged(source)) for source in list_sources(settings, settings.project)]


def _judged(source: ConfiguredSource) -> tuple[Verdict, str]:
    since = f"since {source.state_since:%Y-%m-%d %H:%M} UTC" if source.state_since else ""
    if source.is_paused:
        return "warn", f"paused; `soulcaster source resume {source.source_id}` goes on."
    if source.state == "new":
        return "warn", f"never pulled; `soulcaster ingest {source.source_id}` pulls it now."
    if source.state == "ok":
        last = f"last pulled {source.pulled_at:%Y-%m-%d %H:%M} UTC by way of {source.way or 'unchanged pages'}"
        return "warn" if source.message else "ok", f"works {since}, {last}. {source.message}".strip()
    return "fail" if source.state == "blocked" else "warn", f"{source.state} {since}: {source.message}"


def _reason_to_skip(source: ConfiguredSource, now: datetime) -> str | None:
    if source.is_paused:
        return "paused"
    if source.retry_at and source.retry_at > now:
        return f"{source.state}, left alone until {source.retry_at:%Y-%m-%d %H:%M:%S} UTC"
    return None


def _pages(settings: Settings, project_id: str, source: ConfiguredSource) -> Iterator[tuple[Page, list[Outcome]]]:
    """Pages with what their parser makes of them; clients are closed at the end."""
    with ExitStack() as stack:
        if source.kind == "github":
            yield from _github_pages(settings, project_id, source, stack)
        elif source.kind == "reddit":
            yield from _reddit_pages(settings, project_id, source, stack)
        else:
            yield from _sentry_pages(settings, source, stack)


def _github_pages(
    settings: Settings, project_id: str, source: ConfiguredSource, stack: ExitStack
) -> Iterator[tuple[Page, list[Outcome]]]:
    options = source.options
    app = (_secret(options.client_id_variable), _secret(options.client_secret_variable))
    client = github_api.make_client(
        source.name,
        token=_secret(options.token_variable),
        app=(app[0], app[1]) if app[0] and app[1] else None,
        base_url=options.base_url,
        timeout_seconds=settings.source_timeout_seconds,
    )
    stack.callback(client.close)
    github_api.check_repository(client, source.name)
    cursor = source.cursor
    for page in github_api.fetch_issues(client, source.name, cursor, labels=options.labels):
        cursor = page.cursor
        yield page, _parsed(github.parse_payload, page)
    if options.include_comments:
        for page in github_api.fetch_comments(client, source.name, cursor):
            cursor = page.cursor
            yield page, _parsed(partial(github.parse_payload, include_comments=True), page)
    due = _issues_to_check(settings, project_id, source)
    if due and client.requester.auth:  # strangers have 60 requests an hour: too few to spend on this
        found = list(github_api.find_gone(client, source.name, due))
        outcomes = [outcome for gone in found for outcome in _gone(settings, project_id, gone)]
        yield Page([], cursor | {"checked": due[-1]}, github_api.find_way(client)), outcomes


def _issues_to_check(settings: Settings, project_id: str, source: ConfiguredSource) -> list[str]:
    """The next known issues in turn, by id."""
    known = _read(
        settings,
        lambda con: store.list_known_ids(con, project_id, "github", source.name, prefix="", limit=_MOST_KNOWN_ISSUES),
    )
    issues = sorted(external_id for external_id in known if external_id.rpartition("#")[2].isdigit())
    last = source.cursor.get("checked", "")
    following = [external_id for external_id in issues if external_id > last]
    return (following or issues)[:_CHECKED_ISSUES]


def _gone(settings: Settings, project_id: str, gone: github_api.Gone) -> Iterator[Outcome]:
    """The item as it was last seen, in its new state; nothing when its payload is no longer kept."""
    known_as = item_id(project_id, "github", gone.external_id)
    payload = _read(settings, lambda con: feedback.get_payload(con, known_as))
    for outcome in github.parse_payload(json.loads(payload)) if payload else ():
        if isinstance(outcome, FeedbackItem) and outcome.external_id == gone.external_id:
            told = {"state": gone.state, "state_reason": gone.state_reason}
            yield outcome.model_copy(update=told | ({"duplicate_of": gone.moved_to} if gone.moved_to else {}))


def _reddit_pages(
    settings: Settings, project_id: str, source: ConfiguredSource, stack: ExitStack
) -> Iterator[tuple[Page, list[Outcome]]]:
    options = source.options
    access, note = _reddit_access(settings, source, stack)
    cursor = source.cursor
    kinds = ["posts", "comments"] if options.include_comments and access.way != "rss" else ["posts"]
    for kind in kinds:
        parse = partial(reddit.parse_payload, include_comments=kind == "comments")
        for page in reddit_api.fetch_new(access, source.name, cursor, kind=kind, search=options.search):
            cursor = page.cursor
            told = page._replace(note="; ".join(part for part in (note, page.note) if part))
            yield told, _parsed(parse, page)
        prefix = "t1_" if kind == "comments" else "t3_"
        known = _read(
            settings,
            partial(
                store.list_known_ids, project_id=project_id, source="reddit", channel=source.name, prefix=prefix,
                limit=reddit_api.RECHECKED,
            ),
        )  # fmt: skip
        for page in reddit_api.fetch_known(access, known, cursor):
            yield (
                page._replace(note=note),
                _parsed(parse, page),
            )


def _reddit_access(settings: Settings, source: ConfiguredSource, stack: ExitStack) -> tuple[reddit_api.Access, str]:
    """The way the source asks for; 'auto' is oauth with credentials, else whatever Reddit leaves open to strangers."""
    options = source.options
    timeout, base_url = settings.source_timeout_seconds, options.base_url
    web = stack.enter_context(reddit_api.make_client(timeout_seconds=timeout, base_url=base_url))
    client_id, client_secret = _secret(options.client_id_variable), _secret(options.client_secret_variable)
    if options.way == "oauth" or (options.way == "auto" and client_id):
        if not client_id or not client_secret:
            raise PermanentError(
                f"Pulling {source.source_id!r} by oauth failed: expected client_id_variable and "
                "client_secret_variable, got none; remove the source and add it with both."
            )
        api = reddit_api.make_client(timeout_seconds=timeout, base_url=base_url, is_oauth=True)
        return reddit_api.sign_in(web, stack.enter_context(api), client_id, client_secret), ""
    if options.way == "auto":
        return reddit_api.choose_anonymous(web, source.name)
    return reddit_api.Access(web, options.way), ""


def _sentry_pages(
    settings: Settings, source: ConfiguredSource, stack: ExitStack
) -> Iterator[tuple[Page, list[Outcome]]]:
    options = source.options
    client = stack.enter_context(
        sentry_api.make_client(
            token=_secret(options.token_variable),
            base_url=options.base_url,
            timeout_seconds=settings.source_timeout_seconds,
        )
    )
    query = sentry_api.make_query(options.search, list(options.levels))
    for page in sentry_api.fetch_issues(
        client, source.name, source.cursor, query=query, environments=options.environments
    ):
        yield page, _parsed(sentry.parse_payload, page)


def _parsed(parse: Callable[[object], Iterator[Outcome]], page: Page) -> list[Outcome]:
    """What the parser makes of a page; nothing of an empty one."""
    return list(parse(page.payload)) if page.payload else []


def _secret(variable: str | None) -> str | None:
    return read_secret(variable).get_secret_value() if variable else None


def _end(
    settings: Settings,
    project_id: str,
    source: ConfiguredSource,
    state: PullState,
    message: str,
    *,
    retry_at: datetime | None = None,
) -> None:
    save = partial(
        store.save_state, project_id=project_id, source=source, state=state, message=message, retry_at=retry_at,
        now=datetime.now(UTC),
    )  # fmt: skip
    _write(settings, save)


def _read(settings: Settings, fn: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
    return db.read(settings.duckdb_path, fn, timeout_seconds=settings.lock_timeout_seconds)


def _write(settings: Settings, fn: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
    return db.write(settings.duckdb_path, fn, timeout_seconds=settings.lock_timeout_seconds)
