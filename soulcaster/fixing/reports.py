"""report.json of the agent, read with limits: a claim by an untrusted place; it decides only what is done next."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from soulcaster.errors import PermanentError

MOST_BYTES = 20_000_000
_MOST_TESTS = 100_000

Outcome = Literal["passed", "failed", "error", "skipped"]
RunStatus = Literal["done", "patch_does_not_apply", "setup_failed", "timeout", "interrupted"]
ReportStatus = Literal["running", "done", "not_fixable", "no_change", "limit", "failed", "interrupted"]
_Short = Annotated[str, StringConstraints(max_length=1000)]


class _Claim(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Run(_Claim):
    """One run of the tests over one tree."""

    status: RunStatus
    exit_code: int | None = None
    seconds: float = 0.0
    tests: dict[_Short, Outcome] | None = Field(None, max_length=_MOST_TESTS)
    tail: str = Field("", max_length=20_000)


class Step(_Claim):
    """One run of the coding tool."""

    name: Literal["diagnose", "fix", "repair", "revise", "review"]
    status: Literal["done", "limit", "failed", "interrupted"]
    reason: _Short = ""
    requests: int = Field(0, ge=0)
    tokens: int = Field(0, ge=0)
    cost_usd: float = Field(0.0, ge=0, allow_inf_nan=False)
    answer: str = Field("", max_length=20_000)


class Usage(_Claim):
    """What a launch used of the model: requests, tokens, US dollars."""

    requests: int = Field(0, ge=0)
    tokens: int = Field(0, ge=0)
    cost_usd: float = Field(0.0, ge=0, allow_inf_nan=False)


class Diagnosis(_Claim):
    """What the agent thinks is wrong."""

    fixability: Literal["fixable", "needs_more_context", "not_actionable"]
    cause: str = Field(max_length=4000)
    files: list[Annotated[str, StringConstraints(max_length=300)]] = Field(default_factory=list, max_length=20)
    reproduction: str = Field("", max_length=4000)
    confidence: float | None = Field(None, ge=0, le=1)


class Review(_Claim):
    """The agent's last look at its own patch."""

    fixes_cause: bool
    unrelated: bool
    suspicious: bool
    comment: str = Field("", max_length=2000)


class Tool(_Claim):
    """What edited."""

    name: _Short = ""
    version: _Short = ""
    model: _Short = ""


class Report(_Claim):
    """The whole of it; unknown fields are dropped."""

    schema_version: Literal[1]
    job_id: str
    attempt: int
    mode: Literal["edit", "verify"]
    status: ReportStatus
    reason: _Short = ""
    sandbox: Literal["none", "bwrap", "container"]
    tool: Tool = Tool()
    steps: list[Step] = Field(default_factory=list, max_length=4)
    diagnosis: Diagnosis | None = None
    review: Review | None = None
    runs: dict[str, Run] = Field(default_factory=dict, max_length=5)

    @property
    def is_final(self) -> bool:
        """Whether the agent came to its end, or at least said why not."""
        return self.status != "running"


def read_report(path: Path, *, job_id: str, attempt: int, mode: str) -> Report | None:
    """The report in the file, or None when there is no file.

    Raises:
        PermanentError: it is too large, no report, or one of another launch.
    """
    if path.is_symlink() or not path.is_file():
        return None
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise PermanentError(
            f"Reading {path.name!r} of job {job_id!r} expected at most {MOST_BYTES:,} bytes, got more."
        )
    report = parse_report(content, job_id=job_id)
    if (report.job_id, report.attempt, report.mode) != (job_id, attempt, mode):
        raise PermanentError(
            f"Reading {path.name!r} of job {job_id!r} expected attempt {attempt} of mode {mode}, got that of another "
            "launch."
        )
    return report


def parse_report(content: bytes | dict[str, Any], *, job_id: str) -> Report:
    """The report, checked.

    Raises:
        PermanentError: it is not one.
    """
    try:
        return Report.model_validate(json.loads(content) if isinstance(content, bytes) else content)
    except (ValueError, RecursionError) as error:
        what = "a report"
        if isinstance(error, ValidationError):
            first = error.errors(include_input=False, include_url=False)[0]
            what = ".".join(str(part)[:40] for part in first["loc"]) + ": " + first["msg"]
        raise PermanentError(
            f"Reading the report of job {job_id!r} expected the agreed schema, got {what!r}."
        ) from None
