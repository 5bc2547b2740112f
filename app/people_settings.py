"""People and tokens: who has which role in the project, giving and taking roles, making and ending tokens."""

from __future__ import annotations

import functools
from datetime import UTC, datetime

import polars as pl
import streamlit as st

from app import acting, people, queries
from app.words import plain, tell_exactly, time_columns, told
from soulcaster import access
from soulcaster.actors import ROLES, is_allowed
from soulcaster.db.access import Token, list_people, list_tokens
from soulcaster.settings import load_settings

_ROLE_HELP = (
    "viewer reads; triager decides about clusters, groupings and feedback; fixer starts, approves and cancels fixes; "
    "admin configures."
)
_DAYS = {"30 days": 30, "90 days": 90, "a year": 365}
_ANY_LENGTH = 200


def show() -> None:
    """Tables of both, and for an admin the controls."""
    if not load_settings().has_sign_in:
        st.info(
            "There is no sign-in, so whoever is at this machine is admin and roles of people do not count yet; "
            "docs/access.md says how to turn it on. Tokens count always.",
            icon="🔑",
        )
    may = is_allowed(people.actor(), queries.project(), "configure")
    with told():
        _people(may=may)
    if may:
        with told():
            _tokens()
    else:
        st.caption("Roles and tokens are given by an admin.")


def _people(*, may: bool) -> None:
    st.subheader("People", anchor=False)
    found = queries.ask(list_people, queries.project())
    rows = [(each.subject, each.role, each.added_at, each.added_by) for each in found]
    schema: dict[str, pl.DataType | type[pl.DataType]] = {
        "person": pl.String,
        "role": pl.String,
        "since_at": pl.Datetime("us", "UTC"),
        "given by": pl.String,
    }
    if rows:
        _table(
            pl.DataFrame(rows, schema=schema, orient="row"),
            "since_at",
            key="people",
            alt="People with a role, one a row",
        )
    else:
        st.caption("Nobody has a role yet.")
    if not may:
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        subject = st.text_input("Person", key="person-subject", max_chars=_ANY_LENGTH, placeholder="you@example.org")
        role = st.selectbox("Role", ROLES, key="person-role", width=160, help=_ROLE_HELP)
        if st.button("Give it", icon="🪪", disabled=not subject.strip(), key="person-save"):
            do = functools.partial(
                access.add_person, load_settings(), queries.project(), subject, role, actor=people.actor()
            )
            acting.act(do, f"{subject.strip()} is {role}")
        if found:
            with st.popover("Take a role away", icon="🚪", key="person-remove"):
                _remove([each.subject for each in found])


def _remove(subjects: list[str]) -> None:
    subject = st.selectbox("Who", subjects, index=None, key="remove-subject")
    if st.button("Take it away", type="primary", key="remove-save") and subject:
        do = functools.partial(access.remove_person, load_settings(), queries.project(), subject, actor=people.actor())
        acting.act(do, f"{subject} has no role any more")


def _tokens() -> None:
    st.subheader("Tokens", anchor=False)
    st.caption("With one a program uses the HTTP API of this project: Authorization: Bearer and the token.")
    found = queries.ask(list_tokens, queries.project())
    rows = [(f"sc_{each.token_id}_…", each.name, each.role, _state(each), each.used_at) for each in found]
    schema: dict[str, pl.DataType | type[pl.DataType]] = {
        "token": pl.String, "for": pl.String, "role": pl.String, "state": pl.String,
        "used_at": pl.Datetime("us", "UTC"),
    }  # fmt: skip
    if rows:
        _table(pl.DataFrame(rows, schema=schema, orient="row"), "used_at", key="tokens", alt="Tokens, one a row")
    if text := st.session_state.get("new-token"):
        st.success("This is shown once; nobody can look it up again.", icon="🔑")
        st.code(text, language=None)
        if st.button("I have kept it", key="token-kept"):
            del st.session_state["new-token"]
            st.rerun()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.text_input("What it is for", key="token-name", max_chars=60, placeholder="nightly report")
        role = st.selectbox("Its role", ROLES, key="token-role", width=160, help=_ROLE_HELP)
        days = st.selectbox("Good for", list(_DAYS), index=1, key="token-days", width=130)
        if st.button("Make it", icon="🔑", disabled=not name.strip(), key="token-save"):
            acting.act(functools.partial(_make, name, role, _DAYS[days]), "Made")
        valid = [each for each in found if not each.revoked_at]
        if valid:
            with st.popover("End one", icon="⛔", key="token-end"):
                _end({each.token_id: f"{each.name} (sc_{each.token_id}_…)" for each in valid})


def _table(frame: pl.DataFrame, time: str, *, key: str, alt: str) -> None:
    st.dataframe(
        tell_exactly(frame, time),
        hide_index=True,
        key=key,
        column_order=frame.columns,
        column_config=time_columns(time, time.removesuffix("_at"), 130),
        placeholder="never",
        alt=alt,
    )


def _make(name: str, role: str, days: int) -> None:
    _, text = access.add_token(load_settings(), queries.project(), name, role, actor=people.actor(), days=days)
    st.session_state["new-token"] = text


def _end(labels: dict[str, str]) -> None:
    chosen = st.selectbox(
        "Which", list(labels), index=None, format_func=lambda each: plain(labels[each]), key="end-token"
    )
    if st.button("End it", type="primary", key="end-save") and chosen:
        do = functools.partial(access.revoke_token, load_settings(), queries.project(), chosen, actor=people.actor())
        acting.act(do, "It opens nothing any more")


def _state(token: Token) -> str:
    if token.revoked_at:
        return "ended"
    return "over" if token.expires_at <= datetime.now(UTC) else f"good until {token.expires_at:%Y-%m-%d}"
