"""GitHub payloads to items: issue and search responses, webhook bodies, public-event objects of twelve years.

Owns what counts as an issue or a discussion and how its repository is found in every shape. Pure and total: any JSON
value gives items, ignored or quarantined rows, never an exception. Opens nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from soulcaster.errors import PermanentError
from soulcaster.models import FeedbackItem, Ignored, ItemState, Outcome, Trust
from soulcaster.sources.fields import (
    Record,
    compact_json,
    describe,
    find_count,
    find_id,
    find_iso_time,
    find_record,
    find_text,
    is_record,
    key_names,
    list_values,
    or_empty,
    parsed_row,
    printable,
    quarantine,
    slug,
    url_path,
    wrong,
)

_TRUST: dict[str, Trust] = {
    "OWNER": "maintainer",
    "MEMBER": "maintainer",
    "COLLABORATOR": "maintainer",
    "CONTRIBUTOR": "member",
}
_THREAD_EVENTS = {"issues", "issue_comment", "discussion", "discussion_comment", "IssuesEvent", "IssueCommentEvent"}
_OTHER_EVENT_KEYS = ("pull_request", "label", "milestone", "release", "check_run", "workflow_run", "commits", "forkee")
_HTML_PATH = re.compile(r"/([^/]+/[^/]+)/(?:issues|pull|discussions)/(\d+)(?:/|$)")
_API_PATH = re.compile(r"/repos/([^/]+/[^/]+)(?:/(?:issues|pulls|discussions)/(\d+))?(?:/|$)")
_DUPLICATE = re.compile(
    r"^\s*(?:marked as )?(?:a )?duplicate of:?\s+"
    r"(?:(?P<repo>[\w.-]{1,100}/[\w.-]{1,100})?#(?P<number>\d{1,10})\b|(?P<url>https?://\S{1,300}))",
    re.IGNORECASE | re.MULTILINE,
)
_STATUS_OF_MESSAGE = {
    "not found": "404",
    "bad credentials": "401",
    "requires authentication": "401",
    "forbidden": "403",
    "validation failed": "422",
}
_REST_SHAPES: tuple[tuple[frozenset[str], str], ...] = (
    (frozenset({"head", "base", "title"}), "pull-request"),
    (frozenset({"event", "created_at"}), "timeline-event"),
    (frozenset({"event", "node_id"}), "timeline-event"),
    (frozenset({"sha", "commit"}), "commit"),
    (frozenset({"tag_name", "assets"}), "release"),
    (frozenset({"full_name", "owner"}), "repository"),
    (frozenset({"login", "avatar_url"}), "user"),
    (frozenset({"due_on", "creator"}), "milestone"),
    (frozenset({"name", "color"}), "label"),
    (frozenset({"content", "user", "id"}), "reaction"),
)
"""Keys that tell what a REST object is which is no issue; the first that all occur win."""


def parse_payload(payload: object, *, event: str | None = None, include_comments: bool = False) -> Iterator[Outcome]:
    """Outcomes of one response body, webhook body or public-event object, one for each thing in it, in its order.

    A comment event carries the whole issue it was written on: that issue is the item.

    Args:
        payload: any JSON value.
        event: value of the `X-GitHub-Event` header, when known; else the shape decides.
        include_comments: also make items of comments (in a comment event: after the issue's).
    """
    return or_empty(
        outcome for thing in _walk_things(payload) for outcome in _parse_thing(thing, event, include_comments)
    )


def find_place(thing: object) -> str | None:
    """'owner/repo#12' of an issue object, 'owner/repo' of a comment; None when it does not say."""
    try:
        name = _repository_of_urls(thing) if is_record(thing) else None
        number = find_count(thing, "number") if is_record(thing) else None
    except PermanentError:
        return None
    return f"{name}#{number}" if name and number is not None else name


def find_linked(url: str | None) -> str | None:
    """'owner/repo#12' that the address of an issue's, pull request's or discussion's page names, on any host."""
    place = _HTML_PATH.search(url_path(url))
    return f"{place[1]}#{place[2]}" if place else None


def _walk_things(payload: object) -> Iterator[object]:
    """Entries of lists and search results, or the payload itself."""
    waiting = [payload]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting.extend(reversed(value))
        elif is_record(value) and isinstance(value.get("items"), list) and "total_count" in value:
            waiting.append(value["items"])
        else:
            yield value


def _parse_thing(thing: object, event: str | None, include_comments: bool) -> Iterator[Outcome]:
    if not is_record(thing):
        yield quarantine("wrong-field", f"github payload: expected an object, got {describe(thing)}", thing)
        return
    kind = thing.get("type")
    inner = thing.get("payload")
    if isinstance(kind, str) and kind.endswith("Event") and is_record(inner):
        yield from _parse_event(thing, inner, kind, include_comments)
    elif event is not None or "hook_id" in thing or "sender" in thing:
        yield from _parse_event(thing, thing, event, include_comments)
    else:
        yield parsed_row(partial(_parse_rest, thing, include_comments), thing, "github object")


def _parse_event(whole: Record, body: Record, event: str | None, include_comments: bool) -> Iterator[Outcome]:
    """Outcomes of a webhook body or public event: its issue or discussion, then its comment when wanted.

    Args:
        whole: the object as received, kept as the items' payload.
        body: where `action` and `issue` stand: the webhook body, or a public event's `payload`.
        event: header or event type; None when only the shape can tell.
        include_comments: whether the comment becomes an item of its own.
    """
    thread_key = next((key for key in ("issue", "discussion") if key in body), None)
    if event is not None and event not in _THREAD_EVENTS:
        words = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", event.removesuffix("Event"))
        yield Ignored(reason=f"event-{slug(words)}")
        return
    if thread_key is None and event is None:
        yield Ignored(reason=f"event-{_event_of_shape(body)}")
        return
    thread = body.get(thread_key or "issue")
    if not is_record(thread):
        # Archives before 2012-03 name the issue by a bare number: no title, no text.
        no_text = isinstance(thread, int) and not isinstance(thread, bool)
        detail = f"github event: field {thread_key or 'issue'!r}: expected an object, got {describe(thread)}"
        yield Ignored(reason="event-without-text") if no_text else quarantine("wrong-field", detail, whole)
        return
    yield parsed_row(partial(_parse_event_thread, whole, body, thread), whole, "github event")
    comment = body.get("comment")
    if include_comments and is_record(comment) and not _is_pull_request(thread):
        yield parsed_row(partial(_parse_event_comment, whole, body, thread, comment), whole, "github comment event")


def _event_of_shape(body: Record) -> str:
    """Name of an event that carries no issue and came without its header."""
    if "hook_id" in body or "zen" in body:
        return "ping"
    return next((slug(key) for key in (*_OTHER_EVENT_KEYS, "comment") if key in body), "other")


def _parse_event_thread(whole: Record, body: Record, thread: Record) -> FeedbackItem | Ignored:
    repository = _repository_of_event(whole, body)
    parsed = _parse_thread(thread, whole, repository)
    if isinstance(parsed, Ignored):
        return parsed
    action = find_text(body, "action")
    if action == "deleted" and "comment" not in body:
        return parsed.model_copy(update={"state": "deleted", "state_reason": "deleted"})
    changes = find_record(body, "changes") or {}
    if action == "transferred":
        moved = find_record(changes, "new_issue") or find_record(changes, "new_discussion") or {}
        target = find_text(find_record(changes, "new_repository") or {}, "full_name")
        number = find_id(moved, "number")
        moved_to = f"{target}#{number}" if target and number else None
        return parsed.model_copy(update={"state": "removed", "state_reason": "transferred", "duplicate_of": moved_to})
    if parsed.duplicate_of is None:
        return parsed.model_copy(update={"duplicate_of": _commented_duplicate(body, action, parsed.external_id)})
    return parsed


def _commented_duplicate(body: Record, action: str | None, external_id: str) -> str | None:
    """What a maintainer's comment says the issue repeats; '' when it said so and was deleted or says otherwise now."""
    comment = find_record(body, "comment") or {}
    if _trust(comment) != "maintainer":
        return None
    text = find_text(comment, "body") or ""
    before = find_text(find_record(find_record(body, "changes") or {}, "body") or {}, "from") or ""
    now, was = ("", text) if action == "deleted" else (text, before)
    taken_back = "" if _declared_duplicate(was, external_id) else None
    return _declared_duplicate(now, external_id) or taken_back


def _parse_event_comment(whole: Record, body: Record, thread: Record, comment: Record) -> FeedbackItem:
    repository, _ = _place(thread, _repository_of_event(whole, body))
    parsed = _parse_comment(comment, whole, repository)
    is_deleted = find_text(body, "action") == "deleted"
    return parsed.model_copy(update={"state": "deleted", "state_reason": "deleted"}) if is_deleted else parsed


def _repository_of_event(whole: Record, body: Record) -> str | None:
    """'owner/repo' as the event itself says it, in today's and in the oldest archives' words."""
    webhook = find_text(find_record(body, "repository") or {}, "full_name")
    public = find_text(find_record(whole, "repo") or {}, "name")
    if webhook or public:
        return webhook or public
    old = find_record(whole, "repository") or {}
    owner, name = old.get("owner"), old.get("name")
    return f"{owner}/{name}" if isinstance(owner, str) and isinstance(name, str) else None


def _parse_rest(thing: Record, include_comments: bool) -> FeedbackItem | Ignored:
    if not thing:
        return Ignored(reason="empty")
    if (
        "event" not in thing
        and "number" in thing
        and "title" in thing
        and "head" not in thing
        and "due_on" not in thing
    ):
        return _parse_thread(thing, thing, None)
    for keys, reason in _REST_SHAPES:
        if keys <= thing.keys():
            return Ignored(reason=reason)
    if "body" in thing and "user" in thing and "id" in thing:
        return _parse_listed_comment(thing, include_comments)
    if "message" in thing and ("documentation_url" in thing or thing.keys() <= {"message", "status", "errors"}):
        return Ignored(reason=_error_reason(thing))
    if thing.keys() <= {"id", "node_id", "url"}:
        return Ignored(reason="stub")
    raise wrong("title", f"an issue or another known object (keys here: {key_names(thing)})", thing.get("title"))


def _parse_listed_comment(comment: Record, include_comments: bool) -> FeedbackItem | Ignored:
    """The item of a comment; lists of a repository's comments mix in those on pull requests."""
    if "/pull/" in url_path(find_text(comment, "html_url")):
        return Ignored(reason="pull-request-comment")
    return _parse_comment(comment, comment, None) if include_comments else Ignored(reason="comment")


def _error_reason(body: Record) -> str:
    status = body.get("status")
    message = body.get("message")
    text = message.lower() if isinstance(message, str) else ""
    if "rate limit" in text:
        return "github-error-rate-limit"
    known = status if isinstance(status, str | int) else _STATUS_OF_MESSAGE.get(text)
    return f"github-error-{slug(known)}" if known else "github-error"


def _is_pull_request(thread: Record) -> bool:
    """Whether an issue object is a pull request. Up to 2013 plain issues had the key too, with nothing but nulls."""
    mark = thread.get("pull_request")
    has_mark = any(value is not None for value in mark.values()) if is_record(mark) else bool(mark)
    html_url = thread.get("html_url")
    return has_mark or (isinstance(html_url, str) and re.search(r"/pull/\d+", html_url) is not None)


def _parse_thread(thread: Record, whole: Record, repository: str | None) -> FeedbackItem | Ignored:
    """The item of an issue or discussion object; `whole` is what is kept as its payload."""
    if _is_pull_request(thread):
        return Ignored(reason="pull-request")
    name, number = _place(thread, repository)
    external_id = f"{name}#{number}"
    title = find_text(thread, "title")
    if title is None:
        raise wrong("title", "a string", None)
    body = find_text(thread, "body") or ""
    state, state_reason = _state(thread)
    return FeedbackItem(
        source="github",
        external_id=external_id,
        title=title,
        body=body,
        url=_web_url(thread),
        author=_author(thread),
        channel=name,
        created_at=find_iso_time(thread, "created_at"),
        updated_at=find_iso_time(thread, "updated_at") or find_iso_time(thread, "created_at"),
        trust=_trust(thread),
        state=state,
        state_reason=state_reason,
        duplicate_of=_declared_duplicate(body, external_id),
        labels=[*_labels(thread), *_category(thread)],
        payload=compact_json(whole),
    )


def _parse_comment(comment: Record, whole: Record, repository: str | None) -> FeedbackItem:
    """The item of a comment, under the id of its anchor on the page; its issue's state is not its own."""
    name = repository or _repository_of_urls(comment)
    comment_id = find_id(comment, "id")
    if name is None or comment_id is None:
        raise wrong("id", "an id, and an issue_url, url or html_url that names the repository", comment.get("id"))
    is_discussion = "discussion_id" in comment or "#discussioncomment-" in (find_text(comment, "html_url") or "")
    anchor = "discussioncomment" if is_discussion else "issuecomment"
    return FeedbackItem(
        source="github",
        external_id=f"{name}#{anchor}-{comment_id}",
        body=find_text(comment, "body") or "",
        url=_web_url(comment),
        author=_author(comment),
        channel=name,
        created_at=find_iso_time(comment, "created_at"),
        updated_at=find_iso_time(comment, "updated_at") or find_iso_time(comment, "created_at"),
        trust=_trust(comment),
        payload=compact_json(whole),
    )


def _place(thread: Record, repository: str | None) -> tuple[str, str]:
    """('owner/repo', number) from the event, the URLs or the nested repository, on any host."""
    number = find_count(thread, "number")
    if number is None:
        raise wrong("number", "the issue's number", None)
    nested = find_text(find_record(thread, "repository") or {}, "full_name")
    name = _repository_of_urls(thread) or nested or repository
    if name is None or not re.fullmatch(r"[^/\s#]+/[^/\s#]+", name):
        raise wrong("html_url", "a URL that names owner and repository", thread.get("html_url"))
    return name, str(number)


def _repository_of_urls(record: Record) -> str | None:
    """'owner/repo' from whichever URL names it: the page first, which is right on every host."""
    page = url_path(find_text(record, "html_url"))
    match = _HTML_PATH.search(page)
    if match:
        return match[1]
    for key in ("repository_url", "issue_url", "url"):
        match = _API_PATH.search(url_path(find_text(record, key)))
        if match:
            return match[1]
    return None


def _web_url(record: Record) -> str | None:
    url = find_text(record, "html_url")
    return url if url and url.startswith(("https://", "http://")) else None


def _author(record: Record) -> str | None:
    """Login of the author; None for a deleted account ('ghost' stands for all of them)."""
    user = record.get("user")
    login = user if isinstance(user, str) else find_text(find_record(record, "user") or {}, "login")
    return None if login in {None, "", "ghost"} else printable(login)


def _trust(record: Record) -> Trust:
    return _TRUST.get(find_text(record, "author_association") or "", "anonymous")


def _state(thread: Record) -> tuple[ItemState, str | None]:
    """Open unless GitHub says closed; a locked or converting discussion is still open, an answered one too."""
    state = find_text(thread, "state")
    reason = find_text(thread, "state_reason") or ("answered" if find_text(thread, "answer_html_url") else None)
    return ("closed" if state == "closed" else "open"), reason


def _category(thread: Record) -> list[str]:
    """A discussion's category, as one more label."""
    name = find_text(find_record(thread, "category") or {}, "name")
    return [printable(name)] if name else []


def _labels(thread: Record) -> list[str]:
    """Names of the labels, which were plain strings in the first API."""
    names = []
    for label in list_values(thread, "labels"):
        if not isinstance(label, str) and not is_record(label):
            raise wrong("labels", "a list of labels", label)
        names.append(printable(label) if isinstance(label, str) else find_text(label, "name"))
    return [name for name in names if name]


def _declared_duplicate(text: str, external_id: str) -> str | None:
    """external_id that a line 'Duplicate of #12' (or of owner/repo#12, or of a URL) points at; never the item itself.

    Source: GitHub's own rule for comments that mark duplicates.
    """
    match = _DUPLICATE.search(text)
    if match is None:
        return None
    if match["url"]:
        declared = find_linked(match["url"].rstrip(").,;]"))
    else:
        declared = f"{match['repo'] or external_id.rpartition('#')[0]}#{match['number']}"
    return None if declared == external_id else declared
