"""Strangers' text to short plain sentences: no HTML, no Markdown, no links, no invisible characters."""

from __future__ import annotations

import html
import re
import unicodedata

_FENCE = re.compile(r"```.*?(?:```|\Z)|~~~.*?(?:~~~|\Z)", re.DOTALL)
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_ELEMENT = re.compile(r"<(script|style)\b.*?(?:</\1\s*>|\Z)", re.DOTALL | re.IGNORECASE)
_TAG = re.compile(r"</?[a-zA-Z!][^<>]{0,1000}>")
_TAG_START = re.compile(r"<(?=[a-zA-Z/!?])")
_LINK = re.compile(r"!?\[([^\[\]]{0,300})\]\((?:[^()\n]|\([^()\n]{0,200}\)){0,2000}\)")
_REFERENCE = re.compile(r"!?\[([^\[\]]{0,300})\]\[[^\[\]]{0,300}\]")
_URL = re.compile(r"\b(?:https?|ftp|file|data|javascript|vbscript):\S+|\bwww\.\S+", re.IGNORECASE)
_LINE_MARK = re.compile(
    r"^[ \t]*(?:#{1,6}(?=\s|\w)|>+|[-*+](?=\s)|\d{1,3}[.)](?=\s)|[-=_*]{3,}\s*$)[ \t]*", re.MULTILINE
)
_EMPHASIS = re.compile(r"\*+|~~+|`+|(?<!\w)_+(?=\w)|(?<=\w)_+(?!\w)|\||\]\(")
_PREFIX = re.compile(
    r"^(?:\s*(?:\[[^\[\]]{1,30}\]|(?:bug|issue|feature request|question|help)\s*[:\-]\s))+", re.IGNORECASE
)
_BLANKS = re.compile(r"[^\S\n]+")
_FEWEST_TITLE_WORDS = 3
_SENTENCE_END = re.compile(r"(?<=[.!?\u3002\uff01\uff1f])\s+|\n+")


def plain_text(text: str) -> str:
    """`text` without markup: one paragraph or line of the original a line, no blank lines."""
    result = unicodedata.normalize("NFC", html.unescape(html.unescape(text)))
    for pattern in (_FENCE, _COMMENT, _ELEMENT):
        result = pattern.sub(" ", result)
    for pattern in (_LINK, _REFERENCE):
        result = pattern.sub(r"\1", result)
    result = _TAG_START.sub("", _TAG.sub(" ", result))
    result = _EMPHASIS.sub(" ", _LINE_MARK.sub("", _URL.sub(" ", result)))
    result = "".join(
        character for character in result if character == "\n" or unicodedata.category(character)[0] != "C"
    )
    lines = (_BLANKS.sub(" ", line).strip() for line in result.split("\n"))
    return "\n".join(line for line in lines if line)


def sentences(text: str) -> list[str]:
    """The sentences of plain text, in order; a line break ends one."""
    return [part for piece in _SENTENCE_END.split(text) if (part := piece.strip())]


def shorten(text: str, most_chars: int) -> str:
    """`text` of at most `most_chars` characters, cut between words where there are any, with an ellipsis."""
    if len(text) <= most_chars:
        return text
    cut = text[: most_chars - 1]
    head, blank, _ = cut.rpartition(" ")
    return (head if blank and len(head) > most_chars // 2 else cut).rstrip(" ,;:-\u2013\u2014(") + "…"


def pick_title(title: str, body: str, *, most_chars: int = 80) -> str:
    """A sentence-like title out of plain `title` and `body`: the title, else the body's first sentence; '' if none.

    A sentence of fewer than three words ("Help!") stands back behind the next one.
    """
    first = sentences(body)[:5]
    telling = [sentence for sentence in first if len(sentence.split()) >= _FEWEST_TITLE_WORDS]
    for candidate in [title.replace("\n", " "), *telling, *first]:
        stripped = _PREFIX.sub("", candidate).strip(" -\u2013\u2014:;,\t\"'").rstrip(".")
        if any(character.isalpha() for character in stripped):
            return shorten(stripped[0].upper() + stripped[1:], most_chars)
    return ""
