"""The five kinds of launches of a job: what each is given. Folders are made from the trusted side's files alone.

Nothing that an agent left is an input of a later launch, but for the patch of record and what reports claim.
"""

from __future__ import annotations

import secrets
import shutil
from datetime import UTC, datetime
from typing import Any

import duckdb

from soulcaster import job_folders
from soulcaster.db import jobs, read, repositories
from soulcaster.db.jobs import EvidenceRow
from soulcaster.errors import PermanentError
from soulcaster.fix_case import Case
from soulcaster.fix_models import JobDetail, Launch, Proof, Revision
from soulcaster.fix_start import hash_heard, list_heard
from soulcaster.fixing import brief
from soulcaster.fixing.patches import split
from soulcaster.fixing.test_command import TestCommand, find


def prepare_base(case: Case) -> tuple[JobDetail, dict[str, Any]]:
    """Fetch the base tree; (what the brief rests on, fields of the job that name it).

    Raises:
        PermanentError: the repository cannot be read, or no report may be quoted.
        TransientError: the forge is away.
    """
    from soulcaster.publisher.checkout import fetch_base, make_source
    from soulcaster.publisher.credentials import for_repository

    settings, job = case.settings, case.job
    credentials = for_repository(case.repository, timeout_seconds=settings.source_timeout_seconds)
    commit = fetch_base(case.repository, credentials, settings.repositories_path)
    job_folders.path_of(settings, job.job_id).mkdir(parents=True, exist_ok=True)
    left_out = make_source(
        case.repository, commit, settings.repositories_path, job_folders.source_of(settings, job.job_id)
    )
    evidence = list_evidence(case)
    heard = list_heard(settings, evidence, case.detail.approved_by)
    chosen = brief.choose_reports([_quoted(row) for row in heard])
    with job_folders.base_tree(settings, job.job_id) as tree:
        command = find(tree, case.repository)
    counts: dict[str, int] = {}
    for row in evidence:
        counts[row.source] = counts.get(row.source, 0) + 1
    brief_hash = hash_heard(job.cluster_id, case.repository, heard, case.detail.plan)
    detail = case.detail.model_copy(
        update={
            "item_ids": [item.item_id for item in chosen],
            "n_by_source": counts,
            "n_not_heard": len(evidence) - len(heard),
            "prompt_hashes": brief.hash_prompts(),
            "test_command": command.model_dump() if command else None,
            "unchecked": [f"{each.path} was not shown to the agent: {each.reason}" for each in left_out[:5]],
        }
    )
    return detail, {"base_commit": commit, "brief_hash": brief_hash, "branch": _branch(case, brief_hash)}


def prepare_round(case: Case, revision: Revision) -> JobDetail:
    """What a round rests on: base tree and patch of the job whose change stands on the branch, as they were.

    Raises:
        PermanentError: that job's folder is gone.
    """
    settings, job = case.settings, case.job
    source = job_folders.source_of(settings, revision.of_job)
    if not source.is_file() or not _published_patch(case, revision).strip():
        raise PermanentError(
            f"Beginning round {job.round} of {job.repository!r}#{job.pr_number} expected the folder of job "
            f"{revision.of_job!r} with its base and patch, got none; a person goes on from here."
        )
    job_folders.path_of(settings, job.job_id).mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, job_folders.source_of(settings, job.job_id))
    with job_folders.base_tree(settings, job.job_id) as tree:
        command = find(tree, case.repository)
    return case.detail.model_copy(
        update={
            "prompt_hashes": brief.hash_prompts(),
            "test_command": command.model_dump() if command else None,
        }
    )


def make_edit(case: Case) -> Launch:
    """Diagnose and fix; of a repository that only plans, diagnose alone."""
    steps: list[brief.StepName] = ["diagnose"] if case.repository.mode == "plan" else ["diagnose", "fix"]
    launch = case.next_launch("edit", job_folders.edit_deadline(case.settings, len(steps)))
    reports = brief.quote(_shown(case), fence := _fence())
    values = _values(case, brief.tell_plan(case.detail.plan, fence) + reports, fence=fence)
    return _write_edit(case, launch, {step: brief.render(step, values) for step in steps}, patch="")


def make_revise(case: Case, revision: Revision) -> Launch:
    """The published patch once more, with what came back on it."""
    launch = case.next_launch("revise", job_folders.edit_deadline(case.settings, 1))
    values = _values(
        case,
        "",
        fence=(fence := _fence()),
        diagnosis=brief.trim_diagnosis(case.detail.diagnosis),
        remarks=brief.quote_back(revision.checks, revision.remarks, fence),
    )
    return _write_edit(case, launch, {"revise": brief.render("revise", values)}, patch=_published_patch(case, revision))


def is_unrevised(case: Case, patch: str) -> bool:
    """Whether the newest launch was to revise a published patch, and handed it back as it was."""
    revision = case.detail.revision
    return revision is not None and case.launch.purpose == "revise" and patch == _published_patch(case, revision)


def _published_patch(case: Case, revision: Revision) -> str:
    return job_folders.read_kept_patch(case.settings, revision.of_job, revision.patch_attempt)


def make_repair(case: Case, proof: Proof) -> Launch:
    """The patch once more, with what its test runs said."""
    judged = [each for each in case.launches if each.purpose == "verify"]
    report = job_folders.read_outcome(case.settings, judged[-1]) if judged else None
    tails = {name: run.tail for name, run in report.runs.items() if name != "baseline_again"} if report else {}
    launch = case.next_launch("repair", job_folders.edit_deadline(case.settings, 1))
    values = _values(
        case,
        "",
        fence=(fence := _fence()),
        diagnosis=brief.trim_diagnosis(case.detail.diagnosis),
        verdict=f"{proof.verdict}. {proof.reason}",
        failures=brief.trim_failures(tails).replace(fence, ""),
    )
    return _write_edit(case, launch, {"repair": brief.render("repair", values)}, patch=patch_of(case))


def make_review(case: Case) -> Launch:
    """A last look at the patch, without the feedback."""
    launch = case.next_launch("review", job_folders.edit_deadline(case.settings, 1))
    patch, fence = patch_of(case), _fence()
    values = _values(
        case,
        "",
        fence=fence,
        diagnosis=brief.trim_diagnosis(case.detail.diagnosis),
        patch=brief.trim_patch(patch).replace(fence, ""),
    )
    return _write_edit(case, launch, {"review": brief.render("review", values)}, patch=patch)


def make_verify(case: Case, command: TestCommand) -> Launch:
    """The test runs, over trees made anew from the base and parts of the patch."""
    launch = case.next_launch("verify", job_folders.verify_deadline(command.timeout_seconds))
    patch = patch_of(case)
    tests, source = split(patch)
    with job_folders.drafting(case.settings, launch) as draft:
        job_folders.write_verify(
            draft, launch, command.model_dump(), {"change": patch, "tests": tests, "source": source}
        )
    return launch


def patch_of(case: Case) -> str:
    """The patch of record."""
    return job_folders.read_kept_patch(case.settings, case.job.job_id, case.detail.patch_attempt)


def list_evidence(case: Case) -> list[EvidenceRow]:
    """The cluster's items."""
    job = case.job
    return read(
        case.settings.duckdb_path,
        lambda con: jobs.list_evidence(con, job.project_id, job.cluster_id),
        timeout_seconds=case.settings.lock_timeout_seconds,
    )


def list_other_repositories(case: Case) -> list[str]:
    """Names of the project's other repositories that are not off: all that a diagnosis may point to."""
    known = read(
        case.settings.duckdb_path,
        lambda con: repositories.list_repositories(con, case.job.project_id),
        timeout_seconds=case.settings.lock_timeout_seconds,
    )
    return [each.name for each in known if each.mode != "off" and each.name != case.repository.name]


def _write_edit(case: Case, launch: Launch, prompts: dict[str, str], *, patch: str) -> Launch:
    settings, job = case.settings, case.job
    with job_folders.drafting(settings, launch) as draft:
        if patch:
            (draft / "start.patch").write_bytes(patch.encode())
        job_folders.write_edit(
            settings,
            draft,
            launch,
            prompts,
            command=case.detail.test_command or {},
            n_tokens_left=settings.fix_job_tokens - job.n_tokens,
            cost_left=settings.fix_job_cost_usd - job.cost_usd,
        )
    return launch


def _values(case: Case, reports: str, *, fence: str, **more: str) -> dict[str, str]:
    evidence = list_heard(case.settings, list_evidence(case), case.detail.approved_by)
    facts = brief.describe(
        case.detail.n_by_source,
        [row.culprit for row in evidence if row.culprit],
        [row.exception_type for row in evidence if row.exception_type],
    )
    command = (case.detail.test_command or {}).get("test", [])
    others = ", ".join(list_other_repositories(case)) or "none"
    return brief.make_values(case.repository, facts, reports, command, fence=fence, others=others, **more)


def _shown(case: Case) -> list[brief.Quoted]:
    """The reports of the brief in their order; one that left the cluster meanwhile is not quoted."""
    by_id = {row.item_id: row for row in list_evidence(case)}
    return [_quoted(by_id[each]) for each in case.detail.item_ids if each in by_id]


def _quoted(row: EvidenceRow) -> brief.Quoted:
    return brief.Quoted(row.item_id, row.source, row.trust, row.title, row.body, row.author)


def _branch(case: Case, brief_hash: str) -> str:
    """A pure function of cluster and brief; while the cluster has a pull request that is still open, its branch."""
    job = case.job

    def query(con: duckdb.DuckDBPyConnection) -> list[str]:
        found = jobs.list_jobs(
            con, job.project_id, cluster_id=job.cluster_id, repository=job.repository, statuses=("pr_open",)
        )
        return [each.branch for each in found if each.pr_state in (None, "open") and each.branch]

    known = read(case.settings.duckdb_path, query, timeout_seconds=case.settings.lock_timeout_seconds)
    return known[0] if known else f"soulcaster/c{job.cluster_id[:8]}-{brief_hash[:8]}"


def _fence() -> str:
    """A line that nobody can know beforehand."""
    return f"====={secrets.token_hex(12)}====="


def started_at(launch: Launch, handle: str) -> Launch:
    """The launch with the handle it got."""
    return launch.model_copy(update={"handle": handle, "launched_at": launch.launched_at or datetime.now(UTC)})
