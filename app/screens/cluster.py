"""One cluster: what it is about, who says so, why each item is in it, how it came to be, what is near."""

from __future__ import annotations

from typing import Any

import polars as pl
import streamlit as st

from app import cluster_actions, cluster_table, item_actions, queries, searching, suggested_merges
from app.charts import show_by_time
from app.cluster_view import ClusterView, load_view
from app.item_card import REASON_LABELS, choose_items, show_item, show_items_table
from app.words import BURST_LABEL, SOURCE_LABELS, STATUS_LABELS, ago, count, exact, number, plain, title_of, told
from soulcaster.db.cluster_screens import ClusterRow, list_cluster_items
from soulcaster.db.priorities import list_priorities
from soulcaster.db.screens import count_by_time
from soulcaster.priority import explain

_PAGE_ROWS = 25


def page() -> None:
    """Draw the page for the cluster that `?id=` names."""
    st.page_link("screens/clusters.py", label="All clusters", icon="⬅️", query_params=cluster_table.kept_parameters())
    cluster_id = st.query_params.get("id", "")
    with told(title="Cluster"):
        view = queries.ask(load_view, queries.project(), cluster_id)
        if view is None:
            st.title("No such cluster", anchor=False)
            st.info(
                f"Project {plain(queries.project())} has no cluster {plain(cluster_id[:60]) or 'without an id'}; "
                "pick one from the list.",
                icon="🔎",
            )
            return
        cluster, run_id = view.cluster, view.run_id
        _head(cluster)
        cluster_actions.show(view.decided, run_id, view.job)
        _about(cluster)
        _priority(cluster.cluster_id)
        if cluster.n_items == 0:
            st.info("The run on show no longer has this cluster; its history below says what became of it.", icon="🕰️")
        else:
            _exemplars(cluster, view.exemplars)
            _items(cluster, run_id)
            item_actions.show_near(cluster.cluster_id, view.near_noise, run_id)
        _history(view)


def _head(cluster: ClusterRow) -> None:
    st.title(plain(title_of(cluster.title, cluster.cluster_id)), anchor=False)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.badge(STATUS_LABELS.get(cluster.status, plain(cluster.status)), color="blue")
        if cluster.theme_id is not None:
            st.badge(f"Theme: {plain(cluster.theme or 'untitled')}", color="gray")
        if cluster.first_seen_at and cluster.last_seen_at:
            st.caption(
                f"first {ago(cluster.first_seen_at)}, last {ago(cluster.last_seen_at)}",
                help=f"From {exact(cluster.first_seen_at)} to {exact(cluster.last_seen_at)}",
                width="content",
            )


def _about(cluster: ClusterRow) -> None:
    left, right = st.columns([3, 2], gap="medium")
    with left:
        _summary(cluster)
    with right:
        with st.container(horizontal=True):
            st.metric("Items", number(cluster.n_items), border=True, width=120)
            st.metric(
                "People",
                number(cluster.n_people),
                border=True,
                width=120,
                help="Distinct authors, and users as far as an error tracker counts them.",
            )
        st.markdown(" · ".join(f"{_source(name)} **{number(n)}**" for name, n in cluster.n_by_source.items()))
    if cluster.n_items:
        bucket = queries.bucket_for(cluster.first_seen_at, cluster.last_seen_at)
        frame = queries.ask(count_by_time, queries.project(), bucket, cluster_id=cluster.cluster_id)
        show_by_time(frame, bucket, height=190, key="timeline")


def _priority(cluster_id: str) -> None:
    """The score with every part: its bar, its points, and the sentence they come from."""
    scored = queries.ask(list_priorities, queries.project()).filter(pl.col("cluster_id") == cluster_id)
    if scored.is_empty():
        return
    row = scored.row(0, named=True)
    burst = f" · {BURST_LABEL}" if row["is_burst"] else ""
    with st.expander(f"Priority {row['priority']:.0f} of 100{burst}", icon="🚦", key="priority", on_change="rerun"):
        for part in explain(row):
            with st.container(horizontal=True, vertical_alignment="center"):
                st.progress(min(1.0, max(0.0, part.points / part.most)), f"{part.name} {part.points:.1f}", width=160)
                st.text(part.sentence, width="stretch")


def _summary(cluster: ClusterRow) -> None:
    with st.container(border=True):
        if cluster.summary:
            st.text(cluster.summary)
        for hint in cluster.hints or ():
            st.text(f"→ {hint}", help="How it may be reproduced, from the feedback.")
        told_of = {"kind": cluster.kind, "severity": cluster.severity}
        badges = [f":blue-badge[{name} {plain(word)}]" for name, word in told_of.items() if word]
        badges += [f":gray-badge[{plain(term)}]" for term in cluster.terms[:12]]
        if badges:
            st.markdown(" ".join(badges))
        st.caption(_method(cluster))


def _method(cluster: ClusterRow) -> str:
    if cluster.title is None:
        return "Not named yet: `summarize` writes titles after each grouping."
    if cluster.summary_method == "person":
        return "A person gave it this title."
    how = (
        "Picked from the feedback: a typical item, and the words that set this cluster apart. No model wrote it."
        if cluster.summary_method == "extractive"
        else f"Written by {plain(cluster.summary_method or 'an unknown model')} from the feedback below."
    )
    return how if cluster.is_title_current or cluster.n_items == 0 else how + " The items have changed since."


def _source(name: str) -> str:
    return SOURCE_LABELS.get(name, plain(name))


def _exemplars(cluster: ClusterRow, frame: pl.DataFrame) -> None:
    st.subheader("Typical feedback", anchor=False, help="The items in the middle of the cluster.")
    for row in frame.iter_rows(named=True):
        show_item(row, cluster.terms)


def _items(cluster: ClusterRow, run_id: str | None) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
        st.subheader(f"All {count(cluster.n_items, 'item')}", anchor=False, width="content")
        is_choosing = st.toggle("Choose items", key="choosing", help="To split them off, take one out or move it.")
        n_pages = -(-cluster.n_items // _PAGE_ROWS)
        page_number = st.pagination(n_pages, key="page") if n_pages > 1 else 1
    frame = queries.ask(
        list_cluster_items,
        queries.project(),
        cluster.cluster_id,
        limit=_PAGE_ROWS,
        offset=(page_number - 1) * _PAGE_ROWS,
    ).with_columns(pl.col("reason").replace_strict(REASON_LABELS, default=pl.col("reason")))
    columns = ["source", "snippet", "author", "happened_at", "reason", "similarity", "state", "url"]
    if is_choosing and run_id is not None:
        chosen = choose_items(frame, columns, key=f"choose-{run_id}-{page_number}")
        item_actions.show(cluster.cluster_id, cluster.n_items, chosen, run_id)
        return
    picked = show_items_table(frame, columns, key="items")
    if picked is not None:
        show_item(frame.row(by_predicate=pl.col("item_id") == picked, named=True), cluster.terms)


def _history(view: ClusterView) -> None:
    cluster = view.cluster
    left, right = st.columns(2, gap="medium")
    with left:
        st.subheader("History", anchor=False)
        if view.transitions.is_empty():
            st.caption(
                f"First grouped {ago(cluster.created_at)}; no later run has changed it.", help=exact(cluster.created_at)
            )
        for row in view.transitions.iter_rows(named=True):
            st.markdown(f"{_event(row, cluster.cluster_id)} · {ago(row['created_at'])}", help=exact(row["created_at"]))
        item_actions.show_log(view.log, view.edits)
    with right:
        suggested_merges.show(view.suggestions, view.run_id)
        if cluster.n_items:
            _alike(cluster.cluster_id)
        st.subheader("Shared words", anchor=False, help="Clusters that share telling words or the theme.")
        if view.siblings.is_empty():
            st.caption("No other cluster shares its words or its theme.")
        else:
            cluster_table.show_near(view.siblings, key="near")


def _alike(cluster_id: str) -> None:
    """Clusters that say nearly the same in whatever words."""
    st.subheader("Similar by meaning", anchor=False, help="By the vectors of its typical texts; 1 is the same.")
    with told():
        found = searching.find_alike(cluster_id)
        if not found:
            st.caption("No other cluster on show says something like it.")
        else:
            cluster_table.show_alike(found, key="alike")


def _event(row: dict[str, Any], cluster_id: str) -> str:
    """One transition in words, as seen from the cluster on the page."""
    is_other = row["other_cluster_id"] == cluster_id
    other_id = row["cluster_id"] if is_other else row["other_cluster_id"]
    other = plain(title_of(row["title"] if is_other else row["other_title"], other_id))
    size = "" if row["n_items"] is None else f" ({count(row['n_items'], 'item')})"
    match row["kind"]:
        case "emerged":
            return f"🌱 appeared{size}"
        case "survived":
            overlap = "" if row["overlap"] is None else f", {row['overlap']:.0%} the same items"
            return f"➡️ lived on{size}{overlap}"
        case "split":
            return f"🌿 was cut out of *{other}*{size}" if is_other else f"✂️ lost a part to *{other}*{size}"
        case "absorbed":
            return f"🧲 took in *{other}*{size}" if is_other else f"🧲 became part of *{other}*"
        case "disappeared":
            return "🍂 fell apart: its items stand alone or moved elsewhere"
        case kind:
            return plain(kind)


if __name__ == "__main__":
    page()
