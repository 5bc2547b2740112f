"""The commands about who belongs where, as a person types them."""

from __future__ import annotations

import json

import grouping_store as made
import pytest
from typer.testing import CliRunner

from soulcaster.cli import app
from soulcaster.db import write
from soulcaster.recluster import recluster


@pytest.fixture
def say(settings):
    """Run a command over a store of four named clusters; its last line as JSON."""
    made.add_stars(settings, 4, 4)
    recluster(settings, made.PROJECT)

    def run(*words: str) -> dict:
        done = CliRunner().invoke(app, [*words, "--project", made.PROJECT, "--json"], catch_exceptions=False)
        assert 0 == done.exit_code, done.output
        return json.loads(done.stdout.splitlines()[-1])

    return run


def test_edits_by_hand_are_done_told_and_taken_back(say, settings):
    """Merge by the beginnings of ids, split, move, exclude, why, undo, activity: each does what it says."""
    start = made.clusters_of_items(settings)
    item = made.row("2-1", "")["item_id"]

    merged = say("merge", start["0-0"][:9], start["1-0"][:9], "--reason", "one cause", "--actor", "ann")
    moved = say("move", item[:12], start["3-0"], "--actor", "ann")
    assert start["3-0"] == say("why", item)["cluster_id"]
    say("exclude", item, start["3-0"])
    say("split", merged["clusters"][0], *(made.row(f"0-{n}", "")["item_id"] for n in range(4)))
    log = say("activity")["activity"]
    assert ["split", "exclude", "move", "merge", "run published"] == [row["action"] for row in log]
    assert ("ann", "one cause", merged["edit_id"]) == (log[3]["actor"], log[3]["reason"], log[3]["edit_id"])
    assert [moved["edit_id"]] == [row["edit_id"] for row in say("activity", moved["edit_id"])["activity"]]
    for row in log[:4]:
        say("undo", row["edit_id"][:8])
    assert start == made.clusters_of_items(settings)


def test_a_proposal_is_listed_published_and_rolled_back_and_new_items_are_assigned(say, settings):
    """Runs says which waits and why; publish shows it; rollback shows the first again; assign reports."""
    first = say("runs")["runs"][0]
    write(settings.duckdb_path, lambda con: con.execute("UPDATE items SET content_hash = md5(item_id::VARCHAR)"))
    report = recluster(settings, made.PROJECT)
    assert not report.published
    listed = say("runs")["runs"]
    assert [("waits", 16), ("shown", 16)] == [(run["state"], run["churn"]["n_clustered"] or 16) for run in listed]
    assert "16 of 16" in listed[0]["churn"]["waits_because"]
    assert "shown" == say("publish", report.run_id[:8])["state"]
    assert first["run_id"] == say("rollback", first["run_id"][:8])["run_id"]
    assert {"n_new", "n_exact", "n_nearest", "n_noise"} <= set(say("assign"))


@pytest.mark.usefixtures("say")
def test_tables_for_people_and_one_sentence_for_what_is_not_there():
    """Without --json the same is a table; a wrong id is our error."""
    item = made.row("2-1", "")["item_id"]
    for words, expected in ((["runs"], "shown"), (["activity"], "run published"), (["why", item], "near-text")):
        done = CliRunner().invoke(app, [*words, "--project", made.PROJECT])
        assert 0 == done.exit_code
        assert expected.replace("near-text", "nearer to members") in done.stdout
    done = CliRunner().invoke(app, ["merge", "abc", "def", "--project", made.PROJECT])
    assert "'abc'" in str(done.exception)
