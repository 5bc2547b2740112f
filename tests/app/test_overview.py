"""The first page says what needs a person now, how fixes fare, and where to begin."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from seeding import PROJECT, seed_drawn
from streamlit.testing.v1 import AppTest

from soulcaster import pull
from soulcaster.configured import parse_options
from soulcaster.db import jobs, migrate, runs, write
from soulcaster.fix_models import Job, JobDetail
from soulcaster.models import ChurnReport
from soulcaster.settings import Settings

NOW = datetime.now(UTC)


def said(at: AppTest) -> str:
    """All sentences of the page."""
    return "\n".join(str(each.value) for kind in (at.markdown, at.warning, at.info, at.caption) for each in kind)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A drawn store in which nothing waits."""
    settings = Settings(_env_file=None, home=tmp_path)
    clusters = seed_drawn(settings.duckdb_path, n_items=60, n_clusters=5)
    write(settings.duckdb_path, lambda con: add_jobs(con, clusters))
    return tmp_path


def add_jobs(con: duckdb.DuckDBPyConnection, clusters: list[str]) -> None:
    """Three jobs: one ended without a change, one with a merged pull request, one that was only begun long ago."""
    for number, (cluster, days, changes) in enumerate(
        [
            (clusters[0], 2, {"status": "no_change", "reason": "Nothing to do."}),
            (clusters[1], 3, {"status": "pr_open", "verdict": "proved", "pr_number": 7, "merged_at": NOW}),
            (clusters[2], 200, {"status": "failed"}),
        ]
    ):
        at = NOW - timedelta(days=days)
        job = Job(
            job_id=f"job-{number}", project_id=PROJECT, cluster_id=cluster, repository="acme/notes", status="queued",
            actor="ann", created_at=at, changed_at=at, n_tokens=1_000,
        )  # fmt: skip
        jobs.add_job(con, job, JobDetail())
        jobs.update_job(con, job, actor="flow", now=at, **changes)


def test_nothing_asks_for_a_decision_when_nothing_waits(open_page, home):
    """No line of those that wait for a person is there."""
    words = said(open_page(home))

    assert not [each for each in ("waits to be shown", "approve", "Blocked", "Came back") if each in words]


def test_a_proposal_an_approval_and_a_blocked_source_each_have_their_line(open_page, home):
    """Each names what waits; a paused source does not ask."""
    settings = Settings(_env_file=None, home=home)
    for name in ("acme/notes", "acme/other"):
        pull.add_source(settings, PROJECT, "github", name, parse_options("github", {}), actor="ann")

    def wait(con: duckdb.DuckDBPyConnection) -> None:
        shown, made = runs.find_published_run(con, PROJECT), str(uuid.uuid4())
        con.execute("INSERT INTO runs SELECT * REPLACE (? AS run_id) FROM runs WHERE run_id = ?", [made, shown])
        churn = ChurnReport(waits_because="much changes", share=0.25)
        runs.add_proposal(con, PROJECT, made, churn, kind="refit", actor="flow", base_run_id=shown)
        con.execute("UPDATE sources SET state = 'blocked', is_paused = name = 'acme/other'")
        con.execute("UPDATE jobs SET status = 'waiting' WHERE job_id = 'job-0'")

    write(settings.duckdb_path, wait)
    words = said(open_page(home))

    assert "A new grouping waits to be shown" in words
    assert "25% of the grouped items would move" in words
    assert "**1 fix** waits for somebody to approve it" in words
    assert "github\u2060:\u2060acme\\/notes" in words
    assert "other" not in words.split("Blocked")[1].split("\n")[0]


def test_the_funnel_counts_how_far_fixes_of_the_last_months_came(open_page, home):
    """The old job does not count; what was used is set against the day's budget."""
    at = open_page(home)

    shown = {metric.label: metric.value for metric in at.metric}
    assert ("2", "1", "1", "1", "1") == tuple(
        shown[name] for name in ("Started", "Tested", "Held", "Proposed", "Merged")
    )


def test_clusters_are_counted_by_status_with_a_link_to_each_list(open_page, home):
    """Each status that a cluster of the run on show has is there with its number and the way to the filtered list."""
    ours = "SELECT cluster_id FROM clusters WHERE project_id = $1 ORDER BY cluster_id LIMIT 2"
    change = f"UPDATE clusters SET status = 'triaged' WHERE cluster_id IN ({ours})"  # noqa: S608  text of this file
    write(Settings(_env_file=None, home=home).duckdb_path, lambda con: con.execute(change, [PROJECT]))

    links = {each.proto.label: each.proto.query_string for each in open_page(home).get("page_link")}

    assert "status=triaged" in links["triaged 2"]
    assert "status=new" in links["new 3"]


def test_a_first_visitor_has_buttons_for_all_ways_to_begin(open_page, tmp_path):
    """The sample, one text, a table, a source."""
    migrate(Settings(_env_file=None, home=tmp_path).duckdb_path)

    at = open_page(tmp_path)

    assert {"start-sample", "add-feedback", "upload"} <= {button.key for button in at.button}
    assert "Reddit, GitHub, Sentry" in said(at)
