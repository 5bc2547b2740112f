"""Hygiene at the door: what is removed, masked, cut and noted before a text is stored, and what is held back.

Owns `embedding_text` and `clean`. Pure: frames in, frames out; opens nothing. Whole columns go through regexes; Python
looks only at the rows that one of those regexes marked.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

import polars as pl

from soulcaster.language import detect_languages
from soulcaster.suspicion import find_suspicions

MAX_TITLE_CHARS = 1_000
_NESTED_COMMENTS = 3  # taking one away must not leave another
_MAX_SEARCHED_CHARS = 30_000
_TEXTLESS_STATES = ("removed", "deleted")

_CONTROLS = r"[\x00-\x08\x0B-\x1F\x7F-\x9F]"
_INVISIBLE = (
    "\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0"
    "\ufff9-\ufffb\U000e0000-\U000e0fff"
)
_INVISIBLE_RUN = re.compile(f"[{_INVISIBLE}]+|[\ufe00-\ufe0f]{{2,}}")
_TAG_LETTERS = re.compile("[\U000e0020-\U000e007e]{4,}")
_DATA_URI = re.compile(r"\bdata:[a-z]+/[\w.+-]+(?:;[\w=.-]+)*,[^\s\"'<>)\]]*", re.IGNORECASE)
_HIDDEN_TAG = re.compile(
    r"<(?P<name>[a-z][\w-]*)\b(?=[^<>]{0,500}?(?:\shidden(?=[\s=/>])|\sstyle\s*=\s*[\"'][^\"'<>]{0,300}?"
    r"(?:display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0(?:px|em|pt|%)?\s*[;\"']|opacity\s*:\s*0\s*[;\"'])))"
    r"[^<>]*>(?:[^<]*(?:<(?!/(?P=name)\b)[^<]*){0,500}</(?P=name)\s*>)?",
    re.IGNORECASE,
)
_HTML_TAG = re.compile(r"<(?:img|picture|source|a|span|p|div|abbr|sub|sup|td|th|table)\s[^<>]*>", re.IGNORECASE)
_UNSEEN_ATTRIBUTE = re.compile(
    r"\s(?:alt|title|aria-[a-z]+|data-[\w-]+|placeholder)\s*=\s*(?:\"[^\"]*\"|'[^']*')", re.IGNORECASE
)
_EMAIL = re.compile(
    r"(?<![\w.+/:%-])(?!git@)[\w+%-]+(?:\.[\w+%-]+)*@(?:[a-z0-9](?:[a-z0-9-]{0,62})\.){1,8}[a-z]{2,24}(?![\w-]|\.\w*\d)",
    re.IGNORECASE,
)

_SECRET_SHAPES = (
    r"gh[pousr]_[A-Za-z0-9]{20,255}",
    r"github_pat_[A-Za-z0-9_]{22,255}",
    r"glpat-[A-Za-z0-9_-]{20,}",
    r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b",
    r"xox[abeoprs]-[A-Za-z0-9-]{10,}",
    r"xapp-[0-9]-[A-Za-z0-9-]{10,}",
    r"AIza[A-Za-z0-9_-]{35,}",
    r"GOCSPX-[A-Za-z0-9_-]{20,}",
    r"ya29\.[A-Za-z0-9_-]{20,}",
    r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
    r"sk-(?:proj-|ant-|svcacct-|or-)?[A-Za-z0-9_-]{20,}",
    r"[rsp]k_(?:live|test)_[A-Za-z0-9]{16,}",
    r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}",
    r"npm_[A-Za-z0-9]{36}\b",
    r"pypi-[A-Za-z0-9_-]{50,}",
    r"hf_[A-Za-z0-9]{30,}",
    r"sntry[su]_[A-Za-z0-9+/=_-]{20,}",
    r"dop_v1_[a-f0-9]{64}",
)
_SECRET = re.compile(r"\b(?:" + "|".join(_SECRET_SHAPES) + ")")
_URL_PASSWORD = re.compile(r"(://[^\s/:@]{1,200}:)[^\s/:@]{1,200}@", re.IGNORECASE)
_SECRET_SPANS: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(
            r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z ]*KEY(?: BLOCK)?-----|\Z)", re.DOTALL
        ),
        "[secret]",
    ),
    (re.compile(r"hooks\.slack\.com/services/[\w/]+"), "hooks.slack.com/services/[secret]"),
    (re.compile(r"\b(bearer|basic)\s+(?=[^\s\"']*\d)[\w.~+/-]{16,}=*", re.IGNORECASE), r"\1 [secret]"),
    (
        re.compile(
            r"((?:api[_-]?key|secret(?:[_-]?access)?(?:[_-]?key)?|client[_-]?secret|access[_-]?token|auth[_-]?token"
            r"|refresh[_-]?token|passw(?:or)?d|account[_-]?key)[\"']?\s*[:=]\s*[\"']?)"
            r"(?=[^\s\"']*\d)(?=[^\s\"']*[a-zA-Z])[\w/+~-]{16,}=*",
            re.IGNORECASE,
        ),
        r"\1[secret]",
    ),
)

# One Rust regex each, over title and body together: what is not marked is already clean.
_MARKED = (
    rf"[{_INVISIBLE}\x{{FE00}}-\x{{FE0F}}]|<!--|(?i)data:[a-z]+/|<[a-z][^<>]*\s(?:hidden|style|alt|title|aria-|data-|placeholder)"
    r"|@[a-z0-9-]+\.|://[^\s/:@]+:[^\s/@]+@"
)
_SECRET_WORDS = (
    *(
        "ghp_",
        "gho_",
        "ghu_",
        "ghs_",
        "ghr_",
        "github_pat_",
        "glpat-",
        "akia",
        "asia",
        "abia",
        "acca",
        "xoxa-",
        "xoxb-",
    ),
    *(
        "xoxe",
        "xoxo-",
        "xoxp-",
        "xoxr-",
        "xoxs-",
        "xapp-",
        "aiza",
        "gocspx-",
        "ya29.",
        "eyj",
        "k_live_",
        "k_test_",
        "sg.",
    ),
    *(
        "npm_",
        "pypi-",
        "hf_",
        "sntry",
        "dop_v1_",
        "private key",
        "hooks.slack",
        "bearer ",
        "basic ",
        "api_key",
        "apikey",
    ),
    *("api-key", "secret", "access_token", "access-token", "accesstoken", "auth_token", "auth-token", "authtoken"),
    *(
        "refresh_token",
        "refresh-token",
        "refreshtoken",
        "passwd",
        "password",
        "account_key",
        "account-key",
        "accountkey",
    ),
    *("sk-proj-", "sk-ant-", "sk-svcacct-", "sk-or-", " sk-", "\nsk-", "=sk-", '"sk-', "'sk-", ":sk-", "`sk-"),
)
"""Words, ASCII case ignored, without which none of the secret shapes can match."""

_SHAPE_HINT = (
    r"(?i)(?:gh[pousr]_|github_pat_|glpat-|akia|asia|abia|acca|xox[abeoprs]-|xapp-|aiza|gocspx-|ya29\.|eyj|sk-|k_(?:live|test)_|sg\."
    r"|npm_|pypi-|hf_|sntry[su]_|dop_v1_)[\w+/=.-]{9}|-----begin|hooks\.slack\.com|(?:bearer|basic)\s+[\w.~+/-]{16}"
    r"|(?:key|secret|token|passw(?:or)?d)[\"']?\s*[:=]\s*[\"']?[\w/+~-]{16}"
)


def embedding_text(title: str, body: str) -> str:
    """The text that is embedded and hashed: title, blank line, body; either may be empty."""
    return f"{title}\n\n{body}" if title and body else title or body


def content_hash(text: str) -> str | None:
    """sha256 hex of an embedding text; None when there is no text."""
    return hashlib.sha256(text.encode()).hexdigest() if text else None


def mask_secrets(text: str) -> str:
    """`text` with keys, tokens, passwords and mail addresses replaced, for words that are no feedback (CI logs)."""
    return _masked(text, {}, has_secrets=True)


def clean(frame: pl.DataFrame, *, max_body_chars: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Kept rows (`ITEM_SCHEMA` + `CLEAN_COLUMNS`) and quarantined rows (the same + `reason`, `detail`), in order.

    Args:
        frame: raw item frame; columns beyond `ITEM_SCHEMA` (such as a location) pass through.
        max_body_chars: longer bodies are cut, and noted.
    """
    frame = frame.with_columns(
        title=_normalised("title", r"[\r\n\t\x{85}\x{2028}\x{2029}]+", " "),
        body=_normalised("body", r"\r\n?|\x{85}|\x{2028}|\x{2029}", "\n"),
    )
    frame, hidden = _without_hidden(frame)
    frame = _cut(frame, max_body_chars)
    text = _embedding_texts(frame)
    frame = frame.with_columns(
        pl.Series("content_hash", [content_hash(each) for each in text.to_list()], dtype=pl.String),
        detect_languages(text),
    )
    reasons = _suspicions(text, hidden)
    textless = (frame["content_hash"].is_null() & ~frame["state"].is_in(_TEXTLESS_STATES)).arg_true()
    for index in textless:
        reasons.setdefault(
            index,
            ("no-text", "expected words in title or body, got none after hygiene; send the item again with text."),
        )
    held = sorted(reasons)
    is_held = pl.Series([False]).new_from_index(0, frame.height).scatter(held, True) if held else None
    kept = frame if is_held is None else frame.filter(~is_held)
    quarantined = frame[held].with_columns(
        pl.Series("reason", [reasons[index][0] for index in held], dtype=pl.String),
        pl.Series("detail", [reasons[index][1] for index in held], dtype=pl.String),
    )
    return kept, quarantined


def _normalised(column: str, line_ends: str, by: str) -> pl.Expr:
    """Missing text is empty text; line ends unified, control characters gone, no blanks around."""
    return pl.col(column).fill_null("").str.replace_all(line_ends, by).str.replace_all(_CONTROLS, "").str.strip_chars()


def _embedding_texts(frame: pl.DataFrame) -> pl.Series:
    """`embedding_text` of each row."""
    title, body = pl.col("title"), pl.col("body")
    both = title + pl.when((title == "") | (body == "")).then(pl.lit("")).otherwise(pl.lit("\n\n")) + body
    return frame.select(both.alias("text"))["text"]


def _without_hidden(frame: pl.DataFrame) -> tuple[pl.DataFrame, dict[int, str]]:
    """The frame with `notes`, its marked rows cleaned; and by row number what was hidden in them."""
    joined = pl.concat_str("title", pl.lit("\n"), "body")
    texts = frame.select(joined.alias("text"))["text"]
    is_marked = texts.str.contains(_MARKED)
    worded = texts.str.contains_any(list(_SECRET_WORDS), ascii_case_insensitive=True).arg_true()
    secret = worded.gather(texts.gather(worded).str.contains(_SHAPE_HINT).arg_true())
    marked = is_marked.scatter(secret, values=True).arg_true() if len(secret) else is_marked.arg_true()
    titles: list[str] = []
    bodies: list[str] = []
    notes: list[list[str]] = []
    hidden: dict[int, str] = {}
    may_hold_secrets = set(secret)
    for index, title, body in zip(marked, frame["title"].gather(marked), frame["body"].gather(marked), strict=True):
        found: dict[str, None] = {}
        unseen: list[str] = []
        for text, texts_out in ((title, titles), (body, bodies)):
            seen = _without_unseen(text, found, unseen)
            texts_out.append(_masked(seen, found, has_secrets=index in may_hold_secrets).strip())
        notes.append(list(found))
        if unseen:
            hidden[index] = "\n".join(unseen)[:_MAX_SEARCHED_CHARS]
    cleaned = pl.DataFrame(
        {"row": marked, "title_": titles, "body_": bodies, "notes": notes},
        schema={"row": pl.get_index_type(), "title_": pl.String, "body_": pl.String, "notes": pl.List(pl.String)},
    )
    frame = frame.with_row_index("row").join(cleaned, on="row", how="left", maintain_order="left")
    frame = frame.with_columns(
        pl.coalesce("title_", "title").alias("title"),
        pl.coalesce("body_", "body").alias("body"),
        pl.col("notes").fill_null(pl.lit([], dtype=pl.List(pl.String))),
    )
    return frame.drop("row", "title_", "body_"), hidden


def _without_unseen(text: str, found: dict[str, None], unseen: list[str]) -> str:
    """`text` without what a reader would not see; kinds go to `found`, the removed words to `unseen`."""

    def hide(kind: str, pattern: re.Pattern[str], text: str) -> str:
        def remove(match: re.Match[str]) -> str:
            found.setdefault(kind)
            unseen.append(match[0])
            return ""

        return pattern.sub(remove, text)

    if not text.isascii():
        unseen.extend("".join(chr(ord(tag) - 0xE0000) for tag in tags) for tags in _TAG_LETTERS.findall(text))
        text = _replaced("invisible-characters", _INVISIBLE_RUN, "", text, found)
    if "<" in text:
        for _ in range(_NESTED_COMMENTS):
            text = _without_comments(text, found, unseen)
        text = hide("hidden-html", _HIDDEN_TAG, text)
        text = _HTML_TAG.sub(lambda tag: hide("hidden-attribute", _UNSEEN_ATTRIBUTE, tag[0]), text)
    if "data:" in text.lower():
        text = _replaced("data-uri", _DATA_URI, "", text, found)
    return text


def _masked(text: str, found: dict[str, None], *, has_secrets: bool) -> str:
    """`text` with keys, tokens, passwords and mail addresses replaced; kinds go to `found`."""
    if has_secrets:
        text = _replaced("secret", _SECRET, "[secret]", text, found)
        for pattern, replacement in _SECRET_SPANS:
            text = _replaced("secret", pattern, replacement, text, found)
    if "@" in text:
        text = _replaced("secret", _URL_PASSWORD, r"\1[secret]@", text, found)
        text = _replaced("email", _EMAIL, "[email]", text, found)
    return text


def _without_comments(text: str, found: dict[str, None], unseen: list[str]) -> str:
    """`text` without closed HTML comments. No regex: one over many unclosed ones would take hours."""
    parts, position = [], 0
    while (start := text.find("<!--", position)) >= 0 and (end := text.find("-->", start + 4)) >= 0:
        parts.append(text[position:start])
        unseen.append(text[start : end + 3])
        found.setdefault("html-comment")
        position = end + 3
    return "".join(parts) + text[position:]


def _replaced(
    kind: str,
    pattern: re.Pattern[str],
    replacement: str | Callable[[re.Match[str]], str],
    text: str,
    found: dict[str, None],
) -> str:
    text, count = pattern.subn(replacement, text)
    if count:
        found.setdefault(kind)
    return text


def _cut(frame: pl.DataFrame, max_body_chars: int) -> pl.DataFrame:
    """Titles and bodies within their limits, the cut noted."""
    limits = (("title", MAX_TITLE_CHARS, "title-cut"), ("body", max_body_chars, "body-cut"))
    for column, limit, note in limits:
        is_long = frame[column].str.len_chars() > limit
        if is_long.any():
            frame = frame.with_columns(
                pl.when(is_long)
                .then(pl.col("notes").list.concat(pl.lit([note], dtype=pl.List(pl.String))))
                .otherwise("notes")
                .alias("notes"),
                pl.col(column).str.head(limit).str.strip_chars(),
            )
    return frame


def _suspicions(texts: pl.Series, hidden: dict[int, str]) -> dict[int, tuple[str, str]]:
    """By row number: reason and one sentence with the fragment, for texts that wait for a person."""
    found = find_suspicions(texts.str.head(_MAX_SEARCHED_CHARS))
    reasons = {row: (reason, _detail(fragment, "the text")) for row, (reason, fragment) in found.items()}
    rows = [row for row in hidden if row not in reasons]
    for position, (reason, fragment) in find_suspicions(
        pl.Series([hidden[row] for row in rows], dtype=pl.String)
    ).items():
        reasons[rows[position]] = (reason, _detail(fragment, "a hidden part of the text"))
    return reasons


def _detail(fragment: str, where: str) -> str:
    return f"expected feedback, got {fragment!r} in {where}; read it, then release it or leave it here."
