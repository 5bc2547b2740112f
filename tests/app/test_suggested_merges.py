"""What a model says on a cluster's page: hints, kind, severity, and merges that people agree with or not."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from seeding import PROJECT, seed_drawn
from streamlit.testing.v1 import AppTest

from soulcaster.db import read, write
from soulcaster.db.suggestions import replace_suggestions
from soulcaster.settings import Settings

REASON = "Both lose the session <b>cookie</b>."


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Five clusters; a model takes the first two for one problem, and knows something of the first."""
    path = Settings(_env_file=None, home=tmp_path).duckdb_path
    first, second, *_ = ids = sorted(seed_drawn(path, n_items=60, n_clusters=5))
    rows = pl.DataFrame({"cluster_id": [first], "other_cluster_id": [second], "similarity": [0.7], "reason": [REASON]})

    def told(con):
        replace_suggestions(con, PROJECT, rows, now=datetime.now(UTC))
        con.execute(
            "UPDATE clusters SET hints = ['Open [it](javascript:alert(1))'], kind = 'bug', severity = 'high', "
            "summary = 'People say so.' WHERE cluster_id = $1::UUID",
            [first],
        )

    write(path, told)
    assert 5 == len(ids)
    return tmp_path


def clusters(home: Path) -> list[str]:
    """Ids of the clusters on show."""
    query = "SELECT DISTINCT cluster_id::VARCHAR FROM published_memberships WHERE cluster_id IS NOT NULL ORDER BY 1"
    path = Settings(_env_file=None, home=home).duckdb_path
    return [row[0] for row in read(path, lambda con: con.execute(query).fetchall())]


def said(at: AppTest) -> str:
    """Text that the page shows as text."""
    return "\n".join(str(element.value) for kind in (at.text, at.markdown, at.subheader) for element in kind)


def test_both_pages_show_the_suggestion_and_others_do_not(open_page, home):
    """With its reason, as plain text, and a button."""
    first, second, third, *_ = clusters(home)

    for cluster in (first, second):
        at = open_page(home, "cluster", id=cluster)
        assert REASON in [text.value for text in at.text]
        assert ["Merge them"] == [button.label for button in at.button if "suggested" in str(button.key)]
    assert "Maybe the same problem" not in said(open_page(home, "cluster", id=third))


def test_agreeing_merges_the_two_and_the_suggestion_is_gone(open_page, home):
    """An edit like any other: one cluster fewer, in the log with the reason."""
    first, *_ = before = clusters(home)
    at = open_page(home, "cluster", id=first)

    next(button for button in at.button if "suggested" in str(button.key)).click().run()

    assert not at.exception
    assert len(before) - 1 == len(clusters(home))
    path = Settings(_env_file=None, home=home).duckdb_path
    [(kind, reason)] = read(path, lambda con: con.execute("SELECT kind, reason FROM edits").fetchall())
    assert ("merge", f"suggested: {REASON}") == (kind, reason)


def test_hints_kind_and_severity_are_shown_as_plain_text(open_page, home):
    """Words of a model are as little markup as those of strangers."""
    at = open_page(home, "cluster", id=clusters(home)[0])

    assert "→ Open [it](javascript:alert(1))" in [text.value for text in at.text]
    assert "kind bug" in said(at)
    assert "severity high" in said(at)
