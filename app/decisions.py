"""What needs a person now: proposals, approvals, blocked sources, regressions, bursts, each with the way to decide."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app import queries
from app.words import ago, count, exact, plain, title_of, told
from soulcaster.db import runs
from soulcaster.db.cluster_screens import ClusterFilters
from soulcaster.db.jobs import list_jobs
from soulcaster.db.sources import list_sources

_MOST_RUNS = 20
_MOST_JOBS = 50


def show() -> None:
    """One line for each that waits; nothing when nothing does."""
    for part in (_proposals, _approvals, _sources, _clusters):
        with told():
            part()


def say(sentence: str, page: str, label: str, *, hint: str | None = None, **parameters: str) -> None:
    """A bordered line of Markdown, with more on hover, and a link at its end."""
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.markdown(sentence, width="stretch", help=hint)
        st.page_link(f"screens/{page}.py", label=label, query_params=parameters)


def _proposals() -> None:
    waiting = [run for run in queries.ask(runs.list_runs, queries.project(), limit=_MOST_RUNS) if run.state == "waits"]
    if waiting:
        newest = waiting[0]
        share = f", {newest.churn.share:.0%} of the grouped items would move" if newest.churn else ""
        words = f"🧩 A new grouping waits to be shown: **{ago(newest.created_at)}**{share}."
        say(words, "history", "Look and decide", hint=exact(newest.created_at))


def _approvals() -> None:
    waiting = queries.ask(list_jobs, queries.project(), statuses=("waiting",), limit=_MOST_JOBS)
    if len(waiting) == 1:
        say("✋ **1 fix** waits for somebody to approve it.", "fixes", "Look and decide", job=waiting[0].job_id)
    elif waiting:
        say(f"✋ **{len(waiting)} fixes** wait for somebody to approve them.", "fixes", "Look and decide")


def _sources() -> None:
    found = queries.ask(list_sources, queries.project())
    blocked = [source for source in found if source.state == "blocked" and not source.is_paused]
    if blocked:
        names = ", ".join(plain(source.source_id) for source in blocked[:3])
        more = f" and {len(blocked) - 3} more" if blocked[3:] else ""
        say(f"🚧 Blocked, nothing comes in: **{names}**{more}.", "settings", "See what to do", part="Sources")


def _clusters() -> None:
    kinds: tuple[tuple[ClusterFilters, dict[str, Any], str], ...] = (
        (ClusterFilters(statuses=("regressed",)), {"status": "regressed"}, "🔁 Came back after the fix"),
        (ClusterFilters(only_bursts=True), {"burst": "true"}, "🔥 Far more reports this week than before"),
    )
    for filters, parameters, words in kinds:
        frame, n_found = queries.list_clusters(filters, sort="priority", limit=1)
        if n_found:
            first = frame.row(0, named=True)
            rest = f" and {count(n_found - 1, 'more cluster')}" if n_found > 1 else ""
            title = plain(title_of(first["title"], first["cluster_id"]))
            say(f"{words}: **{title}**{rest}.", "clusters", "Look and decide", **parameters)
