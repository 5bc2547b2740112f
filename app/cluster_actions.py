"""What a person may decide about the cluster on the page: status, owner, title, a remark, one with another."""

from __future__ import annotations

import functools

import streamlit as st

from app import acting, fix_actions, people, queries
from app.words import number, plain, title_of
from soulcaster import edit, triage
from soulcaster.db.triage import Decided
from soulcaster.fix_models import Job
from soulcaster.settings import load_settings

_LABELS = {"new": "🆕 new", "triaged": "👀 triaged", "ignored": "🙈 ignored", "fixed": "✅ fixed"}


def show(decided: Decided, run_id: str | None, job: Job | None) -> None:
    """Buttons for the cluster as it is now; `run_id` is the run on show, None before the first; `job` the last fix."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if people.button("decide", "Status", icon="🚦", key="act-status"):
            _status(decided)
        if people.button("decide", "Rename", icon="✏️", key="act-rename"):
            _rename(decided)
        if people.button("decide", "Owner", icon="🙋", key="act-owner"):
            _owner(decided)
        if people.button("decide", "Comment", icon="💬", key="act-comment"):
            _comment(decided)
        if decided.n_items and run_id and people.button("edit", "Merge with …", icon="🧲", key="act-merge"):
            _merge(decided, run_id)
        if decided.n_items:
            fix_actions.show(decided.cluster_id, job)
        owner = f"looked after by {plain(decided.owner)}" if decided.owner else "nobody looks after it yet"
        wakes = f" · comes back at {number(decided.wakes_at)} items" if decided.wakes_at else ""
        st.caption(owner + wakes, width="content")


@st.dialog("Status", icon="🚦")
def _status(decided: Decided) -> None:
    options = list(triage.DECIDABLE_STATUSES)
    place = options.index(decided.status) if decided.status in options else None
    chosen = st.radio("It is", options, index=place, format_func=_LABELS.__getitem__, key="status-choice")
    until = None
    if chosen == "ignored" and st.toggle("Until it grows", key="status-until"):
        until = int(st.number_input("Comes back when it has so many items", decided.n_items + 1, key="status-items"))
    reason = st.text_input("Why", key="status-reason", max_chars=500)
    if st.button("Save", type="primary", disabled=chosen is None, key="status-save") and chosen:
        do = functools.partial(
            triage.set_status, load_settings(), queries.project(), decided.cluster_id, chosen,
            actor=people.actor(), reason=reason, until_items=until, was=decided.status,
        )  # fmt: skip
        acting.act(do, f"Status: {chosen}")


@st.dialog("Rename", icon="✏️")
def _rename(decided: Decided) -> None:
    title = st.text_input("Title", decided.title or "", max_chars=triage.MAX_TITLE_CHARS, key="rename-title")
    st.caption("A title that a person gave is not replaced when the cluster is named anew.")
    if st.button("Save", type="primary", disabled=not title.strip(), key="rename-save"):
        do = functools.partial(
            triage.rename, load_settings(), queries.project(), decided.cluster_id, title,
            actor=people.actor(), was=decided.title or "",
        )  # fmt: skip
        acting.act(do, "Renamed")


@st.dialog("Owner", icon="🙋")
def _owner(decided: Decided) -> None:
    name = st.text_input("Who looks after it", decided.owner or people.actor(), key="owner-name", max_chars=100)
    if st.button("Save", type="primary", key="owner-save"):
        do = functools.partial(
            triage.set_owner, load_settings(), queries.project(), decided.cluster_id, name,
            actor=people.actor(), was=decided.owner or "",
        )  # fmt: skip
        acting.act(do, "Owner saved")


@st.dialog("Comment", icon="💬")
def _comment(decided: Decided) -> None:
    text = st.text_area("What to remember", key="comment-text", max_chars=5_000)
    if st.button("Save", type="primary", disabled=not text.strip(), key="comment-save"):
        do = functools.partial(
            triage.comment, load_settings(), queries.project(), decided.cluster_id, text, actor=people.actor()
        )
        acting.act(do, "Comment added")


@st.dialog("Merge", icon="🧲", width="medium")
def _merge(decided: Decided, run_id: str) -> None:
    st.markdown(f"Both become one cluster, now and in every later grouping: **{plain(_title(decided))}** and")
    picked = acting.pick_cluster("this one", without=decided.cluster_id, key="merge")
    reason = st.text_input("Why", key="merge-reason", max_chars=500)
    if picked and st.button("Merge", type="primary", key="merge-save"):
        do = functools.partial(
            edit.merge, load_settings(), queries.project(), [decided.cluster_id, picked[0]],
            actor=people.actor(), reason=reason, on_run=run_id,
        )  # fmt: skip
        acting.edit(do, "Merged")


def _title(decided: Decided) -> str:
    return title_of(decided.title, decided.cluster_id)
