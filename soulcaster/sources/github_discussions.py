"""Discussions of one GitHub repository by its GraphQL API, which is the only one that lists them.

Newest change first: GraphQL can sort by change but not ask for what changed since. Pages hold discussions in the words
of GitHub's webhooks, which `sources.github` reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from github import Github

from soulcaster.configured import Cursor
from soulcaster.errors import TransientError
from soulcaster.sources import wire
from soulcaster.sources.fields import Record, find_iso_time, find_record, find_text, is_record
from soulcaster.sources.github_api import MARGIN, changed_at, find_way, query_graphql
from soulcaster.sources.wire import Page

_QUERY = """
query($owner: String!, $name: String!, $after: String) {
  repository(owner: $owner, name: $name) {
    discussions(first: 50, after: $after, orderBy: {field: UPDATED_AT, direction: DESC}) {
      pageInfo { hasNextPage endCursor }
      nodes {
        number title body url createdAt updatedAt closed stateReason authorAssociation
        author { login }
        category { name }
        answer { url }
        labels(first: 20) { nodes { name } }
      }
    }
  }
}
"""


def fetch_discussions(
    client: Github, repository: str, cursor: Cursor, *, until: datetime | None = None
) -> Iterator[Page]:
    """Pages of discussions changed since the cursor, newest change first. The cursor moves with the last page only.

    Args:
        client: from `github_api.make_client`, signed in: GraphQL answers no strangers.
        repository: 'owner/repo'.
        cursor: `discussions`, the newest change seen by the last pull.
        until: none that changed at this time or later.

    Raises:
        PermanentError: GitHub refused; the message says what to do.
        TransientError: GitHub is away or the rate limit is used up; what was yielded counts.
    """
    what = f"GitHub discussions of {repository!r}"
    watermark = newest = find_iso_time(cursor, "discussions")
    owner, _, name = repository.partition("/")
    after: str | None = None
    while True:
        headers, found, info = _ask(client, {"owner": owner, "name": name, "after": after}, what)
        times = [time for each in found if (time := changed_at(each))]
        newest = max([*times, *([newest] if newest else [])], default=None)
        is_reached = watermark is not None and bool(times) and min(times) < watermark - MARGIN
        after = find_text(info, "endCursor") if info.get("hasNextPage") is True else None
        is_last = after is None or is_reached
        if is_last and newest:
            cursor = cursor | {"discussions": newest.isoformat()}
        wanted = [each for each in found if not (until and (time := changed_at(each)) and time >= until)]
        yield Page(wanted, cursor, find_way(client))
        if is_last:
            return
        wire.check_budget(headers, what)


def _ask(client: Github, variables: dict[str, str | None], what: str) -> tuple[dict[str, str], list[Record], Record]:
    """Headers, the page's discussions in webhook words, and where the next page begins."""
    headers, data = query_graphql(client, _QUERY, variables, what)
    record: object = data
    for key in ("repository", "discussions"):
        record = record.get(key) if is_record(record) else None
    nodes = record.get("nodes") if is_record(record) else None
    info = record.get("pageInfo") if is_record(record) else None
    if not is_record(info):
        raise TransientError(f"Reading {what} failed: expected a list of discussions, got something else.")
    found = [_in_webhook_words(node) for node in wire.records(nodes, what)]
    return headers, found, info


def _in_webhook_words(node: Record) -> Record:
    answer = node.get("answer")
    labels = find_record(node, "labels") or {}
    return {
        "number": node.get("number"), "title": node.get("title"), "body": node.get("body"),
        "html_url": node.get("url"), "created_at": node.get("createdAt"), "updated_at": node.get("updatedAt"),
        "user": node.get("author"), "author_association": node.get("authorAssociation"),
        "state": "closed" if node.get("closed") is True else "open",
        "state_reason": str(node["stateReason"]).lower() if node.get("stateReason") else None,
        "category": node.get("category"), "labels": labels.get("nodes") or [],
        "answer_html_url": answer.get("url") if is_record(answer) else None,
    }  # fmt: skip
