"""What one configured source is asked, in which order, and the items that its parser makes of each answer.

Knows the options of every kind of source. Stores nothing; who calls stores a page before asking for the next.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from typing import TypeVar

import duckdb
from github import Github

from soulcaster import db
from soulcaster.configured import ConfiguredSource, Cursor
from soulcaster.db import feedback
from soulcaster.db import sources as store
from soulcaster.errors import PermanentError
from soulcaster.items import item_id
from soulcaster.models import FeedbackItem, Outcome
from soulcaster.settings import Settings, read_secret
from soulcaster.sources import (
    generic,
    generic_api,
    github,
    github_api,
    github_discussions,
    github_duplicates,
    reddit,
    reddit_api,
    sentry,
    sentry_api,
)
from soulcaster.sources.mapping import ServiceMapping, load_mapping
from soulcaster.sources.wire import Page

T = TypeVar("T")
Pages = Iterator[tuple[Page, list[Outcome]]]

_CHECKED_ISSUES = 10
"""Known GitHub issues asked for by number each pull, in turn, to find the deleted and the transferred."""

_MOST_KNOWN_ISSUES = 100_000


def read_pages(settings: Settings, project_id: str, source: ConfiguredSource) -> Pages:
    """Pages from the source's cursor on, with what its parser makes of them; clients are closed at the end.

    Raises:
        PermanentError: the source refused or is configured wrongly.
        TransientError: the source or the store is away; what was yielded counts.
    """
    with ExitStack() as stack:
        if source.kind == "github":
            yield from _github_pages(settings, project_id, source, stack)
        elif source.kind == "reddit":
            yield from _reddit_pages(settings, project_id, source, stack)
        elif source.kind == "generic":
            yield from _generic_pages(settings, source, stack)
        else:
            yield from _sentry_pages(settings, source, source.cursor, None, stack)


def read_window(settings: Settings, source: ConfiguredSource, start: datetime, end: datetime) -> Pages:
    """Pages of what lies between two times (aware UTC), whatever the source's cursor says, which stays where it is.

    GitHub: last changed in it. Sentry: latest event in it. Reddit: written in it, as far back as its listings go.
    Generic: last changed, else written in it, where the mapping asks by time.

    Raises: as `read_pages`.
    """
    with ExitStack() as stack:
        if source.kind == "github":
            client = _github_client(settings, source, stack)
            begin = dict.fromkeys(("issues", "issues/comments", "discussions"), start.isoformat())
            yield from _github_lists(client, source, begin, end)
        elif source.kind == "reddit":
            yield from _reddit_window(settings, source, start, end, stack)
        elif source.kind == "generic":
            yield from _generic_window(settings, source, start, end, stack)
        else:
            yield from _sentry_pages(settings, source, {}, (start, end), stack)


def _github_client(settings: Settings, source: ConfiguredSource, stack: ExitStack) -> Github:
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
    return client


def _github_lists(client: Github, source: ConfiguredSource, cursor: Cursor, until: datetime | None) -> Pages:
    name, options = source.name, source.options
    for page in github_api.fetch_issues(client, name, cursor, labels=options.labels, until=until):
        cursor = page.cursor
        outcomes, note = _with_marks(client, source, _parsed(github.parse_payload, page))
        yield page._replace(note=note), outcomes
    if options.include_comments:
        for page in github_api.fetch_comments(client, name, cursor, until=until):
            cursor = page.cursor
            yield page, _parsed(partial(github.parse_payload, include_comments=True), page)
    if options.include_discussions and not client.requester.auth:
        yield Page([], cursor, github_api.find_way(client), "discussions are listed to those with a token only"), []
    elif options.include_discussions:
        for page in github_discussions.fetch_discussions(client, name, cursor, until=until):
            yield page, _parsed(github.parse_payload, page)


def _with_marks(client: Github, source: ConfiguredSource, outcomes: Sequence[Outcome]) -> tuple[list[Outcome], str]:
    """The issues with what each is marked a duplicate of, and why that could not be read, '' when it was."""
    items = [each for each in outcomes if isinstance(each, FeedbackItem)]
    numbers = [int(item.external_id.rpartition("#")[2]) for item in items]
    if not items:
        return list(outcomes), ""
    if not client.requester.auth:
        is_any = any(item.state_reason == "duplicate" for item in items)
        return list(outcomes), "what a duplicate repeats is told to those with a token only" if is_any else ""
    try:
        marks = github_duplicates.find_duplicates(client, source.name, numbers)
    except PermanentError as error:  # issues are worth having without it
        return list(outcomes), str(error)
    found = {item.external_id: marks[number] for item, number in zip(items, numbers, strict=True) if number in marks}
    return [
        each.model_copy(update={"duplicate_of": found[each.external_id]})
        if isinstance(each, FeedbackItem) and each.external_id in found
        else each
        for each in outcomes
    ], ""


def _github_pages(settings: Settings, project_id: str, source: ConfiguredSource, stack: ExitStack) -> Pages:
    client = _github_client(settings, source, stack)
    cursor = source.cursor
    for page, outcomes in _github_lists(client, source, cursor, None):
        cursor = page.cursor
        yield page, outcomes
    due = _issues_to_check(settings, project_id, source)
    if due and client.requester.auth:  # strangers have 60 requests an hour: too few to spend on this
        gone = {each.external_id: each for each in github_api.find_gone(client, source.name, due)}
        told = [_last_seen(settings, project_id, external_id, gone.get(external_id)) for external_id in due]
        left = [each for each in told if each is not None and each.external_id in gone]
        there = [each for each in told if each is not None and each.external_id not in gone]
        marked, note = _with_marks(client, source, there)
        declared = [each for each in marked if isinstance(each, FeedbackItem) and each.duplicate_of is not None]
        yield Page([], cursor | {"checked": due[-1]}, github_api.find_way(client), note), [*left, *declared]


def _issues_to_check(settings: Settings, project_id: str, source: ConfiguredSource) -> list[str]:
    """The next known issues in turn, by id."""
    # GitHub knows no issue of a discussion's number: asked for, it would seem deleted.
    find = partial(
        store.list_known_ids, project_id=project_id, source="github", channel=source.name, prefix="",
        limit=_MOST_KNOWN_ISSUES, not_in_url="/discussions/",
    )  # fmt: skip
    known = _read(settings, find)
    issues = sorted(external_id for external_id in known if external_id.rpartition("#")[2].isdigit())
    last = source.cursor.get("checked", "")
    following = [external_id for external_id in issues if external_id > last]
    return (following or issues)[:_CHECKED_ISSUES]


def _last_seen(
    settings: Settings, project_id: str, external_id: str, gone: github_api.Gone | None
) -> FeedbackItem | None:
    """The issue as its last payload told it, in its new state when it is gone; None when no payload is kept."""
    known_as = item_id(project_id, "github", external_id)
    payload = _read(settings, lambda con: feedback.get_payload(con, known_as))
    for outcome in github.parse_payload(json.loads(payload)) if payload else ():
        if isinstance(outcome, FeedbackItem) and outcome.external_id == external_id:
            told = {"state": gone.state, "state_reason": gone.state_reason} if gone else {}
            moved = {"duplicate_of": gone.moved_to} if gone and gone.moved_to else {}
            return outcome.model_copy(update=told | moved)
    return None


def _reddit_pages(settings: Settings, project_id: str, source: ConfiguredSource, stack: ExitStack) -> Pages:
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


def _reddit_window(
    settings: Settings, source: ConfiguredSource, start: datetime, end: datetime, stack: ExitStack
) -> Pages:
    access, _ = _reddit_access(settings, source, stack)
    if access.way == "rss":
        raise PermanentError(
            f"Backfilling {source.source_id!r} failed: expected oauth or JSON, got RSS, which shows the newest posts "
            "only; give the source app credentials, or backfill from a dump."
        )
    for kind in ("posts", "comments") if source.options.include_comments else ("posts",):
        parse = partial(reddit.parse_payload, include_comments=kind == "comments")
        begin = {kind: {"watermark": start.timestamp()}}
        for page in reddit_api.fetch_new(access, source.name, begin, kind=kind, search=source.options.search):
            yield page, [each for each in _parsed(parse, page) if _is_between(each, start, end)]


def _is_between(outcome: Outcome, start: datetime, end: datetime) -> bool:
    """Whether an item is of the window: Reddit's by when it was written; what is no item cannot say and counts."""
    if not isinstance(outcome, FeedbackItem):
        return True
    at = outcome.created_at if outcome.source == "reddit" else outcome.updated_at or outcome.created_at
    return at is None or start <= at < end


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
    settings: Settings,
    source: ConfiguredSource,
    cursor: Cursor,
    seen: tuple[datetime, datetime] | None,
    stack: ExitStack,
) -> Pages:
    options = source.options
    client = stack.enter_context(
        sentry_api.make_client(
            token=_secret(options.token_variable),
            base_url=options.base_url,
            timeout_seconds=settings.source_timeout_seconds,
        )
    )
    query = sentry_api.make_query(options.search, list(options.levels), seen=seen)
    for page in sentry_api.fetch_issues(client, source.name, cursor, query=query, environments=options.environments):
        yield page, _parsed(sentry.parse_payload, page)


def _generic_pages(settings: Settings, source: ConfiguredSource, stack: ExitStack) -> Pages:
    mapping = find_source_mapping(settings, source)
    client = stack.enter_context(generic_api.make_client(settings.source_timeout_seconds))
    for page in generic_api.fetch_records(
        client, mapping, source.options.base_url, source.cursor,
        read_secret=_open_secret, allow_private=settings.poll_private_addresses,
    ):  # fmt: skip
        yield page, list(generic.parse_payload(page.payload, mapping))


def _generic_window(
    settings: Settings, source: ConfiguredSource, start: datetime, end: datetime, stack: ExitStack
) -> Pages:
    mapping = find_source_mapping(settings, source)
    client = stack.enter_context(generic_api.make_client(settings.source_timeout_seconds))
    for page in generic_api.fetch_window(
        client, mapping, source.options.base_url, start, end,
        read_secret=_open_secret, allow_private=settings.poll_private_addresses,
    ):  # fmt: skip
        outcomes = list(generic.parse_payload(page.payload, mapping))
        yield page, [each for each in outcomes if _is_between(each, start, end)]


def find_source_mapping(settings: Settings, source: ConfiguredSource) -> ServiceMapping:
    """The mapping of a generic source, under the source's name, which its items have.

    Raises:
        PermanentError: there is none, or it is not one.
    """
    mapping = load_mapping(settings.mappings_path, source.options.mapping or source.name)
    return mapping.model_copy(update={"name": source.name})


def _open_secret(reference: str) -> str:
    return read_secret(reference).get_secret_value()


def _parsed(parse: Callable[[object], Iterator[Outcome]], page: Page) -> list[Outcome]:
    """What the parser makes of a page; nothing of an empty one."""
    return list(parse(page.payload)) if page.payload else []


def _secret(variable: str | None) -> str | None:
    return _open_secret(variable) if variable else None


def _read(settings: Settings, fn: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
    return db.read(settings.duckdb_path, fn, timeout_seconds=settings.lock_timeout_seconds)
