"""Buttons that start work through Prefect, and what became of the run that was started."""

from __future__ import annotations

from typing import Any, Literal

import streamlit as st

from app import people, runs
from app.words import duration, plain, told
from soulcaster.actors import Action

STATE_ICONS = {
    "COMPLETED": "✅",
    "FAILED": "❌",
    "CRASHED": "💥",
    "CANCELLED": "⛔",
    "CANCELLING": "⛔",
    "RUNNING": "▶️",
    "PENDING": "⏳",
    "SCHEDULED": "⏳",
    "PAUSED": "⏸️",
}
_EVERY_SECONDS = 3.0


def start_button(
    label: str,
    deployment: str,
    parameters: dict[str, Any],
    *,
    key: str,
    is_primary: bool = False,
    width: Literal["content", "stretch"] = "content",
) -> None:
    """A button; pressing it starts the deployment and keeps the run's id for `show_started_run`."""
    action: Action = "publish" if deployment == "publish" else "work"
    look = "primary" if is_primary else "secondary"
    if people.button(action, label, key=f"start-{key}", type=look, width=width):
        with told():
            people.check(action, f"Starting {deployment!r}")
            st.session_state["started_run"] = runs.start(deployment, parameters)
            st.session_state["started_what"] = label
            st.toast(f"Started: {plain(label)}", icon="▶️")


def show_started_run() -> None:
    """Where the run stands that this reader started last; looks again by itself until it is over."""
    run_id = st.session_state.get("started_run")
    if run_id is not None:
        st.fragment(_show_run, run_every=_EVERY_SECONDS)(run_id)


def _show_run(run_id: str) -> None:
    if st.session_state.get("started_run") != run_id:
        return
    with told():
        run = runs.get_run(run_id)
        icon = STATE_ICONS.get(run.state_type, "❔")
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            st.markdown(
                f"{icon} **{plain(st.session_state['started_what'])}**: {plain(run.state.lower())}, "
                f"{duration(run.seconds)} · [the run in Prefect]({run.url})",
                width="stretch",
            )
        if run.is_over:
            del st.session_state["started_run"]
            if run.state_type == "COMPLETED":
                st.toast("Done", icon="✅")
            st.rerun()
