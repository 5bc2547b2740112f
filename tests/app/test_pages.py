"""Every page without a browser: full, empty, with the store busy or away, with Prefect away."""

from __future__ import annotations

import fcntl
from pathlib import Path

import duckdb
import pytest
from seeding import PROJECT, seed_drawn
from streamlit.testing.v1 import AppTest

from soulcaster.db import cluster_screens, migrate, read, write
from soulcaster.edit import merge
from soulcaster.settings import Settings

PAGES = ["overview", "clusters", "cluster", "map", "feedback", "fixes", "history", "settings"]


def said(at: AppTest) -> str:
    """All text of a page that is not in a table."""
    kinds = (at.title, at.subheader, at.markdown, at.caption, at.text, at.code, at.warning, at.info, at.error)
    return "\n".join(str(element.value) for kind in kinds for element in kind)


def store(home: Path) -> Path:
    """The store's file of a home."""
    return Settings(_env_file=None, home=home).duckdb_path


def first_cluster(home: Path) -> dict[str, object]:
    """The largest cluster of a store."""
    frame, _ = read(
        store(home),
        lambda con: cluster_screens.list_clusters(con, PROJECT, cluster_screens.ClusterFilters(), limit=1),
    )
    return frame.row(0, named=True)


@pytest.mark.parametrize("page", PAGES)
def test_every_page_draws_on_a_full_store(open_page, drawn_home, page):
    """No page raises."""
    at = open_page(drawn_home, page)

    assert not at.exception
    assert at.title


@pytest.mark.parametrize("page", PAGES)
def test_every_page_draws_on_an_empty_store(open_page, tmp_path, page):
    """A store without a row is a state like any other."""
    migrate(store(tmp_path))

    at = open_page(tmp_path, page)

    assert not at.exception
    assert at.title


@pytest.mark.parametrize("page", PAGES)
def test_every_page_says_what_to_do_without_a_store(open_page, tmp_path, page):
    """A missing store is a sentence with the command that makes it, not a stack trace."""
    at = open_page(tmp_path / "nowhere", page)

    assert not at.exception
    assert "soulcaster migrate" in said(at)


def test_older_schema_is_a_sentence(open_page, tmp_path):
    """A store that was never migrated names the command."""
    write(store(tmp_path), lambda con: con.execute("CREATE TABLE other (n INTEGER)"))

    at = open_page(tmp_path)

    assert not at.exception
    assert "soulcaster migrate" in said(at)


def test_busy_store_is_a_sentence_and_the_rest_of_the_page_works(open_page, tmp_path, monkeypatch):
    """While somebody holds the store, the runs page still shows its other half."""
    migrate(store(tmp_path))
    monkeypatch.setenv("SOULCASTER_LOCK_TIMEOUT_SECONDS", "0.2")
    with Path(f"{store(tmp_path)}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        at = open_page(tmp_path, "history")
        cluster = open_page(tmp_path, "cluster", id="any")

    assert not at.exception
    assert "busy" in said(at)
    assert "Prefect does not answer" in said(at)
    assert "Groupings" in said(at)
    assert ["Cluster"] == [each.value for each in cluster.title]


def test_prefect_away_is_a_sentence_and_the_groupings_still_show(open_page, drawn_home):
    """The runs page lists what was grouped though Prefect is down, and says how to start it."""
    at = open_page(drawn_home, "history")

    assert "soulcaster up" in said(at)
    assert 2 == len(at.dataframe[0].value)


def test_overview_shows_the_counts_of_the_store(open_page, drawn_home):
    """The numbers are those of the tables."""
    at = open_page(drawn_home)

    shown = {metric.label: metric.value for metric in at.metric}
    assert ("420", "40", "0", "2") == (shown["Feedback"], shown["Clusters"], shown["Waiting"], shown["Quarantine"])
    assert "minilm\\-int8" in said(at)


def test_overview_shows_a_change_at_once(open_page, tmp_path):
    """A cached answer does not outlive the next commit."""
    seed_drawn(store(tmp_path), n_items=60, n_clusters=5)
    at = open_page(tmp_path)
    write(store(tmp_path), lambda con: con.execute("DELETE FROM items WHERE external_id = '3'"))

    at.run()

    assert "59" == at.metric[0].value


def test_empty_overview_offers_the_sample_and_the_command(open_page, tmp_path):
    """A first visitor sees a button and what to type; without Prefect the button says why it cannot start."""
    migrate(store(tmp_path))
    at = open_page(tmp_path)
    assert "soulcaster import" in said(at)

    at.button(key="start-sample").click().run()

    assert not at.exception
    assert "Prefect does not answer" in said(at)


def test_new_feedback_asks_to_be_grouped(open_page, tmp_path):
    """What came in after the run on show is counted and has its button."""
    seed_drawn(store(tmp_path), n_items=60, n_clusters=5)
    write(store(tmp_path), lambda con: con.execute("DELETE FROM memberships WHERE item_id IN (FROM items SELECT item_id WHERE external_id = '3')"))  # fmt: skip  # noqa: E501  one statement

    at = open_page(tmp_path)

    assert "Not grouped yet: **1 item**" in said(at)
    assert at.button(key="start-group")


def test_cluster_filters_narrow_the_list(open_page, drawn_home):
    """Text, source, theme, status and size each leave only what fits."""
    at = open_page(drawn_home, "clusters")
    everything = at.dataframe[0].value
    assert 40 == len(everything)

    at.number_input(key="min").set_value(12).run()
    assert (at.dataframe[0].value["n_items"] >= 12).all()
    at.number_input(key="min").set_value(1).run()

    at.multiselect(key="status").set_value(["triaged"]).run()
    assert {"triaged"} == set(at.dataframe[0].value["status"])
    at.multiselect(key="status").set_value([]).run()

    theme = at.selectbox(key="theme").options[1]
    at.selectbox(key="theme").set_value(theme).run()
    assert {theme} == set(at.dataframe[0].value["theme"])
    at.selectbox(key="theme").set_value(None).run()

    at.multiselect(key="source").set_value(["Sentry"]).run()
    assert at.dataframe[0].value["sources"].str.contains("🐞").all()
    at.multiselect(key="source").set_value([]).run()

    at.text_input(key="q").set_value("CALENDAR").run()
    assert at.dataframe[0].value["title"].str.contains("calendar").all()
    at.text_input(key="q").set_value("no such words").run()
    assert "No cluster passes" in said(at)
    at.button(key="clear").click().run()
    assert 40 == len(at.dataframe[0].value)


def test_clusters_of_a_kind_are_filtered_once_kinds_are_known(open_page, tmp_path):
    """The filter is not there before a model or a person said what a cluster is; then it leaves those of the kind."""
    bug, wish, *_ = seed_drawn(store(tmp_path), n_items=60, n_clusters=5)
    assert "kind" not in {each.key for each in open_page(tmp_path, "clusters").multiselect}

    say = "UPDATE clusters SET kind = $1 WHERE cluster_id = $2::UUID"
    for cluster, kind in ((bug, "bug"), (wish, "request")):
        write(store(tmp_path), lambda con, given=(kind, cluster): con.execute(say, list(given)))
    at = open_page(tmp_path, "clusters")
    at.multiselect(key="kind").set_value(["request"]).run()

    assert ["bug", "request"] == at.multiselect(key="kind").options
    assert [wish] == at.dataframe[0].value["cluster_id"].to_list()


def test_cluster_list_is_sorted_by_the_store(open_page, drawn_home):
    """Most urgent first unless asked otherwise."""
    at = open_page(drawn_home, "clusters")
    assert at.dataframe[0].value["priority"].is_monotonic_decreasing

    at.selectbox(key="sort").set_value("Most items").run()
    assert at.dataframe[0].value["n_items"].is_monotonic_decreasing

    at.selectbox(key="sort").set_value("Most people").run()
    assert at.dataframe[0].value["n_people"].is_monotonic_decreasing


def test_a_regressed_cluster_waits_for_a_decision_and_says_why_it_is_urgent(open_page, tmp_path):
    """The overview names it, the list tells its status, its page has a sentence for every part of its priority."""
    [cluster, *_] = seed_drawn(store(tmp_path), n_items=60, n_clusters=5)
    write(store(tmp_path), lambda con: con.execute("UPDATE clusters SET status = 'regressed' WHERE cluster_id = CAST(? AS UUID)", [cluster]))  # fmt: skip  # noqa: E501  one statement

    overview = open_page(tmp_path)
    listed = open_page(tmp_path, "clusters", status="regressed").dataframe[0].value
    page = open_page(tmp_path, "cluster", id=cluster)

    assert "Came back after the fix" in said(overview)
    assert ["🔁 regressed"] == [status.split(" · ")[-1] for status in listed["status"]]
    assert "It was fixed, and reports came back after the fix." in said(page)


def test_a_link_carries_the_filters(open_page, drawn_home):
    """Opening an address with parameters shows the list as the sender saw it."""
    at = open_page(drawn_home, "clusters", q="calendar")

    assert "calendar" == at.text_input(key="q").value
    assert at.dataframe[0].value["title"].str.contains("calendar").all()


def test_a_cluster_shows_its_items_and_where_they_came_from(open_page, drawn_home):
    """Title, counts, method, typical feedback, all items with reasons, history."""
    cluster = first_cluster(drawn_home)

    at = open_page(drawn_home, "cluster", id=str(cluster["cluster_id"]))

    assert not at.exception
    assert str(cluster["n_items"]) == at.metric[0].value
    assert "No model wrote it" in said(at)
    assert "similar text" in set(at.dataframe[0].value["reason"])
    assert 25 == len(at.dataframe[0].value)
    assert "History" in said(at)


@pytest.mark.parametrize("cluster_id", ["", "nonsense", "'; DROP TABLE items; --", "0" * 32])
def test_unknown_cluster_is_a_sentence(open_page, drawn_home, cluster_id):
    """A wrong link leads back to the list."""
    at = open_page(drawn_home, "cluster", id=cluster_id)

    assert not at.exception
    assert "No such cluster" in said(at)


@pytest.mark.parametrize(("view", "lane"), [("In clusters", "clustered"), ("Noise", "noise"), ("Waiting", "waiting")])
def test_feedback_lanes_show_what_they_say(open_page, drawn_home, view, lane):
    """Each lane counts the rows that belong to it."""
    counts = {
        "clustered": "cluster_id IS NOT NULL",
        "noise": "cluster_id IS NULL",
        "waiting": "false",
    }

    def expected(con: duckdb.DuckDBPyConnection) -> int:
        newest = "SELECT run_id FROM publications ORDER BY published_at DESC LIMIT 1"
        return con.execute(f"SELECT count(*) FROM memberships WHERE run_id = ({newest}) AND {counts[lane]}").fetchall()[0][0]  # fmt: skip  # noqa: E501, S608  constants of this test

    n = read(store(drawn_home), expected)
    at = open_page(drawn_home, "feedback", view=view)

    assert (f"{n} item" in said(at)) if n else ("Nothing here" in said(at))


def test_a_service_that_a_mapping_reads_is_offered_in_the_filters(open_page, tmp_path):
    """Items of another source than our four can be picked on both lists, by the name of the mapping."""
    seed_drawn(store(tmp_path), n_items=30, n_clusters=3)
    write(store(tmp_path), lambda con: con.execute("UPDATE items SET source = 'zendesk' WHERE source = 'sentry'"))

    for page in ("clusters", "feedback"):
        at = open_page(tmp_path, page, source="zendesk")

        assert "zendesk" in at.multiselect(key="source").options
        assert ["zendesk"] == at.multiselect(key="source").value
        assert not at.exception


def test_feedback_is_paged(open_page, drawn_home):
    """A page holds 50 rows and the next page holds others."""
    at = open_page(drawn_home, "feedback")
    first = set(at.dataframe[0].value["item_id"])
    assert 50 == len(first)

    again = open_page(drawn_home, "feedback", page="2")

    assert 50 == len(again.dataframe[0].value)
    assert not first & set(again.dataframe[0].value["item_id"])


def test_feedback_search_looks_into_the_text(open_page, drawn_home):
    """Only items with the words are left."""
    at = open_page(drawn_home, "feedback")

    at.text_input(key="q").set_value("device 12.").run()

    assert not at.dataframe[0].value.empty
    assert at.dataframe[0].value["snippet"].str.contains("device 12.", regex=False).all()


def test_quarantine_quotes_what_was_seen(open_page, drawn_home):
    """Reason and quoted fragment are on the page."""
    at = open_page(drawn_home, "feedback", view="Quarantine")

    table = at.dataframe[0].value
    assert {"injection", "no-text"} == set(table["reason"])
    assert table["detail"].str.contains("ignore all previous").any()


def test_a_bad_setting_is_a_sentence(open_page, drawn_home, monkeypatch):
    """A wrong variable is named instead of a stack trace."""
    monkeypatch.setenv("SOULCASTER_APP_PORT", "many")

    at = open_page(drawn_home)

    assert not at.exception
    assert "APP" in said(at).upper()


def test_a_second_project_can_be_chosen(open_page, tmp_path):
    """With two projects the sidebar offers both and the page shows the chosen one."""
    seed_drawn(store(tmp_path), n_items=60, n_clusters=5)
    write(store(tmp_path), lambda con: con.execute("UPDATE items SET project_id = 'other' WHERE external_id IN ('1', '2')"))  # fmt: skip  # noqa: E501  one statement
    at = open_page(tmp_path)
    assert "58" == at.metric[0].value

    at.selectbox(key="project").set_value("other").run()

    assert "2" == at.metric[0].value


def test_two_groupings_are_compared_with_the_items_that_moved(open_page, tmp_path):
    """After a merge the newest two differ by the merged items, each with where it was and is."""
    seed_drawn(store(tmp_path), n_items=200, n_clusters=10)
    frame, _ = read(
        store(tmp_path),
        lambda con: cluster_screens.list_clusters(con, PROJECT, cluster_screens.ClusterFilters(), limit=5),
    )
    merge(Settings(_env_file=None, home=tmp_path), PROJECT, frame["cluster_id"].to_list()[3:], actor="ann")

    at = open_page(tmp_path, "history")
    at.toggle(key="compare").set_value(True).run()

    assert not at.exception
    shown = {metric.label: int(metric.value) for metric in at.metric}
    assert shown["Move"] in (frame["n_items"][3], frame["n_items"][4])
    moved = at.dataframe[-1].value
    assert shown["Move"] == len(moved)
    assert (moved["before"] != moved["after"]).all()
    assert "**1** take in parts of several" in said(at)
