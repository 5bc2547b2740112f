"""The models in use, each with a button that really asks it, and what `soulcaster doctor` finds."""

from __future__ import annotations

import polars as pl
import streamlit as st

from app import people, queries
from app.words import ROW_PIXELS, plain, table_height, told
from soulcaster import asking, doctor
from soulcaster.embedders import make_embedder
from soulcaster.settings import Settings

_MARKS = {"ok": "✅ fine", "warn": "⚠️ look at it", "fail": "❌ broken"}


def show() -> None:
    """Embedder, language model, and a check of everything."""
    settings = queries.brief_settings()
    parts = (_embedder, _writer, _agent)
    for column, part in zip(st.columns(3, gap="medium"), parts, strict=True):
        with column, st.container(border=True, height="stretch"):
            part(settings)
    st.subheader("Everything else", anchor=False)
    if people.button(
        "configure", "Check everything", icon="🩺", key="doctor", help="What `soulcaster doctor` does, here and now."
    ):
        with told():
            people.check("configure", "Checking the installation")
            with st.spinner("Looking …"):
                _findings(doctor.examine(queries.project()))


def _embedder(settings: Settings) -> None:
    st.subheader("Vectors", anchor=False, help="What turns texts into vectors, for grouping and for search.")
    with told():
        st.text(make_embedder(settings).model_id)
    chosen = {
        "auto": "chosen by itself: Gemini with a key, else MiniLM on this machine",
        "minilm": "MiniLM, on this machine",
        "static": "the static model, on this machine",
        "gemini": "Gemini, asked over the network",
    }[settings.embedder]
    st.caption(f"{chosen} · SOULCASTER\\_EMBEDDER={settings.embedder}")
    _key(settings)
    if people.button("configure", "Test it", icon="🔌", key="test-embedder", help="Embeds one sentence."):
        with told():
            people.check("configure", "Testing the embedder")
            with st.spinner("Embedding one sentence …"):
                found = doctor.examine(queries.project(), only="embedder")
            for each in found:
                say = st.success if each.state == "ok" else st.warning
                say(plain(each.message), icon="✅" if each.state == "ok" else "⚠️")


def _writer(settings: Settings) -> None:
    st.subheader("Words", anchor=False, help="What writes titles and summaries, and suggests merges.")
    st.text(settings.llm_model if settings.llm != "none" else "none: picked from the feedback")
    st.caption(f"SOULCASTER\\_LLM={settings.llm}, SOULCASTER\\_LLM\\_MODEL")
    _key(settings)
    if people.button("configure", "Test it", icon="🔌", key="test-llm", help="Asks one short question."):
        with told():
            people.check("configure", "Testing the model")
            with st.spinner("Asking one short question …"):
                found = asking.probe(settings, queries.project())
            if found is None:
                st.info("No model is wanted, or there is no key: words are picked from the feedback.", icon="✅")
            elif found.outcome == "ok":
                st.success(plain(f"{found.model} answers: {found.n_tokens} tokens, $ {found.cost_usd:.6f}."), icon="✅")
            else:
                st.warning(plain(f"{found.model} answers, but this answer was {found.outcome}."), icon="⚠️")


def _agent(settings: Settings) -> None:
    st.subheader("The agent of fixes", anchor=False, help="A coding tool that asks a language model.")
    st.text(f"{settings.agent_tool} with {settings.agent_model}")
    st.caption("SOULCASTER\\_AGENT\\_TOOL, SOULCASTER\\_AGENT\\_MODEL")
    _key(settings)
    if people.button(
        "configure",
        "Test it",
        icon="🔌",
        key="test-agent",
        help="Looks for the tool, its sandbox and the repositories.",
    ):
        with told():
            people.check("configure", "Testing the agent")
            with st.spinner("Looking …"):
                found = doctor.examine(queries.project(), only="fixes")
            _findings(found)


def _key(settings: Settings) -> None:
    if settings.gemini_api_key:
        st.badge("🔑 SOULCASTER\\_GEMINI\\_API\\_KEY is set", color="green")
    else:
        st.badge("SOULCASTER\\_GEMINI\\_API\\_KEY is not set", color="gray")


def _findings(found: list[doctor.Finding]) -> None:
    ordered = sorted(found, key=lambda each: list(_MARKS)[::-1].index(each.state))
    table = pl.DataFrame(
        [{"state": _MARKS[each.state], "subject": each.subject, "message": each.message} for each in ordered],
        schema={"state": pl.String, "subject": pl.String, "message": pl.String},
    )
    config = st.column_config
    st.dataframe(
        table,
        hide_index=True,
        row_height=ROW_PIXELS,
        height=table_height(table.height),
        column_config={
            "state": config.TextColumn("State", width=110),
            "subject": config.TextColumn("What", width=130),
            "message": config.TextColumn("What we found", width="large"),
        },
        placeholder="",
        alt="What the check found, the worst first",
    )
