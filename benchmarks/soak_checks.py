"""What must be true after a soak: nothing lost, nothing doubled, nothing half done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

from fix_store import plan
from standins.forge import Forge
from standins.planned_launcher import PlannedLauncher

from benchmarks.soak_roles import FILE_ITEMS, PROJECT, REPOSITORY
from soulcaster import assign, db, drain, embed, fix, recluster
from soulcaster.fix_models import FINAL_STATUSES
from soulcaster.settings import Settings
from soulcaster.sources import inbox

_ROUNDS = 10
"""Most rounds of `reconcile` until every job has come to its end; a round moves each as far as it goes."""


class Check(NamedTuple):
    """One promise."""

    name: str
    is_kept: bool
    found: str


def finish(settings: Settings, work: Path) -> list[str]:
    """Let every step that was cut off be done once, by nobody but us; what could not be, as sentences."""
    problems = []
    launcher = PlannedLauncher(work / "agents", plan())
    try:
        drain.drain_inbox(settings, PROJECT)
        embed.embed_missing(settings, PROJECT)
        assign.assign(settings, PROJECT)
        recluster.recluster(settings, PROJECT)
        for _ in range(_ROUNDS):
            if not [job for job in fix.reconcile(settings, PROJECT, launcher) if _is_open(job.status)]:
                break
    except Exception as error:  # noqa: BLE001  whatever it is, the soak has found it
        problems.append(f"{type(error).__name__}: {error}"[:300])
    return problems


def _is_open(status: str) -> bool:
    return status not in {*FINAL_STATUSES, "pr_open"}


def _rows(settings: Settings, query: str, *values: object) -> list[tuple[Any, ...]]:
    return db.read(settings.duckdb_path, lambda con: con.execute(query, list(values)).fetchall())


def check_all(
    settings: Settings, journals: dict[str, list[dict[str, Any]]], accepted: set[str], forge: Forge, problems: list[str]
) -> list[Check]:
    """Every promise, and what was found."""
    notes = [note for each in journals.values() for note in each]
    errors = Counter(note["error"] for note in notes if "error" in note)
    unexpected = [note for note in notes if note.get("error") == "unexpected"]
    reads = sorted(note["seconds"] for note in journals["reader"] if note.get("done") == "read")
    p95 = reads[int(len(reads) * 0.95)] if reads else float("nan")
    return [
        Check("every step finishes once it is left in peace", not problems, "; ".join(problems) or "all did"),
        *_check_items(settings, journals["importer"], accepted),
        *_check_runs(settings),
        _check_edits(settings, journals["person"]),
        *_check_jobs(settings, journals["fixer"], forge),
        Check("no error that nobody expected", not unexpected, _first(unexpected) or f"{dict(errors)}"),
        Check("somebody could read", bool(reads), f"{len(reads):,} reads, 95 of 100 within {p95:.2f} s"),
    ]


def _first(notes: list[dict[str, Any]]) -> str:
    kinds = Counter(str(note.get("text", ""))[:160] + "\n" + str(note.get("where", "")) for note in notes)
    return "; ".join(f"{count} times {text}" for text, count in kinds.most_common(4))


def _check_items(settings: Settings, imports: list[dict[str, Any]], accepted: set[str]) -> list[Check]:
    ids = Counter(row[0] for row in _rows(settings, "SELECT external_id FROM items"))
    files = {note["number"] for note in imports if note.get("done") == "file"}
    promised = {
        f"{REPOSITORY}#{number}"
        for file in files
        for number in range(1 + file * FILE_ITEMS, 1 + (file + 1) * FILE_ITEMS)
    }
    doubled = [name for name, count in ids.items() if count > 1]
    held = _rows(settings, "SELECT reason, count(*) FROM quarantine GROUP BY reason")
    waiting = inbox.list_pending(settings.inbox_path)
    unvectored, n_texts = embed.count_missing(settings, PROJECT)
    return [
        _all_there("every post answered 202 is an item", accepted, ids.keys()),
        _all_there("every imported file's issues are items", promised, ids.keys()),
        Check("nothing is there twice", not doubled, f"{len(doubled)} of {len(ids):,}"),
        Check(
            "no delivery was torn, none waits", not (held or waiting), f"{held or 'none'} held, {len(waiting)} waiting"
        ),
        Check("every text has a vector", not unvectored, f"{unvectored} of {n_texts:,} without"),
    ]


def _all_there(name: str, promised: set[str], found: Collection[str]) -> Check:
    missing = promised - set(found)
    return Check(name, not missing, f"{len(missing)} of {len(promised):,} missing")


def _check_runs(settings: Settings) -> list[Check]:
    half = _rows(
        settings,
        "SELECT run_id FROM runs r WHERE n_items != (SELECT count(*) FROM memberships m WHERE m.run_id = r.run_id) "
        "AND EXISTS (SELECT 1 FROM memberships m WHERE m.run_id = r.run_id)",
    )
    [(n_shown,)] = _rows(settings, "SELECT count(*) FROM published_runs")
    [(n_lost,)] = _rows(settings, "SELECT count(*) FROM publications WHERE run_id NOT IN (SELECT run_id FROM runs)")
    [(n_runs,)] = _rows(settings, "SELECT count(*) FROM runs")
    return [
        Check("no run is half there", not half, f"{len(half)} of {n_runs:,}"),
        Check("one run is on show, and it is there", (n_shown, n_lost) == (1, 0), f"{n_shown} on show, {n_lost} lost"),
    ]


def _check_edits(settings: Settings, notes: list[dict[str, Any]]) -> Check:
    promised = {note["edit"] for note in notes if "edit" in note}
    found = {str(row[0]) for row in _rows(settings, "SELECT edit_id FROM edits")}
    return _all_there("every edit that a person was told of is kept", promised, found)


def _check_jobs(settings: Settings, notes: list[dict[str, Any]], forge: Forge) -> list[Check]:
    jobs = _rows(settings, "SELECT job_id, status, branch, reason FROM jobs")
    promised = {note["job"] for note in notes if note.get("done") == "start"}
    still_open = [row for row in jobs if _is_open(row[1]) and not row[3]]
    heads = Counter(pull["head"]["ref"] for pull in forge.pull_requests)
    doubled = [head for head, count in heads.items() if count > 1]
    wanted = {row[2] for row in jobs if row[1] == "pr_open"}
    statuses = dict(Counter(row[1] for row in jobs))
    is_single = not doubled and wanted <= heads.keys()
    return [
        _all_there("every job that was begun is known", promised, {str(row[0]) for row in jobs}),
        Check("every job has come to an end or says why it waits", not still_open, f"{statuses}"),
        Check("no branch has two pull requests, none is missing", is_single, f"{len(heads)} pull requests"),
    ]
