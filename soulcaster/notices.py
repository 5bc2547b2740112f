"""What people should hear of without looking: bursts, problems that came back, what waits for them, money, sources.

Read from the store as it stands, so that it does not matter who made it so; each thing is told once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple, TypeVar, get_args

import duckdb

from soulcaster import db
from soulcaster.db import jobs, llm
from soulcaster.db import notices as store
from soulcaster.export import list_clusters
from soulcaster.publish import list_runs
from soulcaster.pull import list_sources
from soulcaster.run_bundle import list_jobs
from soulcaster.settings import Settings

T = TypeVar("T")

NoticeKind = Literal[
    "new-burst", "regression", "proposal-waiting", "approval-waiting", "pull-request-open", "budget", "source-blocked"
]
KINDS: tuple[NoticeKind, ...] = get_args(NoticeKind)

BUDGET_SHARE = 0.8
_MOST_CLUSTERS = 500
_MOST_JOBS = 500
_MOST_TITLE_CHARS = 80

_MARKUP = re.compile(r"[<>@`*_~|\\{}\[\]()#&$^]+")
_DOT = re.compile(r"(?<=\w)[.:](?=[\w/])")


class Notice(NamedTuple):
    """One thing to tell. `message` is one plain sentence, `link` an address in the app."""

    kind: NoticeKind
    key: str
    message: str
    link: str


def list_notices(settings: Settings, project_id: str) -> list[Notice]:
    """Everything that is so now, told or not."""
    app = settings.app_url.rstrip("/") or f"http://localhost:{settings.app_port}"
    found = [
        *_clusters(settings, project_id),
        *_runs(settings, project_id),
        *_jobs(settings, project_id),
        *_budgets(settings, project_id),
        *_sources(settings, project_id),
    ]
    return [
        each._replace(link=app + each.link, message=f"Project {defuse(project_id)}: {each.message}") for each in found
    ]


def tell_new(settings: Settings, project_id: str, tell: Callable[[Notice], object]) -> list[Notice]:
    """Call `tell` for each thing that nobody was told of; what was told is remembered afterwards.

    A kill in between tells a thing twice and never loses one.
    """
    current = {each.key: each for each in list_notices(settings, project_id)}
    untold = _read(settings, lambda con: store.find_untold(con, project_id, list(current)))
    told = [current[key] for key in untold]
    for notice in told:
        tell(notice)
    now = datetime.now(UTC)
    db.write(
        settings.duckdb_path,
        lambda con: store.note_told(con, project_id, list(current), now=now),
        timeout_seconds=settings.lock_timeout_seconds,
    )
    return told


def defuse(text: str) -> str:
    """Strangers' words as one short line that no chat or mail program makes a link, a mention or markup of.

    Characters of markup go, dots and colons inside words become look-alikes, what cannot be printed becomes a space.
    """
    plain = "".join(c if c.isprintable() else " " for c in text)
    line = " ".join(_MARKUP.sub(" ", plain).split())
    cut = line if len(line) <= _MOST_TITLE_CHARS else line[: _MOST_TITLE_CHARS - 1] + "…"
    return _DOT.sub(lambda match: "․" if match[0] == "." else "∶", cut)  # noqa: RUF001  look-alikes on purpose


def _clusters(settings: Settings, project_id: str) -> Iterator[Notice]:
    for row in list_clusters(settings, project_id, _MOST_CLUSTERS):
        named = f"“{defuse(row['title'] or 'a cluster without a name')}” ({row['n_items']:,} reports)"
        link = f"/cluster?id={row['cluster_id']}&project={project_id}"
        if row["is_burst"] and row["status"] not in ("ignored", "fixed"):
            yield Notice("new-burst", f"new-burst {row['cluster_id']}", f"many new reports about {named}.", link)
        if row["status"] == "regressed":
            yield Notice("regression", f"regression {row['cluster_id']}", f"{named} was fixed and came back.", link)


def _runs(settings: Settings, project_id: str) -> Iterator[Notice]:
    for run in list_runs(settings, project_id):
        if run.state == "waits":
            why = defuse(run.churn.waits_because) if run.churn else ""
            message = f"the grouping {run.run_id[:8]} waits for a person. {why}".rstrip()
            yield Notice("proposal-waiting", f"proposal-waiting {run.run_id}", message, "/runs")
            return


def _jobs(settings: Settings, project_id: str) -> Iterator[Notice]:
    for job in list_jobs(settings, project_id, limit=_MOST_JOBS):
        link = f"/fixes?job={job.job_id}&project={project_id}"
        if job.status == "waiting":
            yield Notice("approval-waiting", f"approval-waiting {job.job_id}",
                         f"the fix {job.job_id} waits for approval.", link)  # fmt: skip
        if job.status == "pr_open" and job.pr_state == "open" and not job.is_dry_run:
            message = f"a draft pull request is open in {defuse(job.repository)} (number {job.pr_number})."
            yield Notice("pull-request-open", f"pull-request-open {job.repository} {job.pr_number}", message, link)


def _budgets(settings: Settings, project_id: str) -> Iterator[Notice]:
    now = datetime.now(UTC)
    fixes = _read(settings, lambda con: jobs.sum_spent(con, project_id, since=now - timedelta(days=1)))
    words = _read(settings, lambda con: llm.sum_usage(con, project_id, now=now))
    for name, used, most, unit in (
        ("fixes", fixes.cost_usd, settings.fix_cost_per_day_usd, "US dollars"),
        ("fixes", fixes.n_tokens, settings.fix_tokens_per_day, "tokens"),
        ("words", words.cost_usd, settings.llm_cost_per_day_usd, "US dollars"),
        ("words", words.n_tokens, settings.llm_tokens_per_day, "tokens"),
        ("words", words.n_calls, settings.llm_calls_per_day, "calls"),
    ):
        if most and used >= BUDGET_SHARE * most:
            message = f"{name} used {used:,.6g} of {most:,.6g} {unit} of the day."
            yield Notice("budget", f"budget {name} {unit} {now:%Y-%m-%d}", message, "/settings")


def _sources(settings: Settings, project_id: str) -> Iterator[Notice]:
    for source in list_sources(settings, project_id):
        if source.state == "blocked" and not source.is_paused:
            message = f"the source {defuse(source.source_id)} is blocked: {defuse(source.message)}"
            since = f"{source.state_since:%Y%m%dT%H%M%S}" if source.state_since else ""
            yield Notice("source-blocked", f"source-blocked {source.source_id} {since}", message, "/settings")


def _read(settings: Settings, fn: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
    return db.read(settings.duckdb_path, fn, timeout_seconds=settings.lock_timeout_seconds)
