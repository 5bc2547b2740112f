"""Projects: which there are, going to another, adding one."""

from __future__ import annotations

import functools

import streamlit as st

from app import acting, people, queries
from app.words import plain
from soulcaster.db.screens import list_projects
from soulcaster.settings import load_settings
from soulcaster.views import MAX_PROJECT_CHARS, add_project


def show() -> None:
    """The projects, and a field for another."""
    settings = load_settings()
    st.caption(
        "Each has its own feedback, sources, repositories, people and groupings. By the clock Prefect works for "
        f"{plain(settings.project)} only (SOULCASTER\\_PROJECT); for another, add a schedule with its name as "
        "*project* in Prefect, or start its work on the page Runs."
    )
    names = people.visible({settings.project, *queries.ask(list_projects)})
    with st.container(border=True):
        for name in names:
            with st.container(horizontal=True, vertical_alignment="center"):
                here = " · you are here" if name == queries.project() else ""
                st.markdown(f"**{plain(name)}**{here}", width="stretch")
                if not here:
                    st.page_link("screens/overview.py", label="Go there", icon="➡️", query_params={"project": name})
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.text_input("A new project", key="project-name", max_chars=MAX_PROJECT_CHARS, width=260)
        if people.button("configure", "Add it", icon="🗃️", disabled=not name.strip(), key="project-save"):
            do = functools.partial(add_project, settings, queries.project(), name, actor=people.actor())
            acting.act(do, f"Added {name}")
