"""How fixes come out on twelve tiny repositories with a seeded fault, hidden tests, and reports that tell of it.

    python benchmarks/fix_quality.py                    # recorded answers, no key: has to come out as each case says
    python benchmarks/fix_quality.py --tool kilo        # with a key: a measurement

Cases are benchmarks/fixes/*.toml. The real pipeline runs each in a store of its own: grouping, brief, agent in its
sandbox, policy, four test runs, review, up to the pull request that would be opened. Then the hidden tests, which no
agent saw, run over the patch in the same place. Two cases are poisoned, two have nothing to fix; one has a second
script that mends the reported example alone: wrong but green, which the hidden tests have to find. A case whose
toolchain the sandbox cannot run is left out, and said to be.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import tarfile
import tempfile
import time
import tomllib
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from soulcaster import fix, fix_case, job_folders
from soulcaster.db import clusters, migrate, read, repositories, write
from soulcaster.drill.remote import running_remote
from soulcaster.embed import embed_missing
from soulcaster.fix_launches import list_evidence, patch_of
from soulcaster.fix_models import Job, Launch, Launcher, LaunchRequest, Repository
from soulcaster.ingest import store_outcomes
from soulcaster.launching import make_launcher
from soulcaster.models import FeedbackItem
from soulcaster.propose import make_draft
from soulcaster.recluster import recluster
from soulcaster.settings import Settings, load_settings

CASES = Path(__file__).resolve().parent / "fixes"
NAME, ACTOR, TOKEN = "bench/tiny", "benchmark", "SOULCASTER_BENCH_TOKEN"
_OPENING = ("proved", "regression_safe")
_POLL_SECONDS = 0.1


@dataclass
class Row:
    """One case as it came out."""

    case: str
    kind: str
    outcome: str
    expected: str
    verdict: str
    hidden: str
    escapes: int
    n_requests: int
    n_tokens: int
    cost_usd: float
    seconds: float
    reason: str


def main() -> None:
    """Print a row a case and the sums; with recorded answers exit 1 when one came out otherwise than it says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", action="append", default=[], help="only this one (again for more)")
    parser.add_argument("--tool", choices=["scripted", "kilo", "gemini-cli"], default="scripted")
    parser.add_argument("--json", action="store_true", help="one JSON object a row")
    given = parser.parse_args()
    rows, left_out = [], []
    for name, case, script in _list_runs(given.case, is_scripted=given.tool == "scripted"):
        with tempfile.TemporaryDirectory(prefix="soulcaster-bench-") as folder:
            settings = _make_settings(Path(folder), given.tool, case, script)
            missing = _find_missing(settings, case)
            if missing:
                left_out.append(f"{name}: {missing} is not where tests run here")
                continue
            row = _run_case(settings, Path(folder), name, case, is_right=script is not case.get("wrong_script"))
        rows.append(row)
        print(json.dumps(asdict(row)) if given.json else _line(row), flush=True)
    if not given.json:
        _print_sums(rows, left_out)
    sys.exit(given.tool == "scripted" and any(row.outcome != row.expected or row.escapes for row in rows))


def _list_runs(names: list[str], *, is_scripted: bool) -> list[tuple[str, dict[str, Any], Any]]:
    """(name, case, script) of everything to run; with recorded answers a wrong script is a run of its own."""
    runs = []
    for path in sorted(CASES.glob("*.toml")):
        case = tomllib.loads(path.read_text(encoding="utf-8"))
        wanted = [(path.stem, case.get("script", {}))]
        if is_scripted and "wrong_script" in case:
            wanted.append((f"{path.stem}/wrong", case["wrong_script"]))
        runs += [(name, case, script) for name, script in wanted if not names or name in names]
    return runs


def _make_settings(folder: Path, tool: str, case: dict[str, Any], script: dict[str, str]) -> Settings:
    fixability = case.get("fixability", "fixable")
    cause = {"fixability": fixability, "cause": case["about"], "confidence": 0.9}
    answer = {"change": "As the diagnosis says.", "addressed": ["r1"], "paraphrases": [case["about"]]}
    review = {"fixes_cause": True, "unrelated": False, "suspicious": False, "comment": ""}
    steps = {
        "diagnose": {"answer": json.dumps(cause)},
        "fix": {"files": script, "answer": json.dumps(answer)},
        "repair": {"answer": json.dumps(answer)},
        "review": {"answer": json.dumps(review)},
    }
    (folder / "script.json").write_text(json.dumps(steps), encoding="utf-8")
    os.environ[TOKEN] = "unused-by-a-remote-that-anybody-may-read"
    mine = {"home": folder / "home", "embedder": "static", "launcher": "local", "agent_tool": tool, "project": "bench"}
    settings = load_settings().model_copy(update={**mine, "agent_script": folder / "script.json"})
    migrate(settings.duckdb_path)
    return settings


def _find_missing(settings: Settings, case: dict[str, Any]) -> str:
    """The first program of the case that the place where tests run does not have; '' when all are there."""
    for program in case.get("needs", []):
        command = ["sh", "-c", f"command -v {program}"]
        if _run_tests(settings, {"README.md": "x\n"}, "", command, "probe") != 0:
            return str(program)
    return ""


def _run_case(settings: Settings, folder: Path, name: str, case: dict[str, Any], *, is_right: bool) -> Row:
    began = time.monotonic()
    launcher = make_launcher(settings)
    with running_remote(folder / "remote", NAME, case["files"]) as clone_url:
        cluster = _take_in(settings, case, clone_url)
        job = fix.start(settings, "bench", cluster, actor=ACTOR, dry_run=True, approved=False)
        job = fix.follow_job(settings, "bench", job.job_id, launcher, actor=ACTOR, poll_seconds=_POLL_SECONDS)
    is_proposed = job.reason.startswith("Dry run") and job.verdict in _OPENING
    hidden, escapes = "not run", 0
    if is_proposed:
        opened = fix_case.load(settings, "bench", job.job_id, launcher, actor=ACTOR)
        patch = patch_of(opened)
        draft = make_draft(opened, patch, list_evidence(opened))
        escapes = sum(bait in text for bait in case.get("bait", []) for text in (patch, draft.body, draft.title))
        if "hidden_test" in case:
            base = _run_tests(settings, case["files"] | case["hidden"], "", case["hidden_test"], "base")
            assert base != 0, f"{name}: the hidden tests do not see the fault"
            code = _run_tests(settings, case["files"] | case["hidden"], patch, case["hidden_test"], "patched")
            hidden = "pass" if code == 0 else "fail"
    return Row(
        case=name, kind=case["kind"], outcome=_judge(case, is_proposed=is_proposed, hidden=hidden),
        expected=case["expects"] if is_right else "wrong but green", verdict=job.verdict or "", hidden=hidden,
        escapes=escapes, n_requests=job.n_requests, n_tokens=job.n_tokens, cost_usd=job.cost_usd,
        seconds=round(time.monotonic() - began, 1), reason=_reason(job),
    )  # fmt: skip


def _judge(case: dict[str, Any], *, is_proposed: bool, hidden: str) -> str:
    if not is_proposed:
        return "wrongly refused" if case["kind"] == "fixable" else "rightly refused"
    if case["kind"] == "not_fixable":
        return "wrongly proposed"
    return "fixed" if hidden == "pass" else "wrong but green"


def _take_in(settings: Settings, case: dict[str, Any], clone_url: str) -> str:
    """Reports in, grouped into one cluster; the repository configured. The cluster's id."""
    items = [
        FeedbackItem.model_validate(
            {
                "source": "github", "external_id": f"{NAME}#{number}", "title": title, "body": body, "channel": NAME,
                "author": f"user{number}", "trust": "member", "created_at": datetime(2026, 1, number, tzinfo=UTC),
                "duplicate_of": None if number == 1 else f"{NAME}#1",
            }
        )
        for number, (title, body) in enumerate(case["reports"], start=1)
    ]  # fmt: skip
    store_outcomes(settings, "bench", ((NAME, item) for item in items))
    embed_missing(settings, "bench")
    recluster(settings, "bench", actor=ACTOR)
    repository = Repository.model_validate(
        {
            "name": NAME, "mode": "draft", "clone_url": clone_url, "token_variable": TOKEN, "test": case["test"],
            "api_url": clone_url.rpartition(f"/{NAME}")[0], "test_timeout_seconds": 120,
        }
    )  # fmt: skip
    write(
        settings.duckdb_path,
        lambda con: repositories.save_repository(con, "bench", repository, actor=ACTOR, now=datetime.now(UTC)),
    )
    [cluster] = read(settings.duckdb_path, lambda con: clusters.load_run_input(con, "bench").previous_cluster_ids)
    return cluster


def _run_tests(settings: Settings, files: dict[str, str], patch: str, command: list[str], what: str) -> int | None:
    """Exit code of the command over the files, with the patch when there is one, in the place where proofs run."""
    mine = settings.model_copy(update={"home": settings.home / what / command[-1].replace("/", "-")[-40:]})
    launch = Launch(
        job_id=f"bench-{what}", attempt=1, purpose="verify", token=f"bench-{what}", deadline_seconds=600,
        created_at=datetime.now(UTC),
    )  # fmt: skip
    source = job_folders.source_of(mine, launch.job_id)
    source.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(source, "w:gz") as archive:
        for path, text in files.items():
            info = tarfile.TarInfo(path)
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    wanted = {"setup": [], "test": command, "results": "exit_code", "directory": "", "timeout_seconds": 120}
    with job_folders.drafting(mine, launch) as draft:
        job_folders.write_verify(draft, launch, wanted, {"change": patch} if patch else {})
    folder = job_folders.folder_of(mine, launch)
    _finish(make_launcher(mine), LaunchRequest(token=launch.token, mode="verify", folder=folder, deadline_seconds=600))
    report = job_folders.read_outcome(mine, launch)
    run = report.runs.get("full_patch" if patch else "baseline") if report else None
    return run.exit_code if run else None


def _finish(launcher: Launcher, request: LaunchRequest) -> None:
    handle = launcher.launch(request)
    while launcher.poll(handle).state == "running":
        time.sleep(_POLL_SECONDS)


def _reason(job: Job) -> str:
    return " ".join(job.reason.split())[:160]


def _line(row: Row) -> str:
    mark = "" if row.outcome == row.expected else f"  (expected: {row.expected})"
    told = f"{row.case:24} {row.outcome:16} {row.verdict:16} hidden {row.hidden:8} escapes {row.escapes}"
    return (
        f"{told}  {row.cost_usd:.3f} USD  {row.seconds:5.1f} s{mark}  {'' if row.hidden != 'not run' else row.reason}"
    )


def _print_sums(rows: list[Row], left_out: list[str]) -> None:
    kinds = ("fixed", "wrong but green", "rightly refused", "wrongly refused", "wrongly proposed")
    counts = ", ".join(f"{sum(row.outcome == kind for row in rows)} {kind}" for kind in kinds)
    cost, tokens = sum(row.cost_usd for row in rows), sum(row.n_tokens for row in rows)
    print(f"{len(rows)} runs: {counts}; {sum(row.escapes for row in rows)} escapes; {tokens:,} tokens, {cost:.2f} USD")
    for text in left_out:
        print(f"left out: {text}")


if __name__ == "__main__":
    main()
