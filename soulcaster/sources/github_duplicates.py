"""Which issue of a GitHub repository repeats which, by its GraphQL API: REST lists say at most that one is a duplicate.

A mark is made by a comment 'Duplicate of #12' of somebody with write access or by closing as a duplicate, also of an
issue elsewhere, and is taken back by a button or by reopening. The events of the issue, in their order, tell.
"""

from __future__ import annotations

from github import Github

from soulcaster.errors import TransientError
from soulcaster.sources.fields import Record, find_record, find_text, is_record
from soulcaster.sources.github import find_linked
from soulcaster.sources.github_api import query_graphql

_PLACE = "{ ... on Issue { url } ... on PullRequest { url } }"
_EVENTS = f"""
    url
    timelineItems(last: 20, itemTypes: [
      MARKED_AS_DUPLICATE_EVENT, UNMARKED_AS_DUPLICATE_EVENT, CLOSED_EVENT, REOPENED_EVENT
    ]) {{
      nodes {{
        __typename
        ... on MarkedAsDuplicateEvent {{ canonical {_PLACE} duplicate {_PLACE} }}
        ... on UnmarkedAsDuplicateEvent {{ canonical {_PLACE} duplicate {_PLACE} }}
        ... on ClosedEvent {{ duplicateOf {_PLACE} }}
      }}
    }}
"""


def find_duplicates(client: Github, repository: str, numbers: list[int]) -> dict[int, str]:
    """external_id of the issue that each of these repeats, '' when it no longer does; others were never marked.

    Args:
        client: from `github_api.make_client`, signed in: GraphQL answers no strangers.
        repository: 'owner/repo'.
        numbers: of issues that are there; at most 100, asked in one request.

    Raises:
        PermanentError: GitHub refused; the message says what to do.
        TransientError: GitHub is away or the rate limit is used up.
    """
    asked = " ".join(f"i{number}: issue(number: {number}) {{ ...events }}" for number in numbers)
    query = (
        f"query($owner: String!, $name: String!) {{ repository(owner: $owner, name: $name) {{ {asked} }} }} "
        f"fragment events on Issue {{ {_EVENTS} }}"
    )
    owner, _, name = repository.partition("/")
    what = f"the marks of duplicates in {repository!r}"
    _, found = query_graphql(client, query, {"owner": owner, "name": name}, what)
    issues = find_record(found, "repository")
    if issues is None:
        raise TransientError(f"Reading {what} failed: expected the repository, got something else.")
    marks = ((number, _current_mark(issues.get(f"i{number}"))) for number in numbers)
    return {number: mark for number, mark in marks if mark is not None}


def _current_mark(issue: object) -> str | None:
    """What the issue's events say in the end: an external_id, '' for a mark taken back, None for no mark ever."""
    if not is_record(issue):
        return None
    own = find_linked(find_text(issue, "url"))
    nodes = (find_record(issue, "timelineItems") or {}).get("nodes")
    standing: list[str] | None = None
    for event in nodes if isinstance(nodes, list) else []:
        if not is_record(event):
            continue
        kind = event.get("__typename")
        other = _linked(event, "duplicateOf" if kind == "ClosedEvent" else "canonical")
        if kind == "ReopenedEvent":
            standing = None if standing is None else []
        elif other is None or (kind != "ClosedEvent" and _linked(event, "duplicate") != own):
            continue  # closed for another reason, or the event of an issue that repeats this one
        elif kind == "UnmarkedAsDuplicateEvent":
            standing = [each for each in standing or [] if each != other]
        else:
            standing = [*(each for each in standing or [] if each != other), other]
    return None if standing is None else "".join(standing[-1:])


def _linked(event: Record, key: str) -> str | None:
    return find_linked(find_text(find_record(event, key) or {}, "url"))
