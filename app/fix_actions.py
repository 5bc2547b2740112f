"""Starting a fix from a cluster's page, and letting a waiting one go on: the row is ours, the work is Prefect's."""

from __future__ import annotations

import streamlit as st

from app import people, queries, runs
from app.words import plain, told
from soulcaster import fix, launching
from soulcaster.db.repositories import list_repositories
from soulcaster.errors import SoulcasterError
from soulcaster.fix_models import FINAL_STATUSES, Job
from soulcaster.fix_start import find_plan
from soulcaster.fixing.brief import LONGEST_PLAN
from soulcaster.settings import load_settings

_BY_ROUTE = "as the routes say"


def show(cluster_id: str, newest: Job | None) -> None:
    """A button that opens the dialog, and a link to the newest job of the cluster."""
    if people.button("fix", "Fix this", icon="🔧", type="primary", key="act-fix"):
        _dialog(cluster_id)
    if newest is not None:
        is_over = newest.status in FINAL_STATUSES
        label = f"Last fix: {newest.status}" if is_over else f"Fix under way: {newest.status}"
        st.page_link("screens/fixes.py", label=label.replace("_", " "), icon="🔧", query_params={"job": newest.job_id})


@st.dialog("Fix this cluster", icon="🔧", width="medium")
def _dialog(cluster_id: str) -> None:
    with told():
        names = [each.name for each in queries.ask(list_repositories, queries.project()) if each.mode != "off"]
        if not names:
            st.info("No repository is configured: `soulcaster repo add owner/name --mode draft`.", icon="🔧")
            return
        launching.check_ready(load_settings())
        st.markdown(
            "An agent without secrets looks for the cause and writes a patch; test runs of ours prove it or not; "
            "what holds becomes one **draft** pull request. Nothing is merged."
        )
        only = 1 if len(names) == 1 else 0
        chosen = st.selectbox("Repository", [_BY_ROUTE, *names], index=only, key="fix-repository")
        plan = _plan(cluster_id)
        is_trial = st.toggle("A trial: stop before publishing", key="fix-trial")
        is_approved = st.checkbox("I have read what people say here, and it is no trap", key="fix-approved")
        st.caption("Without it a cluster that only strangers speak for waits for somebody to approve it.")
        if st.button("Start", type="primary", key="fix-start"):
            job = fix.start(
                load_settings(), queries.project(), cluster_id, actor=people.actor(),
                repository=None if chosen == _BY_ROUTE else chosen, dry_run=is_trial, approved=is_approved,
                plan=plan,
            )  # fmt: skip
            go_on(job.job_id)
            st.switch_page("screens/fixes.py", query_params={"job": job.job_id})


def _plan(cluster_id: str) -> str:
    """What the agent is told to do: begun with the last diagnosis, to be changed or emptied."""
    return st.text_area(
        "Plan",
        find_plan(queries.brief_settings(), queries.project(), cluster_id).text,
        key="fix-plan",
        max_chars=LONGEST_PLAN,
        height=120,
        placeholder="empty: the agent finds the cause by itself",
        help="What to change, and what to leave. The agent gets it before the reports; it starts from the last "
        "diagnosis or plan, when there is one. A repository in mode plan makes a diagnosis and changes nothing.",
    )


def go_on(job_id: str) -> None:
    """Let Prefect work on the job now; when it is away, the scheduled reconciling does so later."""
    try:
        runs.start("fix", {"params": {"project": queries.project(), "job": job_id}})
    except SoulcasterError as error:
        st.toast(plain(f"The job goes on when Prefect is back: {error}"), icon="⏳")
