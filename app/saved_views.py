"""Saved views of the list of clusters: a name for filters, kept for everybody in the project."""

from __future__ import annotations

import functools

import streamlit as st

from app import acting, cluster_table, people, queries
from app.words import ago, exact, plain, told
from soulcaster.db.views import list_views
from soulcaster.settings import load_settings
from soulcaster.views import MAX_NAME_CHARS, remove_view, save_view

_KEPT = tuple(name for name in cluster_table.FILTER_KEYS if name != "page")
"""Parameters of the address that a view holds."""


def show() -> None:
    """A button that opens the list of views."""
    with st.popover("Views", icon="🔖", help="Filters under a name, for everybody in the project."), told():
        found = queries.ask(list_views, queries.project())
        if not found:
            st.caption("No view is saved yet: filter the list, then give it a name.")
        for view in found:
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.button(
                    plain(view.name),
                    key=f"view-{view.name}",
                    on_click=cluster_table.apply_filters,
                    args=(view.filters,),
                    width="stretch",
                )
                st.caption(f"by {plain(view.saved_by)}", help=exact(view.saved_at), width="content")
                if people.button(
                    "decide",
                    "Forget",
                    key=f"view-remove-{view.name}",
                    type="tertiary",
                    help=f"Saved {ago(view.saved_at)}.",
                ):
                    do = functools.partial(
                        remove_view, load_settings(), queries.project(), view.name, actor=people.actor()
                    )
                    acting.act(do, f"Forgotten: {view.name}")
        now = {name: st.query_params.get_all(name) for name in _KEPT if name in st.query_params}
        name = st.text_input("Save what is filtered now as", key="view-name", max_chars=MAX_NAME_CHARS)
        if people.button("decide", "Save", icon="🔖", key="view-save", disabled=not (name.strip() and now)):
            save = functools.partial(save_view, load_settings(), queries.project(), name, now, actor=people.actor())
            acting.act(save, f"Saved: {name}")


def _forget(name: str) -> None:
    do = functools.partial(remove_view, load_settings(), queries.project(), name, actor=people.actor())
    acting.act(do, f"Forgotten: {name}")
