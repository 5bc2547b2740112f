"""Overview: what is there, how it comes in, which problems are largest, and what to do next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import get_args

import streamlit as st

from app import cluster_table, decisions, launch, queries, take_in
from app.charts import show_by_time
from app.limit_settings import show_budget
from app.words import SOURCE_LABELS, STATUS_LABELS, ago, count, duration, exact, number, plain, told
from soulcaster.db.cluster_screens import ClusterFilters, ClusterSort
from soulcaster.db.listings import count_statuses
from soulcaster.db.screens import Overview, count_by_time, count_fixes, get_overview
from soulcaster.models import ClusterStatus
from soulcaster.settings import load_settings

_SPANS: dict[str, int | None] = {"30 days": 30, "90 days": 90, "1 year": 365, "All time": None}
_TOPS: dict[str, ClusterSort] = {
    "Most urgent": "priority",
    "Largest": "items",
    "Growing": "rising",
    "Most people": "people",
    "Latest": "recent",
}
_TOP_ROWS = 8
_FUNNEL_DAYS = 90
_STEPS = {
    "started": "Jobs begun, by people or by policy.",
    "tested": "Came to a patch that test runs of ours judged.",
    "held": "Proved, or at least nothing broke.",
    "proposed": "Became a draft pull request.",
    "merged": "Merged by the team.",
}


def page() -> None:
    """Draw the page."""
    st.title("Overview", anchor=False)
    with told():
        overview = queries.ask(get_overview, queries.project())
        if overview.n_items == 0 and overview.n_quarantined == 0:
            _first_steps()
            return
        _caption(overview)
        _numbers(overview)
        _statuses(overview)
        _next_steps(overview)
        _trend(overview)
        _clusters(overview)
    with told():
        _fixes()
    launch.show_started_run()


def _caption(overview: Overview) -> None:
    run = overview.run
    if run is None:
        st.caption(f"Project {plain(queries.project())} · nothing has been grouped yet")
        return
    st.caption(
        f"Project {plain(queries.project())} · grouped {ago(run.created_at)} in {duration(run.seconds)} with "
        f"{plain(run.model_id)} · setting for new texts: {plain(_embedder_setting())}",
        help=f"Run {run.run_id}, {exact(run.created_at)}. Every vector is stored with the model that made it.",
    )


def _embedder_setting() -> str:
    settings = load_settings()
    if settings.embedder != "auto":
        return settings.embedder
    return "auto (Gemini, as a key is set)" if settings.gemini_api_key else "auto (local MiniLM, as no key is set)"


def _numbers(overview: Overview) -> None:
    run = overview.run
    sources = ", ".join(
        f"{SOURCE_LABELS.get(name, plain(name))} {number(n)}" for name, n in overview.n_by_source.items()
    )
    share = f"{run.n_noise / run.n_items:.0%} of the grouped items" if run and run.n_items else "nothing grouped yet"
    with st.container(horizontal=True):
        _number(
            "Feedback",
            overview.n_items,
            f"{sources}. {count(overview.n_gone, 'item')} removed or deleted at the source.",
        )
        _number("Clusters", run.n_clusters if run else 0, "Problems that one change could fix, in the run on show.")
        _number("Themes", run.n_themes if run else 0, "Groups of related clusters.")
        _number("Noise", run.n_noise if run else 0, f"Feedback that stands alone: {share}.")
        _number("Waiting", overview.n_waiting, "Feedback that came in after the run on show; the next run groups it.")
        _number("Quarantine", overview.n_quarantined, "Rows we could not or would not take in, each with its reason.")


def _number(label: str, value: int, explanation: str) -> None:
    st.metric(label, number(value), help=explanation, border=True, width=165)


def _statuses(overview: Overview) -> None:
    """How many clusters stand where, each a link to their list."""
    if overview.run is None or overview.run.n_clusters == 0:
        return
    counted = queries.ask(count_statuses, queries.project(), overview.run.run_id)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption("Clusters by status", width="content")
        for status in get_args(ClusterStatus):
            if status in counted:
                words = f"{STATUS_LABELS.get(status, status)} {number(counted[status])}"
                st.page_link("screens/clusters.py", label=words, query_params={"status": status}, width="content")


def _next_steps(overview: Overview) -> None:
    """Sentences with a button each, only for what really waits for somebody."""
    decisions.show()
    if overview.n_waiting:
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            st.markdown(f"🧩 Not grouped yet: **{count(overview.n_waiting, 'item')}**.", width="stretch")
            launch.start_button("Group them now", "recluster", {"params": {"project": queries.project()}}, key="group")
    if overview.n_untitled:
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            st.markdown(f"🏷️ Without a title yet: **{count(overview.n_untitled, 'cluster')}**.", width="stretch")
            launch.start_button("Name them now", "summarize", {"params": {"project": queries.project()}}, key="name")
    if overview.n_quarantined:
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            st.markdown(
                f"🧪 In quarantine: **{count(overview.n_quarantined, 'row')}**, each with its reason.", width="stretch"
            )
            st.page_link("screens/feedback.py", label="Look at them", query_params={"view": "Quarantine"})


def _fixes() -> None:
    """How far the fixes of the last months came, and what today's used of the budget; nothing before the first one."""
    since = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=_FUNNEL_DAYS)
    steps = queries.ask(count_fixes, queries.project(), since=since)
    if not steps["started"]:
        return
    st.subheader("Fixes", anchor=False, help=f"Of the last {_FUNNEL_DAYS} days.")
    with st.container(horizontal=True):
        for name, n in steps.items():
            st.metric(name.replace("_", " ").capitalize(), number(n), help=_STEPS[name], border=True, width=165)
    show_budget(load_settings())


def _trend(overview: Overview) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
        st.subheader("Feedback over time", anchor=False, width="content")
        span = st.segmented_control(
            "Span", list(_SPANS), default="All time", key="span", bind="query-params", label_visibility="collapsed"
        )
    since = queries.since(_SPANS[span or "All time"], overview.newest_at)
    bucket = queries.bucket_for(since or overview.oldest_at, overview.newest_at)
    frame = queries.ask(count_by_time, queries.project(), bucket, since=since)
    if frame.is_empty():
        st.caption("Nothing came in during this span.")
        return
    show_by_time(frame, bucket, height=230, key="trend")
    newest = overview.newest_at
    if newest is not None and since is not None and since < newest - timedelta(days=_SPANS[span or "All time"] or 0):
        st.caption(f"The span ends with the newest item, {ago(newest)}.", help=exact(newest))


def _clusters(overview: Overview) -> None:
    if overview.run is None or overview.run.n_clusters == 0:
        return
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
        st.subheader("Top clusters", anchor=False, width="content")
        top = st.segmented_control(
            "Top clusters by",
            list(_TOPS),
            default="Most urgent",
            key="top",
            bind="query-params",
            required=True,
            label_visibility="collapsed",
        )
    frame, _ = queries.list_clusters(ClusterFilters(), sort=_TOPS[top], limit=_TOP_ROWS)
    cluster_table.show(frame, key="top")
    st.page_link("screens/clusters.py", label=f"All {count(overview.run.n_clusters, 'cluster')} →")


def _first_steps() -> None:
    """What a person sees before there is any feedback."""
    st.markdown("Nothing here yet. Feedback comes in, similar feedback becomes a *cluster*, and clusters show up here.")
    left, right = st.columns(2, gap="medium")
    with left, st.container(border=True, height="stretch"):
        st.subheader("🧪 Look around with the sample", anchor=False)
        st.markdown("A few hundred invented posts, errors, issues and notes about one product. Takes about a minute.")
        parameters = {"params": {"project": queries.project(), "sample": True}}
        launch.start_button("Load the sample", "refresh", parameters, key="sample", is_primary=True)
        st.caption("Or without Prefect:")
        st.code("soulcaster demo", language=None)
    with right, st.container(border=True, height="stretch"):
        st.subheader("📥 Bring your own", anchor=False)
        st.markdown("One text, or a table with one row a piece of feedback (CSV, JSONL, Parquet):")
        take_in.buttons()
        st.markdown("Or let it come in by itself from Reddit, GitHub, Sentry and others:")
        st.page_link("screens/settings.py", label="Add a source", icon="📥", query_params={"part": "Sources"})
        st.caption("In a shell:")
        st.code("soulcaster import feedback.csv --source manual\nsoulcaster recluster", language=None)
    launch.show_started_run()


if __name__ == "__main__":
    page()
