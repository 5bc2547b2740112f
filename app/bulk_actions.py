"""What a person may decide about several clusters at once: status, owner, one of several; and taking it back."""

from __future__ import annotations

import functools

import polars as pl
import streamlit as st

from app import acting, people, queries
from app.words import count, plain, title_of, told
from soulcaster import edit, triage
from soulcaster.db.screens import find_shown_run
from soulcaster.settings import load_settings

_FEWEST = 2
_MOST_MERGED = 20
_RESTORABLE = {"new", "triaged", "fixed"}
"""Statuses that Undo can give back: the others follow from something, or hold a size at which they end."""


def show(picked: pl.DataFrame) -> None:
    """Buttons for the ticked rows of the list (columns cluster_id, title, status, owner)."""
    _show_undo()
    if picked.is_empty():
        st.caption("Tick the clusters you mean; with the keyboard: arrows go from row to row, Shift and Space tick.")
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.caption(f"{count(picked.height, 'cluster')} ticked", width="content")
        if people.button("decide", "Status", icon="🚦", key="bulk-status"):
            _status(picked)
        if people.button("decide", "Owner", icon="🙋", key="bulk-owner"):
            _owner(picked)
        if picked.height == 1:  # in the list that opens at a click, the first arrow key would
            opened = {"id": picked["cluster_id"][0]}
            st.page_link("screens/cluster.py", label="Open it", icon="🗂️", query_params=opened, width="content")
        can_merge = _FEWEST <= picked.height <= _MOST_MERGED
        hint = f"Two to {_MOST_MERGED} clusters become one."
        if people.button("edit", "Merge", icon="🧲", key="bulk-merge", disabled=not can_merge, help=hint):
            _merge(picked)


@st.dialog("Status", icon="🚦")
def _status(picked: pl.DataFrame) -> None:
    chosen = st.radio(f"{count(picked.height, 'cluster')} become", triage.DECIDABLE_STATUSES, index=None, key="bulk-to")
    reason = st.text_input("Why", key="bulk-why", max_chars=500)
    if st.button("Save", type="primary", disabled=chosen is None, key="bulk-status-save") and chosen:
        decisions = [(each, was, chosen) for each, was in picked.select("cluster_id", "status").iter_rows()]

        def do() -> None:
            triage.set_statuses(load_settings(), queries.project(), decisions, actor=people.actor(), reason=reason)
            if {was for _, was, _ in decisions} <= _RESTORABLE:
                back = [(each, now, was) for each, was, now in decisions if now != was]
                _keep_undo("status", f"{count(len(back), 'cluster')} became {chosen}", back)

        acting.act(do, f"{count(picked.height, 'cluster')}: {chosen}")


@st.dialog("Owner", icon="🙋")
def _owner(picked: pl.DataFrame) -> None:
    name = st.text_input("Who looks after them", people.actor(), key="bulk-name", max_chars=100)
    if st.button("Save", type="primary", key="bulk-owner-save"):
        wanted = " ".join(name.split())
        decisions = [(each, was or "", wanted) for each, was in picked.select("cluster_id", "owner").iter_rows()]

        def do() -> None:
            triage.set_owners(load_settings(), queries.project(), decisions, actor=people.actor())
            back = [(each, now, was) for each, was, now in decisions]
            _keep_undo("owner", f"{count(len(back), 'cluster')} went to {wanted or 'nobody'}", back)

        acting.act(do, f"{count(picked.height, 'cluster')}: {wanted or 'nobody'}")


@st.dialog("Merge", icon="🧲", width="medium")
def _merge(picked: pl.DataFrame) -> None:
    st.markdown(f"These {count(picked.height, 'cluster')} become one, now and in every later grouping:")
    for cluster_id, title in picked.select("cluster_id", "title").iter_rows():
        st.text(f"• {title_of(title, cluster_id)}")
    reason = st.text_input("Why", key="bulk-merge-why", max_chars=500)
    run_id = queries.ask(find_shown_run, queries.project())
    if st.button("Merge", type="primary", key="bulk-merge-save"):
        with told():
            report = edit.merge(
                load_settings(), queries.project(), picked["cluster_id"].to_list(),
                actor=people.actor(), reason=reason, on_run=run_id,
            )  # fmt: skip
            _keep_undo("merge", f"{count(picked.height, 'cluster')} became one", [(report.edit_id, "", "")])
            acting.edit(lambda: report, "Merged")


def _keep_undo(kind: str, said: str, back: list[tuple[str, str, str]]) -> None:
    st.session_state["bulk_undo"] = (queries.project(), kind, said, back)
    st.session_state["chosen"] = st.session_state.get("chosen", 0) + 1  # the ticks are done with


def _show_undo() -> None:
    """The last thing done to several clusters, with the one button that takes all of it back."""
    project, kind, said, back = st.session_state.get("bulk_undo", ("", "", "", []))
    if project != queries.project():
        return
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.markdown(f"{plain(said)}.", width="stretch")
        if people.button("decide", "Undo", icon="↩️", key="bulk-undo"):
            settings, actor = load_settings(), people.actor()
            if kind == "merge":
                do = functools.partial(edit.undo, settings, project, back[0][0], actor=actor)
                st.session_state.pop("bulk_undo")
                acting.edit(do, "Taken back")
                return
            many = triage.set_statuses if kind == "status" else triage.set_owners

            def restore() -> None:
                many(settings, project, back, actor=actor)
                st.session_state.pop("bulk_undo")

            acting.act(restore, "Taken back")
