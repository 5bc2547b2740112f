"""Settings: projects, sources, repositories, models, and the limits that variables set. No secret is shown or kept."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from app import (
    limit_settings,
    mapping_settings,
    model_settings,
    people_settings,
    project_settings,
    repository_settings,
    source_settings,
)
from app.words import told

_PARTS: dict[str, Callable[[], None]] = {
    "Sources": source_settings.show,
    "Mappings": mapping_settings.show,
    "Repositories": repository_settings.show,
    "Models": model_settings.show,
    "Limits": limit_settings.show,
    "People": people_settings.show,
    "Projects": project_settings.show,
}


def page() -> None:
    """Draw the part that `?part=` names."""
    st.title("Settings", anchor=False)
    part = st.segmented_control(
        "Part",
        list(_PARTS),
        default="Sources",
        key="part",
        bind="query-params",
        required=True,
        label_visibility="collapsed",
    )
    with told():
        _PARTS[part]()


if __name__ == "__main__":
    page()
