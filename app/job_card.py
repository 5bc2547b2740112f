"""One job on the page of fixes: where it stands, what was found, patch, proof, log, and what a person may do."""

from __future__ import annotations

import functools

import polars as pl
import streamlit as st

from app import acting, fix_actions, people, queries
from app.words import ago, duration, exact, is_web_link, number, plain, told
from soulcaster import fix, launching
from soulcaster.fix_models import FINAL_STATUSES, Finding, Proof, ProofRow
from soulcaster.job_view import JobView, LaunchView, view_job
from soulcaster.settings import load_settings

STATUS_LABELS = {
    "queued": "⏳ queued",
    "waiting": "✋ waits for you",
    "launching": "🚀 starting",
    "running": "▶️ writing",
    "verifying": "🧪 testing",
    "publishing": "📤 publishing",
    "pr_open": "✅ pull request",
    "no_change": "⚪ no change",
    "blocked": "🛑 blocked",
    "failed": "❌ failed",
    "cancelled": "⛔ cancelled",
    "lost": "❔ lost",
}
VERDICT_LABELS = {
    "proved": "🟢 proved",
    "regression_safe": "🔵 nothing broken",
    "unverified": "🟡 unverified",
    "rejected": "🔴 rejected",
}
_RUNS = {
    "baseline": "Before any change",
    "new_tests_on_base": "New tests, old code",
    "full_patch": "New tests, new code",
    "old_tests_on_patch": "Old tests, new code",
}
_PURPOSES = {
    "edit": "Diagnose and write",
    "verify": "Run the tests",
    "repair": "Repair",
    "revise": "Revise",
    "review": "Second look",
}
_MOST_SHOWN_CHARS = 200_000


def web_address(url: str | None) -> str | None:
    """The address when it is a web address, else None."""
    return url if is_web_link(url) else None


def show(job_id: str) -> None:
    """The whole job; drawn anew by the page while it is under way."""
    with told():
        view = view_job(queries.brief_settings(), queries.project(), job_id)
        _head(view)
        _buttons(view)
        _claims(view)
        if view.detail.proof is not None:
            _proof(view.detail.proof)
        if view.detail.findings:
            _findings(view.detail.findings)
        if view.patch:
            st.subheader("The change", anchor=False)
            st.code(view.patch[:_MOST_SHOWN_CHARS], language="diff", line_numbers=True, height=480)
        for launch in reversed(view.launches):
            _launch(launch)


def _head(view: JobView) -> None:
    job = view.job
    st.title(f"Fix {job.job_id[:8]}", anchor=False)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.badge(STATUS_LABELS[job.status], color="blue")
        if job.verdict:
            st.badge(VERDICT_LABELS[job.verdict], color="gray")
        if job.is_dry_run:
            st.badge("trial: nothing is published", color="gray")
        st.caption(
            f"{plain(job.repository)} · begun by {plain(job.actor)} {ago(job.created_at)}",
            help=exact(job.created_at),
            width="content",
        )
    if job.reason:
        st.text(job.reason)
    with st.container(horizontal=True):
        st.metric("Cost so far", f"$ {job.cost_usd:.2f}", border=True, width=140)
        st.metric("Tokens", number(job.n_tokens), border=True, width=140)
        st.metric("Questions to the model", number(job.n_requests), border=True, width=190)
        st.metric("Held by", job.sandbox or "not yet", border=True, width=140, help="What kept the agent in its place.")
    with st.container(horizontal=True):
        st.page_link("screens/cluster.py", label="The cluster", icon="🗂️", query_params={"id": job.cluster_id})
        if web_address(job.pr_url):
            st.link_button(f"Pull request #{job.pr_number}", str(job.pr_url), icon="↗️")


def _buttons(view: JobView) -> None:
    job = view.job
    with st.container(horizontal=True):
        if job.status == "waiting" and people.button("fix", "Approve", icon="✅", type="primary", key="job-approve"):
            _approve(job.job_id)
        if job.status not in FINAL_STATUSES and people.button("fix", "Cancel it", icon="⛔", key="job-cancel"):
            do = functools.partial(
                fix.cancel, load_settings(), queries.project(), job.job_id, actor=people.actor(),
                launcher=launching.make_launcher(load_settings()),
            )  # fmt: skip
            acting.act(do, "Cancelled: the agent was told to end, its work so far is kept")


def _approve(job_id: str) -> None:
    def do() -> None:
        fix.approve(load_settings(), queries.project(), job_id, actor=people.actor())
        fix_actions.go_on(job_id)

    acting.act(do, "Approved: it goes on")


def _claims(view: JobView) -> None:
    """What the agent says; said to be a claim."""
    if view.detail.plan:
        with st.container(border=True):
            st.caption("Plan, as the person wrote it who started this")
            st.text(view.detail.plan)
    left, right = st.columns(2, gap="medium")
    with left, st.container(border=True):
        st.caption("Diagnosis, as the agent says")
        found = view.detail.diagnosis
        if not found:
            st.text("None yet.")
        else:
            st.text(str(found.get("cause", "")))
            st.code("\n".join(str(file) for file in found.get("files", [])) or "no file named", language=None)
            st.caption(plain(str(found.get("fixability", ""))).replace("\\_", " "))
    with right, st.container(border=True):
        st.caption("Second look at the patch, as the agent says")
        review = view.detail.review
        if not review:
            st.text("None yet.")
        else:
            st.text(f"{'✅' if review.get('fixes_cause') else '❌'} fixes the cause")
            st.text(f"{'⚠️ has' if review.get('unrelated') else '✅ has no'} unrelated changes")
            st.text(f"{'🛑 looks' if review.get('suspicious') else '✅ does not look'} suspicious")
            st.text(str(review.get("comment", "")))
    for sentence in view.detail.unchecked:
        st.text(f"Not checked: {sentence}")


def _proof(proof: Proof) -> None:
    st.subheader("Proof", anchor=False, help="Test runs of ours in a clean place, not the agent's word.")
    st.markdown(f"**{VERDICT_LABELS[proof.verdict]}**")
    st.text(proof.reason)
    if proof.rows:
        st.table(pl.DataFrame([_proof_row(row) for row in proof.rows]))
    if proof.command:
        st.code(" ".join(proof.command), language=None)


def _proof_row(row: ProofRow) -> dict[str, str]:
    marks = {True: "✅ holds", False: "❌ does not hold", None: "❔ not known"}
    counts = "" if row.n_passed is None else f"{number(row.n_passed)} passed, {number(row.n_failed or 0)} failed"
    return {
        "Run": _RUNS[row.run],
        "Expected": plain(row.expected),
        "Seen": counts or ("" if row.exit_code is None else f"exit code {row.exit_code}"),
        "": marks[row.holds],
        "Detail": plain(row.detail),
    }


def _findings(findings: list[Finding]) -> None:
    st.subheader("Policy", anchor=False)
    for each in findings:
        st.text(f"{'🛑' if each.is_blocking else '⚠️'} {each.rule} {each.path}: {each.detail}")


def _launch(view: LaunchView) -> None:
    launch, report = view.launch, view.report
    state = report.status if report else ("running" if launch.ended_at is None else "no report")
    label = f"Launch {launch.attempt}: {_PURPOSES.get(launch.purpose, launch.purpose)}, {state}"
    with st.expander(plain(label), icon="🧾"):
        if launch.outcome:
            st.text(launch.outcome)
        if view.report_problem:
            st.text(view.report_problem)
        for step in report.steps if report else []:
            st.text(f"{step.name}: {step.status}, {number(step.tokens)} tokens, $ {step.cost_usd:.2f}. {step.reason}")
        if launch.launched_at and launch.ended_at:
            st.caption(f"took {duration((launch.ended_at - launch.launched_at).total_seconds())}")
        for name, prompt in view.prompts.items():
            st.caption(f"What the model was given to {plain(name)}")
            st.code(prompt[:_MOST_SHOWN_CHARS], language=None, wrap_lines=True, height=240)
        if web_address(view.log_link):
            st.link_button("The whole log", view.log_link, icon="📜")
        if view.log_tail:
            st.caption("End of the log")
            st.code(view.log_tail, language=None, wrap_lines=True, height=240)
