"""What people are told of: each of the seven kinds, once, in words that no chat program can be fooled with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import grouping_store as made
import notice_store
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soulcaster.db import write
from soulcaster.notices import KINDS, defuse, list_notices, tell_new


def told(settings) -> list[str]:
    """Kinds of what a pass told."""
    heard = []
    tell_new(settings, made.PROJECT, heard.append)
    return sorted(notice.kind for notice in heard)


def test_each_kind_is_told_once(settings):
    """All seven are so; the next pass tells none of them; the app's address and the project are in each."""
    notice_store.make_all_so(settings)

    heard = []
    tell_new(settings, made.PROJECT, heard.append)

    assert sorted(KINDS) == sorted({notice.kind for notice in heard})
    assert all(
        notice.message.startswith("Project acme: ") and "http://localhost:8501/" in notice.link for notice in heard
    )
    assert [] == told(settings)


def test_what_was_not_so_for_a_day_is_told_again_and_what_flickers_is_not(settings):
    """A regression that is fixed and comes back within the hour stays quiet; two days later it is news."""
    notice_store.make_all_so(settings)
    told(settings)

    def change(sql: str, *params: object) -> None:
        write(settings.duckdb_path, lambda con: con.execute(sql, params))

    change("UPDATE clusters SET status = 'fixed' WHERE status = 'regressed'")
    assert [] == told(settings)
    change("UPDATE clusters SET status = 'regressed' WHERE status = 'fixed'")
    assert [] == told(settings)
    change("UPDATE clusters SET status = 'fixed' WHERE status = 'regressed'")
    change(
        "UPDATE notices SET seen_at = $1 WHERE starts_with(key, 'regression')", datetime.now(UTC) - timedelta(days=2)
    )
    told(settings)
    change("UPDATE clusters SET status = 'regressed' WHERE status = 'fixed'")

    assert ["regression"] == told(settings)


def test_a_pass_that_dies_while_telling_tells_again(settings):
    """Nothing is noted before it was told."""
    notice_store.make_all_so(settings)

    def die(_notice):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tell_new(settings, made.PROJECT, die)

    assert len(list_notices(settings, made.PROJECT)) == len(told(settings))


@pytest.mark.parametrize(
    "hostile",
    ["<!channel> see <https://evil.example|here>", "@everyone [x](http://evil.example)",
     "{{ event }} `rm` www.evil.example", "line one\nline two\u202e\u0000", "*" * 5000],
)  # fmt: skip
def test_strangers_words_make_no_link_mention_or_markup(hostile):
    """What Slack, Discord, Teams, Jinja or a mail program would act upon is gone; the words stay readable."""
    line = defuse(hostile)

    assert not set("<>@`*_{}[]()|\n\u202e\u0000") & set(line)
    assert "://" not in line
    assert "evil.example" not in line
    assert len(line) <= 80


@given(st.text(max_size=300))
def test_any_text_becomes_one_short_printable_line(text):
    """Whatever comes; and doing it twice changes nothing."""
    line = defuse(text)

    assert len(line) <= 80
    assert all(c.isprintable() for c in line)
    assert line == defuse(line)
