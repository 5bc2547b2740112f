"""Filter controls that the lists share: each lives in the address, and a change leads back to the first page."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

MOST_SEARCHED_CHARS = 200


def first_page() -> None:
    """Turn to the first page; what was on another page may be gone after a change of filters."""
    st.session_state["page"] = 1


def search(placeholder: str, *, width: int, on_change: Callable[[], None] = first_page) -> str:
    """The words to look for, empty for none; `?q=` in the address."""
    return (
        st.text_input(
            "Search",
            key="q",
            bind="query-params",
            type="search",
            placeholder=placeholder,
            max_chars=MOST_SEARCHED_CHARS,
            width=width,
            on_change=on_change,
        )
        or ""
    )


def pick_many(label: str, options: Sequence[str], *, key: str, width: int) -> list[str]:
    """The chosen options in a fixed order, none for all; `?key=` in the address, once for each."""
    if key in st.session_state:  # what is offered may have changed since it was chosen
        st.session_state[key] = [each for each in st.session_state[key] if each in options]
    chosen = st.multiselect(
        label, options, key=key, bind="query-params", placeholder="all", width=width, on_change=first_page
    )
    return sorted(chosen)


def pick_one(label: str, options: Sequence[str], *, key: str, width: int) -> str | None:
    """The chosen option, None for all."""
    if st.session_state.get(key) not in (None, *options):
        st.session_state[key] = None
    return st.selectbox(
        label, options, index=None, key=key, bind="query-params", placeholder="all", width=width, on_change=first_page
    )


def pick_order(label: str, options: Sequence[str], *, key: str, width: int) -> str:
    """The chosen option; the first unless the reader chose another."""
    return st.selectbox(label, options, key=key, bind="query-params", width=width, on_change=first_page)
