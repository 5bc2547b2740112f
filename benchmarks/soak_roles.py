"""The processes of `soak.py`: each does one kind of work in a loop until it is killed, and notes what it finished.

`python benchmarks/soak_roles.py ROLE HOME SEED`. A note is one line in `HOME/../journal/ROLE`, written after the work
is done: what a note says happened must be true at the end. An error is a note too; the loop goes on, as a scheduler
would.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from soulcaster import assign, db, drain, edit, embed, fix, ingest, recluster, summarize, triage
from soulcaster.db import screens
from soulcaster.errors import PermanentError, SoulcasterError, TransientError
from soulcaster.settings import Settings
from soulcaster.sources.tabular import ColumnMap

PROJECT = "acme"
REPOSITORY = "acme/notes"
FILE_ITEMS = 60
N_PROBLEMS = 40

Note = Callable[..., None]


def main() -> None:
    """Work until killed."""
    role, home, seed = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    settings = settings_of(home)
    journal = home.parent / "journal" / role

    def note(**what: object) -> None:
        with journal.open("a") as lines:
            lines.write(json.dumps(what) + "\n")

    drawn = random.Random(f"{seed} {os.getpid()}")  # noqa: S311  seeded on purpose
    turn = ROLES[role](settings, note, drawn)
    while True:
        try:
            turn()
        except TransientError as error:
            note(error="transient", text=str(error)[:300])
        except SoulcasterError as error:
            note(error="permanent", text=str(error)[:300])
        except Exception as error:  # noqa: BLE001  the soak counts what nobody expected, and goes on
            note(
                error="unexpected", text=f"{type(error).__name__}: {error}"[:300], where=traceback.format_exc()[-1500:]
            )
        time.sleep(drawn.uniform(0.0, 0.3))


def settings_of(home: Path) -> Settings:
    """What every process of the soak runs with."""
    return Settings(
        _env_file=None, home=home, project=PROJECT, embedder="static", lock_timeout_seconds=20,
        fix_repository_jobs_per_day=1000, agent_tool="scripted", agent_script=home.parent / "script.json",
    )  # fmt: skip


def words_of(number: int) -> tuple[str, str]:
    """Title and body of item `number`: one of 40 problems, said in one of many ways."""
    drawn = random.Random(number)  # noqa: S311
    problem = drawn.randrange(N_PROBLEMS)
    thing = f"{('export', 'import', 'search', 'login', 'photo', 'map', 'invoice', 'calendar')[problem % 8]} {problem}"
    fault = ("crashes", "loses the last row", "is slow", "shows a blank page", "asks twice")[problem // 8]
    how = drawn.choice(("every time", "since the update", "on my phone", "when I am offline", "after a restart"))
    return f"The {thing} {fault} {how}", f"Report {number}: {thing} {fault}, {how}. Please mend {thing}."


def importer(settings: Settings, note: Note, drawn: random.Random) -> Callable[[], None]:
    """Files of GitHub issues, one after another; some a second time."""
    folder = settings.home.parent / "files"

    def turn() -> None:
        done = len(list(folder.iterdir()))
        number = drawn.randrange(done + 1)
        path = folder / f"{number:05}.json"
        if not path.exists():
            first = 1 + number * FILE_ITEMS
            part = path.with_suffix(".part")
            part.write_text(json.dumps([issue(each) for each in range(first, first + FILE_ITEMS)]))
            part.rename(path)
        ingest.import_path(settings, PROJECT, path, "github", ColumnMap())
        note(done="file", number=number)

    return turn


def issue(number: int) -> dict[str, object]:
    """An issue as GitHub's API lists it, as far as it is read."""
    title, body = words_of(number)
    at = f"2026-{1 + number % 9:02}-{1 + number % 27:02}T08:00:00Z"
    return {
        "number": number, "title": title, "body": body, "state": "open", "created_at": at, "updated_at": at,
        "html_url": f"https://github.com/{REPOSITORY}/issues/{number}", "author_association": "MEMBER",
        "user": {"login": f"user{number % 50}", "type": "User"}, "labels": [], "comments": 0,
        "repository_url": f"https://api.github.com/repos/{REPOSITORY}",
    }  # fmt: skip


def drainer(settings: Settings, note: Note, _drawn: random.Random) -> Callable[[], None]:
    """The inbox into the store, new items into the grouping on show."""

    def turn() -> None:
        drain.drain_inbox(settings, PROJECT)
        embed.embed_missing(settings, PROJECT)
        assign.assign(settings, PROJECT)
        note(done="drain")

    return turn


def grouper(settings: Settings, note: Note, _drawn: random.Random) -> Callable[[], None]:
    """Everything anew, again and again."""

    def turn() -> None:
        embed.embed_missing(settings, PROJECT)
        report = recluster.recluster(settings, PROJECT)
        summarize.summarize(settings, PROJECT)
        note(done="recluster", run=report.run_id, items=report.n_items, clusters=report.n_clusters)

    return turn


def person(settings: Settings, note: Note, drawn: random.Random) -> Callable[[], None]:
    """Merges two clusters, takes the last merge back, sets a status."""
    mine: list[str] = []

    def turn() -> None:
        found = db.read(settings.duckdb_path, lambda con: con.execute(_SHOWN, [PROJECT]).fetchall())
        clusters = [str(cluster) for (cluster,) in found]
        if len(clusters) < 2:
            return
        choice = drawn.random()
        if mine and choice < 0.3:
            note(done="undo", edit=edit.undo(settings, PROJECT, mine.pop(), actor="ann").edit_id)
        elif choice < 0.6:
            made = edit.merge(settings, PROJECT, drawn.sample(clusters, 2), actor="ann").edit_id
            mine.append(made)
            note(done="merge", edit=made)
        else:
            triage.set_status(settings, PROJECT, drawn.choice(clusters), "triaged", actor="ann")
            note(done="status")

    return turn


_SHOWN = "SELECT DISTINCT cluster_id FROM published_memberships WHERE project_id = ? AND cluster_id IS NOT NULL"


def reader(settings: Settings, note: Note, _drawn: random.Random) -> Callable[[], None]:
    """What the overview and the list of clusters ask, and how long they wait."""

    def turn() -> None:
        begun = time.perf_counter()
        screens.read_screen(
            settings.duckdb_path, lambda con: con.execute(_SHOWN, [PROJECT]).fetchall(), timeout_seconds=4.0
        )
        screens.read_screen(settings.duckdb_path, screens.list_projects, timeout_seconds=4.0)
        note(done="read", seconds=round(time.perf_counter() - begun, 4))

    return turn


def fixer(settings: Settings, note: Note, drawn: random.Random) -> Callable[[], None]:
    """Starts a fix now and then and brings all jobs on; the agent is played, forge and git are real."""
    planned = importlib.import_module("standins.planned_launcher")
    plans = importlib.import_module("fix_store")
    launcher = planned.PlannedLauncher(settings.home.parent / "agents", plans.plan())

    def turn() -> None:
        found = db.read(settings.duckdb_path, lambda con: con.execute(_SHOWN, [PROJECT]).fetchall())
        if found and drawn.random() < 0.4:
            try:
                job = fix.start(settings, PROJECT, str(drawn.choice(found)[0]), actor="ann")
                note(done="start", job=job.job_id)
            except PermanentError as error:  # a cluster with a job of its own, a budget: an answer, not a fault
                note(done="refused", text=str(error)[:200])
        fix.reconcile(settings, PROJECT, launcher)
        note(done="reconcile")

    return turn


ROLES = {
    "importer": importer, "drainer": drainer, "grouper": grouper, "person": person, "reader": reader, "fixer": fixer,
}  # fmt: skip

if __name__ == "__main__":
    main()
