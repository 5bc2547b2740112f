"""Erasing a person: nothing of theirs is left anywhere under the home, it stays away, and everything else adds up."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import grouping_store as made
import numpy as np
import pytest
from typer.testing import CliRunner

from soulcaster import vector_index
from soulcaster.actors import Actor
from soulcaster.backup import backup, restore
from soulcaster.cli import app
from soulcaster.db import erasure, llm, migrate, read, write
from soulcaster.db.blanking import FREE_TEXT
from soulcaster.db.jobs import add_job
from soulcaster.drain import drain_inbox
from soulcaster.embed import embed_missing
from soulcaster.embedders import make_embedder
from soulcaster.erase import erase, finish_erasures
from soulcaster.errors import PermanentError
from soulcaster.export import export
from soulcaster.fix_models import Job, JobDetail
from soulcaster.ingest import store_outcomes
from soulcaster.models import FeedbackItem, Quarantined
from soulcaster.recluster import recluster
from soulcaster.settings import Settings
from soulcaster.sources import inbox
from soulcaster.summarize import summarize

PERSON, OTHER = "Canary-Person77", "someone-else"
WORDS = "canarywordsxq the login page"


KILLED = """
import os, signal, sys
from soulcaster.erase import erase
from soulcaster.settings import load_settings
event, name, project, author = sys.argv[1:]
def kill(seen, given):
    if seen == event and name in str(given[0]):
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(kill)
erase(load_settings(), project, "reddit", author, actor="me")
"""


def item(number: int, author: str = PERSON, **rest: object) -> FeedbackItem:
    """One report about a broken login; the person's words are like no other's."""
    words = WORDS if author == PERSON else "the login page"
    key = f"{'canary' if author == PERSON else 'other'}id{number}"
    given = {
        "source": "reddit", "external_id": f"t3_{key}", "author": author,
        "title": f"{words} is broken {number}", "body": f"I cannot log in with version {number}. {words}",
        "url": f"https://reddit.example/{key}",
        "payload": json.dumps({"by": author, "t": words}),
    }  # fmt: skip
    return FeedbackItem.model_validate(given | rest)


def take_in(settings, *items: FeedbackItem | Quarantined):
    """Counts of storing these."""
    return store_outcomes(settings, made.PROJECT, [("here", each) for each in items], source="reddit")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """A home in which two people told of one problem, with all that is made of it; copied for each test."""
    home = tmp_path_factory.mktemp("erase") / "home"
    own = Settings(_env_file=None, home=home, embedder="static", min_similarity=0.1)
    migrate(own.duckdb_path)
    take_in(own, *(item(n) for n in range(3)), *(item(n, OTHER) for n in range(3)))
    take_in(own, Quarantined(reason="no-text", detail="empty", payload=json.dumps({"data": {"author": PERSON}})))
    embed_missing(own, made.PROJECT)
    recluster(own, made.PROJECT)
    summarize(own, made.PROJECT)
    asked = "SELECT CAST(cluster_id AS VARCHAR) FROM published_memberships JOIN items USING (item_id) WHERE author = $1"
    cluster_id = made.query(own, asked, PERSON)[0][0]
    write(own.duckdb_path, lambda con: add_traces(con, cluster_id))
    folder = own.jobs_path / "j1" / "1-edit"
    folder.mkdir(parents=True)
    (folder / "job.json").write_text(json.dumps({"prompt": WORDS, "by": PERSON}))
    (own.jobs_path / "j1" / "bundle.zip").write_bytes(b"PK" + WORDS.encode())
    (own.jobs_path / "j1" / "1-change.patch").write_text("--- a\n+++ b\n")
    own.exports_path.mkdir()
    export(own, made.PROJECT, "items", own.exports_path / "items.jsonl")
    own.neighbors_path.mkdir()
    (own.neighbors_path / "acme.npy").write_bytes(made.query(own, "SELECT content_hash FROM items")[0][0].encode())
    inbox.append(own.inbox_path, "reddit", json.dumps(raw_post()).encode(), "d1", {})
    return own.home


@pytest.fixture
def full(prepared, settings):
    """Settings over a copy of the prepared home."""
    shutil.copytree(prepared, settings.home, dirs_exist_ok=True)
    return settings.model_copy(update={"embedder": "static", "min_similarity": 0.1})


def raw_post() -> dict[str, object]:
    """What Reddit would send of one more post of theirs."""
    data = {"id": "canaryidz", "name": "t3_canaryidz", "author": PERSON, "title": WORDS + " again", "selftext": WORDS,
            "subreddit": "x", "created_utc": 1700000000, "permalink": "/r/x/canaryidz"}  # fmt: skip
    return {"kind": "t3", "data": data}


def add_traces(con, cluster_id: str) -> None:
    """A job over the cluster, a kept answer, and log lines that quote the person."""
    now = read_now(con)
    job = Job(job_id="j1", project_id=made.PROJECT, cluster_id=cluster_id, repository="o/r", status="failed",
              reason=f"it says {WORDS} is broken 1", actor="me", created_at=now, changed_at=now)  # fmt: skip
    add_job(con, job, JobDetail(diagnosis={"cause": f"as {PERSON} says"}, answer={"text": WORDS}))
    llm.keep_answer(con, made.PROJECT, "q", json.dumps({"title": WORDS}), now=now)
    for detail in ({"external_id": "t3_canaryid1"}, {"said": f"{WORDS} is broken 2"}, {"who": PERSON}):
        con.execute(
            "INSERT INTO activity VALUES (uuid(), $1, now(), 'me', 'did', 's', 'because', $2)",
            [made.PROJECT, json.dumps(detail)],
        )
    con.execute("UPDATE clusters SET title = $1 WHERE cluster_id = CAST($2 AS UUID)", [WORDS, cluster_id])


def read_now(con):
    """The store's clock."""
    return con.execute("SELECT now()").fetchall()[0][0]


def traces(home: Path, *more: str) -> list[str]:
    """Files below the home in whose bytes the person is, and cells of the store in which they are."""
    needles = [each.encode().lower() for each in (PERSON, "canarywordsxq", "canaryid", *more)]
    found = [
        str(path.relative_to(home))
        for path in home.rglob("*")
        if path.is_file() and any(needle in path.read_bytes().lower() for needle in needles)
    ]

    def cells(con):
        tables = con.execute("SELECT table_name FROM duckdb_tables() WHERE NOT internal").fetchall()
        rows = {name: str(con.table(name).fetchall()).lower().encode() for (name,) in tables}
        return [f"table {name}" for name, text in rows.items() if any(needle in text for needle in needles)]

    return found + read(home / "soulcaster.duckdb", cells)


def test_nothing_of_the_person_is_left_under_the_home(full):
    """Not one byte in any file, vectors and log included; and what others said is all there."""
    others = made.query(full, "SELECT * FROM items WHERE author = $1 ORDER BY external_id", OTHER)
    hashes = [row[0] for row in made.query(full, "SELECT content_hash FROM items WHERE author = $1", PERSON)]
    assert len(traces(full.home)) > 8

    report = erase(full, made.PROJECT, "reddit", PERSON.upper(), actor="me")

    assert [] == traces(full.home, *hashes)
    assert (3, 1, 3, 1) == (report.n_items, report.n_quarantined, report.n_vectors, report.n_jobs)
    assert others == made.query(full, "SELECT * FROM items WHERE author = $1 ORDER BY external_id", OTHER)
    embedder = make_embedder(full)
    table = vector_index.find_index(full.lancedb_path, embedder.model_id, embedder.dim)
    assert 3 == len(vector_index.known_hashes(table))
    assert ["1-change.patch"] == [path.name for path in (full.jobs_path / "j1").iterdir()]


def test_past_groupings_add_up_and_the_next_one_names_the_cluster_anew(full):
    """Blank items stay in every run, count as one person, and a refit and a naming go on without their words."""
    before = made.query(full, "SELECT run_id, count(*), count(cluster_id) FROM run_memberships GROUP BY 1")

    erase(full, made.PROJECT, "reddit", PERSON, actor="me")

    assert before == made.query(full, "SELECT run_id, count(*), count(cluster_id) FROM run_memberships GROUP BY 1")
    kept = made.query(
        full, "SELECT count(*), count(DISTINCT author), min(state), max(title) FROM items WHERE state_reason = 'erased'"
    )
    assert [(3, 1, "deleted", "")] == kept
    summarize(full, made.PROJECT)
    titles = dict(made.query(full, "SELECT author, c.title FROM published_memberships JOIN items USING (item_id) "
                             "JOIN clusters c USING (cluster_id)"))  # fmt: skip
    assert "login page" in titles[OTHER]
    assert "canary" not in str(titles)
    assert 2 == len(titles)
    assert 6 == recluster(full, made.PROJECT).n_items


def test_the_person_stays_away_whatever_comes(full):
    """A pull, a webhook, another spelling, an unreadable row and a renamed author bring nothing back."""
    erase(full, made.PROJECT, "reddit", PERSON, actor="me")

    report = take_in(
        full,
        item(9),
        item(1, author="New-Name", external_id="t3_canaryid1"),
        item(8, author=PERSON.lower()),
        Quarantined(reason="no-text", detail="", payload=json.dumps({"x": [PERSON]})),
        item(7, OTHER),
    )
    inbox.append(full.inbox_path, "reddit", json.dumps(raw_post()).encode(), "d2", {})
    drained = drain_inbox(full, made.PROJECT)

    assert ({"erased": 4}, 1) == (report.ignored, report.new)
    assert {"erased": 1} == drained.ignored
    assert [] == traces(full.home)


def test_a_dry_run_counts_and_changes_nothing(full):
    """The same counts as the real run, no mark, and no byte of the store moved."""
    before = full.duckdb_path.read_bytes()

    report = erase(full, made.PROJECT, "reddit", PERSON, actor="me", is_dry_run=True)

    assert before == full.duckdb_path.read_bytes()
    real = erase(full, made.PROJECT, "reddit", PERSON, actor="me")
    counted = {"n_items", "n_quarantined", "n_vectors", "n_clusters", "n_jobs", "n_mentions"}
    assert real.model_dump(include=counted) == report.model_dump(include=counted)


@pytest.mark.parametrize("moment", [("shutil.rmtree", "1-edit"), ("os.rename", ".rewriting")], ids=lambda each: each[0])
def test_killed_in_the_middle_the_flow_brings_it_to_its_end_without_the_name(full, moment):
    """Killed before the job's folder and before the new store is put in place; then nobody knows the name any more."""
    command = [sys.executable, "-c", KILLED, *moment, made.PROJECT, PERSON]
    done = subprocess.run(command, env={**os.environ, "SOULCASTER_EMBEDDER": "static"}, check=False, timeout=120)
    assert (-signal.SIGKILL, 1) == (done.returncode, made.query(full, "SELECT count(*) FROM erasures")[0][0])

    [report] = finish_erasures(full, made.PROJECT, actor="flow erase")

    assert (3, 1) == (report.n_items, report.n_jobs)
    assert [] == traces(full.home)
    assert [] == finish_erasures(full, made.PROJECT, actor="flow erase")


def test_a_backup_from_before_brings_nobody_back(full, tmp_path):
    """What was erased since the backup is erased again by the restore."""
    kept = backup(full, tmp_path / "backups")
    erase(full, made.PROJECT, "reddit", PERSON, actor="me")

    restore(full, Path(kept.path))

    assert [] == traces(full.home)
    assert {"erased": 1} == take_in(full, item(4)).ignored
    assert 6 == made.query(full, "SELECT count(*) FROM items")[0][0]


def test_a_restored_backup_with_a_fix_at_work_says_what_is_left_to_do(full, tmp_path):
    """The backup is back and the door stays shut; when the job has ended, the nightly flow does the rest."""
    status = "UPDATE jobs SET status = $1"
    write(full.duckdb_path, lambda con: con.execute(status, ["running"]))
    kept = backup(full, tmp_path / "backups")
    write(full.duckdb_path, lambda con: con.execute(status, ["failed"]))
    erase(full, made.PROJECT, "reddit", PERSON, actor="me")

    report = restore(full, Path(kept.path))

    assert "j1" in report.note
    assert {"erased": 1} == take_in(full, item(4)).ignored
    write(full.duckdb_path, lambda con: con.execute(status, ["failed"]))
    assert 3 == finish_erasures(full, made.PROJECT, actor="flow erase")[0].n_items
    assert [] == traces(full.home)


def test_only_admins_erase_and_not_under_a_running_fix(full):
    """A fixer is refused; a job that reads the words must have ended, and then nothing was changed."""
    fixer = Actor("f", role="fixer", project_id=made.PROJECT, how="token")
    with pytest.raises(PermanentError, match="admin"):
        erase(full, made.PROJECT, "reddit", PERSON, actor=fixer)
    write(full.duckdb_path, lambda con: con.execute("UPDATE jobs SET status = 'running'"))
    with pytest.raises(PermanentError, match="j1 at work"):
        erase(full, made.PROJECT, "reddit", PERSON, actor="me")

    assert 0 == made.query(full, "SELECT count(*) FROM erasures")[0][0]
    assert 3 == made.query(full, "SELECT count(*) FROM items WHERE author = $1", PERSON)[0][0]


def test_the_command_reports_without_the_name(full, monkeypatch):
    """Its words, its JSON and the activity log name a hash; the author's own projects and sources alone are touched."""
    monkeypatch.setenv("SOULCASTER_EMBEDDER", "static")
    take_in(full, item(5, source="manual"))

    told = CliRunner().invoke(app, ["erase", "reddit", PERSON, "--project", made.PROJECT, "--yes", "--json"])

    assert 0 == told.exit_code, told.output
    assert 3 == json.loads(told.stdout.splitlines()[-1])["n_items"]
    assert "canary" not in told.output.lower()
    assert 1 == made.query(full, "SELECT count(*) FROM items WHERE author = $1", PERSON)[0][0]
    [(subject, detail)] = made.query(full, "SELECT subject, detail FROM activity WHERE action = 'erased'")
    assert (64, f"erasure:{json.loads(detail)['erasure_id']}") == (len(json.loads(detail)["author_hash"]), subject)


def test_every_text_column_is_known_to_hold_free_words_or_names_of_ours(settings):
    """A new column must be put on one of the two sides, or an erasure would pass it by."""
    ours = {
        "action", "actor", "added_by", "answer", "asked_by", "author", "author_hash", "base_commit", "branch",
        "brief_hash", "cluster_id", "content_hash", "created_by", "cursor", "embedded_hash",
        "fields", "handle", "head_commit", "job_id", "key", "kind",
        "launcher", "level", "location", "merged_at", "model", "model_id", "name", "options", "outcome", "owner",
        "parameters", "pr_state", "pr_url", "project_id", "published_by", "purpose", "question_hash", "relation",
        "row_hash", "released_by", "repository", "role", "sandbox", "saved_by", "secret_sha256", "severity", "source",
        "spec", "state", "status", "subject", "summarized_hash", "summary_method", "target", "token", "token_id",
        "tool", "trust", "verdict", "way", "external_id", "membership_hash", "algorithm",
        "results", "written_by",
    }  # fmt: skip
    found = made.query(
        settings,
        "SELECT DISTINCT column_name FROM duckdb_columns() JOIN duckdb_tables() USING (table_oid, schema_oid, "
        "table_name) WHERE data_type = 'VARCHAR' AND table_name NOT IN ('items', 'payloads', 'schema_migrations')",
    )

    assert set() == {name for (name,) in found} - ours - set(FREE_TEXT)


def test_the_hash_needs_the_key_and_tells_projects_and_sources_apart(settings):
    """Two stores give one name two hashes, and so do two projects and two sources of one store."""
    marks = [
        read(settings.duckdb_path, lambda con, p=project, s=source: erasure.make_mark(con, p, s, PERSON))
        for project, source in (("a", "reddit"), ("a", "github"), ("b", "reddit"), ("a", "reddit"))
    ]

    assert 4 == len({mark.author_hash for mark in marks})
    assert all(len(np.unique([mark.key for mark in marks])) == 4 for mark in marks)
