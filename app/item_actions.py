"""What a person may decide about items of the cluster on the page: split off, take out, move elsewhere; and undo."""

from __future__ import annotations

import functools
from typing import Any

import polars as pl
import streamlit as st

from app import acting, people, queries
from app.words import SOURCE_LABELS, ago, count, exact, plain
from soulcaster import edit
from soulcaster.db.edits import Edit, list_undone
from soulcaster.settings import load_settings

_FEWEST = 2
_WORDS = {
    "status": "🚦 set the status",
    "rename": "✏️ renamed it",
    "owner": "🙋 set the owner",
    "comment": "💬 said",
    "merge": "🧲 merged clusters",
    "split": "✂️ split it",
    "move": "➡️ moved an item",
    "exclude": "🚪 took an item out",
    "undo": "↩️ took an edit back",
}


def show(cluster_id: str, n_items: int, picked: list[str], run_id: str) -> None:
    """Buttons for the items that the person picked in the table."""
    if not picked:
        st.caption("Tick the items that do not belong here.")
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"{count(len(picked), 'item')} picked", width="content")
        can_split = _FEWEST <= len(picked) < n_items
        if people.button("edit", "A cluster of their own", icon="✂️", disabled=not can_split, key="act-split"):
            _split(cluster_id, picked, run_id)
        is_one = len(picked) == 1
        if people.button(
            "edit", "Not this one", icon="🚪", disabled=not is_one, key="act-exclude", help="Never here again."
        ):
            _exclude(cluster_id, picked[0], run_id)
        if people.button("edit", "Move to …", icon="➡️", disabled=not is_one, key="act-move"):
            _move(cluster_id, picked[0], run_id)


@st.dialog("A cluster of their own", icon="✂️")
def _split(cluster_id: str, picked: list[str], run_id: str) -> None:
    st.markdown(f"{count(len(picked), 'item')} become another cluster, now and in every later grouping.")
    reason = st.text_input("Why", key="split-reason", max_chars=500)
    if st.button("Split", type="primary", key="split-save"):
        do = functools.partial(
            edit.split, load_settings(), queries.project(), cluster_id, picked,
            actor=people.actor(), reason=reason, on_run=run_id,
        )  # fmt: skip
        acting.edit(do, "Split")


@st.dialog("Not this one", icon="🚪")
def _exclude(cluster_id: str, item_id: str, run_id: str) -> None:
    st.markdown("The item leaves and is never put with these again. It waits as noise until something fits it.")
    reason = st.text_input("Why", key="exclude-reason", max_chars=500)
    if st.button("Take it out", type="primary", key="exclude-save"):
        do = functools.partial(
            edit.exclude, load_settings(), queries.project(), item_id, cluster_id,
            actor=people.actor(), reason=reason, on_run=run_id,
        )  # fmt: skip
        acting.edit(do, "Taken out")


@st.dialog("Move", icon="➡️", width="medium")
def _move(cluster_id: str, item_id: str, run_id: str) -> None:
    picked = acting.pick_cluster("It belongs to", without=cluster_id, key="move")
    reason = st.text_input("Why", key="move-reason", max_chars=500)
    if picked and st.button("Move", type="primary", key="move-save"):
        do = functools.partial(
            edit.move, load_settings(), queries.project(), item_id, picked[0],
            actor=people.actor(), reason=reason, on_run=run_id,
        )  # fmt: skip
        acting.edit(do, "Moved")


def show_near(cluster_id: str, frame: pl.DataFrame, run_id: str | None) -> None:
    """Rows of `list_near_noise`: what stands alone and is nearest to this cluster, each with a button to take it in."""
    if frame.is_empty() or run_id is None:
        return
    hint = "Noise whose nearest cluster this is. Adopting holds in every later grouping."
    with st.expander(f"Stands alone near by: {count(frame.height, 'item')}", icon="🧲", key="near-noise"):
        st.caption(hint)
        for row in frame.iter_rows(named=True):
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                source = SOURCE_LABELS.get(row["source"], plain(row["source"]))
                likeness = f"{source} · {ago(row['happened_at'])} · likeness {row['similarity']:.2f}"
                said = f"{plain(row['snippet'])}  \n:gray[{likeness}]"
                st.markdown(said, width="stretch", help=exact(row["happened_at"]))
                if people.button("edit", "Adopt", icon="🧲", key=f"adopt-{row['item_id']}"):
                    do = functools.partial(
                        edit.move, load_settings(), queries.project(), row["item_id"], cluster_id,
                        actor=people.actor(), reason="adopted on its page", on_run=run_id,
                    )  # fmt: skip
                    acting.edit(do, "Adopted")


def show_log(rows: list[dict[str, Any]], edits: list[Edit]) -> None:
    """Who decided what about the cluster, newest first, with a button to take each of the edits back."""
    st.subheader("What people did", anchor=False)
    said = [row for row in rows if row["action"] in _WORDS]
    if not said:
        st.caption("Nobody has decided anything about it yet.")
        return
    by_run = {each.run_id: each.edit_id for each in edits}
    undone = list_undone(edits)
    for row in said:
        _entry(row, by_run.get(row["subject"]), undone)


def _entry(row: dict[str, Any], edit_id: str | None, undone: set[str]) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        what = f"**{plain(row['actor'])}** {_WORDS[row['action']]} · {ago(row['happened_at'])}"
        st.markdown(what, help=exact(row["happened_at"]), width="content")
        if edit_id in undone:
            st.caption("taken back", width="content")
        elif edit_id and people.button("edit", "Undo", icon="↩️", type="tertiary", key=f"undo-{edit_id}"):
            do = functools.partial(edit.undo, load_settings(), queries.project(), edit_id, actor=people.actor())
            acting.edit(do, "Taken back")
    if row["reason"]:
        st.text(row["reason"])
