"""Clusters that a model takes for the same problem as the one on the page, each with a button that merges them."""

from __future__ import annotations

import functools

import streamlit as st

from app import acting, people, queries
from app.words import plain, title_of
from soulcaster import edit
from soulcaster.db.suggestions import Suggestion
from soulcaster.settings import load_settings

_MOST = 5


def show(suggestions: list[Suggestion], run_id: str | None) -> None:
    """Nothing when there is no suggestion; `run_id` is the run on show."""
    found = suggestions[:_MOST]
    if not found or run_id is None:
        return
    st.subheader(
        "Maybe the same problem", anchor=False, help="A model says that one change would fix both. You decide."
    )
    for each in found:
        _row(each, run_id)


def _row(suggestion: Suggestion, run_id: str) -> None:
    other = suggestion.other_cluster_id
    with st.container(border=True):
        st.page_link(
            "screens/cluster.py",
            label=plain(title_of(suggestion.other_title, other)),
            query_params={"id": other},
        )
        st.text(suggestion.reason)
        if people.button("edit", "Merge them", icon="🧲", key=f"suggested-{other}"):
            do = functools.partial(
                edit.merge, load_settings(), queries.project(), [suggestion.cluster_id, other],
                actor=people.actor(), reason=f"suggested: {suggestion.reason}", on_run=run_id,
            )  # fmt: skip
            acting.edit(do, "Merged")
