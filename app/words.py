"""How the screens say things: sources, numbers, times, errors, and text from outside that must stay text.

Owns no data and asks nobody. Whatever people wrote goes to `st.text`, `st.code` or a table cell; where Streamlit only
offers Markdown (titles, labels), it goes through `plain` first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import polars as pl
import streamlit as st

from soulcaster.errors import SoulcasterError

SOURCE_LABELS = {"reddit": "💬 Reddit", "sentry": "🐞 Sentry", "github": "🐙 GitHub", "manual": "📝 Manual"}
SOURCE_NAMES = {label.split(" ", 1)[1]: source for source, label in SOURCE_LABELS.items()}
"""'Reddit': 'reddit' and so on: what filters offer, and what stands in the address."""
SOURCE_COLORS = {"reddit": "#D55E00", "sentry": "#CC79A7", "github": "#0072B2", "manual": "#009E73"}
"""Told apart with every common kind of colour blindness. Source: Okabe and Ito, Color Universal Design, 2008."""

STATE_LABELS = {"open": "open", "closed": "☑️ closed", "removed": "🚫 removed", "deleted": "🗑️ deleted"}
STATUS_LABELS = {
    "regressed": "🔁 regressed",
    "fixing": "🛠️ fixing",
    "pr_open": "🔀 pull request",
    "fixed": "✅ fixed",
    "ignored": "🔕 ignored",
}
BURST_LABEL = "🔥 burst"
EXACT_TIME_HINT = "For exact times show the column *… exactly* by the eye in the table's corner, or open the row."
WEB_ADDRESS = r"(?i)^https?://\S+$"
"""What may become a link: http or https, nothing else."""
ROW_PIXELS = 38
_HEADER_PIXELS = 37
_JOINER = "\u2060"
_PUNCTUATION = re.compile(r"([\\`*_{}\[\]()#+\-.!|~<>$&^=\"'/])")
_UNITS = ((31_557_600, "year"), (2_629_800, "month"), (604_800, "week"), (86_400, "day"), (3_600, "hour"))


def plain(text: str) -> str:
    """Markdown that shows exactly `text`, on one line: no link, image, style, icon, formula or HTML comes alive.

    Backslashes stop the parser; the invisible word joiners stop what works on finished text: addresses that become
    links by themselves, `:shortcodes:` and `->` arrows.
    """
    one_line = " ".join(text.split())
    escaped = _PUNCTUATION.sub(r"\\\1", one_line)
    escaped = re.sub(r"(\\[-<>=~])(?=\\[-<>=~])", rf"\1{_JOINER}", escaped)
    escaped = re.sub(r"([:@])", rf"{_JOINER}\1{_JOINER}", escaped)
    return re.sub(r"(?i)(www|https?|ftp|mailto|xmpp)", lambda found: found[0][0] + _JOINER + found[0][1:], escaped)


def marked(text: str, terms: Sequence[str]) -> str:
    """Markdown that shows `text` line by line as `plain` does, with the words that are in `terms` marked and bold."""
    words = sorted({term.strip() for term in terms if term.strip()}, key=len, reverse=True)
    pattern = (
        re.compile("|".join(rf"(?<!\w){re.escape(word)}(?!\w)" for word in words), re.IGNORECASE) if words else None
    )
    return "  \n".join(_marked_line(line.strip(), pattern) for line in text.splitlines())


def _marked_line(line: str, pattern: re.Pattern[str] | None) -> str:
    made, place = "", 0
    for found in pattern.finditer(line) if pattern else ():
        made += _spaced(line[place : found.start()]) + f":yellow-background[**{plain(found[0])}**]"
        place = found.end()
    return made + _spaced(line[place:])


def _spaced(part: str) -> str:
    """`plain` that keeps a space at either end."""
    if not part.strip():
        return " " if part else ""
    return (" " if part[0].isspace() else "") + plain(part) + (" " if part[-1].isspace() else "")


def offered_sources(present: Iterable[str]) -> dict[str, str]:
    """Sources by what filters and the address call them: the four of ours, then by name those that a mapping reads."""
    return SOURCE_NAMES | {name: name for name in sorted(present) if name not in SOURCE_LABELS}


def title_of(title: str | None, cluster_id: str | None) -> str:
    """A cluster's title, or a name to tell it by until it has one. Not Markdown: see `plain`."""
    return title or f"Untitled cluster {(cluster_id or '')[:8]}"


def number(value: float) -> str:
    """Digits in groups of three, with a thin space, which no reader takes for a decimal mark."""
    return f"{value:,.0f}".replace(",", "\u202f")


def short_number(value: int) -> str:
    """'87', '9.5k', '120k', '1.3M': for where room is short and the exact number stands elsewhere."""
    for size, unit in ((1_000_000, "M"), (1_000, "k")):
        if value >= size:
            return f"{value / size:.1f}".removesuffix(".0") + unit if value < 100 * size else f"{value // size}{unit}"
    return str(value)


def count(n: int, noun: str) -> str:
    """'1 item', '2 items'."""
    return f"{number(n)} {noun}{'' if n == 1 else 's'}"


def duration(seconds: float) -> str:
    """'0.4 s', '12 s', '3 min 5 s', '2 h 10 min'."""
    if seconds < 60:  # noqa: PLR2004  a minute
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"  # noqa: PLR2004  two digits are enough
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"  # noqa: PLR2004


def ago(at: datetime | None, now: datetime | None = None) -> str:
    """'3 days ago'; the exact time belongs on hover, see `exact`."""
    if at is None:
        return "at an unknown time"
    seconds = ((now or datetime.now(UTC)) - at).total_seconds()
    if abs(seconds) < 90:  # noqa: PLR2004  below this, people say 'now'
        return "just now"
    words = f"{round(abs(seconds) / 60)} minutes"
    for unit_seconds, unit in _UNITS:
        if abs(seconds) >= unit_seconds * 1.5 or (unit == "hour" and abs(seconds) >= unit_seconds):
            words = count(round(abs(seconds) / unit_seconds), unit)
            break
    return f"{words} ago" if seconds > 0 else f"in {words}"


def exact(at: datetime | None) -> str:
    """The reader's clock: '22 Nov 2026, 13:05 (Europe/Berlin)'; UTC when the browser does not say."""
    if at is None:
        return "the source does not say when"
    zone = reader_zone()
    return f"{at.astimezone(ZoneInfo(zone)):%-d %b %Y, %H:%M} ({zone})"


def tell_exactly(frame: pl.DataFrame, column: str) -> pl.DataFrame:
    """The frame with that time (name ends on `_at`) on the reader's clock, and again as `<name>_exactly`."""
    at = pl.col(column).dt.convert_time_zone(reader_zone())
    return frame.with_columns(at, at.alias(f"{column.removesuffix('_at')}_exactly"))


def time_columns(column: str, label: str, width: int) -> dict[str, Any]:
    """How a table shows both columns of `tell_exactly`: how long ago, and the exact one, which people switch on."""
    config = st.column_config
    return {
        column: config.DatetimeColumn(label, format="distance", width=width, help=EXACT_TIME_HINT),
        f"{column.removesuffix('_at')}_exactly": config.DatetimeColumn(f"{label}, exactly", format="D MMM YYYY, HH:mm"),
    }


def reader_zone() -> str:
    """Name of the time zone of the reader's browser, 'UTC' when it is unknown."""
    name = st.context.timezone or "UTC"
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return "UTC"
    return name


def web_links(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with `url` emptied wherever it is not an http(s) address."""
    return frame.with_columns(pl.when(pl.col("url").str.contains(WEB_ADDRESS)).then(pl.col("url")))


def is_web_link(url: str | None) -> bool:
    """Whether an address may become a link: http or https, nothing else."""
    return url is not None and re.match(WEB_ADDRESS, url) is not None


def spreadsheet_safe(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with an apostrophe before text that a spreadsheet would run as a formula.

    Source: OWASP, CSV Injection.
    """
    texts = [name for name, kind in frame.schema.items() if kind == pl.String]
    return frame.with_columns(
        pl.when(pl.col(name).str.contains(r"^[=+\-@\t\r]")).then("'" + pl.col(name)).otherwise(pl.col(name)).alias(name)
        for name in texts
    )


def table_height(n_rows: int, *, most: int = 25) -> int:
    """Pixels of a table that ends with a whole row: all rows, or as many as `most`, then it scrolls."""
    return min(n_rows, most) * ROW_PIXELS + _HEADER_PIXELS


@contextmanager
def told(*, title: str = "") -> Iterator[None]:
    """Run a part of a page; our own errors become their sentence, under `title` if given, and the rest goes on."""
    try:
        yield
    except SoulcasterError as error:
        if title:
            st.title(title, anchor=False)
        st.warning(plain(str(error)), icon="⚠️")
