"""Who is at the screen: the name that goes into the activity log with everything they decide.

There is no sign-in yet, so the app listens on loopback by default and takes the name that the person gives.
"""

from __future__ import annotations

import getpass

import streamlit as st

_MOST_CHARS = 60


def introduce() -> None:
    """A field in the sidebar with the reader's name; the login of the machine stands in it at first."""
    st.sidebar.text_input(
        "You are",
        value=getpass.getuser(),
        max_chars=_MOST_CHARS,
        key="person",
        help="Goes into the activity log with what you decide. There is no sign-in: whoever reaches this page may act.",
    )


def actor() -> str:
    """The name of who acts."""
    given = " ".join(str(st.session_state.get("person") or "").split())
    return given[:_MOST_CHARS] or getpass.getuser()
