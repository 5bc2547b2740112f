"""What the screens say, and that text from outside stays text."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from app.words import ago, duration, is_web_link, marked, number, plain, short_number, spreadsheet_safe, web_links

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("before", "words"),
    [
        (timedelta(seconds=20), "just now"),
        (timedelta(minutes=5), "5 minutes ago"),
        (timedelta(hours=1), "1 hour ago"),
        (timedelta(hours=23), "23 hours ago"),
        (timedelta(days=3), "3 days ago"),
        (timedelta(days=20), "3 weeks ago"),
        (timedelta(days=400), "13 months ago"),
        (timedelta(days=-2), "in 2 days"),
    ],
)
def test_ages_are_said_in_the_unit_people_use(before, words):
    """Relative times read like speech."""
    assert words == ago(NOW - before, NOW)


def test_unknown_time_is_said_to_be_unknown():
    """A source that gives no time does not become 1970."""
    assert "unknown" in ago(None)


def test_numbers_and_durations_are_readable():
    """Thousands are grouped; long durations change their unit."""
    assert number(1234567).split() == ["1", "234", "567"]
    assert ("0.4 s", "12 s", "3 min 5 s", "2 h 10 min") == tuple(duration(s) for s in (0.4, 12, 185, 7800))


def test_short_numbers_keep_two_digits():
    """Where room is short."""
    assert ["0", "999", "1k", "9.5k", "120k", "1.3M"] == [
        short_number(n) for n in (0, 999, 1_000, 9_511, 120_400, 1_300_000)
    ]


def test_plain_leaves_no_markdown_alive_and_loses_no_letter():
    """Every character of the text is still there once escapes and joiners are taken away."""
    text = "**b** [x](javascript:1) <img src=x> :material/home: $x$ | `c` https://a.test www.b.test m@c.test -> # h"

    escaped = plain(text)

    assert text == escaped.replace("\\", "").replace("\u2060", "")
    assert not re.search(r"(?<!\\)[*\[\]()<>$`|#!~_-]", escaped)
    for alive in (":material", "https", "www", "m@c"):
        assert alive not in escaped


def test_plain_is_one_line():
    """A line break cannot start a heading or a list."""
    assert "\n" not in plain("a\n# b\n\n- c")


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "//a.test", "", None])
def test_only_web_addresses_become_links(url):
    """Anything but http and https is no link, alone and in a table."""
    assert not is_web_link(url)
    assert [None] == web_links(pl.DataFrame({"url": [url]}, schema={"url": pl.String}))["url"].to_list()


def test_exported_text_cannot_run_as_a_formula():
    """A spreadsheet shows the text instead of computing it; numbers stay numbers."""
    frame = spreadsheet_safe(pl.DataFrame({"title": ["=1+1", "@x", "+1", "plain"], "n": [-1, 2, 3, 4]}))

    assert ["'=1+1", "'@x", "'+1", "plain"] == frame["title"].to_list()
    assert [-1, 2, 3, 4] == frame["n"].to_list()


def test_marked_words_are_whole_words_and_everything_else_stays_text():
    """Terms are marked in any case, lines stay lines, Markdown of the text and of a term stays dead."""
    assert "my :yellow-background[**Export**] fails  \nexporter \\*stays\\*" == marked(
        "my Export fails\n exporter *stays*", ["export", ""]
    )
    assert ":yellow-background[**\\[a\\]\\(b\\)**]" == marked("[a](b)", ["[a](b)"])
    assert "plain" == marked("plain", [])
