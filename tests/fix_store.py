"""A cluster on show, a repository on a forge, and a script for the agent: what the tests of fixes start from."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from grouping_store import PROJECT, add_items, query, row
from standins.forge import Forge

from soulcaster import job_folders
from soulcaster.db import jobs, read, repositories, write
from soulcaster.fix_models import Repository
from soulcaster.items import item_id
from soulcaster.settings import Settings

SECRET = "canary-key-0123456789-do-not-leak"
CLUSTER = "c1000000-0000-4000-8000-000000000001"
RUN = "d1000000-0000-4000-8000-000000000001"
NAME = "acme/notes"
TEST = "from notes import total\n\n\ndef test_one():\n    assert total([5]) == 5\n"
FILES = {
    "notes.py": "def total(rows):\n    if len(rows) > 1:\n        rows = rows[1:]\n    return sum(rows)\n",
    "tests/test_notes.py": TEST,
    "README.md": "# Notes\n",
}
FIXED = "def total(rows):\n    return sum(rows)\n"
NEW_TEST = f"{TEST}\n\ndef test_first_row_counts():\n    assert total([1, 2]) == 3\n"
DIAGNOSIS = {"fixability": "fixable", "cause": "total() leaves out the first row (notes.py:3)", "files": ["notes.py"]}
REVIEW = {"fixes_cause": True, "unrelated": False, "suspicious": False, "comment": "Small and to the point."}
ANSWER = {"change": "All rows are summed.", "addressed": ["r1"], "paraphrases": ["Totals miss the first row."]}


def plan(**changes):
    """An honest fix, with these parts replaced."""
    honest = {
        "diagnose": {"diagnosis": DIAGNOSIS},
        "fix": {"files": {"notes.py": FIXED, "tests/test_notes.py": NEW_TEST}, "answer": json.dumps(ANSWER)},
        "repair": {"answer": json.dumps(ANSWER)},
        "review": {"review": REVIEW},
    }
    return {**honest, **changes}


def detail_of(settings, job):
    """What the job found out."""
    return read(settings.duckdb_path, lambda con: jobs.get_detail(con, PROJECT, job.job_id))


def cluster_status(settings):
    """As the store has it."""
    return query(settings, "SELECT status FROM clusters")[0][0]


def job_json(settings, job, folder):
    """What a launch was asked for."""
    return json.loads((job_folders.path_of(settings, job.job_id) / folder / "job.json").read_text())


def script(**steps: dict[str, Any]) -> dict[str, Any]:
    """What the scripted agent does: an honest fix, with these steps replaced."""
    honest = {
        "diagnose": {"answer": json.dumps(DIAGNOSIS)},
        "fix": {"files": {"notes.py": FIXED, "tests/test_notes.py": NEW_TEST}, "answer": json.dumps(ANSWER)},
        "repair": {"answer": json.dumps(ANSWER)},
        "review": {"answer": json.dumps(REVIEW)},
    }
    return {**honest, **steps}


def with_script(settings: Settings, folder: Path, **steps: dict[str, Any]) -> Settings:
    """Settings whose agent replays the script."""
    path = folder / "script.json"
    path.write_text(json.dumps(script(**steps)))
    return settings.model_copy(update={"agent_tool": "scripted", "agent_script": path, "project": PROJECT})


def add_cluster(settings: Settings, *, trust: str = "member", body: str = "The first row is missing.") -> str:
    """Three reports as one cluster on show; its id."""
    rows = [
        row(f"{NAME}#{number}", f"Total is wrong {number}", body, source="github", author=f"user{number}")
        for number in (11, 12)
    ]
    rows.append(row("t3_a", "sum leaves out a line", "first line never counts", source="reddit", author="red"))
    add_items(settings, rows)
    ids = [str(item_id(PROJECT, str(each["source"]), str(each["external_id"]))) for each in rows]

    def insert(con):
        con.execute("UPDATE items SET trust = ?, channel = ? WHERE source = 'github'", [trust, NAME])
        con.execute("INSERT INTO runs VALUES (?, ?, now(), 'm', '{}', 3, 1, 0, 0, 0.1)", [RUN, PROJECT])
        con.execute("INSERT INTO publications VALUES (?, ?, now(), 'test')", [PROJECT, RUN])
        con.execute(
            "INSERT INTO clusters (cluster_id, project_id, status, title, summary, terms, created_at, changed_at) "
            "VALUES (?, ?, 'new', 'Totals are wrong', '', [], now(), now())",
            [CLUSTER, PROJECT],
        )
        con.execute("INSERT INTO run_clusters VALUES (?, ?, ?, NULL, 0, 3, 'h')", [RUN, PROJECT, CLUSTER])
        for each in ids:
            con.execute(
                "INSERT INTO memberships VALUES (?, ?, ?, 0, ?, NULL, 1.0, true, 0.9, 'near-text')",
                [RUN, PROJECT, each, CLUSTER],
            )

    write(settings.duckdb_path, insert)
    return CLUSTER


def add_repository(settings: Settings, forge: Forge, **fields: Any) -> Repository:
    """The forge's repository, made there and configured here; its token is in the variable NOTES_TOKEN."""
    from datetime import UTC, datetime

    if not forge.bare(NAME).exists():
        forge.add_repository(NAME, FILES)
    chosen = {
        "name": NAME, "mode": "draft", "api_url": forge.url, "clone_url": forge.clone_url(NAME),
        "token_variable": "NOTES_TOKEN", "test": [sys.executable, "-m", "pytest", "-q"], "test_timeout_seconds": 60,
    }  # fmt: skip
    repository = Repository.model_validate({**chosen, **fields})
    write(
        settings.duckdb_path,
        lambda con: repositories.save_repository(con, PROJECT, repository, actor="ann", now=datetime.now(UTC)),
    )
    return repository
