"""Taking in feedback from a page: one typed text, with the clusters that sound like it, or a table of many."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import streamlit as st

from app import launch, people, queries, searching
from app.words import count, number, plain, title_of, told
from soulcaster.ingest import add_typed, import_path
from soulcaster.models import ImportReport
from soulcaster.settings import load_settings
from soulcaster.sources.tabular import ColumnMap

_KINDS = ("csv", "jsonl", "parquet")
_MOST_BYTES = 200 * 1024 * 1024
_FEWEST_CHARS = 12


def show() -> None:
    """Two buttons that open a dialog each, and what was started from one."""
    buttons()
    launch.show_started_run()


def buttons() -> None:
    """Two buttons that open a dialog each."""
    with st.container(horizontal=True):
        if people.button("take in", "Add feedback", icon="📝", key="add-feedback"):
            _typed()
        if people.button("take in", "Upload a table", icon="⬆️", key="upload"):
            _table()


@st.dialog("Add feedback", icon="📝", width="medium")
def _typed() -> None:
    title = st.text_input("In one line", key="typed-title", max_chars=300)
    body = st.text_area("What they said", key="typed-body", max_chars=20_000)
    author = st.text_input("Who said it", people.actor(), key="typed-author", max_chars=100)
    url = st.text_input("Where (a link, if there is one)", key="typed-url", max_chars=2_000)
    words = f"{title} {body}".strip()
    if len(words) >= _FEWEST_CHARS:
        with told():
            _alike(words)
    with told():
        if st.button("Take it in", type="primary", disabled=not words, key="typed-save"):
            people.check("take in", "Taking in feedback")
            do = functools.partial(add_typed, load_settings(), queries.project())
            _, report = do(title=title, body=body, author=author.strip() or people.actor(), url=url.strip() or None)
            _say(report)


def _alike(words: str) -> None:
    found = searching.find_near(words, limit=4, is_report=True)
    if found:
        st.caption("Clusters that say something like it:")
    for each in found:
        label = f"{plain(title_of(each.title, each.cluster_id))} · {count(each.n_items, 'item')}"
        st.page_link("screens/cluster.py", label=label, icon="🗂️", query_params={"id": each.cluster_id})


@st.dialog("Upload a table", icon="⬆️", width="medium")
def _table() -> None:
    st.caption("Columns are guessed: id, title, body or text, created_at, author, url. Doing it twice changes nothing.")
    file = st.file_uploader("CSV, JSON lines or Parquet", type=list(_KINDS), key="table-file")
    if file is None or not st.button("Take it in", type="primary", key="table-save"):
        return
    with told():
        if file.size > _MOST_BYTES:
            st.warning("That is too large for a browser; `soulcaster import FILE` takes any size.", icon="⚠️")
            return
        people.check("take in", "Taking in feedback")
        suffix = Path(file.name).suffix.lower()
        with tempfile.NamedTemporaryFile(suffix=suffix if suffix[1:] in _KINDS else ".csv") as copy:
            copy.write(file.getbuffer())
            copy.flush()
            bar = st.progress(0.0, "Reading …")

            def move(done: int, total: int) -> None:
                bar.progress(min(1.0, done / total) if total else 0.0, f"{number(done)} rows")

            report = import_path(
                load_settings(), queries.project(), Path(copy.name), "manual", ColumnMap(),
                on_progress=move,
            )  # fmt: skip
        _say(report)


def _say(report: ImportReport) -> None:
    held = sum(report.quarantined.values())
    words = f"{number(report.new)} new, {number(report.changed)} changed, {number(report.unchanged)} known already"
    if report.new or report.changed:
        st.success(f"{words}.", icon="✅")
        launch.start_button(
            "🧲 Find their clusters now", "assign", {"params": {"project": queries.project()}}, key="assign"
        )
    else:
        st.info(f"{words}.", icon="💤")
    if held:
        reasons = ", ".join(f"{plain(reason)}: {number(n)}" for reason, n in report.quarantined.items())
        st.warning(f"Held back until a person looks: {reasons}. See the lane Quarantine.", icon="🚧")
