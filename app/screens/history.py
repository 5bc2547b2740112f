"""Runs: every grouping with what it found, and Prefect's runs with buttons that start new ones."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import streamlit as st

from app import backfill_form, compare_runs, launch, people, proposal, queries, runs
from app.words import ROW_PIXELS, ago, count, duration, exact, number, table_height, tell_exactly, time_columns, told
from soulcaster.db.screens import RunRow, list_runs

_EVERY_SECONDS = 5.0
_MOST_RUNS = 25
_LABELS = {
    "refresh": ("🔄", "Refresh", "Take in, embed, group and name in one go."),
    "ingest": ("📥", "Take in", "Empty the webhook inbox into the store."),
    "embed": ("🧮", "Embed", "Give every new text its vector."),
    "recluster": ("🧩", "Group anew", "Group all feedback, then name what changed."),
    "summarize": ("🏷️", "Name", "Write titles for clusters that changed."),
}


def page() -> None:
    """Draw the page."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.title("Runs", anchor=False, width="content")
        if people.button(
            "work", "Fetch history …", icon="🕰️", key="backfill", help="What a source or an archive held before."
        ):
            backfill_form.ask()
    work = st.container()
    st.subheader("Groupings", anchor=False, help="Each is kept as it was; one of them is on show.")
    with told():
        _groupings()
    with work:  # after what the store has, so that nobody waits for Prefect to see it
        _work()
        launch.show_started_run()


@st.fragment(run_every=_EVERY_SECONDS)
def _work() -> None:
    """What can be started and what Prefect does now; looks again by itself."""
    with told():
        deployments = runs.list_deployments()
        found = runs.list_runs(limit=_MOST_RUNS)
        _buttons(deployments)
        _prefect_runs(found)


def _buttons(deployments: list[runs.Deployment]) -> None:
    if not deployments:
        st.info("Prefect knows none of our deployments yet; `soulcaster up` registers them.", icon="⚙️")
        return
    if not any(each.is_ready for each in deployments):
        st.warning(
            "No worker has asked for work lately, so what you start will wait; is `soulcaster up` running?", icon="⏳"
        )
    with st.container(horizontal=True):
        for each in deployments:
            icon, label, explanation = _LABELS[each.name]
            with st.container(border=True, width=200, height="stretch", gap="small"):
                parameters = {"params": {"project": queries.project()}}
                launch.start_button(f"{icon} {label}", each.name, parameters, key=each.name, width="stretch")
                st.caption(explanation)
                if each.is_paused:
                    st.caption("⏸️ its schedule is paused")


def _groupings() -> None:
    found = queries.ask(list_runs, queries.project())
    if not found:
        st.info("Nothing has been grouped yet: `recluster` makes the first run.", icon="🧩")
        return
    table = pl.DataFrame([_row(run) for run in found])
    config = st.column_config
    picked = st.dataframe(
        tell_exactly(table, "created_at"),
        key="groupings",
        hide_index=True,
        row_height=ROW_PIXELS,
        height=table_height(table.height, most=10),
        column_order=["shown", "created_at", "n_clusters", "n_themes", "n_items", "noise", "took", "model_id", "by"],
        column_config={
            "shown": config.TextColumn("", width=95),
            **time_columns("created_at", "When", 130),
            "n_clusters": config.NumberColumn("Clusters", format="localized", width=85),
            "n_themes": config.NumberColumn("Themes", format="localized", width=80),
            "n_items": config.NumberColumn("Items", format="localized", width=85),
            "noise": config.TextColumn("Noise", width=110),
            "took": config.TextColumn("Took", width=90),
            "model_id": config.TextColumn("Vectors by", width="medium"),
            "by": config.TextColumn("Published by", width="medium"),
        },
        placeholder="",
        on_select="rerun",
        selection_mode="single-cell",
        alt="Groupings, newest first; choose a cell to see what it changes",
    )
    cells = picked["selection"]["cells"]
    if cells:
        _one_grouping(found[cells[0][0]])
    compare_runs.show(found)


def _row(run: RunRow) -> dict[str, Any]:
    share = run.n_noise / run.n_items if run.n_items else 0.0
    return {
        "shown": "👁️ on show" if run.is_shown else ("published" if run.published_at else "not shown"),
        "created_at": run.created_at,
        "n_clusters": run.n_clusters,
        "n_themes": run.n_themes,
        "n_items": run.n_items,
        "noise": f"{number(run.n_noise)} ({share:.0%})",
        "took": duration(run.seconds),
        "model_id": run.model_id,
        "by": run.published_by or "",
    }


def _one_grouping(run: RunRow) -> None:
    with st.container(border=True):
        st.caption(
            f"Run {run.run_id} · {ago(run.created_at)} · {count(run.n_clusters, 'cluster')}", help=exact(run.created_at)
        )
        proposal.show(run.run_id)
        try:
            shown = json.dumps(json.loads(run.parameters), indent=2)
        except ValueError:
            shown = run.parameters
        with st.expander("How it was made"):
            st.code(shown, language="json")


def _prefect_runs(found: list[runs.FlowRun]) -> None:
    st.subheader("Work in Prefect", anchor=False)
    if not found:
        st.info("No run yet.", icon="⚙️")
        return
    table = pl.DataFrame(
        [
            {
                "state": f"{launch.STATE_ICONS.get(run.state_type, '❔')} {run.state.lower()}",
                "work": run.deployment,
                "name": run.name,
                "begun_at": run.begun_at,
                "took": duration(run.seconds) if run.seconds else "",
                "url": run.url,
            }
            for run in found
        ],
        schema_overrides={"begun_at": pl.Datetime("us", "UTC")},
    )
    config = st.column_config
    st.dataframe(
        tell_exactly(table, "begun_at"),
        key="prefect-runs",
        hide_index=True,
        row_height=ROW_PIXELS,
        height=table_height(table.height, most=10),
        column_order=table.columns,
        column_config={
            "state": config.TextColumn("State", width=150),
            "work": config.TextColumn("Work", width=130),
            "name": config.TextColumn("Run", width="medium"),
            **time_columns("begun_at", "Begun", 130),
            "took": config.TextColumn("Took", width=100),
            "url": config.LinkColumn("Log", display_text="open ↗", width=90),
        },
        placeholder="",
        alt="Runs in Prefect, newest first",
    )
    st.caption(f"More, with logs and artifacts: [Prefect's own screens]({runs.ui_url()})")


if __name__ == "__main__":
    page()
