"""Which texts wait for a person before anything reads them: suspected prompt injections and spam, with the fragment.

Conservative: a bug report may talk about instructions, prompts and ignored rules. One *strong* pattern, or two
different *weak* ones, hold a text back; all else passes. Pure; Rust searches all texts, Python only what it found.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import html
import re
import unicodedata
from collections.abc import Iterable, Iterator
from urllib.parse import unquote

import polars as pl

from soulcaster import suspicion_rules as rules

_FRAGMENT_CHARS = 200
_ENCODED_CHARS = 4_000

_STRONG = tuple(re.compile(pattern) for pattern in rules.STRONG)
_WEAK = tuple(re.compile(pattern) for pattern in rules.WEAK)
_OFFERS = tuple(re.compile(pattern) for pattern in rules.SPAM_OFFERS)
_CONTACT = re.compile(rules.SPAM_CONTACT)
_HOTLINE = re.compile(rules.SPAM_HOTLINE)
_REPORTED = re.compile(rules.REPORTED)

# With byte-wise classes Rust's automaton stays small and never falls back to its slow way; they match a little more.
_RUST = ((r"\w", r"[a-z0-9_\x{80}-\x{10FFFF}]"), (r"\b", r"(?-u:\b)"), (r"\s", r"[ \t\n]"))


def _any_of(patterns: Iterable[str]) -> str:
    joined = "|".join(f"(?:{pattern})" for pattern in patterns)
    for ours, theirs in _RUST:
        joined = joined.replace(ours, theirs)
    return joined


_RUST_INJECTION = _any_of((*rules.STRONG, *rules.WEAK))
_RUST_SPAM = _any_of((*rules.SPAM_OFFERS, rules.SPAM_HOTLINE))

# ruff: noqa: RUF001  look-alike letters are the point
_LOOKALIKES = str.maketrans("аеорсухіјѕԁһԛԝνοα", "aeopcyxijsdhqwvoa")
_MIXED_WORD = re.compile(r"[a-z]+[\u0370-\u052f][a-z\u0370-\u052f]*|[\u0370-\u052f]+[a-z][a-z\u0370-\u052f]*")
_LEET = str.maketrans("013457@$!|", "oieastasii")
_LEET_WORDS = re.compile(
    r"(?!ignore)[i1!|]gn[o0]r[e3]|(?!prompt)pr[o0]mp[t7]|(?!instruct)[i1!|]n[s5$][t7]ruc[t7]|pr[e3]v[i1!|][0o]us"
)
_BASE64 = re.compile(r"[A-Za-z0-9+/]{40,}={0,2}")
_HEX = re.compile(r"\b(?:[0-9a-fA-F]{2}[ :]?){20,}")
_ESCAPES = re.compile(r"\\u00([0-9a-fA-F]{2})")
_SPACED = re.compile(r"\b(?:[A-Za-z][ ._*-]){5,}[A-Za-z]\b")


def find_suspicions(texts: pl.Series) -> dict[int, tuple[str, str]]:
    """(reason, quoted fragment) by position, for texts that must wait for a person: 'suspected-injection' or 'spam'.

    Source of the idea of encoded variants: OWASP's list of prompt injection forms (encodings, spacing, look-alikes).
    """
    is_encoded = texts.str.contains(rules.ENCODED_HINT)
    hinted = (texts.str.contains_any(list(rules.HINTS), ascii_case_insensitive=True) | is_encoded).arg_true()
    plains = pl.Series([f" {_plain(text)} " for text in texts.gather(hinted)], dtype=pl.String)
    found: dict[int, tuple[str, str]] = {}
    for position in (plains.str.contains(_RUST_INJECTION) | plains.str.contains(_RUST_SPAM)).arg_true():
        if suspicion := _find_suspicion(plains[position]):
            found[hinted[position]] = suspicion
    for index, fragment in _find_encoded(texts, is_encoded.arg_true()):
        found.setdefault(index, ("suspected-injection", f"(encoded) {fragment}"))
    return found


def _find_encoded(texts: pl.Series, indices: pl.Series) -> Iterator[tuple[int, str]]:
    decoded = [
        (index, f" {_plain(each)} ")
        for index, text in zip(indices, texts.gather(indices), strict=True)
        for each in _decodings(text, _plain(text))
    ]
    plains = pl.Series([plain for _, plain in decoded], dtype=pl.String)
    for position in plains.str.contains(_RUST_INJECTION).arg_true():
        index, plain = decoded[position]
        # Nobody hides an order by chance, so a single weak pattern is enough here.
        if fragment := _find_injection(plain, weak_limit=1):
            yield index, fragment


def _find_suspicion(plain: str) -> tuple[str, str] | None:
    if fragment := _find_injection(plain, weak_limit=2):
        return "suspected-injection", fragment
    if hotline := _HOTLINE.search(plain):
        return "spam", _quote(plain, hotline)
    offers = list(_matches(_OFFERS, plain))
    if len(offers) > 1 or (offers and _CONTACT.search(plain)):
        return "spam", _quote(plain, offers[0])
    return None


def _find_injection(plain: str, *, weak_limit: int) -> str | None:
    for found in _matches(_STRONG, plain):
        if not _REPORTED.search(plain[max(0, found.start() - 40) : found.start()]):
            return _quote(plain, found)
    weak = list(_matches(_WEAK, plain))
    return _quote(plain, weak[0]) if len(weak) >= weak_limit else None


def _matches(patterns: tuple[re.Pattern[str], ...], plain: str) -> Iterator[re.Match[str]]:
    return (found for pattern in patterns if (found := pattern.search(plain)))


def _plain(text: str) -> str:
    """Lower case; entities, compatibility letters and Cyrillic or Greek look-alikes inside Latin words resolved."""
    plain = html.unescape(text) if "&" in text else text
    if plain.isascii():
        return plain.lower()
    plain = unicodedata.normalize("NFKC", plain).lower().replace("’", "'")
    return _MIXED_WORD.sub(lambda word: word[0].translate(_LOOKALIKES), plain)


def _quote(plain: str, found: re.Match[str]) -> str:
    start = max(0, found.start() - 20)
    fragment = " ".join(plain[start : max(found.end(), start + 60)].split())
    return fragment if len(fragment) <= _FRAGMENT_CHARS else fragment[:_FRAGMENT_CHARS] + "…"


def _decodings(text: str, plain: str) -> Iterator[str]:
    """The readable texts that hide in `text` under an encoding; nothing for ordinary text."""
    for blob in _BASE64.findall(text)[:20]:
        yield from _printable(_base64_bytes(blob[:_ENCODED_CHARS]))
    for blob in _HEX.findall(text)[:20]:
        digits = re.sub(r"[ :]", "", blob)[:_ENCODED_CHARS]
        yield from _printable(bytes.fromhex(digits[: len(digits) // 2 * 2]))
    if text.count("%") > 4:  # noqa: PLR2004  fewer are ordinary per cent signs
        yield unquote(text)
    if _ESCAPES.search(text):
        yield _ESCAPES.sub(lambda found: chr(int(found[1], 16)), text)
    if "vtaber" in plain or "cerivbhf" in plain:
        yield codecs.decode(plain, "rot13")
    if "erongi" in plain or "suoiverp" in plain:
        yield plain[::-1]
    if _SPACED.search(text):
        words = re.split(r"\s{2,}|\n|(?<=[A-Za-z])[ ._*-]{2,}", text)
        yield " ".join(_SPACED.sub(lambda found: re.sub(r"[ ._*-]", "", found[0]), word) for word in words)
    if _LEET_WORDS.search(plain):
        yield plain.translate(_LEET)


def _base64_bytes(blob: str) -> bytes:
    blob = blob.rstrip("=")
    try:
        return base64.b64decode(blob[: len(blob) // 4 * 4])
    except (binascii.Error, ValueError):
        return b""


def _printable(decoded: bytes) -> Iterator[str]:
    try:
        text = decoded.decode()
    except UnicodeDecodeError:
        return
    if text and sum(char.isprintable() or char in "\n\t\r" for char in text) > 0.95 * len(text):
        yield text
