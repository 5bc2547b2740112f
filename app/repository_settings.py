"""The repositories that fixes may be proposed to: what each allows, and adding, changing, removing them."""

from __future__ import annotations

import functools
import shlex
from typing import Any, get_args

import streamlit as st

from app import acting, form_fields, people, queries
from app.words import plain, told
from soulcaster import repositories
from soulcaster.db.repositories import list_repositories
from soulcaster.errors import PermanentError
from soulcaster.fix_models import Repository, RepositoryMode
from soulcaster.settings import load_settings

_MODES = {
    "off": "⏹️ off: nothing is tried",
    "plan": "🧭 plan: diagnose and stop",
    "draft": "🔧 draft: up to a draft pull request",
}


def show() -> None:
    """Every repository with its buttons, and one to add another."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.caption("Only these are ever read or written, and nothing is ever merged.", width="content")
        if people.button("configure", "Add a repository", icon="🔧", type="primary", key="repository-add"):
            _edit(None)
    found = queries.ask(list_repositories, queries.project())
    if not found:
        st.info("No repository is configured: fixes are off.", icon="🔧")
    for repository in found:
        _one(repository)


def _one(repository: Repository) -> None:
    with st.container(border=True, gap="small"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown(f"**{plain(repository.name)}**", width="content")
            st.badge(_MODES[repository.mode], color="gray" if repository.mode == "off" else "blue")
            st.caption(f"from {plain(repository.base_branch)}", width="content")
        if not (repository.token_variable or repository.app_key_variable):
            st.badge("❌ names neither a token nor a GitHub App", color="red")
        form_fields.say_variables({"token": repository.token_variable, "app key": repository.app_key_variable})
        lines = {
            "clusters from": ", ".join(_routes(repository)) or "nowhere by itself; a person may choose it",
            "only below": repository.path_prefix,
            "set up with": shlex.join(repository.setup) or "found by itself",
            "tested with": shlex.join(repository.test) or "found by itself",
            "reviewers": ", ".join(repository.reviewers),
        }
        st.text("\n".join(f"{name}: {value}" for name, value in lines.items() if value))
        with st.container(horizontal=True, gap="small"):
            if people.button("configure", "Change", icon="✏️", key=f"repository-change-{repository.name}"):
                _edit(repository)
            if people.button("configure", "Remove", icon="🗑️", key=f"repository-remove-{repository.name}"):
                _remove(repository)


@st.dialog("A repository", icon="🔧", width="medium")
def _edit(known: Repository | None) -> None:
    now = known or Repository(name="owner/name")
    key = f"repository-{known.name if known else 'new'}"
    name = known.name if known else st.text_input("Owner/name", key=f"{key}-name", max_chars=201).strip()
    if known:
        st.markdown(f"**{plain(name)}**")
    given = _work(now, key) | _access(now, key)
    with told():
        if st.button("Save", type="primary", disabled=not name, key="repository-save"):
            fields = given | {
                "setup": _words("Set up", given["setup"]),
                "test": _words("Test", given["test"]),
                "routes": [repositories.parse_route(line) for line in given["routes"].split()],
            }
            do = functools.partial(
                repositories.change_repository, load_settings(), queries.project(), name, fields,
                actor=people.actor(), was=known, is_new=known is None,
            )  # fmt: skip
            acting.act(do, f"Saved {name}")


def _work(now: Repository, key: str) -> dict[str, Any]:
    modes = list(get_args(RepositoryMode))
    left, right = st.columns(2)
    with left:
        mode = st.selectbox("Mode", modes, modes.index(now.mode), format_func=_MODES.__getitem__, key=f"{key}-mode")
        setup = st.text_input("Set up with", shlex.join(now.setup), key=f"{key}-setup", placeholder="found if empty")
        prefix = st.text_input("Only below this folder", now.path_prefix, key=f"{key}-prefix", placeholder="anywhere")
    with right:
        branch = st.text_input("Base branch", now.base_branch, key=f"{key}-branch")
        test = st.text_input("Test with", shlex.join(now.test), key=f"{key}-test", placeholder="found if empty")
        seconds = st.number_input("Longest test run, seconds", 1, 7_200, now.test_timeout_seconds, key=f"{key}-seconds")
    routes = st.text_area(
        "Clusters that belong here: SOURCE:CHANNEL, one a line",
        "\n".join(_routes(now)),
        key=f"{key}-routes",
        placeholder="github:owner/name",
        height=100,
    )
    reviewers = st.text_input("Reviewers", ", ".join(now.reviewers), key=f"{key}-reviewers")
    return {
        "mode": mode, "base_branch": branch.strip(), "path_prefix": prefix.strip(), "setup": setup, "test": test,
        "test_timeout_seconds": int(seconds), "routes": routes,
        "reviewers": [each.strip() for each in reviewers.split(",") if each.strip()],
    }  # fmt: skip


def _access(now: Repository, key: str) -> dict[str, str]:
    st.caption("Signing in: a token, or a GitHub App. Names of variables, never what is in them.")
    left, right = st.columns(2)
    with left:
        token = st.text_input("Variable with the token", now.token_variable, key=f"{key}-token")
        api_url = st.text_input("Address of the API", now.api_url, key=f"{key}-api")
    with right:
        app_id = st.text_input("GitHub App's id", now.app_id, key=f"{key}-app")
        app_key = st.text_input("Variable with the App's key", now.app_key_variable, key=f"{key}-app-key")
    return {
        "token_variable": token.strip(), "app_id": app_id.strip(), "app_key_variable": app_key.strip(),
        "api_url": api_url.strip(),
    }  # fmt: skip


@st.dialog("Remove a repository", icon="🗑️")
def _remove(repository: Repository) -> None:
    st.markdown(f"No fix is proposed to **{plain(repository.name)}** any more. Its jobs stay in the history.")
    if st.button("Remove", type="primary", key="repository-remove-save"):
        do = functools.partial(
            repositories.remove_repository, load_settings(), queries.project(), repository.name, actor=people.actor()
        )
        acting.act(do, f"Removed {repository.name}")


def _routes(repository: Repository) -> list[str]:
    return [f"{each.source or '*'}:{each.channel}" for each in repository.routes]


def _words(what: str, text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise PermanentError(f"{what} {text!r} cannot be split into words: {error}; close the quotation.") from error
