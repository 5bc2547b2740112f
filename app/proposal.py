"""One grouping on the page of runs: what it would change for people, and showing it or going back to it."""

from __future__ import annotations

import streamlit as st

from app import launch, people, queries
from app.words import count, number, plain
from soulcaster.db.runs import RunRow, get_run
from soulcaster.models import ChurnReport

_MOST_LISTED = 8
_FATES = {
    "survived": "➡️ live on",
    "emerged": "🌱 appear",
    "split": "✂️ are split",
    "absorbed": "🧲 become part of another",
    "disappeared": "🍂 fall apart",
}


def show(run_id: str) -> None:
    """The run's churn against what it was made from, and the button that its state allows."""
    run = queries.ask(get_run, queries.project(), run_id)
    if run.churn is not None and run.kind == "refit":
        _churn(run.churn)
    _button(run)


def _churn(churn: ChurnReport) -> None:
    if not churn.n_clustered:
        return
    st.markdown(
        f"Of {count(churn.n_clustered, 'grouped item')}, **{number(churn.n_kept)} stay** where they are, "
        f"{number(churn.n_moved)} go to another cluster and {number(churn.n_dropped)} stand alone "
        f"({churn.share:.1%} change); {number(churn.n_adopted)} that stood alone find a cluster."
    )
    fates = " · ".join(f"{number(n)} {_FATES.get(kind, plain(kind))}" for kind, n in churn.transitions.items() if n)
    if fates:
        st.markdown(f"Clusters: {fates}")
    for each in churn.work[:_MOST_LISTED]:
        st.page_link(
            "screens/cluster.py",
            label=f"Being fixed ({plain(each.status)}), keeps {each.n_left} of {each.n_items} items: open it",
            icon="🔧",
            query_params={"id": each.cluster_id},
        )
    if churn.edits:
        st.markdown(f"✍️ moves items of {count(len(churn.edits), 'edit')} that people made")
    for sentence in churn.contradictions[:_MOST_LISTED]:
        st.text(f"⚠️ {sentence}")
    if churn.waits_because:
        st.caption(f"It waits for a person: {plain(churn.waits_because)}")


def _button(run: RunRow) -> None:
    wanted = {"project": queries.project(), "run": run.run_id, "actor": people.actor()}
    if run.state == "waits":
        launch.start_button("👁️ Show it", "publish", {"params": wanted}, key="publish", is_primary=True)
    elif run.state == "published":
        st.caption("Going back shows the groups as they were; what came in later waits until it is assigned.")
        launch.start_button("⏪ Go back to it", "publish", {"params": {**wanted, "go_back": True}}, key="go-back")
    elif run.state == "outdated":
        st.caption("It was made from a run that is no longer shown: what was published since is not in it.")
        launch.start_button("👁️ Show it all the same", "publish", {"params": {**wanted, "force": True}}, key="force")
