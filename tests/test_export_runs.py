"""Any run can be looked at: exported as it was, listed with its priorities, or named as forgotten."""

from __future__ import annotations

import grouping_store as made
import polars as pl
import pytest

from soulcaster import edit
from soulcaster.db import write
from soulcaster.db.activity import add_activity
from soulcaster.errors import PermanentError
from soulcaster.export import export, list_clusters
from soulcaster.publish import rollback
from soulcaster.recluster import recluster


@pytest.fixture
def grouped(settings):
    """Four topics of five items in a run on show."""
    made.add_topics(settings, 4, 5)
    assert recluster(settings, made.PROJECT).published
    return settings


def exported(settings, kind: str, run: str | None = None) -> pl.DataFrame:
    """The rows that `export` writes."""
    path = settings.home / f"{kind}.parquet"
    export(settings, made.PROJECT, kind, path, run=run)
    return pl.read_parquet(path)


def test_a_past_run_is_exported_as_it_was_and_can_be_restored(grouped):
    """After a merge and new items the first run still has its own items, clusters and sizes; going back shows them."""
    [first] = {run for (run,) in made.query(grouped, "SELECT run_id::VARCHAR FROM runs")}
    before = {kind: exported(grouped, kind) for kind in ("items", "clusters", "themes")}
    edit.merge(grouped, made.PROJECT, before["clusters"]["cluster_id"][:2].to_list(), actor="ann")
    made.add_topics(grouped, 4, 1, first=50)

    assert 3 == exported(grouped, "clusters").height
    past = {kind: exported(grouped, kind, first[:8]) for kind in before}
    assert [20, 4] == [past["items"].height, past["clusters"].height]
    for kind, frame in before.items():
        assert past[kind].sort(pl.first()).equals(frame.sort(pl.first())), kind
    assert {first} == set(exported(grouped, "transitions", first)["run_id"])
    assert {first} < set(exported(grouped, "transitions")["run_id"])

    rollback(grouped, made.PROJECT, first, actor="ann")
    assert before["clusters"]["n_items"].to_list() == exported(grouped, "clusters")["n_items"].to_list()


def test_a_proposal_is_listed_before_anybody_saw_it(grouped):
    """Clusters that never were on show have no title yet, count as new and have a priority."""
    made.add_topics(grouped, 9, 5, first=100)
    waits = recluster(grouped.model_copy(update={"auto_publish_max_churn": -1.0}), made.PROJECT)
    assert not waits.published

    rows = list_clusters(grouped, made.PROJECT, 100, run=waits.run_id)

    assert waits.n_clusters == len(rows)
    assert {"new"} == {row["status"] for row in rows}
    assert all(row["parts"] for row in rows)


def test_a_run_that_was_forgotten_is_named_so(grouped):
    """The housekeeping's entry in the activity log tells when; a run that never was is told apart."""
    gone = "0b8f5a36-0000-4000-8000-000000000001"
    write(
        grouped.duckdb_path,
        lambda con: add_activity(
            con, made.PROJECT, actor="maintain", action="runs forgotten", subject=made.PROJECT, reason="never shown",
            detail={"runs": [gone]},
        ),
    )  # fmt: skip

    with pytest.raises(PermanentError, match=r"was forgotten at 20.*never was on show"):
        export(grouped, made.PROJECT, "items", grouped.home / "items.csv", run=gone[:8])
    with pytest.raises(PermanentError, match="got none"):
        list_clusters(grouped, made.PROJECT, 5, run="ffffffff")
