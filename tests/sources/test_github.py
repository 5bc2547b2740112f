"""GitHub payloads: issues in lists, webhooks and public events, and what is none."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from soulcaster.models import FeedbackItem, Ignored, Quarantined
from soulcaster.sources.github import parse_payload

PAYLOADS = Path(__file__).parent.parent / "payloads" / "github"


def load(name: str) -> Any:
    """A made-up payload from beside the tests."""
    return json.loads((PAYLOADS / name).read_text())


def issue(**fields: Any) -> dict[str, Any]:
    """A plain issue object, changed by `fields`."""
    return {
        "id": 1,
        "number": 12,
        "title": "Export hangs",
        "body": "At 99 %.",
        "state": "open",
        "html_url": "https://github.com/acme/inkleaf/issues/12",
        "user": {"login": "fern"},
        "labels": [],
        "created_at": "2025-10-01T10:00:00Z",
        "updated_at": "2025-10-02T10:00:00Z",
    } | fields


def webhook(action: str, **fields: Any) -> dict[str, Any]:
    """An issues webhook body about the plain issue, changed by `fields`."""
    return {
        "action": action,
        "issue": issue(),
        "repository": {"full_name": "acme/inkleaf"},
        "sender": {"login": "fern"},
    } | fields


def parsed(payload: Any, **options: Any) -> Any:
    """The one outcome of a payload."""
    (outcome,) = parse_payload(payload, **options)
    return outcome


def test_an_issue_becomes_an_item_with_its_source_fields():
    """Repository and number are the identity; null body is an empty text; labels come in both shapes."""
    first = next(iter(parse_payload(load("issues.json"))))

    assert first.external_id == "acme/inkleaf#12"
    assert (first.title, first.body, first.channel) == ("Export hangs", "", "acme/inkleaf")
    assert first.url == "https://github.com/acme/inkleaf/issues/12"
    assert (first.author, first.trust, first.labels) == ("fern", "member", ["bug", "export"])
    assert (first.state, first.state_reason) == ("closed", "not_planned")
    assert first.updated_at == datetime(2025, 10, 2, 10, tzinfo=UTC)


def test_pull_requests_among_issues_are_ignored():
    """Lists mix both; only the issues are feedback."""
    outcomes = list(parse_payload(load("issues.json")))

    assert [type(outcome) for outcome in outcomes] == [FeedbackItem, Ignored, FeedbackItem]
    assert outcomes[1].reason == "pull-request"


def test_an_old_issue_with_an_empty_pull_request_key_is_an_issue():
    """Up to 2013 every issue had the key, with nulls in it."""
    old = list(parse_payload(load("issues.json")))[2]

    assert (old.external_id, old.author) == ("acme/inkleaf#14", None)


@pytest.mark.parametrize(
    ("association", "trust"),
    [
        ("OWNER", "maintainer"),
        ("MEMBER", "maintainer"),
        ("COLLABORATOR", "maintainer"),
        ("CONTRIBUTOR", "member"),
        ("FIRST_TIMER", "anonymous"),
        ("NONE", "anonymous"),
        (None, "anonymous"),
    ],
)
def test_trust_follows_the_authors_association(association: str | None, trust: str):
    """Who may write to the repository is a maintainer; who has landed something, a member."""
    assert parsed(issue(author_association=association)).trust == trust


@pytest.mark.parametrize(
    "places",
    [
        {"html_url": "https://git.example/acme/inkleaf/issues/12"},
        {"html_url": "https://git.example/acme/inkleaf/discussions/12"},
        {"html_url": None, "repository_url": "https://git.example/api/v3/repos/acme/inkleaf"},
        {"html_url": None, "url": "https://api.github.com/repos/acme/inkleaf/issues/12"},
        {"html_url": None, "repository": {"full_name": "acme/inkleaf"}},
    ],
)
def test_the_repository_is_found_in_every_shape_and_on_every_host(places: dict[str, Any]):
    """Page, API address and nested repository all name it, on company servers too."""
    assert parsed(issue(**places)).external_id == "acme/inkleaf#12"


@pytest.mark.parametrize(
    ("body", "declared"),
    [
        ("Duplicate of #7", "acme/inkleaf#7"),
        ("Long story.\n\nduplicate of acme/core#9.", "acme/core#9"),
        ("Duplicate of https://github.com/acme/core/issues/9", "acme/core#9"),
        ("Not a duplicate of #7", None),
        ("Duplicate of #12", None),
        ("Duplicate of https://example.com/x", None),
    ],
)
def test_a_declared_duplicate_is_noted(body: str, declared: str | None):
    """A line that begins with GitHub's own phrase points at another issue, never at itself."""
    assert parsed(issue(body=body)).duplicate_of == declared


def test_search_results_are_read_like_lists():
    """The `items` of a search answer are issues."""
    answer = {
        "total_count": 2,
        "incomplete_results": False,
        "items": [issue(), issue(number=13, pull_request={"url": "x"})],
    }

    first, second = parse_payload(answer)

    assert (first.external_id, second) == ("acme/inkleaf#12", Ignored(reason="pull-request"))


def test_an_issue_webhook_needs_no_header():
    """The shape alone tells; the header, when given, agrees."""
    assert parsed(webhook("edited")) == parsed(webhook("edited"), event="issues")
    assert parsed(webhook("edited")).external_id == "acme/inkleaf#12"


def test_a_deleted_issue_is_followed_by_state():
    """The item stays, marked as deleted."""
    item = parsed(webhook("deleted"), event="issues")

    assert (item.state, item.state_reason) == ("deleted", "deleted")


def test_a_transferred_issue_points_at_its_new_place():
    """The old item is removed and declared the same as the new one."""
    changes = {"new_issue": {"number": 4}, "new_repository": {"full_name": "acme/core"}}
    item = parsed(webhook("transferred", changes=changes))

    assert (item.state, item.state_reason, item.duplicate_of) == ("removed", "transferred", "acme/core#4")


def test_a_comment_webhook_gives_its_issue_and_the_maintainers_verdict():
    """The whole issue is in it; a maintainer's 'Duplicate of' comment speaks about that issue."""
    item = parsed(load("comment_webhook.json"), event="issue_comment")

    assert (item.external_id, item.duplicate_of) == ("acme/inkleaf#12", "acme/inkleaf-core#3")


def test_a_strangers_comment_declares_nothing():
    """Only who may write to the repository can mark a duplicate."""
    body = load("comment_webhook.json")
    body["comment"]["author_association"] = "NONE"

    assert parsed(body).duplicate_of is None


def test_comments_are_items_when_asked_for():
    """With the flag the comment follows its issue; in a comment list it is an item of its own."""
    body = load("comment_webhook.json")
    _, comment = parse_payload(body, include_comments=True)

    assert (comment.external_id, comment.trust) == ("acme/inkleaf#issuecomment-900", "maintainer")
    assert parsed([body["comment"]]) == Ignored(reason="comment")
    assert parsed([body["comment"]], include_comments=True).external_id == comment.external_id


def test_a_deleted_comment_does_not_delete_its_issue():
    """The action of a comment event is about the comment."""
    body = load("comment_webhook.json") | {"action": "deleted"}
    thread, comment = parse_payload(body, include_comments=True)

    assert (thread.state, comment.state) == ("open", "deleted")


def test_a_discussion_is_an_item():
    """Discussions share the numbers of issues and are feedback like them."""
    discussion = issue(html_url="https://github.com/acme/inkleaf/discussions/4", number=4, state="locked")
    body = {"action": "created", "discussion": discussion, "sender": {"login": "fern"}}

    item = parsed(body, event="discussion")

    assert (item.external_id, item.state) == ("acme/inkleaf#4", "open")


def test_a_pull_request_in_an_issues_webhook_is_ignored():
    """Milestone actions send pull requests under the same event."""
    body = webhook("milestoned", issue=issue(pull_request={"url": "x"}, html_url="https://github.com/a/b/pull/2"))

    assert parsed(body) == Ignored(reason="pull-request")


@pytest.mark.parametrize(
    ("body", "event", "reason"),
    [
        ({"zen": "Keep calm.", "hook_id": 1, "hook": {}, "sender": {}}, None, "event-ping"),
        ({"zen": "Keep calm.", "hook_id": 1}, "ping", "event-ping"),
        ({"action": "created", "label": {}, "sender": {}}, None, "event-label"),
        ({"action": "opened", "pull_request": {}, "sender": {}}, "pull_request", "event-pull-request"),
        ({"ref": "x", "commits": [], "sender": {}}, None, "event-commits"),
    ],
)
def test_other_webhooks_are_ignored_by_name(body: object, event: str | None, reason: str):
    """A ping is counted as a ping."""
    assert parsed(body, event=event) == Ignored(reason=reason)


def test_public_events_of_all_ages_are_read():
    """Present ones name the repository beside the issue; the oldest carry only a number; others are named."""
    lines = [json.loads(line) for line in (PAYLOADS / "events.jsonl").read_text().splitlines() if line]
    first, push, oldest = (parsed(line) for line in lines)

    assert (first.external_id, first.title) == ("acme/inkleaf#15", "Crash on start")
    assert push == Ignored(reason="event-push")
    assert oldest == Ignored(reason="event-without-text")


@pytest.mark.parametrize(
    ("thing", "reason"),
    [
        ({"event": "labeled", "created_at": "2025-01-01T00:00:00Z", "id": 1}, "timeline-event"),
        ({"message": "Validation Failed", "documentation_url": "x", "errors": []}, "github-error-422"),
        ({"message": "Not Found", "documentation_url": "x", "status": "404"}, "github-error-404"),
        ({"message": "API rate limit exceeded for user 1", "documentation_url": "x"}, "github-error-rate-limit"),
        ({"id": 5}, "stub"),
        ({"id": 5, "name": "bug", "color": "f00"}, "label"),
        ({"number": 1, "title": "v1", "due_on": None, "creator": {}}, "milestone"),
        ({"number": 1, "title": "x", "head": {}, "base": {}}, "pull-request"),
    ],
)
def test_other_rest_objects_are_ignored_by_name(thing: object, reason: str):
    """Timelines, labels, milestones, stubs and error bodies have names."""
    assert parsed(thing) == Ignored(reason=reason)


@pytest.mark.parametrize("payload", [[], {}, {"total_count": 0, "incomplete_results": False, "items": []}])
def test_an_empty_list_is_ignored_as_empty(payload: object):
    """A page without issues counts as one ignored file."""
    assert parsed(payload) == Ignored(reason="empty")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"title": None}, "field 'title': expected a string, got null"),
        ({"title": ["a"]}, "field 'title': expected a string, got a list of 1"),
        ({"created_at": 5}, "field 'created_at': expected a string, got a number 5"),
        ({"created_at": "yesterday"}, "field 'created_at': expected an ISO 8601 time"),
        ({"number": "twelve"}, "field 'number': expected a count"),
        ({"html_url": "https://example.com/"}, "field 'html_url': expected a URL that names owner and repository"),
        ({"labels": [5]}, "field 'labels': expected a list of labels"),
        ({"user": 7}, "field 'user': expected an object"),
    ],
)
def test_a_wrong_type_quarantines_that_row_with_a_sentence(fields: dict[str, Any], words: str):
    """The sentence names field, expected and got."""
    outcome = parsed(issue(**fields))

    assert isinstance(outcome, Quarantined)
    assert words in outcome.detail


def test_an_items_payload_parses_to_the_same_item_again():
    """History can be replayed from what is stored, without the header."""
    changes = {"new_issue": {"number": 4}, "new_repository": {"full_name": "acme/core"}}
    for body in (load("issues.json"), load("comment_webhook.json"), webhook("transferred", changes=changes)):
        item = next(iter(parse_payload(body)))
        assert parsed(json.loads(item.payload)) == item


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("folder", "least_items"),
    [("payloads_github_api", 300), ("payloads_github_webhooks", 30), ("payloads_github_events", 25)],
)
def test_recordings_parse_without_an_exception(shared_data_dir: Path, folder: str, least_items: int):
    """Twelve years of recordings give items or named reasons, twice the same."""
    items, others = [], []
    for file in sorted((shared_data_dir / folder).rglob("*.json*")):
        texts = file.read_text().splitlines() if file.suffix == ".jsonl" else [file.read_text()]
        for payload in map(json.loads, texts):
            outcomes = list(parse_payload(payload))
            assert outcomes == list(parse_payload(payload))
            items += [outcome for outcome in outcomes if isinstance(outcome, FeedbackItem)]
            others += [outcome for outcome in outcomes if not isinstance(outcome, FeedbackItem)]

    assert len(items) > least_items
    assert not [outcome for outcome in others if isinstance(outcome, Quarantined)]
    assert not {"unknown", "event-other", "other"} & {outcome.reason for outcome in others}
    assert all(item.external_id.partition("#")[0] == item.channel for item in items)
