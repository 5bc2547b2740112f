"""From a proven patch to a draft pull request: the text that goes out, one last look at the patch, the publisher.

Title, branch and commit are made of our own ids, counts and file names; strangers' and models' words stand only in the
body, where `publisher.body` makes them harmless.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import duckdb

from soulcaster import fix_launches, job_folders
from soulcaster.db import jobs, read
from soulcaster.db.jobs import EvidenceRow
from soulcaster.fix_case import Case, Move, find_switch_off
from soulcaster.fix_models import Proof
from soulcaster.fixing.brief import FixAnswer
from soulcaster.fixing.patches import parse
from soulcaster.fixing.paths import is_test_path
from soulcaster.fixing.policy import check, is_blocked
from soulcaster.settings import list_secrets

if TYPE_CHECKING:
    from soulcaster.publisher.body import FixSummary
    from soulcaster.publisher.pull_request import PublishedPullRequest, PullRequestDraft

_LABEL = re.compile(r"r(\d{1,3})\Z")
_PERSON = re.compile(r"[^\W\d_][\w .'-]{0,80} <[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{3,120}>")
_UNTESTED = Proof(verdict="unverified", reason="No test was run.")


def propose(case: Case) -> Move | None:
    """Publish the job's patch, or say why not; None while somebody switched publishing off and the job says so.

    Raises:
        PermanentError: the forge refuses for good.
        TransientError: the forge is away; the same call may be made again.
    """
    from soulcaster.publisher.credentials import for_repository
    from soulcaster.publisher.pull_request import publish

    settings, job = case.settings, case.job
    patch = fix_launches.patch_of(case)
    if job.is_dry_run:
        folder = job_folders.path_of(settings, job.job_id)
        return Move("no_change", f"Dry run: nothing was published; patch and reports lie in {str(folder)!r}.")
    off = find_switch_off(case, "publishing")
    if off:
        return None if off == job.reason else Move("publishing", off)
    findings = check(patch, case.repository, list_secrets(settings, case.repository.secret_variables))
    if is_blocked(findings):
        return Move("blocked", f"Policy stopped the patch before publishing: {findings[0].detail}.")
    credentials = for_repository(case.repository, timeout_seconds=settings.source_timeout_seconds)
    draft = make_draft(case, patch, fix_launches.list_evidence(case))
    return _outcome(publish(draft, credentials, settings.repositories_path), case)


def make_draft(case: Case, patch: str, evidence: list[EvidenceRow]) -> PullRequestDraft:
    """The pull request as it should be. The same job gives the same draft."""
    from soulcaster.publisher.body import render
    from soulcaster.publisher.pull_request import PullRequestDraft

    job = case.job
    title = _title(case, patch)
    verdict = (case.detail.proof or _UNTESTED).verdict
    return PullRequestDraft(
        repository=case.repository,
        branch=job.branch,
        base_commit=job.base_commit,
        patch=patch,
        title=title,
        body=render(make_summary(case, patch, evidence)),
        commit_message=title,
        labels=["soulcaster", f"soulcaster:{verdict}"],
        reviewers=case.repository.reviewers,
        known_head=_known_head(case),
        trailers=_trailers(case),
        committed_at=job.created_at,
    )


def make_summary(case: Case, patch: str, evidence: list[EvidenceRow]) -> FixSummary:
    """What the pull request tells."""
    from soulcaster.publisher.body import FixSummary

    job, detail = case.job, case.detail
    answer = FixAnswer.model_validate(detail.answer)
    review = detail.review or {}
    unchecked = [*detail.unchecked, *answer.unchecked]
    if detail.n_not_heard:
        unchecked.insert(0, f"{detail.n_not_heard} reports of lower trust were counted, not shown to the agent")
    if review and not review.get("fixes_cause"):
        unchecked.insert(0, "The review doubts that this mends the cause")
    if review.get("unrelated"):
        unchecked.insert(0, "The review found changes that are unrelated to the cause")
    by_label = {f"r{number}": item_id for number, item_id in enumerate(detail.item_ids, start=1)}
    rows = {row.item_id: row for row in evidence}

    def name(labels: list[str]) -> list[str]:
        return [f"{label} ({rows[by_label[label]].source})" for label in labels if by_label.get(label) in rows]

    less = {*answer.partly, *answer.not_addressed}
    whole = [rows[by_label[each]] for each in answer.addressed if each not in less and by_label.get(each) in rows]

    return FixSummary(
        marker=job.cluster_id,
        counts=detail.n_by_source,
        paraphrases=answer.paraphrases[:3],
        links={label: rows[each].url or "" for label, each in by_label.items() if each in rows and rows[each].url},
        issues=_issues(case, evidence),
        fixed_issues=_issues(case, whole),
        cause=str((detail.diagnosis or {}).get("cause", "")) or "not told",
        change=answer.change or f"Changes {', '.join(file.path for file in parse(patch)[:5])}",
        proof=detail.proof or _UNTESTED,
        addressed=name(answer.addressed),
        partly=name(answer.partly),
        not_addressed=name(answer.not_addressed),
        untold=name([label for label in by_label if label not in {*answer.addressed, *less}]),
        unchecked=unchecked[:6],
        findings=detail.findings,
        provenance=_provenance(case),
    )


def _trailers(case: Case) -> dict[str, str]:
    """Where the commit comes from; who clicked is a co-author when the actor is a name with an address.

    Source: git interpret-trailers; GitHub, "Creating a commit with multiple authors".
    """
    job, proof = case.job, case.detail.proof or _UNTESTED
    who = case.detail.approved_by or job.actor
    trailers = {
        "Soulcaster-Job": job.job_id,
        "Soulcaster-Cluster": job.cluster_id,
        "Soulcaster-Base": job.base_commit,
        "Soulcaster-Proof": proof.verdict,
        "Soulcaster-Tool": case.detail.tool_version or job.tool,
    }
    return trailers | ({"Co-authored-by": who} if _PERSON.fullmatch(who) else {})


def _provenance(case: Case) -> dict[str, str]:
    job, detail = case.job, case.detail
    prompts = ", ".join(f"{name}:{value[:8]}" for name, value in sorted(detail.prompt_hashes.items()))
    return {
        "job": job.job_id,
        "attempts": str(job.attempt),
        "tool": detail.tool_version or job.tool,
        "model": job.model,
        "base": job.base_commit[:12],
        "brief": job.brief_hash[:12],
        "prompts": prompts,
        "reports shown": str(len(detail.item_ids)),
        "sandbox": job.sandbox,
        "started by": job.actor,
    } | ({"round": str(job.round)} if job.round else {})


def _title(case: Case, patch: str) -> str:
    source = [file.path for file in parse(patch) if not is_test_path(file.path)]
    place = PurePosixPath(source[0]).name if source else "tests"
    also = f" and {len(source) - 1} more" if len(source) > 1 else ""
    n_reports = sum(case.detail.n_by_source.values())
    reports = f"{n_reports} user report{'' if n_reports == 1 else 's'}"
    return f"Fix {place[:60]}{also}: {reports} (cluster {case.job.cluster_id[:8]})"


def _issues(case: Case, evidence: list[EvidenceRow]) -> list[int]:
    """Numbers of the issues of this very repository among the rows; comments are no issues."""
    name = case.repository.name.casefold()
    found = []
    for row in evidence:
        repository, _, number = row.external_id.rpartition("#")
        if row.source == "github" and repository.casefold() == name and number.isdigit():
            found.append(int(number))
    return sorted(set(found))


def _known_head(case: Case) -> str | None:
    """Our last commit on the branch, by the newest job that knows one."""
    job = case.job

    def query(con: duckdb.DuckDBPyConnection) -> list[str]:
        found = jobs.list_jobs(con, job.project_id, cluster_id=job.cluster_id, repository=job.repository)
        return [each.head_commit for each in found if each.branch == job.branch and each.head_commit]

    heads = read(case.settings.duckdb_path, query, timeout_seconds=case.settings.lock_timeout_seconds)
    return heads[0] if heads else None


def _outcome(published: PublishedPullRequest, case: Case) -> Move:
    changes = {"pr_number": published.number, "pr_url": published.url}
    notes = f" Not done: {'; '.join(published.notes)[:200]}." if published.notes else ""
    if published.action in ("created", "updated", "unchanged"):
        words = {"created": "opened", "updated": "updated", "unchanged": "already as wanted"}[published.action]
        changes |= {"head_commit": published.head, "pr_state": "open"}
        reason = f"Draft pull request {case.repository.name}#{published.number} {words}.{notes}"
        return Move("pr_open", reason, changes=changes)
    where = f"{case.repository.name}#{published.number}"
    if published.action == "merged":
        return Move("no_change", f"{where} was merged meanwhile.", changes=changes | {"pr_state": "merged"})
    if published.action == "closed_by_team":
        reason = f"The team closed {where}; a new one is not opened against its word."
        return Move("blocked", reason, changes=changes | {"pr_state": "closed"})
    return Move("blocked", f"Somebody pushed to the branch of {where}; it is left to people.", changes=changes)
