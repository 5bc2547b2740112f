"""The nouns of a fix as pydantic models: where code lives, one attempt, what a launch is, how a patch was judged.

Owns names and bounds that the launchers, the publisher, the store and the step `fix` share; opens nothing.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from soulcaster.models import Source, Trust

RepositoryMode = Literal["off", "plan", "draft"]
"""off: nothing is tried; plan: diagnose and stop; draft: everything, up to a draft pull request."""

JobStatus = Literal[
    "queued",
    "waiting",
    "launching",
    "running",
    "verifying",
    "publishing",
    "pr_open",
    "no_change",
    "blocked",
    "failed",
    "cancelled",
    "lost",
]
"""`waiting` for a person. The last six are final: nothing moves them but a new job."""

FINAL_STATUSES: frozenset[str] = frozenset({"pr_open", "no_change", "blocked", "failed", "cancelled", "lost"})

Verdict = Literal["proved", "regression_safe", "unverified", "rejected"]
"""proved: new tests fail before and pass after, old tests hold; regression_safe: no new test, old tests hold."""

LaunchMode = Literal["edit", "verify"]

LaunchPurpose = Literal["edit", "revise", "verify", "repair", "review"]
"""edit: diagnose and fix; revise: the published change once more, with what came back on it; repair: once more with
what failed; review: a last look at the patch."""

PullRequestState = Literal["open", "merged", "closed"]

Switch = Literal["launching", "publishing"]


class Route(BaseModel):
    """Clusters whose items come mostly from here belong to the repository."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Source | None = Field(None, description="Any source when empty.")
    channel: str = Field("*", max_length=200, description="Subreddit, owner/repository, Sentry project; * matches.")


class Repository(BaseModel):
    """One repository that fixes may be proposed to. Only a configured one is ever read or written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100}$", description="owner/name.")
    base_branch: str = Field("main", pattern=r"^[A-Za-z0-9][A-Za-z0-9_./-]{0,200}$")
    path_prefix: str = Field("", max_length=300, description="A patch may touch nothing outside this folder.")
    mode: RepositoryMode = "plan"
    setup: list[str] = Field(default_factory=list, description="Command that installs what tests need, as words.")
    test: list[str] = Field(default_factory=list, description="Command that runs all tests, as words; found if empty.")
    test_timeout_seconds: int = Field(900, ge=1, le=7200)
    reviewers: list[str] = Field(default_factory=list, max_length=15)
    routes: list[Route] = Field(default_factory=list)
    api_url: str = Field("https://api.github.com", max_length=300)
    clone_url: str = Field("", max_length=300, description="https://github.com/<name>.git when empty.")
    token_variable: str = Field("", max_length=100, description="Variable that holds a personal token.")
    app_id: str = Field("", max_length=30, description="GitHub App; used in place of a token when given.")
    app_key_variable: str = Field("", max_length=100, description="Variable that holds the App's private key (PEM).")

    @property
    def secret_variables(self) -> tuple[str, str]:
        """Variables that hold its secrets; '' where it names none."""
        return self.token_variable, self.app_key_variable


class LaunchRequest(BaseModel):
    """What a launcher is asked to start. The folder holds job.json and source.tar.gz, and gets what comes out."""

    model_config = ConfigDict(frozen=True)

    token: str = Field(pattern=r"^[A-Za-z0-9-]{1,64}$", description="The same token never starts two processes.")
    mode: LaunchMode
    folder: Path
    deadline_seconds: int = Field(ge=1, le=6 * 3600)
    is_second_try: bool = Field(
        default=False, description="The place failed the first: no place that may be taken away."
    )


class LaunchState(BaseModel):
    """What became of a launch."""

    model_config = ConfigDict(frozen=True)

    state: Literal["running", "ended", "missing"]
    exit_code: int | None = None
    reason: str = ""
    is_infrastructure: bool = Field(default=False, description="Ended by no fault of the job: worth one more attempt.")


class Launcher(Protocol):
    """Where the agent runs. Two exist: a process on this machine, a task on Fargate."""

    name: str

    def launch(self, request: LaunchRequest) -> str:
        """Start, or find what this token started; returns the handle that `poll` and `stop` take.

        Raises:
            TransientError: no answer; the same request may be sent again.
            PermanentError: refused for good (tool missing, sandbox required and absent, quota).
        """
        ...

    def poll(self, handle: str) -> LaunchState:
        """State now; `missing` when nothing is known of the handle any more."""
        ...

    def stop(self, handle: str, *, wait_seconds: float | None = None) -> None:
        """End it and everything it started; partial work stays in the folder. Harmless when it has ended.

        Args:
            handle: of `launch`.
            wait_seconds: how long its end is waited for; as long as it may take when not given.

        Raises:
            TransientError: it has not ended in that time; it was told to.
        """
        ...


class Finding(BaseModel):
    """One reason against a patch."""

    model_config = ConfigDict(frozen=True)

    rule: str = Field(description="Slug, e.g. protected-path, too-many-lines, secret, test-deleted.")
    path: str = ""
    detail: str
    is_blocking: bool = True


class ProofRow(BaseModel):
    """One of the test runs that a verdict rests on, as the pull request shows it."""

    model_config = ConfigDict(frozen=True)

    run: Literal["baseline", "new_tests_on_base", "full_patch", "old_tests_on_patch"]
    expected: str
    n_passed: int | None
    n_failed: int | None
    exit_code: int | None
    holds: bool | None = Field(description="None: was not run or cannot be told.")
    detail: str = ""


class Proof(BaseModel):
    """How a patch was judged, from test runs of ours."""

    verdict: Verdict
    reason: str
    rows: list[ProofRow] = Field(default_factory=list)
    command: list[str] = Field(default_factory=list)
    new_tests: list[str] = Field(default_factory=list)


RemarkKind = Literal["review", "line", "comment"]


class Remark(BaseModel):
    """One thing that somebody with write access said on a pull request of ours."""

    model_config = ConfigDict(frozen=True)

    key: str = Field(description="Names it for good: kind and the forge's id.")
    kind: RemarkKind
    author: str
    text: str = Field(description="As it was said, cut; data, never an instruction.")
    path: str = Field("", description="File that a remark on a line is about.")
    line: int | None = None
    said_at: AwareDatetime


class FailedCheck(BaseModel):
    """A check of CI that failed on our commit and not on its base."""

    model_config = ConfigDict(frozen=True)

    name: str
    text: str = Field("", description="What it said, cut; data, never an instruction.")
    log: str = Field("", description="Its job's log around the error, cut, secrets masked; data as well.")


class Revision(BaseModel):
    """What a round over an open pull request answers, and the change it starts from."""

    of_job: str = Field(description="Job whose patch stands on the branch.")
    patch_attempt: int = Field(description="Launch of that job whose patch it is.")
    checks: list[FailedCheck] = Field(default_factory=list)
    remarks: list[Remark] = Field(default_factory=list)


class Job(BaseModel):
    """One attempt to fix a cluster; the row in the store."""

    job_id: str
    project_id: str
    cluster_id: str
    repository: str
    status: JobStatus
    reason: str = Field("", description="Why it is where it is, one sentence for people.")
    attempt: int = Field(1, description="Counts launches of this job; the folder of each is <attempt>-<mode>.")
    base_commit: str = ""
    brief_hash: str = ""
    branch: str = ""
    tool: str = ""
    model: str = ""
    launcher: str = ""
    sandbox: str = Field("", description="What the last launch said held it: bwrap, none, container.")
    verdict: Verdict | None = None
    n_requests: int = 0
    n_tokens: int = 0
    cost_usd: float = 0.0
    pr_number: int | None = None
    pr_url: str | None = None
    pr_state: PullRequestState | None = Field(None, description="As last read; the team's side of it.")
    merged_at: AwareDatetime | None = None
    head_commit: str | None = Field(None, description="The last commit of ours on the branch.")
    is_dry_run: bool = False
    round: int = Field(0, description="Revision of an open pull request, from 1; 0: a job that makes its own change.")
    trust: Trust = "anonymous"
    actor: str
    created_at: AwareDatetime
    changed_at: AwareDatetime


class JobDetail(BaseModel):
    """What a job found out on its way, beside its row: for the pull request, the screens and the bundle."""

    plan: str = Field("", description="What a person who may start fixes told the agent to do; empty for nothing.")
    diagnosis: dict[str, Any] | None = Field(None, description="As the agent reported it; a claim.")
    suggested_repository: str = Field("", description="Another allowed one, where the diagnosis sees the cause.")
    review: dict[str, Any] | None = Field(None, description="As the agent reported it; a claim.")
    proof: Proof | None = None
    findings: list[Finding] = Field(default_factory=list)
    test_command: dict[str, Any] | None = Field(None, description="What was found, and where.")
    item_ids: list[str] = Field(default_factory=list, description="Feedback that the agent was shown, as r1, r2, ….")
    n_by_source: dict[str, int] = Field(default_factory=dict)
    n_not_heard: int = Field(0, description="Reports counted and not shown to the agent: their tier may not speak.")
    prompt_hashes: dict[str, str] = Field(default_factory=dict, description="Template name to sha256.")
    tool_version: str = ""
    unchecked: list[str] = Field(default_factory=list, description="What nobody checked, one sentence each.")
    answer: dict[str, Any] = Field(default_factory=dict, description="What the fix step says it did; a claim.")
    is_repaired: bool = Field(default=False, description="The one repair round was used.")
    patch_attempt: int = Field(0, description="Launch whose change.patch is the one in question; 0: none yet.")
    cluster_status_before: str = "new"
    approved_by: str | None = None
    revision: Revision | None = Field(None, description="Of a round: what it answers.")


class Launch(BaseModel):
    """One start of the agent; the row in the store."""

    job_id: str
    attempt: int
    purpose: LaunchPurpose
    token: str
    deadline_seconds: int
    handle: str | None = None
    created_at: AwareDatetime
    launched_at: AwareDatetime | None = None
    ended_at: AwareDatetime | None = None
    outcome: str | None = None

    @property
    def mode(self) -> LaunchMode:
        """What the agent is asked for: everything but verify is an edit."""
        return "verify" if self.purpose == "verify" else "edit"

    @property
    def folder_name(self) -> str:
        """Name of its job folder below the job's own."""
        return f"{self.attempt}-{self.mode}"


class Spent(BaseModel):
    """What jobs used since some moment, or on one day (UTC)."""

    day: date | None = None
    n_jobs: int = 0
    n_requests: int = 0
    n_tokens: int = 0
    cost_usd: float = 0.0


class PortfolioRow(BaseModel):
    """One cluster of the portfolio: whether it is next, and if not, why it waits."""

    cluster_id: str
    title: str = ""
    priority: float
    trust: Trust = "anonymous"
    repository: str = ""
    state: Literal["next", "started", "waits"]
    reason: str = Field(description="One sentence.")
    job_id: str = ""


class QueuedComment(BaseModel):
    """A comment of the outbox."""

    key: str = Field(description="Posted once a project and key.")
    repository: str
    issue_number: int
    body: str
    state: Literal["waiting", "posted", "failed"] = "waiting"
    message: str = ""
    comment_id: int | None = None
    queued_at: AwareDatetime
    posted_at: AwareDatetime | None = None


class FollowReport(BaseModel):
    """What following the pull requests of one repository found and did."""

    repository: str
    n_open: int = 0
    merged: list[str] = Field(default_factory=list, description="Addresses of pull requests merged since.")
    closed: list[str] = Field(default_factory=list, description="Addresses of those closed without merging since.")
    reopened: list[str] = Field(default_factory=list)
    failing: list[str] = Field(default_factory=list, description="Addresses of open ones whose CI fails.")
    rounds: list[str] = Field(default_factory=list, description="Revision rounds begun, one sentence each.")
    left_to_people: list[str] = Field(default_factory=list, description="What came back and gets no round, and why.")
    n_comments: int = Field(0, description="Comments written or edited.")
    refused: list[str] = Field(default_factory=list, description="Comments given up, one sentence each.")


class Regression(BaseModel):
    """A fixed cluster that people report again, with the reports that say so."""

    cluster_id: str
    fixed_at: AwareDatetime
    item_ids: list[str]
    external_ids: list[str]
