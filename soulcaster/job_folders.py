"""Job folders: everything one launch is given, written before it starts, and what it handed back, read with limits.

A folder appears whole, by renaming; while its launch is not in the store nothing was started from it, so it may be
made again. Lies in `<home>/jobs/<job>/<attempt>-<mode>/`.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from soulcaster.errors import PermanentError
from soulcaster.fix_models import Launch
from soulcaster.fixing.reports import Report, Usage, read_report
from soulcaster.settings import Settings

SOURCE = "source.tar.gz"
LOCK = "lock"
_MOST_PATCH_BYTES = 5_000_000
_MOST_USAGE_BYTES = 10_000
_MOST_DEADLINE_SECONDS = 6 * 3600
_SLACK_SECONDS = 600


def path_of(settings: Settings, job_id: str) -> Path:
    """The job's own folder."""
    return settings.jobs_path / job_id


def folder_of(settings: Settings, launch: Launch) -> Path:
    """The folder of one launch."""
    return path_of(settings, launch.job_id) / launch.folder_name


def forget_words(settings: Settings, job_id: str) -> int:
    """Number of files and folders deleted: what was said, asked and packed; base tree and looked-at patches stay."""
    folder = path_of(settings, job_id)
    gone = [path for path in folder.glob("*") if path.name not in (SOURCE, LOCK) and path.suffix != ".patch"]
    for path in gone:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    return len(gone)


@contextmanager
def drafting(settings: Settings, launch: Launch) -> Iterator[Path]:
    """A new folder with the base tree, to fill; it appears when the block ends. Nothing was started from it before."""
    target = folder_of(settings, launch)
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{launch.folder_name}-", dir=target.parent))
    draft.chmod(0o755)  # the agent may run as a user with fewer rights than ours
    try:
        shutil.copyfile(source_of(settings, launch.job_id), draft / SOURCE)
        yield draft
        shutil.rmtree(target, ignore_errors=True)
        draft.rename(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def write_edit(
    settings: Settings,
    draft: Path,
    launch: Launch,
    prompts: dict[str, str],
    *,
    command: dict[str, Any],
    n_tokens_left: int,
    cost_left: float,
) -> None:
    """job.json for a launch that edits.

    Args:
        settings: tool, model and limits.
        draft: where to write.
        launch: whose it is.
        prompts: step to prompt, in order; `start.patch` of the folder is applied first when it is there.
        command: how tests are run; its set-up is run before the steps, so that the agent can run them too.
        n_tokens_left: of the job's budget, shared among the steps.
        cost_left: likewise, US dollars.
    """
    tool: dict[str, Any] = {
        "name": settings.agent_tool,
        "model": settings.agent_model,
        "protocol": settings.agent_protocol,
    }
    if settings.agent_tool == "scripted":
        tool["script"] = read_script(settings)
    edit: dict[str, Any] = {
        "steps": [{"name": name, "prompt": prompt} for name, prompt in prompts.items()],
        "starts_from_patch": (draft / "start.patch").is_file(),
        "tool": tool,
        "limits": {
            "wall_seconds": settings.agent_wall_seconds,
            "idle_seconds": settings.agent_idle_seconds,
            "requests": settings.agent_requests,
            "tokens": max(1, min(settings.agent_tokens, n_tokens_left // len(prompts))),
            "cost_usd": max(0.0001, min(settings.agent_cost_usd, cost_left / len(prompts))),
        },
    }
    if command.get("setup") and "review" not in prompts:
        edit |= {"setup": command["setup"], "directory": command["directory"]}
    _write_job(draft, launch, {"edit": edit})


def write_verify(draft: Path, launch: Launch, command: dict[str, Any], patches: dict[str, str]) -> None:
    """job.json for a launch that runs tests, and the patches it needs: change, tests, source."""
    for name, patch in patches.items():
        (draft / f"{name}.patch").write_bytes(patch.encode())
    wanted = {key: command[key] for key in ("setup", "test", "results", "directory", "timeout_seconds")}
    _write_job(draft, launch, {"verify": wanted})


def edit_deadline(settings: Settings, n_steps: int) -> int:
    """Seconds an edit of so many steps may take in all."""
    return min(_MOST_DEADLINE_SECONDS, n_steps * settings.agent_wall_seconds + _SLACK_SECONDS)


def verify_deadline(timeout_seconds: int) -> int:
    """Seconds the five test runs and their set-ups may take in all."""
    return min(_MOST_DEADLINE_SECONDS, 6 * timeout_seconds + _SLACK_SECONDS)


def source_of(settings: Settings, job_id: str) -> Path:
    """The base tree's archive. It lies beside the launches, where no agent reaches; each launch gets a copy."""
    return path_of(settings, job_id) / SOURCE


@contextmanager
def base_tree(settings: Settings, job_id: str) -> Iterator[Path]:
    """The base tree, unpacked while the block lasts; the reader refuses links out of it and devices."""
    with tempfile.TemporaryDirectory(prefix=".tree-", dir=path_of(settings, job_id)) as name:
        with tarfile.open(source_of(settings, job_id)) as archive:
            archive.extractall(name, filter="data")
        yield Path(name)


def list_base_paths(settings: Settings, job_id: str) -> list[str]:
    """Paths of the base tree."""
    with tarfile.open(source_of(settings, job_id)) as archive:
        return [member.name.removeprefix("./") for member in archive.getmembers() if not member.isdir()]


def keep_patch(settings: Settings, launch: Launch, patch: str) -> None:
    """Put the patch that was looked at where no agent reaches: it, and nothing else, is tested and published."""
    path = path_of(settings, launch.job_id) / f"{launch.attempt}-change.patch"
    draft = path.with_suffix(".part")
    draft.write_bytes(patch.encode("utf-8", "surrogateescape"))
    draft.replace(path)


def read_kept_patch(settings: Settings, job_id: str, attempt: int) -> str:
    """The patch of that launch as it was looked at; '' when there is none."""
    path = path_of(settings, job_id) / f"{attempt}-change.patch"
    return path.read_bytes().decode("utf-8", "surrogateescape") if attempt and path.is_file() else ""


def read_patch(settings: Settings, launch: Launch) -> str:
    """The patch an edit handed back; '' when there is none. Bytes that are not UTF-8 stay recognisable.

    Raises:
        PermanentError: it is larger than any patch that could pass.
    """
    path = folder_of(settings, launch) / "change.patch"
    if path.is_symlink() or not path.is_file():
        return ""
    with path.open("rb") as file:
        content = file.read(_MOST_PATCH_BYTES + 1)
    if len(content) > _MOST_PATCH_BYTES:
        raise PermanentError(f"The agent's patch is over {_MOST_PATCH_BYTES:,} bytes; a fix is small, it is not used.")
    return content.decode("utf-8", "surrogateescape")


def read_outcome(settings: Settings, launch: Launch) -> Report | None:
    """The launch's report, or None while there is none.

    Raises:
        PermanentError: what lies there is no report of this launch.
    """
    path = folder_of(settings, launch) / "report.json"
    return read_report(path, job_id=launch.job_id, attempt=launch.attempt, mode=launch.mode)


def read_usage(settings: Settings, launch: Launch) -> Usage:
    """What the launch has used so far: the gateway's own count, and what its report claims where that is more.

    The count is written every two seconds by the process that holds the launch, where an agent in a sandbox does not
    reach; a launch elsewhere has it once it is brought here. Zero while nothing is known.
    """
    found = [Usage()]
    with contextlib.suppress(PermanentError):  # a report that cannot be read was already said to be so
        report = read_outcome(settings, launch)
        steps = report.steps if report else []
        found.append(
            Usage(
                requests=sum(step.requests for step in steps),
                tokens=sum(step.tokens for step in steps),
                cost_usd=sum(step.cost_usd for step in steps),
            )
        )
    path = folder_of(settings, launch) / "launch" / "usage.json"
    if path.is_file() and not path.is_symlink() and path.stat().st_size <= _MOST_USAGE_BYTES:
        with contextlib.suppress(ValidationError):
            found.append(Usage.model_validate_json(path.read_bytes()))
    return Usage(
        requests=max(each.requests for each in found),
        tokens=max(each.tokens for each in found),
        cost_usd=max(each.cost_usd for each in found),
    )


def read_script(settings: Settings) -> dict[str, Any]:
    """What the tool `scripted` replays.

    Raises:
        PermanentError: the setting names no readable JSON object.
    """
    path = settings.agent_script
    try:
        script = json.loads(path.read_text(encoding="utf-8")) if path else None
    except (OSError, ValueError) as error:
        raise PermanentError(f"Reading SOULCASTER_AGENT_SCRIPT {str(path)!r} failed: {error}; mend the file.") from None
    if not isinstance(script, dict):
        raise PermanentError(
            "The tool 'scripted' replays a file: expected SOULCASTER_AGENT_SCRIPT to name a JSON object of steps, got "
            f"{'nothing' if path is None else repr(str(path))}; set it, or choose SOULCASTER_AGENT_TOOL=kilo."
        )
    return script


def _write_job(draft: Path, launch: Launch, part: dict[str, Any]) -> None:
    job = {
        "schema_version": 1,
        "job_id": launch.job_id,
        "attempt": launch.attempt,
        "mode": launch.mode,
        "deadline_seconds": launch.deadline_seconds,
        **part,
    }
    (draft / "job.json").write_text(json.dumps(job, ensure_ascii=False))
