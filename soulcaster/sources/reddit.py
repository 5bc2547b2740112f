"""Reddit API payloads to items: listings, comment pages, `api/info`, single things, archive lines, error bodies.

Owns what a deleted, removed, crossposted or escaped submission looks like in ten years of the API. Pure and total: any
JSON value gives items, ignored or quarantined rows, never an exception. Opens nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from functools import partial

from soulcaster.models import FeedbackItem, Ignored, ItemState, Outcome
from soulcaster.sources.fields import (
    Record,
    compact_json,
    describe,
    find_epoch,
    find_flag,
    find_record,
    find_text,
    is_record,
    key_names,
    list_values,
    or_empty,
    parsed_row,
    quarantine,
    slug,
    wrong,
)

_SITE = "https://www.reddit.com"
_OTHER_KINDS = {
    "t2": "account",
    "t4": "message",
    "t5": "subreddit",
    "t6": "trophy",
    "more": "more",
    "modaction": "mod-action",
    "LiveUpdate": "live-update",
    "LiveUpdateEvent": "live-thread",
    "KarmaList": "karma-list",
    "LabeledMulti": "multireddit",
    "TrophyList": "trophy-list",
    "UserList": "user-list",
    "wikipage": "wiki-page",
    "wikipagelisting": "wiki-page",
    "wikipagesettings": "wiki-page",
    "rules": "rules",
}
_HOLDERS = ("sorted_links", "things", "children")
_STATUS_OF_MESSAGE = {
    "bad request": "400",
    "unauthorized": "401",
    "forbidden": "403",
    "not found": "404",
    "conflict": "409",
    "too many requests": "429",
    "internal server error": "500",
    "service unavailable": "503",
}
_PLACEHOLDER = re.compile(r"\[\s*(?:deleted|removed)(?: (?:by|in) [^\[\]]{1,120})?\s*\]", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:amp|lt|gt);")
_RAW_MARKUP = re.compile(r"[<>]|&(?!(?:amp|lt|gt);)")
_ESCAPED_FIELDS = ("title", "selftext", "selftext_html", "url", "body", "body_html")


def parse_payload(payload: object, *, include_comments: bool = False) -> Iterator[Outcome]:
    """Outcomes of one response body (or archive line), one for each thing in it, in its order.

    Without `raw_json=1` Reddit writes & < > of every text as entities. That is a property of the whole response: it
    counts as escaped when its texts have such entities and not one bare & < or >; then each text is unescaped once.

    Args:
        payload: any JSON value.
        include_comments: also make items of comments, instead of ignoring them as 'comment'.
    """
    is_escaped = _is_escaped(payload)
    return or_empty(
        parsed_row(partial(_parse_thing, thing, is_escaped, include_comments), thing, "reddit thing")
        if is_record(thing)
        else quarantine("wrong-field", f"reddit listing: expected a thing, got {describe(thing)}", thing)
        for thing in _walk_things(payload)
    )


def _walk_things(payload: object) -> Iterator[object]:
    """Things in document order, listings and other holders opened, replies after the comment they answer."""
    waiting = [payload]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting.extend(reversed(value))
            continue
        inner = _held(value) if is_record(value) else None
        if inner is not None:
            waiting.append(inner)
            continue
        yield value
        if is_record(value) and value.get("kind") == "t1" and is_record(value.get("data")):
            replies = _data(value).get("replies")
            if is_record(replies):
                waiting.append(replies)


def _data(thing: Record) -> Record:
    """What the thing holds, or the thing itself where an archive wrote it without its wrapper."""
    data = thing.get("data")
    return data if is_record(data) and isinstance(thing.get("kind"), str) else thing


def _held(record: Record) -> list[object] | None:
    """The things a listing, a collection or a 'more children' answer holds; None for a thing itself."""
    kind = record.get("kind")
    if isinstance(kind, str) and kind != "Listing":
        return None
    node: object = record
    for key in ("json", "data"):
        if is_record(node) and is_record(node.get(key)):
            node = node[key]
    if is_record(node):
        for key in _HOLDERS:
            held = node.get(key)
            if isinstance(held, list):
                return held
            if is_record(held) and held.get("kind") == "Listing":
                return [held]
    return None


def _is_escaped(payload: object) -> bool:
    """Whether the response was made without `raw_json`: entities somewhere, bare & < > nowhere."""
    has_entity = False
    for thing in _walk_things(payload):
        data = _data(thing) if is_record(thing) else {}
        for key in _ESCAPED_FIELDS:
            text = data.get(key)
            if isinstance(text, str):
                if _RAW_MARKUP.search(text):
                    return False
                has_entity = has_entity or _ENTITY.search(text) is not None
    return has_entity


def _parse_thing(thing: Record, is_escaped: bool, include_comments: bool) -> FeedbackItem | Ignored:
    if not thing:
        return Ignored(reason="empty")
    kind = thing.get("kind")
    data = _data(thing)
    if kind == "t3" or (data is thing and "title" in data and "subreddit" in data):
        return _parse_submission(data, thing, is_escaped)
    if kind == "t1" or (data is thing and "body" in data and "link_id" in data):
        return _parse_comment(data, thing, is_escaped) if include_comments else Ignored(reason="comment")
    if isinstance(kind, str) and kind in _OTHER_KINDS:
        return Ignored(reason=_OTHER_KINDS[kind])
    error = _error_reason(thing)
    if error is not None:
        return Ignored(reason=error)
    raise wrong("kind", f"a listing, t3, t1 or an error body (keys here: {key_names(thing)})", kind)


def _error_reason(body: Record) -> str | None:
    """'reddit-error-' with the status or reason of an error body, None when it is none."""
    inner = body.get("json")
    if is_record(inner) and "errors" in inner:
        errors = inner["errors"]
        first = errors[0] if isinstance(errors, list) and errors else "none"
        return f"reddit-error-{slug(first[0] if isinstance(first, list) and first else first)}"
    status = body.get("error")
    message, reason = body.get("message"), body.get("reason")
    if isinstance(status, int | str) and not isinstance(status, bool):
        return f"reddit-error-{slug(status)}"
    if isinstance(message, str) and set(body) <= {"message", "reason", "explanation", "fields", "error_type"}:
        return f"reddit-error-{_STATUS_OF_MESSAGE.get(message.lower()) or slug(reason or message)}"
    return None


def _parse_submission(data: Record, thing: Record, is_escaped: bool) -> FeedbackItem | Ignored:
    for flag, reason in (("promoted", "promoted"), ("stickied", "stickied")):
        if find_flag(data, flag):
            return Ignored(reason=reason)
    if find_text(data, "distinguished") in {"moderator", "admin"}:
        return Ignored(reason="distinguished")
    name = _fullname(data, "t3")
    state, state_reason = _state(data, "selftext")
    created_at = find_epoch(data, "created_utc")
    return FeedbackItem(
        source="reddit",
        external_id=name,
        title=_words(data, "title", is_escaped),
        body=_submission_body(data, is_escaped),
        url=_url(data) or f"{_SITE}/comments/{name[3:]}/",
        author=_author(data),
        channel=find_text(data, "subreddit"),
        created_at=created_at,
        updated_at=_edited_at(data) or created_at,
        state=state,
        state_reason=state_reason,
        labels=_flair(data, is_escaped),
        payload=compact_json(thing),
    )


def _parse_comment(data: Record, thing: Record, is_escaped: bool) -> FeedbackItem | Ignored:
    if find_flag(data, "stickied"):
        return Ignored(reason="stickied")
    state, state_reason = _state(data, "body")
    created_at = find_epoch(data, "created_utc")
    return FeedbackItem(
        source="reddit",
        external_id=_fullname(data, "t1"),
        body=_words(data, "body", is_escaped),
        url=_url(data),
        author=_author(data),
        channel=find_text(data, "subreddit"),
        created_at=created_at,
        updated_at=_edited_at(data) or created_at,
        state=state,
        state_reason=state_reason,
        payload=compact_json(_without_replies(thing)),
    )


def _without_replies(thing: Record) -> Record:
    """The comment alone: its replies are things of their own."""
    data = _data(thing)
    own = {key: value for key, value in data.items() if key != "replies"}
    return own if data is thing else thing | {"data": own}


def _fullname(data: Record, kind: str) -> str:
    """Reddit's fullname of the thing, e.g. 't3_1abcd'."""
    name = find_text(data, "name") or find_text(data, "id")
    if not name or any(character.isspace() for character in name):
        raise wrong("name", f"a fullname like '{kind}_1abcd'", data.get("name"))
    return name if name.startswith(f"{kind}_") else f"{kind}_{name}"


def _words(data: Record, key: str, is_escaped: bool) -> str:
    """Text a person wrote under the key; '' where only a removal notice stands."""
    text = find_text(data, key) or ""
    if _PLACEHOLDER.fullmatch(text.strip()):
        return ""
    return _unescaped(text) if is_escaped else text


def _unescaped(text: str) -> str:
    """Undo exactly what Reddit did, once: '&' last, so that an '&lt;' someone typed stays one."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _submission_body(data: Record, is_escaped: bool) -> str:
    """Own text, else that of the crossposted parent; then gallery captions and poll options."""
    text = _words(data, "selftext", is_escaped)
    if not text.strip():
        text = _crossposted_words(data, is_escaped)
    captions = _inner_words(data, "gallery_data", "items", "caption", is_escaped)
    options = _inner_words(data, "poll_data", "options", "text", is_escaped)
    parts = [text, "\n".join(captions), "\n".join(f"- {option}" for option in options)]
    return "\n\n".join(part for part in parts if part.strip())


def _crossposted_words(data: Record, is_escaped: bool) -> str:
    parents = list_values(data, "crosspost_parent_list")
    parent = parents[0] if parents else None
    if parent is None:
        return ""
    if not is_record(parent):
        raise wrong("crosspost_parent_list", "a list of submissions", parent)
    state, _ = _state(parent, "selftext")
    return _words(parent, "selftext", is_escaped) if state == "open" else ""


def _inner_words(data: Record, key: str, list_key: str, text_key: str, is_escaped: bool) -> list[str]:
    """Texts of the entries of a gallery or poll; entries without one are left out."""
    entries = list_values(find_record(data, key) or {}, list_key)
    words = (_words(entry, text_key, is_escaped) for entry in entries if is_record(entry))
    return [word for word in words if word.strip()]


def _state(data: Record, text_key: str) -> tuple[ItemState, str | None]:
    """State and who caused it.

    Source: no single field tells, over the years. `removed_by_category` exists since 2019 and is often null in
    `api/info`; before, and for link posts, only the text, the author, `banned_by` (moderators) or
    `is_robot_indexable` (strangers) do. An account deleted later leaves the text in place: that is no removal.
    """
    category = find_text(data, "removed_by_category")
    if category == "deleted":
        return "deleted", "author"
    if category:
        return "removed", slug(category)
    banned_by = data.get("banned_by")
    if banned_by is not None and not isinstance(banned_by, str | bool):
        raise wrong("banned_by", "a name, a boolean or null", banned_by)
    if banned_by:
        return "removed", "reddit" if banned_by is True else "moderator"
    text = (find_text(data, text_key) or "").strip()
    is_hidden = data.get("is_robot_indexable") is False and not find_flag(data, "quarantine")
    if text.lower() == "[deleted]" or (is_hidden and not text and _author(data) is None):
        return "deleted", "author"
    is_removed = is_hidden or _PLACEHOLDER.fullmatch(text) is not None
    return ("removed", "unstated") if is_removed else ("open", None)


def _author(data: Record) -> str | None:
    author = find_text(data, "author")
    return None if author in {None, "", "[deleted]", "[removed]"} else author


def _edited_at(data: Record) -> datetime | None:
    """Time of the last edit; None when never, or when only 'yes' was recorded (2011 and before)."""
    return None if isinstance(data.get("edited"), bool) else find_epoch(data, "edited")


def _url(data: Record) -> str | None:
    permalink = find_text(data, "permalink") or ""
    if permalink.startswith("/") and not permalink.startswith("//"):
        return _SITE + permalink
    return permalink if permalink.startswith(f"{_SITE}/") else None


def _flair(data: Record, is_escaped: bool) -> list[str]:
    """The post's flair as a label, from its plain text or, where that is empty, from its rich form."""
    flair = find_text(data, "link_flair_text") or ""
    if not flair.strip():
        pieces = (find_text(piece, "t") for piece in list_values(data, "link_flair_richtext") if is_record(piece))
        flair = "".join(piece for piece in pieces if piece)
    flair = (_unescaped(flair) if is_escaped else flair).strip()
    return [flair] if flair else []
