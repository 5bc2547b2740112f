"""Doing what a person decided on a page: call the domain, say how it went, draw anew. Work goes through Prefect."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from app import queries, runs
from app.words import count, plain, title_of, told
from soulcaster.db.cluster_screens import ClusterFilters
from soulcaster.errors import SoulcasterError
from soulcaster.models import EditReport

_MOST_CANDIDATES = 12


def act(do: Callable[[], object], done: str) -> None:
    """Run `do`; on success say `done` and draw the page anew, else say what to do about it, where the person is."""
    with told():
        do()
        st.toast(plain(done), icon="✅")
        st.rerun()


def edit(do: Callable[[], EditReport], done: str) -> None:
    """As `act` for an edit of membership: contradicted edits are told, and the new clusters get their names."""
    with told():
        report = do()
        st.toast(plain(f"{done}: {count(report.n_moved, 'item')} moved. History has a button to undo it."), icon="✅")
        for sentence in report.contradictions:
            st.toast(plain(sentence), icon="⚠️")
        _name()
        st.rerun()


def pick_cluster(label: str, *, without: str, key: str) -> tuple[str, str] | None:
    """Id and title of another cluster, found by words in its title or feedback."""
    words = st.text_input("Find it by words", key=f"{key}-words", placeholder="words in titles and feedback")
    frame, n_found = queries.list_clusters(ClusterFilters(text=words), limit=_MOST_CANDIDATES + 1)
    found = {
        row["cluster_id"]: title_of(row["title"], row["cluster_id"])
        for row in frame.iter_rows(named=True)
        if row["cluster_id"] != without
    }
    if not found:
        st.caption("No other cluster has these words.")
        return None
    chosen = st.radio(
        label, list(found)[:_MOST_CANDIDATES], format_func=lambda each: plain(found[each]), key=f"{key}-choice"
    )
    if n_found > len(found) + 1:
        st.caption(f"{count(n_found, 'cluster')} match; more words narrow it down.")
    return chosen, found[chosen]


def _name() -> None:
    """Names are written by the flow; when Prefect is away the nightly run makes up for it."""
    try:
        runs.start("summarize", {"params": {"project": queries.project()}})
    except SoulcasterError as error:
        st.toast(plain(f"New clusters are named by the next run, because: {error}"), icon="🏷️")
