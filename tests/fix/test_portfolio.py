"""What is fixed next by itself, and the one sentence that says why everything else waits."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import fix_store
import pytest
from fix_store import CLUSTER, NAME, RUN, plan
from grouping_store import PROJECT, query
from standins.planned_launcher import PlannedLauncher

from soulcaster import fix, portfolio
from soulcaster.db import write
from soulcaster.fix_models import Route
from soulcaster.repositories import turn_switch
from soulcaster.triage import set_status

SECOND = CLUSTER[:-1] + "2"


@pytest.fixture
def look(store):
    """State and reason by the end of the cluster's id."""

    def go(settings=store, *, begin=False):
        rows = (portfolio.begin if begin else portfolio.plan)(settings, PROJECT, actor="ann")
        return {row.cluster_id[-1]: (row.state, row.reason) for row in rows}

    return go


@pytest.fixture
def second(store, forge):
    """Another cluster: one member's report, routed to a repository of its own."""
    forge.add_repository("acme/web", fix_store.FILES)

    def insert(con):
        con.execute(
            "INSERT INTO clusters (cluster_id, project_id, status, title, terms, created_at, changed_at) "
            "VALUES (?, ?, 'new', 'Second', [], now(), now())",
            [SECOND, PROJECT],
        )
        con.execute("INSERT INTO run_clusters VALUES (?, ?, ?, NULL, 1, 1, 'h')", [RUN, PROJECT, SECOND])
        con.execute("UPDATE memberships SET cluster_id = ?::UUID, label = 1 WHERE item_id = ("
                    "SELECT item_id FROM items WHERE external_id = ?)", [SECOND, f"{NAME}#12"])  # fmt: skip
        con.execute("UPDATE items SET channel = 'acme/web' WHERE external_id = ?", [f"{NAME}#12"])

    write(store.duckdb_path, insert)
    fix_store.add_repository(
        store, forge, name="acme/web", clone_url=forge.clone_url("acme/web"),
        routes=[Route(source="github", channel="acme/web")],
    )  # fmt: skip
    fix_store.add_repository(store, forge, routes=[Route(channel=NAME), Route(source="reddit")])
    return SECOND


def test_the_next_is_begun_once_and_the_rest_says_why(store, look, tmp_path):
    """Looking begins nothing; beginning makes a queued job; afterwards the cluster says who works on it."""
    assert "next" == look()["1"][0]
    assert [] == query(store, "SELECT * FROM jobs")
    assert "started" == look(begin=True)["1"][0]
    [(job_id, status, actor)] = query(store, "SELECT job_id, status, actor FROM jobs")
    assert ("queued", "ann") == (status, actor)
    assert ("waits", f"Job {job_id} works on it.") == look(begin=True)["1"]

    fix.reconcile(store, PROJECT, PlannedLauncher(tmp_path / "agents", plan()))
    fix.follow_job(store, PROJECT, job_id, PlannedLauncher(tmp_path / "agents", plan()), actor="ann", poll_seconds=0.01)
    assert "waits for people" in look()["1"][1]


def test_two_at_once_begin_each_job_once(store, look):
    """Both chose the same cluster; the second finds it taken and says so."""
    with ThreadPoolExecutor(2) as pool:
        found = [each.result()["1"][0] for each in [pool.submit(look, begin=True) for _ in range(2)]]
    assert 1 == found.count("started")
    assert 1 == len(query(store, "SELECT * FROM jobs"))


def test_one_job_at_a_time_in_a_repository_and_so_many_a_day(store, look, second):
    """Each repository has its own turn; the day's cap holds over all of them."""
    assert second
    assert {"1": "next", "2": "next"} == {key: state for key, (state, _) in look().items()}
    write(store.duckdb_path, lambda con: con.execute("UPDATE items SET channel = ? WHERE source = 'github'", [NAME]))
    found = look()
    assert 1 == [state for state, _ in found.values()].count("next")
    assert ["one at a time" in reason for state, reason in found.values() if state == "waits"] == [True]
    move = "UPDATE items SET channel = 'acme/web' WHERE external_id = ?"
    write(store.duckdb_path, lambda con: con.execute(move, [f"{NAME}#12"]))
    one = store.model_copy(update={"portfolio_jobs_per_day": 1})
    assert ["started", "waits"] == sorted(state for state, _ in look(one, begin=True).values())
    assert {"waits"} == {state for state, _ in look(one, begin=True).values()}
    assert 1 == len(query(store, "SELECT * FROM jobs"))


def test_what_a_person_has_to_say_first_waits_for_a_person(store, forge, look):
    """Mode, trust, status, routing and switches, each in words."""
    strict = store.model_copy(update={"fix_approval": "member"})
    assert "above the tier member" in look(strict)["1"][1]
    fix_store.add_repository(store, forge, mode="plan")
    assert "is in mode plan" in look()["1"][1]
    fix_store.add_repository(store, forge, mode="off")
    assert look()["1"][0] == "waits"
    fix_store.add_repository(store, forge)
    turn_switch(store, PROJECT, "launching", is_on=False, reason="odd", actor="bob")
    assert "switched off by bob" in look()["1"][1]
    turn_switch(store, PROJECT, "launching", is_on=True, reason="", actor="bob")
    set_status(store, PROJECT, CLUSTER, "ignored", actor="ann", reason="")
    assert ("waits", "Its status is ignored.") == look()["1"]


def test_without_new_evidence_nothing_is_tried_again(store, run, look):
    """A job that came to nothing rests until somebody reports anew; an anonymous report is not enough."""
    job, _ = run(fix={"status": "no_change"})
    assert "no_change" == job.status
    assert "nothing new was reported since" in look()["1"][1]
    write(store.duckdb_path, lambda con: con.execute("UPDATE items SET content_hash = 'x' WHERE source = 'reddit'"))
    assert "waits" == look()["1"][0]
    write(store.duckdb_path, lambda con: con.execute("UPDATE items SET content_hash = 'x' WHERE source = 'github'"))
    assert "next" == look()["1"][0]


def test_what_people_ended_a_person_begins_again(store, look, tmp_path):
    """A cancelled job is a word of a person."""
    launcher = PlannedLauncher(tmp_path / "agents", plan())
    job = fix.start(store, PROJECT, CLUSTER, actor="ann")
    fix.cancel(store, PROJECT, job.job_id, actor="bob", launcher=launcher)
    assert "A person cancelled its last job" in look()["1"][1]
