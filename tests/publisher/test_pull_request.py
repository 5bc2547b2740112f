"""One branch and one draft pull request, whatever happens between, and people's work left alone."""

from __future__ import annotations

import multiprocessing
import random
import time
from datetime import UTC, datetime

import pytest
from publisher.conftest import FILES, NAME
from standins.wire_server import Answer

from soulcaster.errors import PermanentError, TransientError
from soulcaster.publisher.body import BEGIN, END
from soulcaster.publisher.checkout import fetch_base
from soulcaster.publisher.pull_request import HUMAN_PUSHED_MARK, PullRequestDraft, publish

BRANCH = "soulcaster/c1a2b3c4-deadbeef"
PATCH = """\
diff --git a/notes.py b/notes.py
--- a/notes.py
+++ b/notes.py
@@ -1,2 +1,2 @@
 def add(a, b):
-    return a - b
+    return a + b
"""
BETTER_PATCH = PATCH.replace("return a + b", "return b + a")


@pytest.fixture
def draft(repository, credentials, cache):
    """A draft on the base as it is now."""
    return PullRequestDraft(
        repository=repository.model_copy(update={"reviewers": ["ana"]}), branch=BRANCH,
        base_commit=fetch_base(repository, credentials, cache), patch=PATCH, title="Adding adds",
        body="What people said.", commit_message="Adding adds\n\nIt took away.", labels=["soulcaster"],
        reviewers=["ana"], trailers={"Soulcaster-Job": "job-1", "Soulcaster-Cluster": "c1a2b3c4"},
    )  # fmt: skip


def test_a_draft_becomes_one_draft_pull_request(forge, draft, credentials, cache):
    """Branch, commit with trailers, draft, labels and reviewer are there; main is as it was."""
    made = publish(draft, credentials, cache)

    (pull,) = forge.pull_requests
    assert ("created", 1) == (made.action, made.number)
    assert (pull["head"]["sha"], pull["head"]["ref"]) == (made.head, BRANCH)
    assert pull["draft"]
    assert ["soulcaster"] == [label["name"] for label in pull["labels"]]
    assert ["ana"] == [person["login"] for person in pull["requested_reviewers"]]
    assert {"main": draft.base_commit, BRANCH: made.head} == forge.branches(NAME)
    assert forge.show_file(NAME, BRANCH, "notes.py") == "def add(a, b):\n    return a + b\n"
    message = forge.git(NAME, "show", "-s", "--format=%B", made.head)
    assert message == "Adding adds\n\nIt took away.\n\nSoulcaster-Job: job-1\nSoulcaster-Cluster: c1a2b3c4"


def test_publishing_twice_changes_nothing(forge, draft, credentials, cache):
    """The second time nothing is written at all."""
    first = publish(draft, credentials, cache)
    forge.requests.clear()

    second = publish(draft.model_copy(update={"known_head": first.head}), credentials, cache)

    assert ("unchanged", first.number, first.head) == (second.action, second.number, second.head)
    assert {"GET"} == {request.method for request in forge.requests if "git-upload-pack" not in request.path}


def test_the_same_draft_gives_the_same_commit_anywhere(draft, credentials, cache, tmp_path):
    """A machine that lost its cache knows its own branch again by the commit."""
    first = publish(draft, credentials, cache)

    again = publish(draft, credentials, tmp_path / "another")

    assert ("unchanged", first.head) == (again.action, again.head)


def test_a_new_attempt_updates_the_pull_request_and_keeps_human_text(forge, draft, credentials, cache):
    """The branch moves to the new commit, our block is rewritten, what a person wrote around it stays."""
    first = publish(draft, credentials, cache)
    stored = forge.issues[NAME, first.number]
    stored["body"] = ("Ana: please look at rounding.\n\n" + stored["body"] + "\n\n- [ ] docs").replace("\n", "\r\n")
    stored["title"] = "Adding adds (Ana)"

    newer = draft.model_copy(update={"patch": BETTER_PATCH, "body": "More people said.", "known_head": first.head})
    made = publish(newer, credentials, cache)

    assert ("updated", first.number) == (made.action, made.number)
    assert made.head != first.head
    assert forge.branches(NAME)[BRANCH] == made.head
    expected = f"Ana: please look at rounding.\n\n{BEGIN}\nMore people said.\n{END}\n\n- [ ] docs"
    assert (expected, "Adding adds (Ana)") == (stored["body"], stored["title"])
    assert draft.base_commit == forge.git(NAME, "rev-parse", f"{made.head}^")


def test_what_a_human_pushed_is_not_overwritten_and_said_once(forge, draft, credentials, cache):
    """Nothing is pushed over it; one comment, however often it is tried."""
    first = publish(draft, credentials, cache)
    theirs = forge.push(NAME, BRANCH, {"notes.py": "mine\n"})

    newer = draft.model_copy(update={"patch": BETTER_PATCH, "known_head": first.head})
    found = [publish(newer, credentials, cache) for _ in range(3)]

    assert ["human_pushed"] * 3 == [one.action for one in found]
    assert theirs == forge.branches(NAME)[BRANCH] == found[0].head
    (comment,) = forge.comments.values()
    assert HUMAN_PUSHED_MARK in comment["body"]


def test_a_strangers_copy_of_our_mark_does_not_silence_us(forge, draft, credentials, cache):
    """Only a comment of our own account counts as said."""
    first = publish(draft, credentials, cache)
    forge.push(NAME, BRANCH, {"notes.py": "mine\n"})
    forge.comments[4999] = {
        "place": (NAME, first.number), "login": "mallory", "body": HUMAN_PUSHED_MARK, "created_at": "",
        "updated_at": "",
    }  # fmt: skip

    publish(draft, credentials, cache)

    assert ["mallory", "robot"] == [comment["login"] for comment in forge.comments.values()]


def test_a_pull_request_the_team_closed_stays_closed(forge, draft, credentials, cache):
    """No push, no new pull request, not opened again."""
    first = publish(draft, credentials, cache)
    forge.close(NAME, first.number)
    forge.pushes.clear()

    found = publish(draft.model_copy(update={"patch": BETTER_PATCH, "known_head": first.head}), credentials, cache)

    assert ("closed_by_team", first.number) == (found.action, found.number)
    assert ["closed"] == [pull["state"] for pull in forge.pull_requests]
    assert [] == forge.pushes


def test_a_merged_pull_request_is_told_and_left(forge, draft, credentials, cache):
    """Merged and its branch deleted: nothing is pushed again."""
    first = publish(draft, credentials, cache)
    forge.merge(NAME, first.number)
    forge.git(NAME, "update-ref", "-d", f"refs/heads/{BRANCH}")

    assert "merged" == publish(draft, credentials, cache).action
    assert {"main"} == set(forge.branches(NAME))


def test_a_create_that_was_heard_but_not_answered_is_found(forge, draft, credentials, cache):
    """GitHub answers 422 because the pull request is there: it is listed again and taken."""
    from standins.forge_api import _create_pull

    def race(request):
        if request.method == "POST" and request.path.endswith("/pulls") and not forge.pulls:
            import json

            _create_pull(forge, request, forge.tokens[forge.token], json.loads(request.body), NAME)

    forge.on_request = race

    found = publish(draft, credentials, cache)

    assert 1 == len(forge.pull_requests)
    assert (1, ["ana"]) == (found.number, [who["login"] for who in forge.pull_requests[0]["requested_reviewers"]])


def test_a_refused_reviewer_does_not_lose_the_pull_request(forge, draft, credentials, cache):
    """The others are asked, the refusal is noted."""
    made = publish(draft.model_copy(update={"reviewers": ["stranger", "ben", "acme/team"]}), credentials, cache)

    assert "created" == made.action
    assert ["ben"] == [person["login"] for person in forge.pull_requests[0]["requested_reviewers"]]
    assert 2 == len(made.notes)
    assert "stranger" in made.notes[0]


def test_who_reviewed_is_not_asked_again(forge, draft, credentials, cache):
    """After a review a new attempt does not nag."""
    first = publish(draft, credentials, cache)
    forge.review(NAME, first.number, "ana", "CHANGES_REQUESTED")

    publish(draft.model_copy(update={"patch": BETTER_PATCH, "known_head": first.head}), credentials, cache)

    assert [] == forge.pull_requests[0]["requested_reviewers"]


def test_the_label_of_the_verdict_follows_the_verdict(forge, draft, credentials, cache):
    """An older verdict is taken off; labels of people stay."""
    first = publish(draft.model_copy(update={"labels": ["soulcaster", "soulcaster:unverified"]}), credentials, cache)
    forge.issues[NAME, first.number]["labels"].append("area: sums")

    again = publish(draft.model_copy(update={"labels": ["soulcaster", "soulcaster:proved"]}), credentials, cache)

    assert "updated" == again.action
    assert {"soulcaster", "soulcaster:proved", "area: sums"} == set(forge.issues[NAME, first.number]["labels"])


def test_no_draft_means_no_pull_request(forge, draft, credentials, cache):
    """Where drafts are not supported nothing is opened ready for review instead."""
    forge.drafts_are_allowed = False

    with pytest.raises(PermanentError, match="Draft pull requests are not supported"):
        publish(draft, credentials, cache)

    assert [] == forge.pull_requests


def test_a_branch_of_somebody_else_with_our_name_is_left(forge, draft, credentials, cache):
    """No pull request to comment on: a person has to look."""
    theirs = forge.push(NAME, BRANCH, {"x": "y\n"})

    with pytest.raises(PermanentError, match="not ours"):
        publish(draft, credentials, cache)

    assert theirs == forge.branches(NAME)[BRANCH]


def test_our_own_branch_without_pull_request_is_taken_up(forge, draft, credentials, cache):
    """A run killed after its push left a branch; the next attempt, with another patch, goes on from there."""
    forge.planned = [("POST", "/pulls", Answer(502, {"message": "Bad gateway"}))]
    with pytest.raises(TransientError):
        publish(draft, credentials, cache)
    assert [] == forge.pull_requests
    assert BRANCH in forge.branches(NAME)

    made = publish(draft.model_copy(update={"patch": BETTER_PATCH}), credentials, cache)

    assert "created" == made.action
    assert forge.branches(NAME)[BRANCH] == made.head


@pytest.mark.parametrize(
    ("status", "message", "headers", "seconds"),
    [
        (403, "API rate limit exceeded for user", {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "+90"}, 90),
        (403, "You have exceeded a secondary rate limit", {"Retry-After": "30"}, 30),
        (429, "Too many", {"Retry-After": "45"}, 45),
        (403, "You have exceeded a secondary rate limit", {}, 60),
    ],
)
def test_limits_say_when_to_come_back(forge, draft, credentials, cache, status, message, headers, seconds):
    """Primary and secondary limits are no failures: the time is in the error, and the next call succeeds."""
    now = datetime.now(UTC)
    told = {key: str(int(now.timestamp()) + int(value)) if value[0] == "+" else value for key, value in headers.items()}
    forge.failures = [Answer(status, {"message": message}, told)]

    with pytest.raises(TransientError) as caught:
        publish(draft, credentials, cache)

    assert abs((caught.value.retry_at - now).total_seconds() - seconds) < 20
    assert "created" == publish(draft, credentials, cache).action


def test_a_limit_in_the_middle_is_taken_up_again(forge, draft, credentials, cache):
    """Refused at the labels, for now: the next call adds them and asks the reviewer, with one pull request."""
    busy = Answer(403, {"message": "You have exceeded a secondary rate limit"}, {"Retry-After": "1"})
    forge.planned = [("POST", "/labels", busy)]
    with pytest.raises(TransientError):
        publish(draft, credentials, cache)

    made = publish(draft, credentials, cache)
    (pull,) = forge.pull_requests
    assert made.number == pull["number"]
    assert (["soulcaster"], ["ana"]) == (
        [label["name"] for label in pull["labels"]], [who["login"] for who in pull["requested_reviewers"]]
    )  # fmt: skip


@pytest.mark.parametrize(("token", "message"), [(None, "401"), ({"contents": "write", "pull_requests": "read"}, "403")])
def test_a_token_that_may_not_is_named(forge, draft, credentials, cache, token, message):
    """Wrong, or without the right: a person has to act, and nothing is half there but a branch."""
    if token is None:
        forge.tokens.clear()
    else:
        forge.tokens[forge.token].permissions = token

    with pytest.raises(PermanentError, match=message):
        publish(draft, credentials, cache)

    assert [] == forge.pull_requests


@pytest.mark.parametrize(
    "branch",
    ["main", "soulcaster/", "soulcaster/../main", "soulcaster/a b", "soulcaster/-x", "soulcaster/x.lock", "x/y"],
)
def test_only_our_branches_are_pushed(forge, draft, credentials, cache, branch):
    """Everything outside our prefix is refused before anything is asked."""
    with pytest.raises(PermanentError, match="expected a branch"):
        publish(draft.model_copy(update={"branch": branch}), credentials, cache)

    assert {"main"} == set(forge.branches(NAME))


def added(path: str, mode: str = "100644", text: str = "x") -> str:
    """A patch that adds one file."""
    return (
        f"diff --git a/{path} b/{path}\nnew file mode {mode}\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+{text}\n"
        "\\ No newline at end of file\n"
    )


@pytest.mark.parametrize(
    ("patch", "reason"),
    [
        (added("../outside"), "fit"),
        (added(".git/hooks/pre-commit"), "fit"),
        (added("/etc/passwd"), "fit"),
        (added("link", "120000", "/etc/passwd"), "mode"),
        (added("run", "100755"), "mode"),
        (added(".github/workflows/x.yml"), "configuration"),
        (added("deep/.gitattributes"), "configuration"),
        (added(".gitmodules"), "configuration"),
        ("diff --git a/notes.py b/notes.py\nold mode 100644\nnew mode 100755\n", "mode"),
        (PATCH.replace("a - b", "a * b"), "fit"),
        ("", "fit"),
    ],
)
def test_what_git_makes_of_a_patch_is_judged_again(forge, draft, credentials, cache, patch, reason):
    """Whatever was read in its text: links, modes, configuration and paths outside never get onto the remote."""
    with pytest.raises(PermanentError, match=reason):
        publish(draft.model_copy(update={"patch": patch}), credentials, cache)

    assert {"main"} == set(forge.branches(NAME))
    assert [] == forge.pull_requests


def test_a_patch_stays_in_its_folder(draft, credentials, cache):
    """With a path prefix nothing outside it is published."""
    inside = draft.repository.model_copy(update={"path_prefix": "tests"})

    with pytest.raises(PermanentError, match="outside the folder 'tests/'"):
        publish(draft.model_copy(update={"repository": inside}), credentials, cache)


def test_words_of_strangers_are_inert_in_title_and_commit(forge, draft, credentials, cache):
    """No mention, no closing keyword that works."""
    hostile = "Fix\u202e for @everyone, closes #1 and closes https://github.com/acme/notes/issues/1"
    made = publish(draft.model_copy(update={"title": hostile, "commit_message": hostile}), credentials, cache)

    title = forge.pull_requests[0]["title"]
    message = forge.git(NAME, "show", "-s", "--format=%s", made.head)
    assert title == message == "Fix for (at)everyone, closes no. 1 and closes https: github.com/acme/notes/issues/1"


@pytest.mark.slow
def test_killed_at_any_moment_and_run_again_gives_one_pull_request(forge, draft, credentials, cache):
    """SIGKILL at 30 seeded moments of a publication; run again: one branch, one pull request, complete, each time."""
    dice = random.Random(5)  # noqa: S311  a seed for a test
    nursery = multiprocessing.get_context("forkserver")
    nursery.set_forkserver_preload(["soulcaster.publisher.pull_request"])
    longest = 0.0
    for name in ("first", "measured"):  # the first also starts the nursery
        began = time.monotonic()
        process = nursery.Process(
            target=publish, args=(draft.model_copy(update={"branch": f"soulcaster/{name}"}), credentials, cache)
        )
        process.start()
        process.join()
        longest = (time.monotonic() - began) * 1.2
    states = set()
    for i in range(30):
        mine = draft.model_copy(update={"branch": f"soulcaster/kill-{i}"})
        process = nursery.Process(target=publish, args=(mine, credentials, cache))
        process.start()
        time.sleep(dice.uniform(0, longest))
        process.kill()
        process.join()
        opened = [pull for pull in forge.pull_requests if pull["head"]["ref"] == mine.branch]
        asked = bool(opened and opened[0]["requested_reviewers"])
        states.add((mine.branch in forge.branches(NAME), len(opened), asked))

        made = publish(mine, credentials, cache)

        (pull,) = [pull for pull in forge.pull_requests if pull["head"]["ref"] == mine.branch]
        assert (made.number, made.head) == (pull["number"], forge.branches(NAME)[mine.branch])
        assert ["soulcaster"] == [label["name"] for label in pull["labels"]]
        assert ["ana"] == [person["login"] for person in pull["requested_reviewers"]]
    assert len(states) >= 2, states  # some died before anything was there, some later
    assert FILES["notes.py"] == forge.show_file(NAME, "main", "notes.py")
