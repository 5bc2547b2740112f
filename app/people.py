"""Who is at the screen, and by what right: the name in the activity log, and the role that the steps ask for.

With sign-in configured nobody sees anything before they signed in and have a role in the project. Without it the app
listens on loopback only; whoever is there is its admin, under the name they give.
"""

from __future__ import annotations

import getpass
import shlex
from collections.abc import Iterable
from typing import Any

import streamlit as st

from app import queries
from app.words import plain, told
from soulcaster.actors import NEEDED, Action, Actor, Role, is_allowed, require
from soulcaster.db.access import list_roles
from soulcaster.errors import PermanentError
from soulcaster.settings import check_doors, load_settings

_MOST_CHARS = 60


def enter() -> None:
    """Pass those who signed in, and everybody when there is no sign-in; anybody else sees a button and no more."""
    settings = load_settings()
    with told():
        address = st.get_option("server.address")
        check_doors(settings.model_copy(update={"host": address}) if address else settings)
        if not settings.has_sign_in or st.user.is_logged_in:
            return
        st.title("Soulcaster")
        st.text("Sign in to see your projects.")
        if st.button("Sign in", type="primary", key="sign-in"):
            st.login()
    st.stop()


def introduce() -> None:
    """Says in the sidebar who acts with which role; ends the page for those who have none in this project."""
    if not load_settings().has_sign_in:
        st.sidebar.text_input(
            "You are",
            value=getpass.getuser(),
            max_chars=_MOST_CHARS,
            key="person",
            help="Goes into the activity log with what you decide. There is no sign-in: whoever reaches this page is "
            "its admin, so it listens on this machine only.",
        )
        return
    subject = _subject()
    with st.sidebar:
        role = _roles(subject).get(queries.project())
        st.text(f"{subject} · {role or 'no role here'}")
        if st.button("Sign out", key="sign-out"):
            st.logout()
    if role is None:
        st.warning(
            f"You are signed in as {plain(subject)}, who has no role in project {plain(queries.project())}. "
            "An admin gives you one:",
            icon="🚪",
        )
        words = ["soulcaster", "person", "add", subject, "--role", "viewer", "--project", queries.project()]
        st.code(shlex.join(words), language=None)
        st.stop()


def visible(projects: Iterable[str]) -> list[str]:
    """Those of the projects that the reader has a role in, sorted; all of them without sign-in."""
    if not load_settings().has_sign_in:
        return sorted(projects)
    roles = _roles(_subject())
    return sorted(name for name in projects if name in roles)


def actor() -> Actor:
    """Who acts, with the role they have in the project now.

    Raises:
        PermanentError: they have none any more.
    """
    project = queries.project()
    if not load_settings().has_sign_in:
        given = " ".join(str(st.session_state.get("person") or "").split())
        return Actor(given[:_MOST_CHARS] or getpass.getuser(), role="admin", project_id=project, how="this machine")
    subject = _subject()
    role = _roles(subject).get(project)
    if role is None:
        raise PermanentError(f"{subject!r} has no role in project {project!r} any more; ask an admin.")
    return Actor(subject, role=role, project_id=project, how="sign-in")


def button(
    action: Action,
    label: str,
    *,
    key: str,
    help: str | None = None,  # noqa: A002  as Streamlit calls it
    disabled: bool = False,
    **look: Any,  # noqa: ANN401  what Streamlit's button takes
) -> bool:
    """Streamlit's button; greyed out, with a sentence on hover, for a reader whose role is too low for `action`."""
    may = may_do(action)
    hint = help if may else f"Needs the role {NEEDED[action]}; an admin gives roles under Settings, People."
    return st.button(label, key=key, help=hint, disabled=disabled or not may, **look)


def may_do(action: Action) -> bool:
    """Whether the reader's role is enough now."""
    try:
        return is_allowed(actor(), queries.project(), action)
    except PermanentError:  # no role any more
        return False


def check(action: Action, doing: str) -> None:
    """Pass when the reader may; for work that begins outside the steps, which ask themselves.

    Raises:
        PermanentError: their role is too low.
    """
    require(actor(), queries.project(), action, doing)


def _subject() -> str:
    """The verified e-mail address; where the provider vouches for none, `sub:` and its id of the person.

    Raises:
        PermanentError: nobody is signed in.
    """
    if not st.user.is_logged_in:
        raise PermanentError("This needs somebody who is signed in; load the page again.")
    claims = st.user.to_dict()
    email = claims.get("email")
    if isinstance(email, str) and email and claims.get("email_verified") is True:
        return email.strip().lower()
    return f"sub:{claims.get('sub')}"


def _roles(subject: str) -> dict[str, Role]:
    return queries.ask(list_roles, subject) if load_settings().duckdb_path.exists() else {}
