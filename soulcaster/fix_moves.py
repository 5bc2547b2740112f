"""The state machine of a job: for each status, the one move that is due. Re-entrant, whoever calls it and how often.

Source: agent.md §2.3. A process may die between any two lines: what a move needs was written before, what it does
outside the store can be done again, and the row moves last.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from soulcaster import fix_launches, job_folders
from soulcaster.fix_case import Case, Move, find_exhausted, find_hold, find_switch_off, sum_usage
from soulcaster.fix_models import JobDetail, JobStatus, Launch, LaunchRequest, LaunchState, Proof
from soulcaster.fixing import brief
from soulcaster.fixing.patches import parse, split
from soulcaster.fixing.policy import check, is_blocked
from soulcaster.fixing.proof import judge
from soulcaster.fixing.reports import Report
from soulcaster.fixing.test_command import TestCommand, find
from soulcaster.propose import propose
from soulcaster.settings import list_secrets

_BACKSTOP_SECONDS = 300
"""An agent ends itself at its deadline; this much later we end it."""

_AGAIN = "infrastructure: "
_OPENING_VERDICTS = ("proved", "regression_safe")


def due_move(case: Case) -> Move | None:
    """The move that is due, or None when the job waits for somebody: an agent, a person, a budget."""
    if case.job.status == "queued":
        return _queued(case)
    if case.job.status in ("launching", "running", "verifying"):
        return _start(case) if case.launch.handle is None else _look(case)
    if case.job.status == "publishing":
        return propose(case)
    return None


def _queued(case: Case) -> Move | None:
    hold = find_hold(case)
    if hold:
        return None if hold == case.job.reason else Move("queued", hold)
    revision, settings = case.detail.revision, case.settings
    changes: dict[str, Any] = {}
    if revision is not None:
        detail = fix_launches.prepare_round(case, revision)
    else:
        detail, changes = fix_launches.prepare_base(case)
        if not detail.item_ids:
            return Move("blocked", "No report of the cluster may be quoted: all look like injections or spam.", detail)
    ready = _with(case, detail)
    changes |= {
        "attempt": 1,
        "tool": settings.agent_tool,
        "model": settings.agent_model,
        "launcher": case.launcher.name,
    }
    launch = fix_launches.make_revise(ready, revision) if revision else fix_launches.make_edit(ready)
    return Move("launching", "The base was read, the brief is written.", detail, changes, new_launch=launch)


def _start(case: Case) -> Move | None:
    """Start what the row says, or find what an earlier caller started: the token tells."""
    launch = case.launch
    off = find_switch_off(case, "launching")
    if off:
        return None if off == case.job.reason else Move(case.job.status, off)
    handle = case.launcher.launch(
        LaunchRequest(
            token=launch.token,
            mode=launch.mode,
            folder=job_folders.folder_of(case.settings, launch),
            deadline_seconds=launch.deadline_seconds,
            is_second_try=any((each.outcome or "").startswith(_AGAIN) for each in case.launches),
        )
    )
    told = fix_launches.started_at(launch, handle)
    status: JobStatus = "verifying" if launch.mode == "verify" else "running"
    words = {
        "edit": "The agent looks for the cause.",
        "revise": "The agent revises its change.",
        "repair": "The agent repairs its change, once.",
        "review": "The change is reviewed.",
        "verify": "Tests run over base and change.",
    }
    return Move(status, words[launch.purpose], told_launch=told)


def _look(case: Case) -> Move | None:
    """Whether the launch has ended, and what follows."""
    launch = case.launch
    assert launch.handle is not None  # noqa: S101  the caller asked; tells the type checker
    state = case.launcher.poll(launch.handle)
    if state.state == "running":
        age = (datetime.now(UTC) - (launch.launched_at or launch.created_at)).total_seconds()
        if age > launch.deadline_seconds + _BACKSTOP_SECONDS:
            case.launcher.stop(launch.handle)
        changes = {
            name: value
            for name, value in sum_usage(case.settings, case.launches).items()
            if value != getattr(case.job, name)
        }
        return Move(case.job.status, case.job.reason, changes=changes) if changes else None
    case = replace(case, job=case.job.model_copy(update=sum_usage(case.settings, case.launches)))
    report = job_folders.read_outcome(case.settings, launch)
    if report is None or not report.is_final or report.status == "interrupted":
        return _broke(case, state, report)
    ended = launch.model_copy(update={"ended_at": datetime.now(UTC), "outcome": f"{report.status}: {report.reason}"})
    detail = case.detail
    if report.tool.version:
        detail = detail.model_copy(update={"tool_version": f"{report.tool.name} {report.tool.version}"[:200]})
    case = _with(case, detail, launch=ended)
    take = {"verify": _verified, "review": _reviewed}.get(launch.purpose, _edited)
    move = take(case, report)
    changes = {"sandbox": report.sandbox, **sum_usage(case.settings, case.launches), **move.changes}
    return Move(move.status, move.reason, move.detail or detail, changes, move.new_launch, told_launch=ended)


def _broke(case: Case, state: LaunchState, report: Report | None) -> Move:
    """The launch ended without a result: once more when the place was at fault, else the end."""
    launch = case.launch
    claimed = f"; its last word was {report.status!r}" if report else ""
    why = f"launch {launch.attempt} ({launch.purpose}) ended without a result"
    told = f"exit code {state.exit_code}, {state.reason or 'no reason known'}{claimed}"
    was_interrupted = report is not None and report.status == "interrupted"
    if (state.is_infrastructure or was_interrupted) and not any(
        (each.outcome or "").startswith(_AGAIN) for each in case.launches
    ):
        ended = launch.model_copy(update={"ended_at": datetime.now(UTC), "outcome": f"{_AGAIN}{told}"})
        again = _repeat(_with(case, case.detail, launch=ended))
        reason = f"{why.capitalize()} ({told}); it is tried once more."
        return _launching(again, reason, told_launch=ended)
    ended = launch.model_copy(update={"ended_at": datetime.now(UTC), "outcome": told})
    status: JobStatus = "lost" if state.state == "missing" else "failed"
    return Move(
        status, f"{why.capitalize()}: {told}.", changes=sum_usage(case.settings, case.launches), told_launch=ended
    )


def _repeat(case: Case) -> Launch:
    """The newest launch once more, from the trusted side's files."""
    purpose = case.launch.purpose
    if purpose == "edit":
        return fix_launches.make_edit(case)
    if purpose == "revise" and case.detail.revision is not None:
        return fix_launches.make_revise(case, case.detail.revision)
    if purpose == "repair" and case.detail.proof is not None:
        return fix_launches.make_repair(case, case.detail.proof)
    if purpose == "review":
        return fix_launches.make_review(case)
    return fix_launches.make_verify(case, TestCommand.model_validate(case.detail.test_command))


def _edited(case: Case, report: Report) -> Move:
    """What the agent's edit is worth looking at, before anything of it is run."""
    detail = case.detail
    if report.diagnosis is not None:
        detail = detail.model_copy(update={"diagnosis": report.diagnosis.model_dump()})
        answers = [step.answer for step in report.steps if step.name == "diagnose"]
        named = brief.parse_suggestion(answers[-1] if answers else "", fix_launches.list_other_repositories(case))
        detail = detail.model_copy(update={"suggested_repository": named})
    ends: dict[str, JobStatus] = {"not_fixable": "no_change", "no_change": "no_change"}
    if report.status != "done":
        cause = f" {detail.diagnosis['cause'][:300]}" if detail.diagnosis and report.status == "not_fixable" else ""
        words = {
            "not_fixable": "The diagnosis says it cannot be fixed here.",
            "no_change": "The agent changed nothing.",
        }
        told = words.get(report.status, f"The agent ended with {report.status}: {report.reason}")
        if detail.suggested_repository:
            cause += f" It names {detail.suggested_repository}: `soulcaster fix` with --repo tries there."
        return Move(ends.get(report.status, "failed"), told + cause, detail)
    if case.repository.mode == "plan":
        cause = (detail.diagnosis or {}).get("cause", "none was given")
        return Move("no_change", f"Plan only, the repository's mode. Cause: {cause[:400]}", detail)
    patch = job_folders.read_patch(case.settings, case.launch)
    if not patch.strip():
        return Move("no_change", "The agent handed back no change.", detail)
    if fix_launches.is_unrevised(case, patch):
        return Move("no_change", "The agent left the change as it is.", _answered(detail, report))
    return _examine(_with(case, detail), report, patch)


def _examine(case: Case, report: Report, patch: str) -> Move:
    """Policy over the text of the patch, then the test runs."""
    settings, job = case.settings, case.job
    findings = check(
        patch,
        case.repository,
        list_secrets(settings, case.repository.secret_variables),
        known_paths=job_folders.list_base_paths(settings, job.job_id),
    )
    detail = _answered(case.detail, report).model_copy(
        update={"findings": findings, "patch_attempt": case.launch.attempt}
    )
    job_folders.keep_patch(settings, case.launch, patch)
    if is_blocked(findings):
        stopped = [each for each in findings if each.is_blocking]
        more = f" and {len(stopped) - 1} more" if len(stopped) > 1 else ""
        return Move("blocked", f"Policy stopped the patch: {stopped[0].rule}, {stopped[0].detail}{more}.", detail)
    _, source = split(patch)
    changed = [file.path for file in parse(source)]
    with job_folders.base_tree(settings, job.job_id) as tree:
        command = find(tree, case.repository, changed=changed)
    if command is None:
        proof = Proof(verdict="unverified", reason="Nobody knows how the tests of this repository are run.")
        return _judged(_with(case, detail), proof)
    detail = detail.model_copy(update={"test_command": command.model_dump()})
    launch = fix_launches.make_verify(_with(case, detail), command)
    return _launching(launch, "The patch passed policy; tests are next.", detail)


def _answered(detail: JobDetail, report: Report) -> JobDetail:
    """With what the step says it did; where it says nothing, what an earlier one said stays."""
    answers = [step.answer for step in report.steps if step.name in ("fix", "revise", "repair")]
    said = brief.parse_answer(answers[-1]).model_dump() if answers else {}
    kept = {name: each for name, each in detail.answer.items() if not said.get(name)}
    return detail.model_copy(update={"answer": {**said, **kept}})


def _verified(case: Case, report: Report) -> Move:
    """The verdict, from the runs; a patch that did not hold is repaired once."""
    tests, source = split(fix_launches.patch_of(case))
    command = TestCommand.model_validate(case.detail.test_command)
    proof = judge(
        report.model_dump(),
        has_tests=bool(tests),
        has_source=bool(source),
        expects_names=command.results == "junit",
        command=command.test,
    )
    return _judged(case, proof)


def _judged(case: Case, proof: Proof) -> Move:
    detail = case.detail.model_copy(update={"proof": proof})
    changes = {"verdict": proof.verdict}
    case = _with(case, detail)
    if proof.verdict in _OPENING_VERDICTS or (proof.verdict == "unverified" and case.settings.fix_open_unverified):
        return _launching(fix_launches.make_review(case), f"{proof.reason} A review is next.", detail, changes)
    speaks_against_it = proof.verdict == "rejected" or any(row.holds is False for row in proof.rows)
    if speaks_against_it and not detail.is_repaired:
        exhausted = find_exhausted(case)
        if exhausted:
            return Move("blocked", f"{proof.reason} No repair: {exhausted}", detail, changes)
        detail = detail.model_copy(update={"is_repaired": True})
        launch = fix_launches.make_repair(_with(case, detail), proof)
        return _launching(launch, f"{proof.reason} It is repaired once.", detail, changes)
    return Move("blocked", f"The patch is {proof.verdict}: {proof.reason}", detail, changes)


def _reviewed(case: Case, report: Report) -> Move:
    """A suspicious patch stops here; anything else the review said goes into the pull request."""
    if report.review is None:
        missing = f"No review of the change was made ({report.status}: {report.reason[:200]})"
        detail = case.detail.model_copy(update={"unchecked": [*case.detail.unchecked, missing]})
        return Move("publishing", "The review gave no answer; the pull request says so.", detail)
    detail = case.detail.model_copy(update={"review": report.review.model_dump()})
    if report.review.suspicious:
        return Move("blocked", f"The review calls the patch suspicious: {report.review.comment[:300]}", detail)
    return Move("publishing", "The change was reviewed.", detail)


def _launching(
    launch: Launch,
    reason: str,
    detail: JobDetail | None = None,
    changes: dict[str, Any] | None = None,
    *,
    told_launch: Launch | None = None,
) -> Move:
    status: JobStatus = "verifying" if launch.mode == "verify" else "launching"
    both = {**(changes or {}), "attempt": launch.attempt}
    return Move(status, reason, detail, both, new_launch=launch, told_launch=told_launch)


def _with(case: Case, detail: JobDetail, *, launch: Launch | None = None) -> Case:
    launches = case.launches if launch is None else [*case.launches[:-1], launch]
    return replace(case, detail=detail, launches=launches)
