"""Fixes: jobs by state, what waits for a person, kill switches; and one job with brief, patch, proof and log."""

from __future__ import annotations

import functools

import polars as pl
import streamlit as st

from app import acting, drill_card, job_card, launch, people, queries
from app.words import ROW_PIXELS, count, number, plain, table_height, tell_exactly, time_columns, title_of, told
from soulcaster.actors import Action
from soulcaster.db.jobs import list_jobs
from soulcaster.db.repositories import list_repositories
from soulcaster.db.triage import list_titles
from soulcaster.fix_models import FINAL_STATUSES, Job, Switch
from soulcaster.repositories import find_switches_off, turn_switch
from soulcaster.settings import load_settings

_MOST_JOBS = 200
_EVERY_SECONDS = 3.0
_SWITCHES: dict[Switch, str] = {"launching": "Starting agents", "publishing": "Opening pull requests"}


def page() -> None:
    """Draw the list, or the job that `?job=` names."""
    job_id = st.query_params.get("job", "")
    with told():
        if job_id:
            _one_job(job_id)
        else:
            _all_jobs()


def _all_jobs() -> None:
    st.title("Fixes", anchor=False)
    if not queries.ask(list_repositories, queries.project()):
        st.info(
            "No repository is configured, so nothing can be fixed yet. In a shell: "
            "`soulcaster repo add owner/name --mode draft --route github:owner/name`.",
            icon="🔧",
        )
        st.page_link("screens/settings.py", label="Add one", icon="🎛️", query_params={"part": "Repositories"})
    with told():
        _switches()
    st.fragment(_jobs, run_every=_EVERY_SECONDS)()
    with told():
        _reconcile()
    with told():
        drill_card.show()
    launch.show_started_run()


def _reconcile() -> None:
    """Bring open jobs on now; nothing while every job has ended or waits for a person."""
    found = queries.ask(list_jobs, queries.project(), limit=_MOST_JOBS)
    n_open = sum(job.status not in {*FINAL_STATUSES, "waiting"} for job in found)
    if not n_open:
        return
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.markdown(
            f"🔄 Not ended yet: **{count(n_open, 'job')}**. Prefect brings them on every five minutes.", width="stretch"
        )
        launch.start_button("Reconcile now", "reconcile", {"params": {"project": queries.project()}}, key="reconcile")


def _jobs() -> None:
    with told():
        found = queries.ask(list_jobs, queries.project(), limit=_MOST_JOBS)
        if not found:
            st.info("No fix was ever started: open a cluster and press *Fix this*.", icon="🔧")
            return
        waiting = [job for job in found if job.status == "waiting"]
        if waiting:
            st.warning(f"{count(len(waiting), 'job')} for a person to approve; see the first rows.", icon="✋")
        _table(sorted(found, key=lambda job: (job.status != "waiting", job.status in FINAL_STATUSES)))


def _table(found: list[Job]) -> None:
    titles = queries.ask(list_titles, queries.project(), tuple(sorted({job.cluster_id for job in found})))
    table = pl.DataFrame(
        [
            {
                "state": job_card.STATUS_LABELS[job.status],
                "cluster": title_of(titles.get(job.cluster_id), job.cluster_id),
                "repository": job.repository,
                "verdict": job_card.VERDICT_LABELS[job.verdict] if job.verdict else "",
                "reason": job.reason,
                "cost": job.cost_usd,
                "tokens": job.n_tokens,
                "created_at": job.created_at,
                "actor": job.actor,
                "url": job_card.web_address(job.pr_url),
            }
            for job in found
        ]
    )
    config = st.column_config
    picked = st.dataframe(
        tell_exactly(table, "created_at"),
        key="jobs",
        hide_index=True,
        row_height=ROW_PIXELS,
        height=table_height(table.height),
        column_order=table.columns,
        column_config={
            "state": config.TextColumn("State", width=120),
            "cluster": config.TextColumn("Cluster", width=200),
            "repository": config.TextColumn("Repository", width=110),
            "verdict": config.TextColumn("Proof", width=105),
            "reason": config.TextColumn("Why", width=150),
            "cost": config.NumberColumn("Cost", format="$%.2f", width=60),
            "tokens": config.NumberColumn("Tokens", format="compact", width=68),
            **time_columns("created_at", "Begun", 125),
            "actor": config.TextColumn("By", width=60),
            "url": config.LinkColumn("PR", display_text="open ↗", width=65, help="The pull request."),
        },
        placeholder="",
        on_select="rerun",
        selection_mode="single-cell",
        alt="Jobs, those that wait for a person first; choose a cell to open the job",
    )
    cells = picked["selection"]["cells"]
    if cells and cells[0][0] < len(found):
        st.query_params["job"] = found[cells[0][0]].job_id
        st.rerun(scope="app")


def _switches() -> None:
    settings = queries.brief_settings()
    off = find_switches_off(settings) if settings.duckdb_path.exists() else {}
    for name, label in _SWITCHES.items():
        if why := off.get(name):
            st.error(f"{label} is switched off: {plain(why)}", icon="🛑")
    with st.expander("Emergency switches", icon="🛑", expanded=any(off.values())):
        st.caption("They hold for every project of this store, at once, until somebody turns them on again.")
        reason = st.text_input("Why", key="switch-reason", max_chars=300)
        with st.container(horizontal=True):
            for name, label in _SWITCHES.items():
                is_off = bool(off.get(name))
                words = f"Allow: {label.lower()}" if is_off else f"Stop: {label.lower()}"
                action: Action = "allow fixes" if is_off else "stop fixes"
                if people.button(action, words, key=f"switch-{name}", icon="▶️" if is_off else "⏹️"):
                    do = functools.partial(
                        turn_switch, load_settings(), queries.project(), name,
                        is_on=is_off, reason=reason, actor=people.actor(),
                    )  # fmt: skip
                    acting.act(do, f"{label}: {'allowed' if is_off else 'stopped'}")


def _one_job(job_id: str) -> None:
    st.page_link("screens/fixes.py", label="All fixes", icon="⬅️")
    st.fragment(job_card.show, run_every=_EVERY_SECONDS)(job_id)
    st.caption(f"The page looks again every {number(_EVERY_SECONDS)} seconds while the job is under way.")


if __name__ == "__main__":
    page()
