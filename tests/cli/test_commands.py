"""The `soulcaster` command as its user types it: a process of its own, over a folder of its own."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from soulcaster.cli import app
from soulcaster.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-c", "from soulcaster.cli import main; main()"]


def run(home: Path, *arguments: object, code: int = 0) -> str:
    """Standard output of `soulcaster ARGUMENTS`, which must exit with `code`; standard error when that is not 0."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SOULCASTER_")}
    environment["SOULCASTER_HOME"] = str(home)
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, env=environment, cwd=home.parent, check=False
    )
    assert code == done.returncode, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout if code == 0 else done.stderr


@pytest.fixture(scope="module")
def demo_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home over which `soulcaster demo` ran once."""
    home = tmp_path_factory.mktemp("demo") / "home"
    printed = run(home, "demo", "--json")
    report = json.loads(printed.splitlines()[-1])
    assert {"run_id", "n_items", "n_clusters", "n_themes", "n_noise", "published", "seconds"} == set(report)
    assert report["n_items"] >= 400
    assert report["n_clusters"] >= 20
    assert report["published"] is True
    return home


def test_demo_prints_named_clusters_with_their_sources(demo_home):
    """After the demo the list of clusters has titles and sources a person can read."""
    rows = json.loads(run(demo_home, "clusters", "--json").splitlines()[-1])["clusters"]

    assert all(row["title"] and row["n_items"] >= 2 for row in rows)
    assert {"github", "manual", "reddit", "sentry"} == {source for row in rows for source in row["sources"]}


def test_import_counts_every_row_once_and_a_second_import_changes_nothing(tmp_path):
    """The sum of new, unchanged, ignored and quarantined is the number of rows; the rerun is all unchanged."""
    path = tmp_path / "feedback.csv"
    path.write_text("id,text\n1,Export fails with an error on Windows\n2,\n3,Maps do not load when offline at all\n")

    first = json.loads(run(tmp_path / "home", "import", path, "--json").splitlines()[-1])
    second = json.loads(run(tmp_path / "home", "import", path, "--json").splitlines()[-1])

    assert {"new": 2, "changed": 0, "unchanged": 0, "ignored": {}, "quarantined": {"no-text": 1}} == first
    assert {"new": 0, "changed": 0, "unchanged": 2, "ignored": {}, "quarantined": {"no-text": 1}} == second


def test_import_takes_columns_by_flag(tmp_path):
    """Columns with names nobody could guess are found by the flags."""
    path = tmp_path / "odd.csv"
    path.write_text("nr,kopf,inhalt,wann\n7,Export fails,It says error 12 on Windows,2026-03-01\n")
    flags = ["--id-column", "nr", "--title-column", "kopf", "--body-column", "inhalt", "--time-column", "wann"]

    run(tmp_path / "home", "import", path, *flags, "--source", "github")
    run(tmp_path / "home", "export", "items", "-o", tmp_path / "items.parquet")

    row = pl.read_parquet(tmp_path / "items.parquet").row(0, named=True)
    assert ("github", "7", "Export fails") == (row["source"], row["external_id"], row["title"])
    assert 2026 == row["created_at"].year
    assert row["cluster_id"] is None


def test_text_column_excludes_title_column(tmp_path):
    """Contradicting flags are a usage error: exit 2."""
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,2\n")

    assert "--text-column excludes" in run(
        tmp_path / "home", "import", path, "--text-column", "a", "--title-column", "b", code=2
    )


def test_our_errors_are_one_sentence_and_exit_1(tmp_path):
    """A missing file is said in one line without a stack trace."""
    printed = run(tmp_path / "home", "import", tmp_path / "nowhere.csv", code=1)

    assert "nowhere.csv" in printed
    assert 1 == len(printed.strip().splitlines())


def test_a_refused_setting_names_the_variable_and_not_its_value(tmp_path):
    """SOULCASTER_APP_PORT=99999 exits 1 and says which variable."""
    environment = {**os.environ, "SOULCASTER_HOME": str(tmp_path), "SOULCASTER_APP_PORT": "99999"}
    done = subprocess.run([*COMMAND, "clusters"], capture_output=True, text=True, env=environment, check=False)

    assert 1 == done.returncode
    assert "SOULCASTER_APP_PORT" in done.stderr
    assert "99999" not in done.stderr


def test_recluster_again_keeps_every_cluster_id(demo_home):
    """The same items grouped again give the same clusters under the same ids, and dry-run writes nothing."""
    before = json.loads(run(demo_home, "clusters", "--json", "--limit", 1000).splitlines()[-1])["clusters"]

    dry = json.loads(run(demo_home, "recluster", "--dry-run", "--json").splitlines()[-1])
    wet = json.loads(run(demo_home, "recluster", "--json").splitlines()[-1])

    after = json.loads(run(demo_home, "clusters", "--json", "--limit", 1000).splitlines()[-1])["clusters"]
    assert dry["published"] is False
    assert dry["n_clusters"] == wet["n_clusters"] == len(before)
    assert {row["cluster_id"]: row["title"] for row in before} == {row["cluster_id"]: row["title"] for row in after}


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_items_are_exported_with_the_promised_columns(demo_home, tmp_path, suffix):
    """All three formats hold one row an item, with the columns other people's scripts rely on."""
    path = tmp_path / f"items.{suffix}"
    run(demo_home, "export", "items", "-o", path)
    frame = {
        "parquet": lambda: pl.read_parquet(path),
        "csv": lambda: pl.read_csv(path),
        "jsonl": lambda: pl.read_ndjson(path, infer_schema_length=None),
    }[suffix]()

    promised = ["project_id", "source", "external_id", "item_id", "cluster_id", "theme_id", "membership_strength"]
    assert set(promised) | {"created_at", "title"} <= set(frame.columns)
    assert frame.height == frame["item_id"].n_unique() >= 400
    assert 0 < frame["cluster_id"].null_count() < frame.height


@pytest.mark.parametrize("kind", ["clusters", "themes", "transitions"])
def test_the_other_tables_are_exported_too(demo_home, tmp_path, kind):
    """Clusters, themes and transitions of the published run have rows."""
    path = tmp_path / f"{kind}.parquet"
    run(demo_home, "export", kind, "-o", path)

    assert pl.read_parquet(path).height > 0


def test_csv_export_disarms_formulas_and_parquet_keeps_the_exact_text(tmp_path):
    """A title that a spreadsheet would run arrives with an apostrophe in CSV, untouched in Parquet."""
    path = tmp_path / "feedback.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["id", "title", "body"], ["1", "=HYPERLINK(1)", "+the export button is missing"]])
    run(tmp_path / "home", "import", path)
    for suffix in ("csv", "parquet"):
        run(tmp_path / "home", "export", "items", "-o", tmp_path / f"items.{suffix}")

    assert "'=HYPERLINK(1)" == pl.read_csv(tmp_path / "items.csv")["title"][0]
    assert "=HYPERLINK(1)" == pl.read_parquet(tmp_path / "items.parquet")["title"][0]


def test_export_refuses_an_unknown_ending_and_leaves_no_half_file(demo_home, tmp_path):
    """The sentence names the endings there are."""
    assert ".parquet, .csv or .jsonl" in run(demo_home, "export", "items", "-o", tmp_path / "items.xls", code=1)
    assert [] == list(tmp_path.iterdir())


def test_reindex_rebuilds_a_deleted_index(demo_home):
    """The index folder may go: reindex brings every vector back and recluster works as before."""
    import shutil

    before = json.loads(run(demo_home, "recluster", "--dry-run", "--json").splitlines()[-1])
    shutil.rmtree(demo_home / "lancedb")
    report = json.loads(run(demo_home, "reindex", "--json").splitlines()[-1])
    after = json.loads(run(demo_home, "recluster", "--dry-run", "--json").splitlines()[-1])

    assert report["n_embedded"] == report["n_texts"] > 300
    assert before["n_clusters"] == after["n_clusters"]


def test_doctor_finds_a_healthy_home_healthy_and_prints_no_secret(demo_home):
    """Every subject is looked at; a set secret is said to be set, not shown."""
    environment = {**os.environ, "SOULCASTER_HOME": str(demo_home), "SOULCASTER_SENTRY_CLIENT_SECRET": "s3cr3t-canary"}
    done = subprocess.run([*COMMAND, "doctor", "--json"], capture_output=True, text=True, env=environment, check=False)

    findings = json.loads(done.stdout.splitlines()[-1])["findings"]
    assert 0 == done.returncode, done.stdout
    subjects = {
        "python",
        "packages",
        "home",
        "store",
        "embedder",
        "index",
        "inbox",
        "secrets",
        "fixes",
        "ports",
        "sign-in",
    }
    assert subjects == {finding["subject"] for finding in findings}
    assert "s3cr3t-canary" not in done.stdout + done.stderr


def test_doctor_says_what_is_wrong_with_a_broken_store_and_exits_1(tmp_path):
    """A file that is no store is one failing finding, the others are still printed."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "soulcaster.duckdb").write_text("not a database at all" * 50)

    environment = {**os.environ, "SOULCASTER_HOME": str(home)}
    done = subprocess.run([*COMMAND, "doctor", "--json"], capture_output=True, text=True, env=environment, check=False)
    states = {f["subject"]: f["state"] for f in json.loads(done.stdout.splitlines()[-1])["findings"]}
    assert (1, "fail", "ok") == (done.returncode, states["store"], states["python"])


def test_every_command_and_every_setting_has_a_line_in_the_readme():
    """The README's tables are complete."""
    readme = (ROOT / "README.md").read_text()
    names = [command.name or command.callback.__name__ for command in app.registered_commands]
    missing = [name for name in names if f"`{name}" not in readme and f"soulcaster {name}" not in readme]
    unset = [
        f"SOULCASTER_{field.upper()}" for field in Settings.model_fields if f"SOULCASTER_{field.upper()}" not in readme
    ]

    assert ([], []) == (missing, unset)
