"""Following pull requests: fixed when merged, back when closed, regressed when reported again, each issue told once."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from grouping_store import row
from publisher.conftest import FILES, NAME
from standins.forge import running_forge
from standins.wire_server import Answer

from soulcaster.db import comments as outbox
from soulcaster.db import jobs, read, repositories, write
from soulcaster.errors import PermanentError, TransientError
from soulcaster.fix_models import Job, JobDetail, Repository
from soulcaster.follow import follow, list_followed, note_regressions
from soulcaster.triage import set_status

PROJECT = "acme"
CLUSTER = str(uuid.UUID(int=7))
RUN = str(uuid.UUID(int=1))
BRANCH = "soulcaster/c7-deadbeef"
START = datetime(2026, 1, 5, 12, tzinfo=UTC)


@pytest.fixture
def forge(tmp_path, monkeypatch):
    """A forge with one repository, and its token in a variable."""
    with running_forge(tmp_path) as started:
        started.add_repository(NAME, FILES)
        monkeypatch.setenv("NOTES_TOKEN", started.token)
        yield started


@pytest.fixture
def pull(forge, settings):
    """A published fix: cluster with two issues and a Reddit post, job, open pull request; its number."""
    issues = [forge.add_issue(NAME, title) for title in ("Sums are wrong", "Adding takes away")]
    items = [row(f"{NAME}#{number}", f"Wrong sum {number}") for number in issues]
    items += [row("t3_x", "Sums?", source="reddit"), row("other/place#1", "Elsewhere")]
    add_members(settings, items)
    forge.push(NAME, BRANCH, {"notes.py": "def add(a, b):\n    return a + b\n"})
    number = make_pull(forge)
    repository = Repository(
        name=NAME, mode="draft", api_url=forge.url, clone_url=forge.clone_url(NAME), token_variable="NOTES_TOKEN"
    )
    write(
        settings.duckdb_path,
        lambda con: repositories.save_repository(con, PROJECT, repository, actor="test", now=START),
    )
    add_job(settings, forge, number)
    return number


def make_pull(forge, branch: str = BRANCH) -> int:
    """A draft pull request with our label."""
    from github import Auth, Github

    client = Github(auth=Auth.Token(forge.token), base_url=forge.url, retry=None, seconds_between_requests=0,
                    seconds_between_writes=0)  # fmt: skip
    made = client.get_repo(NAME).create_pull(base="main", head=branch, title="Adding adds", body="x", draft=True)
    made.add_to_labels("soulcaster")
    return made.number


def add_job(settings, forge, number: int, *, job_id: str = "job-1", minutes: int = 0) -> None:
    """A job that ended with a pull request."""
    job = Job(
        job_id=job_id, project_id=PROJECT, cluster_id=CLUSTER, repository=NAME, status="pr_open", branch=BRANCH,
        pr_number=number, pr_state="open", head_commit=forge.find_head(NAME, BRANCH), actor="ana",
        base_commit=forge.find_head(NAME, "main"),
        created_at=START + timedelta(minutes=minutes), changed_at=START,
    )  # fmt: skip
    write(settings.duckdb_path, lambda con: jobs.add_job(con, job, JobDetail()))


def add_members(settings, rows: list[dict[str, object]], *, release: str | None = None) -> None:
    """Items that are in the cluster on show."""

    def insert(con):
        if not con.execute("SELECT count(*) FROM clusters").fetchone()[0]:
            con.execute(
                "INSERT INTO clusters (cluster_id, project_id, status, terms, created_at, changed_at) "
                "VALUES ($1::UUID, $2, 'pr_open', [], $3, $3)", [CLUSTER, PROJECT, START],
            )  # fmt: skip
            con.execute("INSERT INTO publications VALUES ($1, $2::UUID, $3, 'test')", [PROJECT, RUN, START])
        for each in rows:
            con.execute(
                "INSERT INTO items (item_id, project_id, source, external_id, title, body, created_at, trust, state, "
                "frames, release, labels, event_count, content_hash, row_hash, language, notes, first_seen_at, "
                "changed_at) "
                "VALUES ($item::UUID, $project, $source, $external, $title, '', $at, 'anonymous', 'open', [], "
                "$release, [], 1, $hash, 'x', 'en', [], $at, $at)",
                {"item": each["item_id"], "project": PROJECT, "source": each["source"], "title": each["title"],
                 "external": each["external_id"], "at": each["created_at"], "hash": each["content_hash"],
                 "release": release},
            )  # fmt: skip
            con.execute(
                "INSERT INTO memberships VALUES ($1::UUID, $2, $3::UUID, 0, $4::UUID, NULL, 1, false, 1, 'near-text')",
                [RUN, PROJECT, each["item_id"], CLUSTER],
            )

    write(settings.duckdb_path, insert)


def run(settings):
    """One pass over the repository, without the pauses the real GitHub asks for."""
    return follow(settings, PROJECT, NAME, seconds_between_writes=0)


def cluster_status(settings) -> str:
    """Status of the cluster."""
    return read(settings.duckdb_path, lambda con: con.execute("SELECT status FROM clusters").fetchone()[0])


def activity(settings, action: str) -> list[tuple[str, dict]]:
    """Reason and detail of the log's rows of one kind, oldest first."""
    rows = read(
        settings.duckdb_path,
        lambda con: con.execute(
            "SELECT reason, detail FROM activity WHERE action = $1 ORDER BY happened_at", [action]
        ).fetchall(),
    )
    return [(reason, json.loads(detail)) for reason, detail in rows]


def texts(forge) -> list[tuple[int, str]]:
    """Issue and text of every comment."""
    return [(one["place"][1], one["body"].partition("\n")[2]) for one in forge.comments.values()]


def test_issues_of_the_repository_are_told_once(settings, forge, pull):
    """Each member issue of this repository gets one comment, however often we look; Reddit and others get none."""
    reports = [run(settings) for _ in range(3)]

    assert [2, 0, 0] == [report.n_comments for report in reports]
    assert [1, 2] == [number for number, _ in texts(forge)]
    assert all(f"#{pull}" in text for _, text in texts(forge))
    assert [NAME] == list_followed(settings, PROJECT)


def test_a_merge_makes_the_cluster_fixed_and_edits_the_comments(settings, forge, pull):
    """Fixed with the merge's time, job and comments up to date, nobody told twice."""
    run(settings)
    forge.merge(NAME, pull)

    report = run(settings)

    assert [f"{forge.url}/{NAME}/pull/{pull}"] == report.merged
    assert "fixed" == cluster_status(settings)
    assert ("open", "merged") == tuple(detail["state"] for _, detail in activity(settings, "pull-request"))
    [(reason, detail)] = activity(settings, "status")
    assert f"pull request #{pull} was merged" == reason
    assert forge.pulls[NAME, pull]["merged_at"][:16] == detail["fixed_at"][:16]
    assert 2 == len(forge.comments)
    assert all("was merged" in text for _, text in texts(forge))
    assert [] == list_followed(settings, PROJECT)


def test_a_closed_one_brings_the_cluster_back_with_the_reason(settings, forge, pull):
    """New again, the log says why, the comments are corrected; opened again by the team it is open again."""
    run(settings)
    forge.close(NAME, pull)

    report = run(settings)

    assert 1 == len(report.closed)
    assert "new" == cluster_status(settings)
    assert "closed without being merged" in activity(settings, "status")[-1][0]
    assert all("closed without" in text for _, text in texts(forge))
    forge.issues[NAME, pull] |= {"state": "open", "closed_at": None}
    assert 1 == len(run(settings).reopened)
    assert "pr_open" == cluster_status(settings)


def test_what_a_person_decided_meanwhile_stays(settings, forge, pull):
    """A cluster that somebody ignored is not set to fixed by a merge."""
    write(settings.duckdb_path, lambda con: con.execute("UPDATE clusters SET status = 'ignored'"))
    forge.merge(NAME, pull)

    run(settings)

    assert "ignored" == cluster_status(settings)


def test_ci_and_reviews_are_in_the_log_when_they_change(settings, forge, pull):
    """Pending, then failing with the names, then a review; the same again adds nothing."""
    head = forge.find_head(NAME, BRANCH)
    forge.check(head, "tests", None)
    run(settings)
    forge.check_runs[head][0] |= {"status": "completed", "conclusion": "failure"}
    forge.statuses[head] = [{"context": "lint", "state": "success"}]
    report = run(settings)
    forge.review(NAME, pull, "ana", "CHANGES_REQUESTED")
    forge.review(NAME, pull, "ana", "COMMENTED")
    run(settings)
    run(settings)

    seen = [detail for _, detail in activity(settings, "pull-request")]
    assert [("pending", []), ("failing", ["tests"]), ("failing", ["tests"])] == [(d["ci"], d["failing"]) for d in seen]
    assert {"ana": "CHANGES_REQUESTED"} == seen[-1]["reviews"]
    assert 1 == len(report.failing)


@pytest.mark.parametrize(
    ("permissions", "conclusion", "expected"),
    [
        ({}, "failure", "unknown"),
        ({"checks": "read"}, "success", "passing"),
        ({"checks": "read"}, "failure", "failing"),
    ],
)
def test_ci_that_the_token_may_not_see_is_unknown(settings, forge, pull, permissions, conclusion, expected):
    """What is visible counts; nothing visible is said to be unknown, not taken for green."""
    assert pull
    forge.tokens[forge.token].permissions = {"contents": "write", "pull_requests": "write", **permissions}
    forge.check(forge.find_head(NAME, BRANCH), "tests", conclusion)

    run(settings)

    assert [expected] == [detail["ci"] for _, detail in activity(settings, "pull-request")]


def test_a_push_by_somebody_else_is_noted(settings, forge, pull):
    """The log says that the branch is no longer ours alone."""
    assert pull
    forge.push(NAME, BRANCH, {"notes.py": "mine\n"})

    run(settings)

    [(reason, detail)] = activity(settings, "pull-request")
    assert "somebody pushed" in reason
    assert not detail["is_ours"]


def test_a_pull_request_without_our_label_is_followed_too(settings, forge, pull):
    """Somebody took the label off."""
    forge.issues[NAME, pull]["labels"] = []
    forge.merge(NAME, pull)

    assert 1 == len(run(settings).merged)


def test_a_comment_somebody_deleted_stays_away(settings, forge, pull):
    """The correction at the merge is given up with a reason, and not tried again."""
    run(settings)
    forge.comments.pop(5000)
    forge.merge(NAME, pull)

    report = run(settings)

    assert ["deleted" in text for text in report.refused] == [True]
    assert 1 == len(forge.comments)
    states = read(settings.duckdb_path, lambda con: [one.state for one in outbox.list_comments(con, PROJECT)])
    assert ["failed", "posted"] == sorted(states)


def test_a_comment_that_was_posted_but_not_recorded_is_found(settings, forge, pull):
    """Killed between GitHub and the store: the next run finds its own comment by mark and account."""
    run(settings)
    write(
        settings.duckdb_path,
        lambda con: con.execute("UPDATE comments SET state = 'waiting', comment_id = NULL, posted_at = NULL"),
    )
    for stored in list(forge.comments.values()):
        forge.comments[6000 + len(forge.comments)] = {**stored, "login": "mallory"}

    run(settings)

    assert pull
    assert ["mallory", "mallory", "robot", "robot"] == sorted(one["login"] for one in forge.comments.values())


def test_at_most_ten_issues_are_told(settings, forge, pull):
    """A cluster of many issues does not become a flood."""
    numbers = [forge.add_issue(NAME, f"Again {i}") for i in range(14)]
    add_members(settings, [row(f"{NAME}#{number}", f"Again {number}") for number in numbers])

    run(settings)
    run(settings)

    assert pull
    assert 10 == len(forge.comments)


def test_the_publishing_switch_holds_comments_back(settings, forge, pull):
    """Switched off, states are still read; switched on again, what waited is posted."""

    def turn(is_on):
        write(
            settings.duckdb_path,
            lambda con: repositories.set_switch(
                con, PROJECT, "publishing", is_on=is_on, reason="quiet", actor="ana", now=START
            ),
        )

    turn(is_on=False)
    assert (1, 0) == (run(settings).n_open, len(forge.comments))
    turn(is_on=True)
    assert 2 == run(settings).n_comments
    assert pull


def test_only_the_newest_pull_request_of_a_cluster_speaks(settings, forge, pull):
    """An older, closed one does not take back what the newer says."""
    run(settings)
    forge.close(NAME, pull)
    run(settings)
    forge.push(NAME, "soulcaster/c7-00000002", {"notes.py": "def add(a, b):\n    return sum((a, b))\n"})
    second = make_pull(forge, "soulcaster/c7-00000002")
    add_job(settings, forge, second, job_id="job-2", minutes=5)

    assert [2, 0] == [run(settings).n_comments for _ in range(2)]
    assert all(f"pull request #{second}" in text for _, text in texts(forge))


def test_limits_and_refusals_are_told_apart(settings, forge, pull):
    """Busy: come back at the time named; wrong token: a person has to act. What was stored stays."""
    forge.planned = [("GET", "/issues", Answer(403, {"message": "API rate limit exceeded"}, {"Retry-After": "60"}))]
    with pytest.raises(TransientError) as caught:
        run(settings)
    assert caught.value.retry_at is not None
    forge.tokens.clear()
    with pytest.raises(PermanentError, match="401"):
        run(settings)
    assert pull


def fix(settings, forge, pull) -> datetime:
    """The pull request merged; when."""
    forge.merge(NAME, pull)
    run(settings)
    return datetime.fromisoformat(forge.pulls[NAME, pull]["merged_at"])


def test_a_report_made_after_the_fix_makes_the_cluster_regressed(settings, forge, pull):
    """It is named in the log; a report made before the merge that arrives late changes nothing."""
    fixed_at = fix(settings, forge, pull)
    add_members(settings, [row("t3_late", "Late", source="reddit", created_at=fixed_at - timedelta(minutes=1))])
    assert [] == note_regressions(settings, PROJECT)
    add_members(settings, [row("t3_new", "Again!", source="reddit", created_at=fixed_at + timedelta(minutes=1))])

    [found] = note_regressions(settings, PROJECT)

    assert (CLUSTER, ["t3_new"]) == (found.cluster_id, found.external_ids)
    assert "regressed" == cluster_status(settings)
    reason, detail = activity(settings, "status")[-1]
    assert "reddit t3_new" in reason
    assert found.item_ids == detail["item_ids"]
    assert [] == note_regressions(settings, PROJECT)


def test_a_release_in_use_before_the_fix_says_nothing_about_it(settings, forge, pull):
    """A crash of an old release after the merge is no regression; one of a new release is."""
    fixed_at = fix(settings, forge, pull)
    before, after = fixed_at - timedelta(days=2), fixed_at + timedelta(days=1)
    add_members(settings, [row("e1", "crash", source="sentry", created_at=before)], release="1.0")
    add_members(settings, [row("e2", "crash", source="sentry", created_at=after)], release="1.0")
    assert [] == note_regressions(settings, PROJECT)

    add_members(settings, [row("e3", "crash", source="sentry", created_at=after)], release="1.1")

    assert [["e3"]] == [found.external_ids for found in note_regressions(settings, PROJECT)]


def test_fixed_again_by_a_person_only_newer_reports_count(settings, forge, pull):
    """What made it regress the first time does not do so again."""
    forge.merge(NAME, pull)
    merged_at = datetime.now(UTC) - timedelta(hours=1)
    forge.pulls[NAME, pull]["merged_at"] = f"{merged_at:%Y-%m-%dT%H:%M:%SZ}"
    run(settings)
    add_members(settings, [row("t3_new", "Again!", source="reddit", created_at=merged_at + timedelta(minutes=1))])
    note_regressions(settings, PROJECT)

    set_status(settings, PROJECT, CLUSTER, "fixed", actor="ana", reason="found by hand")

    assert [] == note_regressions(settings, PROJECT)
    add_members(settings, [row("t3_third", "Third", source="reddit", created_at=datetime.now(UTC))])
    assert [["t3_third"]] == [found.external_ids for found in note_regressions(settings, PROJECT)]
