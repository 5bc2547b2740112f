"""`soulcaster fix` and what belongs to it: portfolio, jobs, spend, approve, cancel, reconcile, follow, bundle.

As in `commands`: parses words, calls one step, prints; steps are imported inside their command.
"""

from __future__ import annotations

import getpass
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from soulcaster.cli.clusters import Actor, Cluster, Reason
from soulcaster.cli.output import AsJson, Limit, Project, open_settings, print_table
from soulcaster.errors import SoulcasterError

if TYPE_CHECKING:
    from soulcaster.fix_models import FollowReport, Job
    from soulcaster.job_view import JobView

JobId = Annotated[str, typer.Argument(metavar="JOB", help="Job id, or the beginning of one; see `soulcaster jobs`.")]

_FAILURES = ("failed", "lost")


def add_commands(app: typer.Typer) -> None:
    """Give `app` the commands of this file."""
    for command in (fix, plan, portfolio, jobs, spend, approve, cancel, reconcile, follow, bundle, replay):
        app.command()(command)


def fix(
    cluster: Cluster,
    repo: Annotated[str | None, typer.Option("--repo", help="OWNER/NAME; chosen by the routes when not given.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Stop before publishing; patch and report stay here.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Approve at once what would wait for a person.")] = False,
    told: Annotated[
        str, typer.Option("--plan", help="What to change and what to leave; `soulcaster plan` has what it begins with.")
    ] = "",
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Only start it; `soulcaster reconcile` goes on.")] = False,
    actor: Actor = None,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """Try to fix a cluster: diagnose, change, test, review, propose a draft pull request. Stays until it ends."""
    from soulcaster.fix import advance_until_rest, follow_job, start
    from soulcaster.launching import check_ready, make_launcher

    settings = open_settings(project)
    check_ready(settings)
    who = actor or getpass.getuser()
    launcher = make_launcher(settings)
    job = start(
        settings, settings.project, cluster, actor=who, repository=repo, dry_run=dry_run, approved=yes, plan=told
    )
    if not as_json:
        typer.echo(f"Job {job.job_id} for {job.repository}. {job.reason}")

    def tell(moved: Job) -> None:
        if not as_json:
            typer.echo(f"{moved.status:10} {_plain(moved.reason)}")

    if no_wait:
        job = advance_until_rest(settings, settings.project, job.job_id, launcher, actor=who, on_change=tell)
    else:
        job = follow_job(settings, settings.project, job.job_id, launcher, actor=who, on_change=tell)
    _end(job, as_json=as_json)


def plan(cluster: Cluster, project: Project = None, as_json: AsJson = False) -> None:
    """Print what a fix of a cluster would begin with: the plan or diagnosis of its newest attempt."""
    from soulcaster.fix_start import find_plan

    settings = open_settings(project)
    found = find_plan(settings, settings.project, cluster)
    if as_json:
        typer.echo(found.model_dump_json())
    elif found.text:
        typer.echo("\n".join(_plain(line) for line in found.text.splitlines()))
    else:
        typer.echo("No plan yet: the agent finds the cause by itself. `soulcaster fix CLUSTER --plan TEXT` gives one.")


def jobs(
    job: Annotated[str | None, typer.Argument(metavar="[JOB]", help="One job with all that is known of it.")] = None,
    open_only: Annotated[bool, typer.Option("--open", help="Only those that have not ended.")] = False,
    limit: Limit = 20,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """List attempts to fix clusters, or show one: why it is where it is, diagnosis, proof, findings, cost."""
    from soulcaster.job_view import view_job
    from soulcaster.run_bundle import list_jobs

    settings = open_settings(project)
    if job is not None:
        view = view_job(settings, settings.project, job)
        typer.echo(view.model_dump_json()) if as_json else _print_view(view)
        return
    found = list_jobs(settings, settings.project, is_open=open_only, limit=limit)
    if as_json:
        typer.echo(json.dumps({"jobs": [each.model_dump(mode="json") for each in found]}))
        return
    if not found:
        typer.echo("There are no jobs yet; `soulcaster fix CLUSTER` starts one.")
        return
    cells = [
        [
            each.job_id[:8], each.status, each.cluster_id[:8], each.repository, each.verdict or "",
            f"{each.cost_usd:.2f}", f"{each.created_at:%Y-%m-%d %H:%M}", each.pr_url or each.reason,
        ]
        for each in found
    ]  # fmt: skip
    print_table(["job", "status", "cluster", "repository", "verdict", "USD", "started (UTC)", ""], cells)


def portfolio(
    start: Annotated[bool, typer.Option("--start", help="Begin the jobs that are next.")] = False,
    actor: Actor = None,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """Print which clusters are fixed next, and why each other one waits; with --start begin them."""
    from soulcaster.portfolio import begin, plan

    settings = open_settings(project)
    rows = (begin if start else plan)(settings, settings.project, actor=actor or getpass.getuser())
    if as_json:
        typer.echo(json.dumps({"clusters": [row.model_dump() for row in rows]}))
        return
    if not rows:
        typer.echo("There are no clusters yet; run `soulcaster import FILE`, then `soulcaster recluster`.")
        return
    print_table(
        ["", "priority", "trust", "repository", "cluster", "title", "why"],
        [
            [r.state, f"{r.priority:.1f}", r.trust, r.repository, r.cluster_id[:8], r.title[:40], _plain(r.reason)]
            for r in rows
        ],
    )
    if start and any(row.state == "started" for row in rows):
        typer.echo("`soulcaster reconcile --wait`, or its flow, moves them now.")


def spend(
    days: Annotated[int, typer.Option("--days", min=1, max=3650, help="How many days back, today included.")] = 14,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """Print what fixes used of the model on each day (UTC): jobs, requests, tokens, money."""
    from soulcaster.run_bundle import list_spent

    settings = open_settings(project)
    found = list_spent(settings, settings.project, days=days)
    if as_json:
        typer.echo(json.dumps({"days": [each.model_dump(mode="json") for each in found]}))
    elif not found:
        typer.echo(f"No job used anything in the last {days} days.")
    else:
        print_table(
            ["day (UTC)", "jobs", "requests", "tokens", "USD"],
            [[str(s.day), str(s.n_jobs), f"{s.n_requests:,}", f"{s.n_tokens:,}", f"{s.cost_usd:.2f}"] for s in found],
        )


def follow(project: Project = None, as_json: AsJson = False) -> None:
    """See what became of our pull requests, begin rounds where something came back, post what waits."""
    from soulcaster.follow import follow as look
    from soulcaster.follow import list_followed, note_regressions

    settings = open_settings(project)
    who, reports, problems = getpass.getuser(), [], []
    for name in list_followed(settings, settings.project):
        try:
            reports.append(look(settings, settings.project, name, actor=who))
        except SoulcasterError as error:
            problems.append(f"{name}: {error}")  # one that is away keeps nobody from the others
    returned = note_regressions(settings, settings.project, actor=who)
    if as_json:
        told = {"repositories": [each.model_dump() for each in reports], "problems": problems}
        typer.echo(json.dumps(told | {"regressions": [each.model_dump(mode="json") for each in returned]}))
    else:
        _print_followed(reports, [f"reported again after its fix: cluster {each.cluster_id}" for each in returned])
    if problems:
        raise SoulcasterError("; ".join(problems))


def approve(
    job: JobId, reason: Reason = "", actor: Actor = None, project: Project = None, as_json: AsJson = False
) -> None:
    """Say yes to a job that waits for a person; `soulcaster reconcile`, or its flow, goes on with it."""
    from soulcaster.fix import approve as say_yes

    settings = open_settings(project)
    done = say_yes(settings, settings.project, job, actor=actor or getpass.getuser(), reason=reason)
    typer.echo(
        done.model_dump_json() if as_json else f"Job {done.job_id} goes on; `soulcaster reconcile` moves it now."
    )


def cancel(
    job: JobId, reason: Reason = "", actor: Actor = None, project: Project = None, as_json: AsJson = False
) -> None:
    """End a job, tell its agent to end; what was published stays."""
    from soulcaster.fix import cancel as end

    settings = open_settings(project)
    done = end(settings, settings.project, job, actor=actor or getpass.getuser(), reason=reason)
    typer.echo(done.model_dump_json() if as_json else f"Job {done.job_id} is cancelled, its agent was told to end.")


def reconcile(
    wait: Annotated[bool, typer.Option("--wait", help="Stay until no job is left that an agent works on.")] = False,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """Bring every job that has not ended as far as it goes now, whatever crashed before."""
    import time

    from soulcaster.fix import POLL_SECONDS
    from soulcaster.fix import reconcile as bring_on
    from soulcaster.launching import make_launcher

    settings = open_settings(project)
    launcher = make_launcher(settings)
    while True:
        found = bring_on(settings, settings.project, launcher, actor=getpass.getuser())
        working = [each for each in found if each.status in ("launching", "running", "verifying")]
        if not (wait and working):
            break
        time.sleep(POLL_SECONDS)
    if as_json:
        typer.echo(json.dumps({"jobs": [each.model_dump(mode="json") for each in found]}))
    elif not found:
        typer.echo("No job is open.")
    else:
        print_table(["job", "status", ""], [[each.job_id[:8], each.status, each.reason] for each in found])


def replay(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="ZIP that `soulcaster bundle` wrote.")],
    source: Annotated[
        Path | None, typer.Option("--source", help="The base tree, when neither bundle nor this machine has it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Do a bundle's job again here, without model and forge; say whether patch, findings and verdict are the same."""
    from soulcaster.replay import replay as do_again

    report = do_again(open_settings(None), file, source=source)
    if as_json:
        typer.echo(report.model_dump_json())
    else:
        typer.echo(f"Job {report.job_id}, held by {report.sandbox or 'nothing that ran'}:")
        same = {True: "same", False: "DIFFERS"}
        print_table(
            ["what", "recorded", "here", ""],
            [[each.what, each.recorded[:40], each.here[:40], same[each.is_same]] for each in report.parts],
        )
        for note in report.notes:
            typer.echo(_plain(note))
    if not report.is_same:
        raise SoulcasterError(f"Job {report.job_id} did not come out the same here.")


def bundle(
    job: JobId,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="ZIP file; in the job's folder by default.")
    ] = None,
    with_source: Annotated[bool, typer.Option("--with-source", help="Put the base tree in, for `replay`.")] = False,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """Write one file with all of a job: prompts, reports, patch, test output, verdict, cost, inputs by hash."""
    from soulcaster.run_bundle import write_bundle

    settings = open_settings(project)
    path = write_bundle(settings, settings.project, job, output, has_source=with_source)
    typer.echo(json.dumps({"path": str(path)}) if as_json else f"Written to {path}")


def _print_followed(reports: list[FollowReport], lines: list[str]) -> None:
    if not reports and not lines:
        typer.echo("No pull request of ours is open and no comment waits.")
    for report in reports:
        typer.echo(f"{report.repository}: {report.n_open} open, {report.n_comments} comments written.")
        lines += [f"merged: {url}" for url in report.merged] + [
            f"closed without merging: {url}" for url in report.closed
        ]
        lines += [f"opened again: {url}" for url in report.reopened] + [f"CI fails: {url}" for url in report.failing]
        lines += [f"begun: {text}" for text in report.rounds]
        lines += [f"left to people: {text}" for text in report.left_to_people]
        lines += [f"given up: {text}" for text in report.refused]
    for line in lines:
        typer.echo(f"  {_plain(line)}")


def _end(job: Job, *, as_json: bool) -> None:
    if as_json:
        typer.echo(job.model_dump_json())
    elif job.pr_url and job.status == "pr_open":
        typer.echo(f"Draft pull request: {job.pr_url}")
    elif job.status == "waiting":
        typer.echo(f"It waits for a person: `soulcaster approve {job.job_id}` lets it go on.")
    if job.status in _FAILURES:
        raise SoulcasterError(f"Job {job.job_id} ended {job.status}: {_plain(job.reason)}")


def _print_view(view: JobView) -> None:
    job, detail = view.job, view.detail
    names = (
        "job_id", "cluster_id", "repository", "status", "reason", "verdict", "branch", "pr_url", "pr_state", "tool",
        "model", "sandbox", "n_requests", "n_tokens", "cost_usd", "actor", "created_at", "changed_at",
    )  # fmt: skip
    fields = {name: getattr(job, name) for name in names}
    print_table(["", ""], [[name, str(value)] for name, value in fields.items() if value not in (None, "")])
    if detail.diagnosis:
        typer.echo(f"\nDiagnosis: {_plain(str(detail.diagnosis.get('cause', '')))}")
    if detail.proof and detail.proof.rows:
        typer.echo("")
        header = ["run", "expected", "passed", "failed", "exit", "holds", ""]
        print_table(header, [
            [row.run, row.expected, *("" if n is None else str(n) for n in (row.n_passed, row.n_failed, row.exit_code)),
             {True: "yes", False: "no", None: ""}[row.holds], row.detail]
            for row in detail.proof.rows
        ])  # fmt: skip
    if detail.findings:
        typer.echo("")
        stops = {True: "blocks", False: "is told"}
        print_table(["finding", "", ""], [[f.rule, stops[f.is_blocking], f.detail] for f in detail.findings])
    typer.echo("")
    print_table(
        ["launch", "purpose", "requests", "tokens", "USD", "outcome"],
        [
            [
                str(each.launch.attempt),
                each.launch.purpose,
                f"{each.usage.requests:,}",
                f"{each.usage.tokens:,}",
                f"{each.usage.cost_usd:.2f}",
                each.launch.outcome or "under way",
            ]
            for each in view.launches
        ],
    )
    for each in view.launches:
        if each.log_link:
            typer.echo(f"log of launch {each.launch.attempt}: {each.log_link}")


def _plain(text: str) -> str:
    """Text from agents without what would move a terminal's cursor."""
    return "".join(c if c.isprintable() else " " for c in text)
