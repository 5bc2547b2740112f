"""Starting a backfill: which source, from when to when, in windows of which length. The work is Prefect's."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import streamlit as st

from app import people, queries, runs
from app.words import told
from soulcaster.db.sources import list_sources

_OTHER = "A file or folder on the worker's machine"
_WINDOWS = ["7d", "1d", "12h", "2w"]
_USUAL_DAYS = 90


@st.dialog("Fetch history", icon="🕰️", width="medium")
def ask() -> None:
    """A form; its button starts the deployment `backfill`."""
    st.markdown("History is fetched window by window, beside the live intake; started again it goes on where it was.")
    with told():
        sources = [source.source_id for source in queries.ask(list_sources, queries.project())]
        target = st.selectbox("From where", [*sources, _OTHER], key="backfill-source")
        wanted: dict[str, Any] = {"project": queries.project()}
        if target == _OTHER:
            wanted["target"] = st.text_input("Path", key="backfill-path", max_chars=4_096).strip()
        else:
            wanted |= {"target": target, **_span()}
        if st.button("Start", type="primary", disabled=not wanted["target"], key="backfill-start"):
            # A path names any file that the worker may read, so it takes more than a source that an admin chose.
            people.check("configure" if target == _OTHER else "work", "Starting 'backfill'")
            st.session_state["started_run"] = runs.start("backfill", {"params": wanted})
            st.session_state["started_what"] = f"Fetch history of {wanted['target']}"
            st.rerun()


def _span() -> dict[str, str]:
    """Begin, end (of the day before it) and length of windows, as the deployment takes them."""
    today = datetime.now(UTC).date()
    left, middle, right = st.columns(3)
    first = left.date_input("From", today - timedelta(days=_USUAL_DAYS), max_value=today, key="backfill-from")
    last = middle.date_input("To, inclusive", today, max_value=today, key="backfill-to")
    window = right.selectbox("In windows of", _WINDOWS, key="backfill-window")
    end = min(datetime.now(UTC), _midnight(last) + timedelta(days=1))
    return {"start": _midnight(first).isoformat(), "end": end.isoformat(), "window": window}


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=UTC)
