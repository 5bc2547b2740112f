"""Backups: complete, consistent beside writers, refused when damaged; a restore brings back exactly what was there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import grouping_store as made
import numpy as np
import pytest
from typer.testing import CliRunner

from soulcaster import vector_index
from soulcaster.backup import backup, read_manifest, restore
from soulcaster.cli import app
from soulcaster.db import read
from soulcaster.db.copying import count_rows
from soulcaster.embedders import make_embedder
from soulcaster.errors import PermanentError
from soulcaster.recluster import recluster
from soulcaster.sources import inbox

WRITER = """
import sys
from pathlib import Path
from soulcaster.db import write
path = Path(sys.argv[1])
for number in range(int(sys.argv[2])):
    def pair(con):
        for side in ("left", "right"):
            con.execute("INSERT INTO activity VALUES (uuid(), 'p', now(), ?, 'test', ?, '', '{}')", [side, str(number)])
    write(path, pair)
    print(number, flush=True)
"""


@pytest.fixture
def full(settings):
    """A home with items, vectors, a grouping, a pending delivery and a job folder."""
    own = settings.model_copy(update={"embedder": "static"})
    rows = [made.row(f"login-{n}", f"login broken {n}", "It does not work.") for n in range(4)]
    made.add_items(own, rows)
    made.add_vectors(own, [str(row["content_hash"]) for row in rows], np.eye(40)[:4] + 0.5)
    recluster(own, made.PROJECT)
    inbox.append(own.inbox_path, "manual", b'{"text": "hi"}', "one", {})
    (own.jobs_path / "j1" / "1-edit").mkdir(parents=True)
    (own.jobs_path / "j1" / "1-edit" / "change.patch").write_text("--- a\n+++ b\n")
    (own.jobs_path / "j1" / "leak").symlink_to("/etc/passwd")
    return own


def contents(settings) -> dict[str, object]:
    """All rows of the store, all vectors, all files beside them."""
    tables = read(
        settings.duckdb_path,
        lambda con: {name: sorted(map(repr, con.table(name).fetchall())) for name in count_rows(con)},
    )
    embedder = make_embedder(settings)
    table = vector_index.find_index(settings.lancedb_path, embedder.model_id, embedder.dim)
    hashes = sorted(vector_index.known_hashes(table)) if table is not None else []
    vectors = vector_index.load_matrix(table, hashes)[0].tolist() if table is not None else []
    kept = {
        str(path.relative_to(settings.home)): path.read_bytes()
        for folder in (settings.inbox_path, settings.jobs_path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }
    return {"tables": tables, "hashes": hashes, "vectors": vectors, "files": kept}


def test_a_restore_brings_back_exactly_what_was_there(full, tmp_path):
    """Rows, vectors, inbox and job folders; what stood in the way is moved aside, and links out of the home are not."""
    before = contents(full)
    made_at = backup(full, tmp_path / "backups")
    made.add_items(full, [made.row("later", "said after the backup")])

    report = restore(full, Path(made_at.path))

    assert before == contents(full)
    assert (4, 4) == (report.n_items, report.n_vectors)
    assert 5 == made.query(full.model_copy(update={"home": Path(report.moved_to)}), "SELECT count(*) FROM items")[0][0]
    assert not (full.jobs_path / "j1" / "leak").is_symlink()
    assert 0 == len(list(tmp_path.glob(".*restoring*")))


def test_a_backup_restores_into_a_home_that_does_not_exist(full, tmp_path):
    """As on a new machine; and vectors are written there as before, without doubling a text."""
    before = contents(full)
    made_at = backup(full, tmp_path / "backups")
    new = full.model_copy(update={"home": tmp_path / "elsewhere" / "home"})

    report = restore(new, Path(made_at.path))

    assert ("", before) == (report.moved_to, contents(new))
    made.add_vectors(new, before["hashes"], np.eye(40)[:4])
    assert before["hashes"] == contents(new)["hashes"]


def test_a_backup_beside_writers_is_one_moment_of_theirs(full, tmp_path):
    """Each transaction writes two rows; no backup has one without the other, and later backups have more."""
    command = [sys.executable, "-c", WRITER, str(full.duckdb_path), "40"]
    counts = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for _ in range(3):
            writer.stdout.readline()
            made_at = backup(full, tmp_path / "backups", keep=1)
            store = Path(made_at.path) / full.duckdb_path.name
            counts.append(
                read(store, lambda con: con.execute(
                    "SELECT count(*) FILTER (actor = 'left'), count(*) FILTER (actor = 'right') FROM activity"
                ).fetchall()[0])
            )  # fmt: skip
        assert 0 == writer.wait(60) or writer.stdout.read()

    assert all(left == right for left, right in counts)
    assert 0 < counts[0][0] <= counts[1][0] <= counts[2][0]


def test_only_the_newest_backups_stay(full, tmp_path):
    """Older ones are deleted when a new one is complete; nothing else in the folder is."""
    target = tmp_path / "backups"
    target.mkdir()
    (target / "notes.txt").write_text("mine")
    for day in (1, 2, 3):
        (target / f"soulcaster-2020010{day}T000000Z").mkdir()

    report = backup(full, target, keep=2)

    assert 2 == report.n_removed
    assert ["notes.txt", "soulcaster-20200103T000000Z", Path(report.path).name] == sorted(
        path.name for path in target.iterdir()
    )


@pytest.mark.parametrize("damage", ["changed", "missing", "escaping", "newer"])
def test_a_damaged_backup_is_refused_and_nothing_changes(full, tmp_path, damage):
    """A changed or missing file, a path out of the folder, a format of the future."""
    source = Path(backup(full, tmp_path / "backups").path)
    manifest = source / "manifest.json"
    if damage == "changed":
        path = source / "jobs" / "j1" / "1-edit" / "change.patch"
        path.write_text(path.read_text().replace("a", "x"))
    elif damage == "missing":
        (source / "soulcaster.duckdb").unlink()
    elif damage == "escaping":
        data = json.loads(manifest.read_text())
        data["files"]["../../evil"] = data["files"].pop("soulcaster.duckdb")
        manifest.write_text(json.dumps(data))
    else:
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"format": 99}))
    before = contents(full)

    with pytest.raises(PermanentError):
        restore(full, source)

    assert before == contents(full)
    assert ["backups", "home"] == sorted(path.name for path in tmp_path.iterdir())


def test_a_backup_inside_the_home_is_refused(full):
    """It would back itself up, and go with the home."""
    with pytest.raises(PermanentError, match="outside the home"):
        backup(full, full.home / "backups")


def test_the_commands_make_list_and_put_back(full, tmp_path, monkeypatch):
    """`backup` prints where it is; `restore` takes that; a folder that is none is one sentence."""
    monkeypatch.setenv("SOULCASTER_EMBEDDER", "static")
    told = json.loads(CliRunner().invoke(app, ["backup", str(tmp_path / "b"), "--json"]).stdout)
    assert 4 == read_manifest(Path(told["path"])).rows["items"]

    put_back = CliRunner().invoke(app, ["restore", told["path"], "--json"])

    assert 0 == put_back.exit_code, put_back.output
    assert 4 == made.query(full, "SELECT count(*) FROM items")[0][0]
    wrong = CliRunner().invoke(app, ["restore", str(tmp_path)])
    assert isinstance(wrong.exception, PermanentError)


def test_a_damaged_store_does_not_stand_in_the_way_of_its_restore(full, tmp_path):
    """That is what backups are for; who was erased since cannot be read there, and the report says so."""
    before = contents(full)
    made_at = backup(full, tmp_path / "backups")
    full.duckdb_path.write_bytes(b"torn" * 4096)

    report = restore(full, Path(made_at.path))

    assert before == contents(full)
    assert "erase them again" in report.note
