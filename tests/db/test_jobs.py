"""Jobs, launches, repositories, switches and the outbox in a real store."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from soulcaster.db import activity, comments, jobs, read, repositories, write
from soulcaster.errors import PermanentError
from soulcaster.fix_models import Finding, Job, JobDetail, Launch, QueuedComment, Repository

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def make_job(job_id: str = "j1", **changes) -> Job:
    """A queued job."""
    fields = {
        "job_id": job_id, "project_id": "p", "cluster_id": "c1", "repository": "acme/notes", "status": "queued",
        "attempt": 0, "actor": "ann", "created_at": NOW, "changed_at": NOW,
    }  # fmt: skip
    return Job.model_validate({**fields, **changes})


@pytest.fixture
def store(settings):
    """The store's path."""
    return settings.duckdb_path


def test_a_job_comes_back_as_it_was_stored(store):
    """Every field and the detail survive the round trip."""
    job = make_job(verdict="proved", pr_number=7, merged_at=NOW, n_tokens=3, cost_usd=0.5)
    detail = JobDetail(findings=[Finding(rule="secret", detail="a key")], n_by_source={"reddit": 2})

    write(store, lambda con: jobs.add_job(con, job, detail))

    assert job == read(store, lambda con: jobs.get_job(con, "p", "j1"))
    assert detail == read(store, lambda con: jobs.get_detail(con, "p", "j1"))


def test_a_second_open_job_for_a_cluster_and_repository_is_refused(store):
    """The refusal names the job under way; another repository, or an ended job, is no obstacle."""
    write(store, lambda con: jobs.add_job(con, make_job(), JobDetail()))

    with pytest.raises(PermanentError, match="'j1'"):
        write(store, lambda con: jobs.add_job(con, make_job("j2", repository="Acme/Notes"), JobDetail()))
    write(store, lambda con: jobs.add_job(con, make_job("j3", repository="acme/web"), JobDetail()))
    write(store, lambda con: jobs.update_job(con, make_job(), actor="ann", now=NOW, status="cancelled"))
    write(store, lambda con: jobs.add_job(con, make_job("j4"), JobDetail()))

    assert {"j3", "j4"} == {job.job_id for job in read(store, lambda con: jobs.list_jobs(con, "p", is_open=True))}


def test_of_many_who_move_a_job_at_once_exactly_one_wins(store):
    """The status that the mover saw is compared when it is set."""
    job = make_job()
    write(store, lambda con: jobs.add_job(con, job, JobDetail()))
    won = []

    def move(name):
        moved = write(store, lambda con: jobs.update_job(con, job, actor=name, now=NOW, status="launching"))
        won.extend([name] if moved else [])

    threads = [threading.Thread(target=move, args=(f"mover {n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 1 == len(won)
    log = read(store, lambda con: activity.list_activity(con, "p", subject="j1"))
    assert [won[0]] == [row["actor"] for row in log if row["action"] == "fix-launching"]


def test_every_change_of_status_is_in_the_activity_log_with_its_actor(store):
    """Figures that change alone are no news."""
    job = make_job()
    write(store, lambda con: jobs.add_job(con, job, JobDetail()))
    moved = write(store, lambda con: jobs.update_job(con, job, actor="bob", now=NOW, status="failed", reason="No key."))
    write(store, lambda con: jobs.update_job(con, moved, actor="bob", now=NOW, n_tokens=5))

    log = read(store, lambda con: activity.list_activity(con, "p", subject="j1"))

    assert {("ann", "fix-queued", ""), ("bob", "fix-failed", "No key.")} == {
        (row["actor"], row["action"], row["reason"]) for row in log
    }


def test_a_value_that_a_job_cannot_have_is_refused(store):
    """Changes are checked by the model before they reach the store."""
    write(store, lambda con: jobs.add_job(con, make_job(), JobDetail()))

    with pytest.raises(ValueError, match="status"):
        write(store, lambda con: jobs.update_job(con, make_job(), actor="ann", now=NOW, status="flying"))


def test_a_launch_is_found_again_with_its_token_and_handle(store):
    """The row is written before the start and completed after it."""
    launch = Launch(job_id="j1", attempt=1, purpose="verify", token="t-1", deadline_seconds=60, created_at=NOW)
    write(store, lambda con: jobs.add_launch(con, "p", launch))
    known = launch.model_copy(update={"handle": "77", "launched_at": NOW})
    write(store, lambda con: jobs.update_launch(con, "p", known))

    assert [known] == read(store, lambda con: jobs.list_launches(con, "p", "j1"))
    assert ("verify", "1-verify") == (known.mode, known.folder_name)


def test_budgets_are_sums_over_launched_jobs_of_the_window(store):
    """Older jobs and jobs that never started anything do not count; a repository counts alone."""
    for job in (
        make_job("a", attempt=2, n_tokens=10, cost_usd=1.0, status="failed"),
        make_job("b", attempt=1, n_tokens=5, cost_usd=0.5, repository="acme/web", status="failed"),
        make_job("c", attempt=0, status="failed"),
        make_job("d", attempt=1, n_tokens=99, created_at=NOW - timedelta(days=2), status="failed"),
    ):
        write(store, lambda con, job=job: jobs.add_job(con, job, JobDetail()))

    spent = read(store, lambda con: jobs.sum_spent(con, "p", since=NOW - timedelta(days=1)))
    alone = read(store, lambda con: jobs.sum_spent(con, "p", since=NOW - timedelta(days=1), repository="ACME/web"))

    assert (2, 15, 1.5) == (spent.n_jobs, spent.n_tokens, spent.cost_usd)
    assert (1, 5, 0.5) == (alone.n_jobs, alone.n_tokens, alone.cost_usd)


def test_an_id_may_be_cut_short_unless_it_fits_two(store):
    """As with clusters and runs."""
    for job_id in ("abc1", "abd2"):
        write(store, lambda con, job_id=job_id: jobs.add_job(con, make_job(job_id, cluster_id=job_id), JobDetail()))

    assert "abd2" == read(store, lambda con: jobs.get_job(con, "p", "abd")).job_id
    for wrong in ("ab", "x", ""):
        with pytest.raises(PermanentError, match="soulcaster jobs"):
            read(store, lambda con, wrong=wrong: jobs.get_job(con, "p", wrong))


def test_a_repository_is_replaced_whatever_its_letter_case_and_the_log_keeps_both(store):
    """Names do not tell upper from lower case, as at the forge."""
    first, second = Repository(name="acme/notes"), Repository(name="Acme/Notes", mode="draft", test=["make", "test"])
    for repository in (first, second, second):
        write(store, lambda con, r=repository: repositories.save_repository(con, "p", r, actor="ann", now=NOW))

    assert [second] == read(store, lambda con: repositories.list_repositories(con, "p"))
    assert second == read(store, lambda con: repositories.get_repository(con, "p", "acme/NOTES"))
    log = read(store, lambda con: activity.list_activity(con, "p", subject="repository:"))
    assert {"repository-add", "repository-change"} == {row["action"] for row in log}
    assert 2 == len(log)

    write(store, lambda con: repositories.remove_repository(con, "p", "acme/notes", actor="ann", now=NOW))
    with pytest.raises(PermanentError, match="soulcaster repo add"):
        read(store, lambda con: repositories.get_repository(con, "p", "acme/notes"))


def test_a_switch_is_on_until_somebody_turns_it_off_and_says_why(store):
    """The sentence names who, when and why."""
    assert "" == read(store, lambda con: repositories.find_switch_off(con, "launching"))

    write(store, lambda con: repositories.set_switch(
        con, "p", "launching", is_on=False, reason="odd patches", actor="ann", now=NOW))  # fmt: skip
    said = read(store, lambda con: repositories.find_switch_off(con, "launching"))

    assert "launching was switched off by ann at 2026-03-01 12:00 UTC: odd patches" == said
    assert "" == read(store, lambda con: repositories.find_switch_off(con, "publishing"))
    write(store, lambda con: repositories.set_switch(
        con, "p", "launching", is_on=True, reason="", actor="ann", now=NOW))  # fmt: skip
    assert "" == read(store, lambda con: repositories.find_switch_off(con, "launching"))


def test_a_comment_is_queued_once_a_key_and_edited_when_its_text_changes(store):
    """A rerun adds nothing; another text makes the posted comment wait again under the same number."""
    comment = QueuedComment(key="k", repository="acme/notes", issue_number=3, body="A fix is proposed.", queued_at=NOW)
    queue = lambda c: write(store, lambda con: comments.queue_comment(con, "p", c))  # noqa: E731  reads as a verb
    assert [True, False] == [queue(comment), queue(comment)]
    write(store, lambda con: comments.mark_posted(con, "p", comment, 99, now=NOW))
    assert [] == read(store, lambda con: comments.list_comments(con, "p", state="waiting"))

    assert queue(comment.model_copy(update={"body": "Fixed."}))

    [waiting] = read(store, lambda con: comments.list_comments(con, "p", state="waiting"))
    assert ("Fixed.", 99) == (waiting.body, waiting.comment_id)


def test_a_text_that_changed_while_it_was_posted_keeps_waiting(store):
    """What stands at the forge is the older text, so the newer one is still owed."""
    old = QueuedComment(key="k", repository="acme/notes", issue_number=3, body="old", queued_at=NOW)
    write(store, lambda con: comments.queue_comment(con, "p", old))
    write(store, lambda con: comments.queue_comment(con, "p", old.model_copy(update={"body": "new"})))
    write(store, lambda con: comments.mark_posted(con, "p", old, 5, now=NOW))

    [comment] = read(store, lambda con: comments.list_comments(con, "p"))
    assert ("waiting", "new", 5) == (comment.state, comment.body, comment.comment_id)
    write(store, lambda con: comments.mark_failed(con, "p", "k", "gone"))
    assert ["failed"] == [each.state for each in read(store, lambda con: comments.list_comments(con, "p"))]
