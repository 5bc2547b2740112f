"""Job folders as the trusted side makes them; their reports are checked by an independent checker."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import jsonschema

SCHEMAS = Path(__file__).resolve().parents[1] / "agent" / "schema"
LIMITS = {"wall_seconds": 60, "idle_seconds": 60, "requests": 20, "tokens": 100_000, "cost_usd": 1.0}


def make_source(folder: Path, files: dict[str, str | bytes]) -> None:
    """source.tar.gz with these files."""
    with tarfile.open(folder / "source.tar.gz", "w:gz") as tar:
        for name, text in files.items():
            data = text.encode() if isinstance(text, str) else text
            member = tarfile.TarInfo(name)
            member.size = len(data)
            member.mode = 0o644
            tar.addfile(member, io.BytesIO(data))


def make_edit(
    folder: Path,
    files: dict[str, str | bytes],
    script: dict[str, Any] | None = None,
    *,
    steps: tuple[str, ...] = ("fix",),
    prompts: dict[str, str] | None = None,
    tool: dict[str, Any] | None = None,
    limits: dict[str, Any] | None = None,
    deadline_seconds: int = 120,
    **more: Any,
) -> Path:
    """A folder for `edit`, by default with the tool `scripted`."""
    folder.mkdir(parents=True, exist_ok=True)
    make_source(folder, files)
    prompts = prompts or {}
    job = {
        "schema_version": 1,
        "job_id": "job-1",
        "attempt": 1,
        "mode": "edit",
        "deadline_seconds": deadline_seconds,
        "edit": {
            "steps": [{"name": name, "prompt": prompts.get(name, f"please {name}")} for name in steps],
            "tool": tool or {"name": "scripted", "model": "none", "script": script or {}},
            "limits": LIMITS | (limits or {}),
            **more,
        },
    }
    return _write(folder, job)


def make_verify(
    folder: Path,
    files: dict[str, str | bytes],
    test: list[str],
    *,
    patches: dict[str, str | bytes] | None = None,
    deadline_seconds: int = 120,
    **more: Any,
) -> Path:
    """A folder for `verify`; `patches` by the names tests, source and change."""
    folder.mkdir(parents=True, exist_ok=True)
    make_source(folder, files)
    for name, patch in (patches or {}).items():
        (folder / f"{name}.patch").write_bytes(patch.encode() if isinstance(patch, str) else patch)
    verify = {"setup": [], "test": test, "timeout_seconds": 60, **more}
    return _write(
        folder,
        {
            "schema_version": 1,
            "job_id": "job-1",
            "attempt": 1,
            "mode": "verify",
            "deadline_seconds": deadline_seconds,
            "verify": verify,
        },
    )


def read_report(folder: Path) -> dict[str, Any]:
    """The report, valid by its schema as the `jsonschema` package reads it."""
    report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    schema = json.loads((SCHEMAS / "report.json").read_text())
    jsonschema.Draft202012Validator(schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER).validate(
        report
    )
    return report


def _write(folder: Path, job: dict[str, Any]) -> Path:
    jsonschema.validate(job, json.loads((SCHEMAS / "job.json").read_text()), cls=jsonschema.Draft202012Validator)
    (folder / "job.json").write_text(json.dumps(job))
    return folder
