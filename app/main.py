"""Entry of the app: `streamlit run app/main.py`. Names the pages and the project; each page is a file in `screens/`."""

from __future__ import annotations

from pathlib import Path

import duckdb
import streamlit as st

from app import people, queries
from app.words import plain, told
from soulcaster.db import check_schema
from soulcaster.db.screens import list_projects
from soulcaster.errors import SoulcasterError
from soulcaster.settings import load_settings

HERE = Path(__file__).parent


def main() -> None:
    """Draw what all pages share, then the page that was asked for."""
    st.set_page_config(page_title="Soulcaster", page_icon="🔮", layout="wide", initial_sidebar_state=220)
    st.logo(HERE / "static" / "logo.svg", size="large")
    pages = {
        "Explore": [
            st.Page("screens/overview.py", title="Overview", icon="🧭", default=True),
            st.Page("screens/clusters.py", title="Clusters", icon="🗂️", url_path="clusters"),
            st.Page("screens/cluster.py", title="Cluster", icon="🔎", url_path="cluster", visibility="hidden"),
            st.Page("screens/map.py", title="Map", icon="🗺️", url_path="map"),
            st.Page("screens/fixes.py", title="Fixes", icon="🔧", url_path="fixes"),
            st.Page("screens/feedback.py", title="Feedback", icon="💬", url_path="feedback"),
        ],
        "Operate": [
            st.Page("screens/history.py", title="Runs", icon="⚙️", url_path="runs"),
            st.Page("screens/settings.py", title="Settings", icon="🎛️", url_path="settings"),
        ],
    }
    page = st.navigation(pages)
    try:
        settings = load_settings()
    except SoulcasterError as error:
        st.error(plain(str(error)), icon="⚠️")
        st.stop()
    people.enter()
    with told():
        _choose_project(settings.project)
    people.introduce()
    page.run()


def _choose_project(preset: str) -> None:
    """A choice in the sidebar, when there is one; the address names the project, so that a link can be shared."""
    path = load_settings().duckdb_path
    names = queries.ask(_checked_projects, path) if path.exists() else []
    options = people.visible({preset, *names})
    if options and options != [preset]:
        index = options.index(preset) if preset in options else 0
        st.sidebar.selectbox("Project", options, index=index, key="project", bind="query-params")


def _checked_projects(con: duckdb.DuckDBPyConnection, path: Path) -> list[str]:
    """The projects of a store whose schema is ours."""
    check_schema(con, path)
    return list_projects(con)


if __name__ == "__main__":
    main()
