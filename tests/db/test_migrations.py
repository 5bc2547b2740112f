"""A store that the first schema made is brought up to date with its rows."""

from __future__ import annotations

from importlib import resources

from soulcaster.db import migrate, read, runs, write

RUN, ITEM, CLUSTER = (f"00000000-0000-0000-0000-00000000000{digit}" for digit in range(3))


def test_a_store_of_the_first_schema_keeps_its_rows_and_its_run_on_show(tmp_path):
    """Rows written by 0001 are found by what reads today, and a run without a proposal row is a shown refit."""
    path = tmp_path / "old.duckdb"
    first = resources.files("soulcaster.db.migrations").joinpath("0001_initial.sql").read_text()

    def make(con):
        con.execute(first)
        con.execute("INSERT INTO schema_migrations VALUES ('0001_initial.sql', now())")
        con.execute("INSERT INTO runs VALUES (?, 'p', now(), 'm', '{}', 1, 1, 0, 0, 0.1)", [RUN])
        con.execute("INSERT INTO publications VALUES ('p', ?, now(), 'recluster')", [RUN])
        con.execute(
            "INSERT INTO memberships VALUES (?, 'p', ?, 0, ?, NULL, 1.0, true, 0.9, 'near-text')", [RUN, ITEM, CLUSTER]
        )

    write(path, make)

    applied = migrate(path)

    assert "0002_trust.sql" in applied
    assert [] == migrate(path)
    [run] = read(path, lambda con: runs.list_runs(con, "p"))
    assert ("shown", "refit", "recluster", None) == (run.state, run.kind, run.actor, run.churn)
    assert [(ITEM, CLUSTER)] == read(
        path,
        lambda con: con.execute("SELECT item_id::VARCHAR, cluster_id::VARCHAR FROM published_memberships").fetchall(),
    )
