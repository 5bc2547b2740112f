"""The sources of the project: state and what to do, trying one, adding, changing, pausing, removing."""

from __future__ import annotations

import functools
from typing import Any, Literal

import streamlit as st

from app import acting, form_fields, launch, people, queries
from app.words import ago, exact, plain, told
from soulcaster import pull
from soulcaster.configured import (
    KINDS,
    ConfiguredSource,
    Kind,
    PullState,
    SourceOptions,
    list_options,
    parse_options,
    parse_source_id,
)
from soulcaster.db.sources import list_sources
from soulcaster.settings import load_settings

_STATES: dict[PullState, tuple[str, Literal["gray", "green", "orange", "red"]]] = {
    "new": ("🆕 never pulled", "gray"),
    "ok": ("✅ works", "green"),
    "failing": ("⏳ failing, tried again by itself", "orange"),
    "blocked": ("✋ blocked, needs a person", "red"),
}
_NAMES = {
    "github": "owner/repository",
    "reddit": "subreddit",
    "sentry": "organization/project, both as slugs",
    "generic": "name of a mapping, e.g. zendesk",
}
_TEST_SECONDS = 15.0


def show() -> None:
    """Every source with its buttons, and one to add another."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.caption(
            "Pulled every five minutes. Secrets stay in variables: a source only knows the variable's name.",
            width="content",
        )
        if people.button("configure", "Add a source", icon="📥", type="primary", key="source-add"):
            _add()
    found = queries.ask(list_sources, queries.project())
    if not found:
        st.info("No source is configured yet. Tables and single texts are taken in on the page Feedback.", icon="📥")
    for source in found:
        _one(source)
    if found:
        parameters = {"params": {"project": queries.project()}}
        launch.start_button("📥 Pull all that are due now", "ingest", parameters, key="ingest")
        launch.show_started_run()


def _one(source: ConfiguredSource) -> None:
    with st.container(border=True, gap="small"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown(f"**{plain(source.source_id)}**", width="content")
            label, color = _STATES[source.state]
            st.badge("⏸️ paused" if source.is_paused else label, color="gray" if source.is_paused else color)
            if source.state_since and source.state != "new" and not source.is_paused:
                st.caption(f"since {ago(source.state_since)}", help=exact(source.state_since), width="content")
            pulled = f"last pulled {ago(source.pulled_at)}" if source.pulled_at else "nothing pulled yet"
            way = f" by way of {plain(source.way)}" if source.way else ""
            st.caption(pulled + way, help=exact(source.pulled_at) if source.pulled_at else None, width="content")
        if source.message:
            st.text(source.message)
        options = source.options.model_dump(exclude_defaults=True)
        variables = {name: value for name, value in options.items() if name.endswith("_variable")}
        form_fields.say_variables(
            {name.removesuffix("_variable").replace("_", " "): value for name, value in variables.items()}
        )
        if rest := {name: value for name, value in options.items() if name not in variables}:
            st.text(" · ".join(f"{name.replace('_', ' ')}: {_said(value)}" for name, value in rest.items()))
        _buttons(source)


def _said(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(str(each) for each in value) if isinstance(value, list) else str(value)


def _buttons(source: ConfiguredSource) -> None:
    name = source.source_id
    with st.container(horizontal=True, gap="small"):
        is_tried = people.button(
            "configure", "Test", icon="🔌", key=f"test-{name}", help="Reads one page and stores nothing."
        )
        if people.button("configure", "Change", icon="✏️", key=f"change-{name}"):
            _change(source)
        label, icon = ("Resume", "▶️") if source.is_paused else ("Pause", "⏸️")
        if people.button("configure", label, icon=icon, key=f"pause-{name}"):
            do = functools.partial(
                pull.pause_source, load_settings(), queries.project(), source.kind, source.name,
                is_paused=not source.is_paused, actor=people.actor(),
            )  # fmt: skip
            acting.act(do, f"{label}: {name}")
        if people.button("configure", "Remove", icon="🗑️", key=f"remove-{name}"):
            _remove(source)
    if is_tried:
        _test(source)


def _test(source: ConfiguredSource) -> None:
    """One page, read here and now; the answer or what to do."""
    with told():
        people.check("configure", f"Testing source {source.source_id}")
        settings = queries.brief_settings()
        seconds = min(_TEST_SECONDS, settings.source_timeout_seconds)
        with st.spinner("Reading one page …"):
            report = pull.probe(
                settings.model_copy(update={"source_timeout_seconds": seconds}), queries.project(), source.kind,
                source.name,
            )  # fmt: skip
        way = f" by way of {plain(report.way)}" if report.way else ""
        st.success(f"It works{way}: {plain(report.message)}. Nothing was stored.", icon="✅")


@st.dialog("Add a source", icon="📥", width="medium")
def _add() -> None:
    kind: Kind = st.selectbox("Where from", KINDS, key="source-kind", format_func=str.capitalize)
    name = st.text_input("Name", key=f"source-name-{kind}", placeholder=_NAMES.get(kind, ""), max_chars=200)
    given = _options(kind, SourceOptions(), key=f"source-new-{kind}")
    with told():
        if st.button("Add", type="primary", disabled=not name.strip(), key="source-save"):
            _, parsed = parse_source_id(f"{kind}:{name.strip()}")
            do = functools.partial(
                pull.add_source, load_settings(), queries.project(), kind, parsed, parse_options(kind, given),
                actor=people.actor(),
            )  # fmt: skip
            acting.act(do, f"Added {kind}:{parsed}; test it once")


@st.dialog("Change a source", icon="✏️", width="medium")
def _change(source: ConfiguredSource) -> None:
    st.markdown(f"**{plain(source.source_id)}**")
    given = _options(source.kind, source.options, key=f"source-{source.source_id}")
    st.caption("When other items are let in than before, the source is read from its beginning; nothing comes twice.")
    with told():
        if st.button("Save", type="primary", key="source-change-save"):
            do = functools.partial(
                pull.change_source, load_settings(), queries.project(), source.kind, source.name,
                parse_options(source.kind, given), was=source.options, actor=people.actor(),
            )  # fmt: skip
            acting.act(do, f"Changed {source.source_id}")


def _options(kind: Kind, now: SourceOptions, *, key: str) -> dict[str, Any]:
    fields = SourceOptions.model_fields
    return {
        name: form_fields.ask_field(name, fields[name], getattr(now, name), key=f"{key}-{name}")
        for name in list_options(kind)
    }


@st.dialog("Remove a source", icon="🗑️")
def _remove(source: ConfiguredSource) -> None:
    st.markdown(f"**{plain(source.source_id)}** is no longer pulled, and how far it was read is forgotten.")
    st.markdown("Its items stay.")
    if st.button("Remove", type="primary", key="source-remove-save"):
        do = functools.partial(
            pull.remove_source, load_settings(), queries.project(), source.kind, source.name, actor=people.actor()
        )
        acting.act(do, f"Removed {source.source_id}")
