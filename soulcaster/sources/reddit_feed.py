"""Reddit's Atom feeds as the listing the API would have sent, as far as a feed tells.

Owns safe reading of XML from strangers: a document type, and with it every entity, is refused before parsing.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

from soulcaster.errors import PermanentError, TransientError
from soulcaster.sources.fields import Record

_ATOM = "{http://www.w3.org/2005/Atom}"
_BLOCKS = {"p", "br", "li", "h1", "h2", "h3", "h4", "h5", "h6", "pre", "blockquote", "tr", "hr"}
_VOID = {"br", "hr", "img", "input"}


def read_feed(body: bytes, what: str) -> Record:
    """A listing of t3 things with name, title, selftext, author, permalink, subreddit and created_utc.

    Raises:
        PermanentError: it has a document type, which no feed of Reddit has.
        TransientError: it is no Atom feed.
    """
    try:
        text = body.decode("utf-8")
        if re.search(r"<!\s*(?:DOCTYPE|ENTITY)", text, re.IGNORECASE):
            raise PermanentError(f"Reading {what} was refused: expected a feed without a document type, got one.")
        root = ET.fromstring(re.sub(r"^\ufeff?\s*<\?xml[^>]*\?>", "", text))  # noqa: S314  no document type, see above
    except (UnicodeDecodeError, ET.ParseError) as error:
        raise TransientError(f"Reading {what} failed: expected an Atom feed, got something else.") from error
    if root.tag != f"{_ATOM}feed":
        raise TransientError(f"Reading {what} failed: expected an Atom feed, got <{root.tag[:60]}>.")
    things = [thing for entry in root.findall(f"{_ATOM}entry") if (thing := _thing(entry))]
    after = things[-1]["name"] if things else None
    children = [{"kind": "t3", "data": thing} for thing in things]
    return {"kind": "Listing", "data": {"after": after, "children": children}}


def _thing(entry: ET.Element) -> Record | None:
    """The submission of an entry; None for what is none (feeds of subreddits also list comments)."""
    name = (entry.findtext(f"{_ATOM}id") or "").rpartition("/")[2]
    if not name.startswith("t3_"):
        return None
    link, category = entry.find(f"{_ATOM}link"), entry.find(f"{_ATOM}category")
    published = _epoch(entry.findtext(f"{_ATOM}published") or entry.findtext(f"{_ATOM}updated"))
    return {
        "name": name,
        "title": entry.findtext(f"{_ATOM}title") or "",
        "selftext": _own_words(entry.findtext(f"{_ATOM}content") or ""),
        "author": (entry.findtext(f"{_ATOM}author/{_ATOM}name") or "").removeprefix("/u/"),
        "permalink": link.get("href", "") if link is not None else "",
        "subreddit": category.get("term") if category is not None else None,
        "created_utc": published,
    }


def _epoch(text: str | None) -> float | None:
    try:
        parsed = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()


class _Words(HTMLParser):
    """Text inside the first `<div class="md">`, blocks on lines of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.depth = 0
        self.parts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self.depth and tag in _BLOCKS:
            self.parts.append("\n")
        if tag not in _VOID and (self.depth or (tag == "div" and ("class", "md") in attrs and not self.parts)):
            self.depth += 1

    def handle_endtag(self, tag: str) -> None:
        if self.depth and tag not in _VOID:
            self.depth -= 1

    def handle_data(self, data: str) -> None:
        if self.depth:
            self.parts.append(data)


def _own_words(content: str) -> str:
    """What the author wrote; the lines Reddit adds ('submitted by') stand outside the author's block."""
    reader = _Words()
    reader.feed(content)
    reader.close()
    return re.sub(r"\n\s*\n\s*", "\n\n", "".join(reader.parts)).strip()
